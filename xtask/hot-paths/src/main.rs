//! The hot paths, each alone: `hot-paths PATH TIMES` does one of them so many times, and
//! `cargo xtask guard` counts the instructions of two numbers of times, whose difference is free
//! of what it takes to get ready.
//!
//! *Architecture invariant*: nothing that ships depends on this crate.

// The tests of what is compiled in from elsewhere run there.
#![cfg(not(test))]

#[expect(
    dead_code,
    reason = "webhook-dispatch's own file, which is private there; not all of it is used here"
)]
#[path = "../../../crates/webhook-dispatch/src/target/lanes/mod.rs"]
mod lanes;
mod path;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, times] = &args[..] else {
        bail!("usage: hot-paths PATH TIMES, with {:?}", path::names());
    };
    let times = times.parse().context("TIMES is a number")?;
    path::run(path, times)
}
