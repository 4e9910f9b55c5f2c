//! The loss of a worker, and a backlog.

use super::machinery::{Bench, Load, WARM_UP, fed};
use super::rates::PAIR;
use super::results::{QueueKind, Sample};
use super::workers::Workers;
use super::{PostgresArgs, announce};
use crate::other_load::LoadMeter;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use testkit::Port;

/// Events a second while a worker is killed.
const RATE: f64 = 2_000.0;
/// Seconds that events are posted for, and when the worker is killed.
const SECONDS: f64 = 14.0;
const KILL_AFTER: Duration = Duration::from_secs(3);

/// Kills one of three workers; the longest time that any event waited, milliseconds.
pub(super) fn takeover(bench: &mut Bench, args: &PostgresArgs) -> Result<f64> {
    announce("kill -9 of one of three workers");
    let kind = QueueKind::Postgres;
    let server = Bench::server(kind)?;
    let folder = bench.subfolder()?;
    let url = bench.receiver.url.clone();
    let place = (folder.path(), server.as_ref());
    let mut workers = Workers::start(bench, kind, 3, place, &url)?;
    std::thread::sleep(Duration::from_secs(2));
    let load = Load {
        events: (RATE * SECONDS) as u32 / args.latency_batch * args.latency_batch,
        batch: args.latency_batch,
        rate: Some(RATE),
    };
    bench.begin(load.events)?;
    // The one that is killed takes no events.
    let surviving = &workers.addresses.clone()[..2];
    let feeder = bench.feeder(surviving, load)?;
    std::thread::sleep(KILL_AFTER);
    workers.kill_last();
    let (_, _) = fed(feeder)?;
    bench.wait_for(load.events, &workers)?;
    let report = bench.receiver.report()?;
    announce(&format!("  {} events were repeated", report.repeated));
    ensure!(
        report.out_of_order == 0 && report.odd == 0,
        "{} events out of order after a kill -9, {} altered",
        report.out_of_order,
        report.odd
    );
    let [.., longest] = report.latencies_us.context("nothing arrived")?;
    Ok(f64::from(longest) / 1e3)
}

/// Fills a queue while nothing listens, and measures how fast two new workers deliver it.
pub(super) fn drain(bench: &mut Bench, args: &PostgresArgs) -> Result<Sample> {
    let events = args.backlog() / args.batch * args.batch;
    announce(&format!("a backlog of {events} events"));
    let kind = QueueKind::Postgres;
    let server = Bench::server(kind)?.context("there is no server")?;
    let folder = bench.subfolder()?;
    let place = (folder.path(), Some(&server));
    let port = Port::take();
    let workers = Workers::start(bench, kind, PAIR, place, &port.url())?;
    let load = Load {
        events,
        batch: args.batch,
        rate: None,
    };
    let before = server.counters();
    let filled = Instant::now();
    let report = bench.feed(&workers.addresses, load)?;
    let rate = f64::from(events) / filled.elapsed().as_secs_f64();
    announce(&format!("  accepted at {rate:.0} events/s"));
    workers.stop();

    bench.begin(events)?;
    let meter = LoadMeter::start();
    let used_before = [
        server.processor_time(),
        bench.receiver.process.processor_time(),
    ];
    let url = bench.receiver.url.clone();
    let workers = Workers::start(bench, kind, PAIR, place, &url)?;
    bench.wait_for(events, &workers)?;
    let workers_time = workers.processor_time();
    let used = [
        server.processor_time(),
        bench.receiver.process.processor_time(),
    ];
    let spent: [Duration; 2] =
        std::array::from_fn(|index| used[index].saturating_sub(used_before[index]));
    let other_load = meter.other(spent.iter().sum::<Duration>() + workers_time);
    let came = bench.receiver.report()?;
    workers.stop();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(events);
    let span = came.last_us.saturating_sub(came.first_us).max(1);
    Ok(Sample {
        queue: kind,
        workers: PAIR,
        held_xmin: false,
        offered: None,
        events: came.events,
        rate: f64::from(events) * 1e6 / span as f64,
        workers_us: each(workers_time),
        server_us: each(spent[0]),
        receiver_us: each(spent[1]),
        feeder_us: 0.0,
        server: Some(server.counts(before, events.into(), u64::from(events + WARM_UP))),
        accept_us: report.accept_us,
        deliver_us: came.latencies_us.unwrap_or_default(),
        repeated: came.repeated,
        out_of_order: came.out_of_order,
        other_load,
    })
}
