//! A feeder that keeps its pace whatever the reader does, and stamps each event with the time.

use super::now_us;
use anyhow::{Context, Result};
use rustix::thread::{ClockId, clock_nanosleep_relative};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use testkit::load::{Label, Load};

/// The modulus of stamps, which are microseconds: a stamp comes again after 100 seconds.
pub(super) const STAMPS: u64 = 100_000_000;
/// How long nothing comes between the warm-up and what is measured, in microseconds.
const PAUSE: u64 = 300_000;

/// Writes to standard output.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PaceArgs {
    /// Tasks, in turns
    #[arg(long)]
    tasks: u32,
    /// Events that warm up, as fast as they are taken
    #[arg(long)]
    warm_up: u64,
    /// Events that are measured
    #[arg(long)]
    count: u64,
    /// Events in a second
    #[arg(long)]
    rate: f64,
    /// Where the report goes
    #[arg(long)]
    report: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The most that an event was written late, microseconds.
    pub(crate) late_us: u64,
}

pub(super) fn run(args: &PaceArgs) -> Result<()> {
    let report = feed(args, &mut std::io::stdout().lock())?;
    let file = File::create(&args.report).context("cannot write the report")?;
    serde_json::to_writer(file, &report).context("cannot write the report")
}

fn feed(args: &PaceArgs, out: &mut impl Write) -> Result<Report> {
    let load = Load::real();
    let mut batch = Vec::new();
    let mut write = |events: std::ops::Range<u64>| -> Result<()> {
        batch.clear();
        let stamp = (now_us() % STAMPS) as u32;
        for event in events {
            let task = (event % u64::from(args.tasks)) as u32;
            load.write(
                Label {
                    task,
                    number: stamp,
                },
                &mut batch,
            );
        }
        out.write_all(&batch).context("the reader is gone")?;
        out.flush().context("the reader is gone")
    };
    for event in 0..args.warm_up {
        write(event..event + 1)?;
    }
    let start = now_us() + PAUSE;
    let (mut done, mut late_us) = (0, 0);
    while done < args.count {
        let passed = now_us().saturating_sub(start);
        let due = ((passed as f64 * args.rate / 1e6) as u64).min(args.count);
        if due > done {
            let planned = (done as f64 * 1e6 / args.rate) as u64;
            late_us = late_us.max(passed.saturating_sub(planned));
            write(args.warm_up + done..args.warm_up + due)?;
            done = due;
        } else {
            sleep_until(start + ((done + 1) as f64 * 1e6 / args.rate).ceil() as u64);
        }
    }
    Ok(Report { late_us })
}

fn sleep_until(at: u64) {
    let left = Duration::from_micros(at.saturating_sub(now_us()));
    if let Ok(left) = left.try_into() {
        // Woken early, it is asked again.
        drop(clock_nanosleep_relative(ClockId::Monotonic, &left));
    }
}
