//! The table of targets, and how one is run.

use crate::seeds::Files;
use crate::sources::{ingest, stream};
use crate::{
    answer, config, event, filter, header, model, queue_file, queue_record, request, retry_after,
    stored, template, value,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that any input may allocate in all, and how many more for each of its bytes. A reader that
/// copies its input once for each element of it allocates more.
const ALLOCATED: usize = 8 << 20;
const ALLOCATED_A_BYTE: usize = 4096;

/// A reader of bytes from outside, and what it promises.
#[derive(Debug)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// The longest input that the engine makes, bytes.
    pub longest: usize,
    run: fn(&[u8]),
    pub(crate) seeds: fn(&mut Files),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("answer", 4096, answer::run, answer::seeds),
    target(
        "cloud-event",
        2048,
        ingest::cloud_event,
        ingest::cloud_event_seeds,
    ),
    target("config", 4096, config::run, config::seeds),
    target("event", 4096, event::run, event::seeds),
    target("filter", 2048, filter::run, filter::seeds),
    target("header", 4096, header::run, header::seeds),
    target("lines", 4096, ingest::lines, ingest::lines_seeds),
    target("model", 8192, model::run, model::seeds),
    target("queue-file", 128, queue_file::run, queue_file::seeds),
    target("queue-record", 512, queue_record::run, queue_record::seeds),
    target("request", 2048, request::run, request::seeds),
    target("retry-after", 64, retry_after::run, retry_after::seeds),
    target("stored", 1024, stored::run, stored::seeds),
    target("stream", 4096, stream::run, stream::seeds),
    target("template", 2048, template::run, template::seeds),
    target("value", 512, value::run, value::seeds),
];

const fn target(
    name: &'static str,
    longest: usize,
    run: fn(&[u8]),
    seeds: fn(&mut Files),
) -> Target {
    Target {
        name,
        longest,
        run,
        seeds,
    }
}

impl Target {
    /// The target of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Runs the target on an input.
    ///
    /// # Panics
    /// A promise is broken, or the input makes the target allocate more than its length allows.
    pub fn check(&self, input: &[u8]) {
        let region = Region::new(ALLOCATOR);
        (self.run)(input);
        let allocated = region.change().bytes_allocated;
        let most = ALLOCATED + ALLOCATED_A_BYTE * input.len();
        assert!(
            allocated <= most,
            "{} bytes of input make it allocate {allocated} bytes, and {most} are allowed",
            input.len()
        );
    }
}
