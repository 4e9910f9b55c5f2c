//! A long backlog: built while the receiver is down, survived by a kill -9, and drained.

use super::daemon::Daemon;
use super::receiver::{Behaviour, Counter};
use super::{DEADLINE, Setup, say};
use crate::figures::{Bound, Figures, list};
use crate::{ensure_space, evict};
use anyhow::{Context, Result};
use serde_json::json;
use std::time::Instant;
use testkit::Port;
use testkit::load::in_turns;

const TASKS: u32 = 5_000;
/// Bytes on the disk for each event: a page and what is written about it, generously.
const PER_EVENT: u64 = 6_000;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct BacklogArgs {
    /// Events of the backlog [default: 1000000, quick 20000]
    #[arg(long, value_name = "N")]
    events: Option<u32>,
}

/// Builds a backlog, kills webhookd, starts it again and drains it.
pub(super) fn measure(setup: &Setup, args: &BacklogArgs) -> Result<Figures> {
    let events = setup.number(args.events, 20_000, 1_000_000);
    let expected = u64::from(events);
    ensure_space(&setup.parent, expected * PER_EVENT)?;
    let port = Port::take();
    let folder = setup.folder(&json!({
        "targetURL": port.url(),
        "headers": {},
        "timeoutMsec": 5_000,
        "retry": { "initialMsec": 100, "maxMsec": 1_000 },
    }))?;
    let mut figures = Figures::default();
    figures.row("events", events.to_string());

    say("building the backlog, the receiver being down ...");
    let started = Instant::now();
    let mut daemon = Daemon::start(setup, folder.path(), "10m");
    let feeder = daemon.feed(setup, in_turns(0, TASKS, events));
    daemon.wait_for_acks(expected)?;
    let rate = f64::from(events) / started.elapsed().as_secs_f64();
    let building_peak = daemon.take_peak();
    daemon.kill(feeder)?;
    let data = folder.path().join("queue/data.mdb");
    let size = std::fs::metadata(&data).context("the queue's data")?.len();
    figures.row("accepted", format!("{rate:.0} events/s"));
    let gib = size as f64 / f64::from(1 << 30);
    figures.row("queue on disk", format!("{gib:.2} GiB"));

    evict(&data)?;
    say("killed; starting again, the receiver being up, nothing of the queue being cached ...");
    let counter = Counter::new(&setup.load, expected);
    let _server = counter.listen(port, Behaviour::Accepts);
    let restarted = Instant::now();
    let mut daemon = Daemon::start(setup, folder.path(), "10m");
    daemon.process.close_input();
    let mut processor = Vec::new();
    let mut before = daemon.process.processor_time();
    for tenth in 1..=10 {
        counter.wait_for(expected * tenth / 10, DEADLINE);
        let now = daemon.process.processor_time();
        let used = now.saturating_sub(before).as_secs_f64() * 1e6;
        processor.push(used / (expected as f64 / 10.0));
        before = now;
    }
    let draining_peak = daemon.take_peak();
    let (ended, _) = daemon.finish();
    if !ended.status.success() {
        let (status, said) = (ended.status, ended.stderr);
        figures.faults([format!("webhookd ended with {status}: {said}")]);
    }
    let (tenths, to_first) = counter.arrivals(|arrivals| {
        let tenths = (0..10).map(|tenth| arrivals.rate_between(tenth * 10, tenth * 10 + 9));
        figures.faults(arrivals.faults("the backlog", expected));
        figures.row("drained", format!("{:.0} events/s", arrivals.rate()));
        figures.row("delivered more than once", arrivals.repeated.to_string());
        let first = arrivals.span().map(|(first, _)| first - restarted);
        let to_first = first.map_or(f64::INFINITY, |first| first.as_secs_f64());
        (tenths.collect::<Vec<_>>(), to_first)
    });
    figures.row("tenth by tenth", format!("{} events/s", list(&tenths)));
    let text = format!("{} us, tenth by tenth", list(&processor));
    figures.row("processor for an event", text);
    let most = Bound::AtMost(64.0);
    figures.aim("peak RssAnon while it builds", building_peak, most, " MiB");
    figures.aim("peak RssAnon while it drains", draining_peak, most, " MiB");
    let name = "from restart to the first request";
    figures.aim(name, to_first, Bound::AtMost(1.0), " s");
    let ratio = tenths[9] / tenths[0];
    figures.aim("last tenth to first tenth", ratio, Bound::AtLeast(0.9), "");
    Ok(figures)
}
