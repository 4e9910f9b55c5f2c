//! A feeder that keeps its pace whatever the fed one does, and stamps each event with the time.

use crate::{now_us, say_error};
use anyhow::{Context, Result, ensure};
use rustix::thread::{ClockId, NanosleepRelativeResult, clock_nanosleep_relative};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// Digits of a stamp and of a task's number: microseconds, so that a stamp comes again after
/// 100 seconds.
pub(crate) const DIGITS: usize = 8;
/// The stamps' modulus.
pub(crate) const STAMPS: u64 = 100_000_000;
/// How long nothing comes between what warms up and what is measured, in microseconds.
const PAUSE: u64 = 300_000;

/// Writes to standard output.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PaceArgs {
    /// An event
    #[arg(long)]
    template: PathBuf,
    /// Where in it the stamp goes
    #[arg(long)]
    stamp_at: usize,
    /// Where in it a task's number goes
    #[arg(long)]
    task_at: usize,
    /// Tasks, in turns
    #[arg(long)]
    tasks: u64,
    /// Events that warm up, as fast as they are taken
    #[arg(long)]
    warm_up: u64,
    /// Events that are measured
    #[arg(long)]
    count: u64,
    /// Events in a second
    #[arg(long)]
    rate: f64,
    /// Where to tell how far it fell behind
    #[arg(long)]
    report: PathBuf,
}

#[derive(Debug, Serialize)]
struct Report {
    /// The most that an event was handed over late, microseconds.
    late_us: u64,
}

/// Feeds.
pub(crate) fn run(args: &PaceArgs) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match feed(args, &mut out) {
        Ok(report) => {
            let file = File::create(&args.report).context("cannot write the report")?;
            serde_json::to_writer(file, &report).context("cannot write the report")
        }
        Err(error) => {
            say_error(&error);
            Err(error)
        }
    }
}

fn feed(args: &PaceArgs, out: &mut impl Write) -> Result<Report> {
    let mut line = std::fs::read(&args.template).context("cannot read the template")?;
    ensure!(
        args.stamp_at.max(args.task_at) + DIGITS <= line.len(),
        "a place is not in the template"
    );
    line.push(b'\n');
    let mut batch = Vec::new();
    let mut write = |from: u64, to: u64, out: &mut dyn Write| -> Result<()> {
        batch.clear();
        let stamp = digits(now_us() % STAMPS);
        for number in from..to {
            let start = batch.len();
            batch.extend_from_slice(&line);
            for (at, digits) in [
                (args.stamp_at, stamp),
                (args.task_at, digits(number % args.tasks)),
            ] {
                batch[start + at..start + at + DIGITS].copy_from_slice(&digits);
            }
        }
        out.write_all(&batch).context("nobody reads")?;
        out.flush().context("nobody reads")
    };
    for number in 0..args.warm_up {
        write(number, number + 1, out)?;
    }
    let start = now_us() + PAUSE;
    let (mut done, mut late_us) = (0, 0);
    while done < args.count {
        let passed = now_us().saturating_sub(start);
        let due = ((passed as f64 * args.rate / 1e6) as u64).min(args.count);
        if due > done {
            let planned = (done as f64 * 1e6 / args.rate) as u64;
            late_us = late_us.max(passed.saturating_sub(planned));
            write(args.warm_up + done, args.warm_up + due, out)?;
            done = due;
        } else {
            sleep_until(start + ((done + 1) as f64 * 1e6 / args.rate).ceil() as u64);
        }
    }
    Ok(Report { late_us })
}

fn sleep_until(at: u64) {
    let left = std::time::Duration::from_micros(at.saturating_sub(now_us()));
    let Ok(left) = left.try_into() else { return };
    // Woken early, it is asked again.
    let (NanosleepRelativeResult::Ok
    | NanosleepRelativeResult::Interrupted(_)
    | NanosleepRelativeResult::Err(_)) = clock_nanosleep_relative(ClockId::Monotonic, &left);
}

fn digits(mut number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_of_one_length() {
        assert_eq!(&digits(0), b"00000000");
        assert_eq!(&digits(12_345_678), b"12345678");
        assert_eq!(&digits(90), b"00000090");
    }
}
