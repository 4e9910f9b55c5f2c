//! One task stuck in retry, with many events behind it, must not slow down the other tasks, nor
//! take memory.

use super::figures::{Bound, Figures, in_turns, median, shown};
use super::load::Label;
use super::process::{self, Webhookd, feed};
use super::receiver::{Behaviour, Port, Receiver};
use super::{Bench, DEADLINE, say};
use anyhow::{Context, Result, ensure};
use serde_json::json;

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

struct Once {
    rate: f64,
    peak: f64,
    faults: Vec<String>,
}

/// Measures in turns: the first part's events all of one task that is stuck, or of tasks that are
/// not; then the other tasks' events.
pub(super) fn measure(bench: &Bench, args: &StuckTaskArgs) -> Result<Figures> {
    let behind = args
        .behind
        .unwrap_or(if bench.quick { 5_000 } else { 100_000 });
    let events = args
        .events
        .unwrap_or(if bench.quick { 4_000 } else { 40_000 });
    let rounds = args.rounds.unwrap_or(if bench.quick { 1 } else { 5 });
    let mut figures = Figures::default();
    let (with, without) = in_turns(rounds, |stuck| {
        let mut once = once(bench, behind, events, stuck)?;
        let what = if stuck { "with" } else { "without" };
        say(&format!(
            "{what} a stuck task: {:.0} events/s, RssAnon at most {:.1} MiB",
            once.rate, once.peak
        ));
        figures.faults(std::mem::take(&mut once.faults));
        Ok(once)
    })?;
    let rates = |side: &[Once]| side.iter().map(|once| once.rate).collect::<Vec<_>>();
    let peaks = |side: &[Once]| side.iter().map(|once| once.peak).collect::<Vec<_>>();
    figures.row("events behind the stuck one", behind.to_string());
    figures.row("events of other tasks", events.to_string());
    figures.row(
        "their throughput, nothing stuck",
        shown(&rates(&without), "events/s"),
    );
    figures.row(
        "their throughput, a task stuck",
        shown(&rates(&with), "events/s"),
    );
    figures.row(
        "peak RssAnon, nothing stuck",
        shown(&peaks(&without), "MiB"),
    );
    figures.row("peak RssAnon, a task stuck", shown(&peaks(&with), "MiB"));
    let ratio = median(&rates(&with)) / median(&rates(&without));
    figures.aim("throughput ratio", ratio, Bound::AtLeast(0.95), "");
    let more = median(&peaks(&with)) - median(&peaks(&without));
    figures.aim("RssAnon more by", more, Bound::AtMost(4.0), " MiB");
    Ok(figures)
}

fn once(bench: &Bench, behind: u32, events: u32, stuck: bool) -> Result<Once> {
    let port = Port::take()?;
    let config = json!({
        "targetURL": port.url(),
        "headers": {},
        "timeoutMsec": 5_000,
        "retry": { "initialMsec": 100, "maxMsec": 1_000 },
    });
    let folder = bench.folder(&config)?;
    let behaviour = if stuck {
        Behaviour::Fails(STUCK)
    } else {
        Behaviour::Takes
    };
    let before = if stuck { 0 } else { u64::from(behind) };
    let expected = before + u64::from(events);
    let receiver = Receiver::start(port, &bench.load, behaviour, expected)?;
    let (webhookd, stdin) = Webhookd::start(&bench.binary, folder.path(), "1s")?;

    let first = (0..behind).map(move |index| {
        if stuck {
            return Label {
                task: STUCK,
                number: index,
            };
        }
        Label {
            task: BEFORE + index % TASKS,
            number: index / TASKS,
        }
    });
    let fed = feed(stdin, &bench.load, first, false).join();
    let stdin = fed
        .ok()
        .context("the feeder panicked")?
        .context("webhookd stopped reading")?;
    webhookd.wait_for_acks(behind.into(), DEADLINE)?;
    ensure!(
        receiver.wait_for(before, DEADLINE),
        "the events before were not delivered"
    );
    webhookd.take_peak();
    receiver.restart_clock();

    let others = process::in_turns(BEFORE + TASKS, TASKS, events);
    let feeder = feed(
        stdin.context("it was left open")?,
        &bench.load,
        others,
        false,
    );
    receiver.wait_for(expected, DEADLINE);
    let peak = webhookd.take_peak();
    let fed = feeder.join();
    ensure!(
        matches!(fed, Ok(Ok(_))),
        "webhookd stopped reading: {fed:?}"
    );
    webhookd.kill()?;
    let (span, faults) = receiver.arrivals(|arrivals| {
        let span = arrivals.started_at.zip(arrivals.ended_at);
        (span, arrivals.faults("other tasks", expected))
    });
    let rate = match span {
        Some((start, end)) if end > start => f64::from(events) / (end - start).as_secs_f64(),
        _ => 0.0,
    };
    Ok(Once { rate, peak, faults })
}
