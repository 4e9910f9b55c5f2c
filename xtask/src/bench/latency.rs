//! What webhookd adds: from the moment that an event is written to its standard input to the
//! moment that the receiver has read the whole request.

use super::child::Measured;
use super::part::Part;
use super::receiver::Expected;
use super::senders;
use super::session::{Session, TASKS};
use crate::measure::load::Label;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Events that start senders and fill caches before it counts.
const WARM_UP: u64 = 2_000;
/// The feeder is to keep its pace, or what is measured is not what is said.
const LATE_US: u64 = 50_000;

#[derive(Deserialize)]
struct Pace {
    late_us: u64,
}

/// One round, at so many events a second.
pub(super) fn measure(
    session: &mut Session,
    part: Part,
    rate: f64,
    seconds: f64,
) -> Result<([u32; 5], Option<String>)> {
    let count = (rate * seconds).ceil().max(1_000.0) as u64;
    let folder = session.subfolder()?;
    let template = folder.path().join("template");
    let mut line = Vec::new();
    session.load.write(Label { task: 0, number: 0 }, &mut line);
    line.pop();
    std::fs::write(&template, line).context("cannot write a template")?;
    let pace_report = folder.path().join("pace.json");
    let (task_at, stamp_at) = session.load.places();
    let mut pace = Command::new(&session.tool);
    pace.arg("pace").arg("--template").arg(template);
    pace.arg("--report").arg(&pace_report);
    for (name, value) in [
        ("--stamp-at", stamp_at.to_string()),
        ("--task-at", task_at.to_string()),
        ("--tasks", TASKS.to_string()),
        ("--warm-up", WARM_UP.to_string()),
        ("--count", count.to_string()),
        ("--rate", rate.to_string()),
    ] {
        pace.args([name, &value]);
    }
    pace.stdin(Stdio::null()).stdout(Stdio::piped());

    session.receiver.begin(Expected {
        goal: WARM_UP + count,
        delay_ms: 0,
        stamps: Some((WARM_UP, stamp_at)),
    })?;
    let mut pace = Measured::start(pace, folder.path())?;
    let config = senders::config(session, part);
    let mut webhookd = session.webhookd(folder.path(), &config, None)?;
    webhookd.stdin(pace.child.stdout.take().context("it is piped")?);
    let mut webhookd = Measured::start(webhookd, folder.path())?;
    session.wait(&mut webhookd, WARM_UP + count)?;
    pace.finish(Duration::from_secs(10))?;
    webhookd.finish(Duration::from_secs(60))?;
    let report = session.receiver.report()?;
    let latencies = report.latencies_us.context("no request had a stamp")?;
    let text = std::fs::read_to_string(&pace_report).context("the feeder's report")?;
    let late = serde_json::from_str::<Pace>(&text)?.late_us;
    let warning = (late > LATE_US).then(|| {
        format!(
            "the feeder fell {} ms behind its pace while the latency of {} was measured",
            late / 1_000,
            part.title()
        )
    });
    Ok((latencies, warning))
}
