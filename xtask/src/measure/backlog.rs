//! A long backlog: built while the receiver is down, survived by a kill -9, and drained.

use super::figures::{Bound, Figures};
use super::process::{self, Webhookd, evict, feed};
use super::receiver::{Behaviour, Port, Receiver};
use super::{Bench, DEADLINE, say};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

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
pub(super) fn measure(bench: &Bench, args: &BacklogArgs) -> Result<Figures> {
    let events = args
        .events
        .unwrap_or(if bench.quick { 20_000 } else { 1_000_000 });
    let expected = u64::from(events);
    ensure_space(&bench.parent, expected * PER_EVENT)?;
    let port = Port::take()?;
    let config = json!({
        "targetURL": port.url(),
        "headers": {},
        "timeoutMsec": 5_000,
        "retry": { "initialMsec": 100, "maxMsec": 1_000 },
    });
    let folder = bench.folder(&config)?;
    let mut figures = Figures::default();
    figures.row("events", events.to_string());

    say("building the backlog, the receiver being down ...");
    let started = Instant::now();
    let (webhookd, stdin) = Webhookd::start(&bench.binary, folder.path(), "10m")?;
    let feeder = feed(
        stdin,
        &bench.load,
        process::in_turns(0, TASKS, events),
        false,
    );
    webhookd.wait_for_acks(expected, DEADLINE)?;
    let built = started.elapsed();
    let building_peak = webhookd.take_peak();
    let fed = feeder.join();
    ensure!(
        matches!(fed, Ok(Ok(_))),
        "webhookd stopped reading: {fed:?}"
    );
    webhookd.kill()?;
    let data = folder.path().join("queue/data.mdb");
    let size = std::fs::metadata(&data).context("the queue's data")?.len();
    figures.row(
        "accepted",
        format!("{:.0} events/s", f64::from(events) / built.as_secs_f64()),
    );
    figures.row(
        "queue on disk",
        format!("{:.2} GiB", size as f64 / f64::from(1 << 30)),
    );

    evict(&data)?;
    say("killed; starting again, the receiver being up, nothing of the queue being cached ...");
    let receiver = Receiver::start(port, &bench.load, Behaviour::Takes, expected)?;
    let restarted = Instant::now();
    let (mut webhookd, stdin) = Webhookd::start(&bench.binary, folder.path(), "10m")?;
    drop(stdin);
    let mut processor = Vec::new();
    let mut before = webhookd.processor_time();
    for tenth in 1..=10 {
        receiver.wait_for(expected * tenth / 10, DEADLINE);
        let now = webhookd.processor_time();
        let used = now.saturating_sub(before).as_secs_f64() * 1e6;
        processor.push(used / (expected as f64 / 10.0));
        before = now;
    }
    let draining_peak = webhookd.take_peak();
    let (status, said) = webhookd.finish()?;
    if !status.success() {
        figures.faults([format!("webhookd ended with {status}: {said}")]);
    }
    let (first, faults, tenths, whole, repeated) = receiver.arrivals(|arrivals| {
        let tenths = (0..10).map(|tenth| arrivals.rate_between(tenth * 10, tenth * 10 + 9));
        (
            arrivals.started_at,
            arrivals.faults("the backlog", expected),
            tenths.collect::<Vec<_>>(),
            arrivals.rate(),
            arrivals.repeated,
        )
    });
    figures.faults(faults);
    let to_first = first.map_or(f64::INFINITY, |first| (first - restarted).as_secs_f64());
    figures.row("drained", format!("{whole:.0} events/s"));
    let each: Vec<_> = tenths.iter().map(|rate| format!("{rate:.0}")).collect();
    figures.row("tenth by tenth", format!("{} events/s", each.join(", ")));
    let each: Vec<_> = processor.iter().map(|us| format!("{us:.0}")).collect();
    figures.row(
        "processor for an event",
        format!("{} us, tenth by tenth", each.join(", ")),
    );
    figures.row("delivered more than once", repeated.to_string());
    figures.aim(
        "peak RssAnon while it builds",
        building_peak,
        Bound::AtMost(64.0),
        " MiB",
    );
    figures.aim(
        "peak RssAnon while it drains",
        draining_peak,
        Bound::AtMost(64.0),
        " MiB",
    );
    figures.aim(
        "from restart to the first request",
        to_first,
        Bound::AtMost(1.0),
        " s",
    );
    figures.aim(
        "last tenth to first tenth",
        tenths[9] / tenths[0],
        Bound::AtLeast(0.9),
        "",
    );
    Ok(figures)
}

/// Fails when there is too little room for so many bytes.
pub(crate) fn ensure_space(folder: &Path, needed: u64) -> Result<()> {
    let found = rustix::fs::statvfs(folder)
        .with_context(|| format!("cannot look at {}", folder.display()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    ensure!(
        free >= needed,
        "{} has {} MB free, and {} MB are needed: name another with --folder, or fewer --events",
        folder.display(),
        free / 1_000_000,
        needed / 1_000_000
    );
    Ok(())
}
