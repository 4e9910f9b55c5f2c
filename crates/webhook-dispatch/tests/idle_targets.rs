//! The memory of a target that is sent nothing. The only test in this program, since allocations of
//! another would be counted, too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;
use webhook_config::{Config, Target, TargetName, TargetUrl};
use webhook_dispatch::Dispatcher;
use webhook_queue::MemoryQueue;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TARGETS: usize = 200;

#[test]
fn an_idle_target_allocates_a_few_pages() {
    let mut config = Config::builder();
    for number in 0..TARGETS {
        let target = Target::builder(TargetUrl::parse("http://localhost:1/").unwrap());
        let name = format!("t{number}").parse::<TargetName>().unwrap();
        config = config.target(target.name(name).build().unwrap());
    }
    let config = config.build().unwrap();
    let region = Region::new(ALLOCATOR);
    let dispatcher = Dispatcher::builder(config)
        .queue(Arc::new(MemoryQueue::new(1 << 20)))
        .start()
        .unwrap();
    let change = region.change();
    drop(dispatcher.shutdown(Duration::from_secs(60)));
    let each = change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated)
        / TARGETS;
    assert!(each <= 32 * 1024, "{each} bytes for each target");
}
