//! One task stuck in retry, with many events behind it, must not slow down the other tasks, nor
//! take memory.

use super::daemon::Daemon;
use super::receiver::{Behaviour, Counter};
use super::{DEADLINE, Setup, say};
use crate::figures::{Bound, Figures, in_turns, median, shown};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::Port;
use testkit::load::{Feeder, Label, in_turns as tasks_in_turns};

/// The task that is stuck.
const STUCK: u32 = 0;
/// The tasks of the first part of the other measurement, where nothing is stuck.
const BEFORE: u32 = 1;
const TASKS: u32 = 500;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct StuckTaskArgs {
    /// Events behind the stuck one [default: 100000, quick 5000]
    #[arg(long, value_name = "N")]
    behind: Option<u32>,

    /// Events of other tasks [default: 40000, quick 4000]
    #[arg(long, value_name = "N")]
    events: Option<u32>,

    /// How often both are measured, in turns [default: 5, quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
}

/// Measures in turns: the first part's events all of one task that is stuck, or of tasks that are
/// not; then the other tasks' events.
pub(super) fn measure(setup: &Setup, args: &StuckTaskArgs) -> Result<Figures> {
    let behind = setup.number(args.behind, 5_000, 100_000);
    let events = setup.number(args.events, 4_000, 40_000);
    let mut figures = Figures::default();
    let (with, without) = in_turns(setup.number(args.rounds, 1, 5), |stuck| {
        let (rate, peak, faults) = once(setup, behind, events, stuck)?;
        let what = if stuck { "with" } else { "without" };
        say(&format!(
            "{what} a stuck task: {rate:.0} events/s, RssAnon at most {peak:.1} MiB"
        ));
        figures.faults(faults);
        Ok((rate, peak))
    })?;
    let ((rates, peaks), (plain_rates, plain_peaks)): ((Vec<_>, Vec<_>), (Vec<_>, Vec<_>)) =
        (with.into_iter().unzip(), without.into_iter().unzip());
    figures.row("events behind the stuck one", behind.to_string());
    figures.row("events of other tasks", events.to_string());
    for (name, values, unit) in [
        ("their throughput, nothing stuck", &plain_rates, "events/s"),
        ("their throughput, a task stuck", &rates, "events/s"),
        ("peak RssAnon, nothing stuck", &plain_peaks, "MiB"),
        ("peak RssAnon, a task stuck", &peaks, "MiB"),
    ] {
        figures.row(name, shown(values, unit));
    }
    let ratio = median(&rates) / median(&plain_rates);
    figures.aim("throughput ratio", ratio, Bound::AtLeast(0.95), "");
    let more = median(&peaks) - median(&plain_peaks);
    figures.aim("RssAnon more by", more, Bound::AtMost(4.0), " MiB");
    Ok(figures)
}

/// The rate, the peak in MiB, and what is wrong.
fn once(setup: &Setup, behind: u32, events: u32, stuck: bool) -> Result<(f64, f64, Vec<String>)> {
    let port = Port::take();
    let folder = setup.folder(&json!({
        "targetURL": port.url(),
        "headers": {},
        "timeoutMsec": 5_000,
        "retry": { "initialMsec": 100, "maxMsec": 1_000 },
    }))?;
    let (behaviour, before) = if stuck {
        (Behaviour::FailsTask(STUCK), 0)
    } else {
        (Behaviour::Accepts, u64::from(behind))
    };
    let expected = before + u64::from(events);
    let counter = Counter::new(&setup.load, expected);
    let _server = counter.listen(port, behaviour);
    let mut daemon = Daemon::start(setup, folder.path(), "1s");

    let first = (0..behind).map(move |index| match stuck {
        true => Label {
            task: STUCK,
            number: index,
        },
        false => Label {
            task: BEFORE + index % TASKS,
            number: index / TASKS,
        },
    });
    let fed = daemon.feed(setup, first).join();
    let input = fed.context("webhookd stopped reading")?;
    daemon.wait_for_acks(behind.into())?;
    let all = counter.wait_for(before, DEADLINE);
    ensure!(all, "the events before were not delivered");
    daemon.take_peak();
    counter.arrivals(|arrivals| arrivals.restart_clock());

    let others = tasks_in_turns(BEFORE + TASKS, TASKS, events);
    let input = input.context("the input was left open")?;
    let feeder = Feeder::start(input, &setup.load, others, false);
    counter.wait_for(expected, DEADLINE);
    let peak = daemon.take_peak();
    daemon.kill(feeder)?;
    Ok(counter.arrivals(|arrivals| {
        let span = arrivals.span();
        let rate = span.map_or(0.0, |(start, end)| {
            f64::from(events) / (end - start).as_secs_f64()
        });
        (rate, peak, arrivals.faults("other tasks", expected))
    }))
}
