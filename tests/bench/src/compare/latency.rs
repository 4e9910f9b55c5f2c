//! What webhookd adds: from the moment that an event is written to its standard input to the
//! moment that the receiver has read the whole request.

use super::TASKS;
use super::part::Part;
use super::senders;
use super::session::Session;
use crate::receiver::{Expected, tool};
use crate::tool::PaceReport;
use anyhow::{Context, Result, ensure};
use std::process::Stdio;
use std::time::Duration;

/// Events that start senders and fill caches before it counts.
const WARM_UP: u64 = 2_000;
/// The feeder is to keep its pace, or what is measured is not what is said.
const LATE_US: u64 = 50_000;

/// One round, at so many events a second.
pub(super) fn measure(
    session: &mut Session,
    part: Part,
    rate: f64,
    seconds: f64,
) -> Result<([u32; 5], Option<String>)> {
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
        requests: WARM_UP + count,
        delay_ms: 0,
        warm_up: Some(WARM_UP),
    })?;
    let pace = pace.input(Stdio::null()).output(writer).spawn();
    let config = senders::config(session, part);
    let webhookd = session.webhookd(folder.path(), &config, None)?;
    let webhookd = webhookd.input(reader).spawn();
    session.wait(&webhookd, WARM_UP + count)?;
    for process in [pace, webhookd] {
        let ended = process.wait_at_most(Duration::from_secs(60));
        ensure!(
            ended.status.success(),
            "a process failed; it said:\n{}",
            ended.stderr
        );
    }
    let latencies = session.receiver.report()?.latencies_us;
    let text = std::fs::read_to_string(&report).context("the feeder's report")?;
    let late = serde_json::from_str::<PaceReport>(&text)?.late_us;
    let warning = (late > LATE_US).then(|| {
        format!(
            "the feeder fell {} ms behind its pace while the latency of {} was measured",
            late / 1_000,
            part.title()
        )
    });
    Ok((latencies.context("no request had a stamp")?, warning))
}
