//! One target that never answers must not slow down the others.

use super::figures::{Bound, Figures, in_turns, median, shown};
use super::process::{self, Webhookd, feed};
use super::receiver::{Behaviour, Port, Receiver};
use super::{Bench, DEADLINE, say};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

const HEALTHY: usize = 9;
const TASKS: u32 = 500;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct IsolationArgs {
    /// Events in each measurement, each for every target [default: 20000, quick 2000]
    #[arg(long, value_name = "N")]
    events: Option<u32>,

    /// How often both are measured, in turns [default: 5, quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
}

/// Measures the healthy targets' throughput, in turns with the tenth and without it.
pub(super) fn measure(bench: &Bench, args: &IsolationArgs) -> Result<Figures> {
    let events = args
        .events
        .unwrap_or(if bench.quick { 2_000 } else { 20_000 });
    let rounds = args.rounds.unwrap_or(if bench.quick { 1 } else { 5 });
    let mut figures = Figures::default();
    let (with, without) = in_turns(rounds, |silent| {
        let (rate, faults) = once(bench, events, silent)?;
        let what = if silent { "with" } else { "without" };
        say(&format!("{what} a silent target: {rate:.0} deliveries/s"));
        figures.faults(faults);
        Ok(rate)
    })?;
    figures.row("events, each for every target", events.to_string());
    figures.row(
        "healthy targets, without a silent one",
        shown(&without, "deliveries/s"),
    );
    figures.row(
        "healthy targets, beside a silent one",
        shown(&with, "deliveries/s"),
    );
    figures.aim(
        "ratio",
        median(&with) / median(&without),
        Bound::AtLeast(0.95),
        "",
    );
    Ok(figures)
}

fn once(bench: &Bench, events: u32, silent: bool) -> Result<(f64, Vec<String>)> {
    let expected = u64::from(events);
    let mut receivers = Vec::new();
    let mut targets = Vec::new();
    for number in 0..HEALTHY + usize::from(silent) {
        let behaviour = if number < HEALTHY {
            Behaviour::Takes
        } else {
            Behaviour::NeverAnswers
        };
        let port = Port::take()?;
        targets.push(target(number, &port.url()));
        receivers.push(Receiver::start(port, &bench.load, behaviour, expected)?);
    }
    let folder = bench.folder(&json!({ "targets": targets }))?;
    let (webhookd, stdin) = Webhookd::start(&bench.binary, folder.path(), "1s")?;
    let feeder = feed(
        stdin,
        &bench.load,
        process::in_turns(0, TASKS, events),
        false,
    );
    let mut faults = Vec::new();
    for (number, receiver) in receivers.iter().take(HEALTHY).enumerate() {
        receiver.wait_for(expected, DEADLINE);
        faults.extend(
            receiver.arrivals(|arrivals| {
                arrivals.faults(&format!("healthy target {number}"), expected)
            }),
        );
    }
    let fed = feeder.join();
    ensure!(
        matches!(fed, Ok(Ok(_))),
        "webhookd stopped reading: {fed:?}"
    );
    webhookd.kill()?;
    let spans = receivers
        .iter()
        .take(HEALTHY)
        .map(|receiver| receiver.arrivals(|arrivals| (arrivals.started_at, arrivals.ended_at)));
    let (starts, ends): (Vec<_>, Vec<_>) = spans.unzip();
    let start = starts.into_iter().flatten().min();
    let end = ends.into_iter().flatten().max();
    let rate = match (start, end) {
        (Some(start), Some(end)) if end > start => {
            HEALTHY as f64 * f64::from(events) / (end - start).as_secs_f64()
        }
        _ => 0.0,
    };
    Ok((rate, faults))
}

fn target(number: usize, url: &str) -> Value {
    json!({
        "name": format!("target-{number}"),
        "targetURL": url,
        "headers": {},
        "timeoutMsec": 5_000,
        "concurrency": 16,
    })
}
