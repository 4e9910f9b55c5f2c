//! The table of targets, and how one is run.

use crate::seeds::Files;
use crate::{answer, config, event, header, model, retry_after};
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
    target("config", 4096, config::run, config::seeds),
    target("event", 4096, event::run, event::seeds),
    target("header", 4096, header::run, header::seeds),
    target("model", 8192, model::run, model::seeds),
    target("retry-after", 64, retry_after::run, retry_after::seeds),
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
