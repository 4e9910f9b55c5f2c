//! What webhookd adds: from the moment that an event is written to its standard input to the
//! moment that the receiver has read the whole request.

use super::TASKS;
use super::part::Part;
use super::results::Paced;
use super::senders;
use super::session::Session;
use crate::other_load::LoadMeter;
use crate::receiver::{Expected, tool};
use crate::tool::PaceReport;
use anyhow::{Context, Result, ensure};
use std::process::Stdio;
use std::time::Duration;
use testkit::Process;

/// Those whose latency is measured.
pub(super) const PARTS: [Part; 2] = [Part::BestEffort, Part::Durable];
/// The shares of the highest rate.
pub(super) const HALF: f64 = 0.5;
pub(super) const TENTH: f64 = 0.1;
/// Events that start senders and fill caches before it counts.
const WARM_UP: u64 = 2_000;
/// The feeder is to keep its pace, or what is measured is not what is said.
const LATE_US: u64 = 50_000;

/// One round, at so many events a second; what speaks against it, if anything.
pub(super) fn measure(
    session: &mut Session,
    part: Part,
    rate: f64,
    seconds: f64,
) -> Result<(Paced, Option<String>)> {
    let count = (rate * seconds).ceil().max(1_000.0) as u64;
    let folder = session.subfolder()?;
    let report = folder.path().join("pace.json");
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    let mut pace = tool("pace")?.arg("--report").arg(&report);
    for (name, value) in [
        ("--tasks", TASKS.to_string()),
        ("--warm-up", WARM_UP.to_string()),
        ("--count", count.to_string()),
        ("--rate", rate.to_string()),
    ] {
        pace = pace.arg(name).arg(value);
    }
    session.receiver.begin(Expected {
        events: WARM_UP + count,
        warm_up: Some(WARM_UP),
        ..Expected::default()
    })?;
    let pace = pace.input(Stdio::null()).output(writer).spawn();
    let config = senders::config(session, part);
    let webhookd = session.webhookd(folder.path(), &config, None)?;
    let webhookd = webhookd.input(reader).spawn();
    // The feeder pauses after the warm-up: what is used before does not count.
    session.wait(&webhookd, WARM_UP)?;
    let load = LoadMeter::start();
    let started = [&webhookd, &pace, &session.receiver.process].map(Process::processor_time);
    session.wait(&webhookd, WARM_UP + count)?;
    let ended = [&webhookd, &pace, &session.receiver.process].map(Process::processor_time);
    let used: [Duration; 3] = std::array::from_fn(|index| ended[index] - started[index]);
    let other_load = load.other(used.iter().sum());
    for process in [pace, webhookd] {
        let ended = process.wait_at_most(Duration::from_secs(60));
        ensure!(
            ended.status.success(),
            "a process failed; it said:\n{}",
            ended.stderr
        );
    }
    let added_us = session.receiver.report()?.latencies_us;
    let text = std::fs::read_to_string(&report).context("the feeder's report")?;
    let late = serde_json::from_str::<PaceReport>(&text)?.late_us;
    let warning = (late > LATE_US).then(|| {
        format!(
            "the feeder fell {} ms behind its pace while the latency of {} was measured",
            late / 1_000,
            part.title()
        )
    });
    let paced = Paced {
        added_us: added_us.context("no request had a stamp")?,
        sender_us: used[0].as_secs_f64() * 1e6 / count as f64,
        other_load,
    };
    Ok((paced, warning))
}
