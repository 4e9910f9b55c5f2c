//! One target that never answers must not slow down the others.

use super::daemon::Daemon;
use super::receiver::{Behaviour, Counter};
use super::{DEADLINE, Setup, say};
use crate::figures::{Bound, Figures, in_turns, median, shown};
use anyhow::Result;
use serde_json::json;
use testkit::Port;
use testkit::load::in_turns as tasks_in_turns;

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
pub(super) fn measure(setup: &Setup, args: &IsolationArgs) -> Result<Figures> {
    let events = setup.number(args.events, 2_000, 20_000);
    let mut figures = Figures::default();
    let (with, without) = in_turns(setup.number(args.rounds, 1, 5), |silent| {
        let (rate, faults) = once(setup, events, silent)?;
        let what = if silent { "with" } else { "without" };
        say(&format!("{what} a silent target: {rate:.0} deliveries/s"));
        figures.faults(faults);
        Ok(rate)
    })?;
    figures.row("events, each for every target", events.to_string());
    let unit = "deliveries/s";
    figures.row(
        "healthy targets, without a silent one",
        shown(&without, unit),
    );
    figures.row("healthy targets, beside a silent one", shown(&with, unit));
    let ratio = median(&with) / median(&without);
    figures.aim("ratio", ratio, Bound::AtLeast(0.95), "");
    Ok(figures)
}

fn once(setup: &Setup, events: u32, silent: bool) -> Result<(f64, Vec<String>)> {
    let expected = u64::from(events);
    let mut servers = Vec::new();
    let mut counters = Vec::new();
    let mut targets = Vec::new();
    for number in 0..HEALTHY + usize::from(silent) {
        let port = Port::take();
        targets.push(json!({
            "name": format!("target-{number}"),
            "targetURL": port.url(),
            "headers": {},
            "timeoutMsec": 5_000,
            "concurrency": 16,
        }));
        let counter = Counter::new(&setup.load, expected);
        if number < HEALTHY {
            servers.push(counter.listen(port, Behaviour::Accepts));
            counters.push(counter);
        } else {
            servers.push(counter.listen(port, Behaviour::NeverAnswers));
        }
    }
    let folder = setup.folder(&json!({ "targets": targets }))?;
    let mut daemon = Daemon::start(setup, folder.path(), "1s");
    let feeder = daemon.feed(setup, tasks_in_turns(0, TASKS, events));
    let mut faults = Vec::new();
    for (number, counter) in counters.iter().enumerate() {
        counter.wait_for(expected, DEADLINE);
        let name = format!("healthy target {number}");
        faults.extend(counter.arrivals(|arrivals| arrivals.faults(&name, expected)));
    }
    daemon.kill(feeder)?;
    let spans = counters
        .iter()
        .filter_map(|counter| counter.arrivals(|arrivals| arrivals.span()));
    let (starts, ends): (Vec<_>, Vec<_>) = spans.unzip();
    let span = starts.into_iter().min().zip(ends.into_iter().max());
    let deliveries = HEALTHY as f64 * f64::from(events);
    let rate = span.map_or(0.0, |(start, end)| deliveries / (end - start).as_secs_f64());
    Ok((rate, faults))
}
