//! What every measurement needs, and one measurement.

use super::in_folder;
use super::results::{QueueKind, Sample};
use super::server::Server;
use super::workers::Workers;
use super::{PostgresArgs, announce};
use crate::other_load::LoadMeter;
use crate::receiver::{Expected, Receiver, tool};
use crate::tool::feed;
use crate::tool::skip_locked;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::{Launch, Process};

/// Keys that the events are of, in turns.
pub(super) const KEYS: u32 = 10_000;
/// Events before it counts.
pub(super) const WARM_UP: u32 = 2_048;
/// How long workers have to share the slots out before the warm-up.
const SHARING: Duration = Duration::from_millis(1_500);
/// How often arrivals are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long nothing may arrive.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the last settlements have to be committed before processor time is read.
const SETTLING: Duration = Duration::from_millis(300);
const END: Duration = Duration::from_secs(120);

/// The programs, and where their files go.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) webhookd: PathBuf,
    pub(super) receiver: Receiver,
    pub(super) threads: u32,
    pub(super) connections: u32,
    folder: TempDir,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kind: QueueKind,
    pub(super) workers: u32,
    pub(super) holds_xmin: bool,
    pub(super) load: Load,
}

/// What is posted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) events: u32,
    /// Events in each request.
    pub(super) batch: u32,
    /// Events a second; `None` for as many as are accepted.
    pub(super) rate: Option<f64>,
}

impl Bench {
    pub(super) fn new(args: &PostgresArgs, webhookd: PathBuf, parent: &Path) -> Result<Bench> {
        let mut bench = Bench {
            webhookd,
            receiver: Receiver::of_numbered_events()?,
            threads: args.threads,
            connections: args.connections,
            folder: in_folder(parent)?,
        };
        bench.capture_head()?;
        Ok(bench)
    }

    /// Has webhookd deliver one event, and keeps the head of its request for the other workers.
    fn capture_head(&mut self) -> Result<()> {
        let folder = self.subfolder()?;
        let url = self.receiver.url.clone();
        let place = (folder.path(), None);
        let workers = Workers::start(self, QueueKind::Embedded, 1, place, &url)?;
        let load = Load {
            events: 1,
            batch: 1,
            rate: None,
        };
        self.begin(1)?;
        self.feed(&workers.addresses, load)?;
        self.wait_for(1, &workers)?;
        std::fs::write(self.head(), self.receiver.head()?).context("cannot write the head")
    }

    /// The file with the head of a request.
    pub(super) fn head(&self) -> PathBuf {
        self.folder.path().join("head")
    }

    pub(super) fn subfolder(&self) -> Result<TempDir> {
        in_folder(self.folder.path())
    }

    /// Starts a server where the kind needs one.
    pub(super) fn server(kind: QueueKind) -> Result<Option<Server>> {
        if kind == QueueKind::Embedded {
            return Ok(None);
        }
        let server = Server::start()?;
        if matches!(kind, QueueKind::SkipLocked64 | QueueKind::SkipLocked1) {
            server.create(skip_locked::TABLE);
        }
        Ok(Some(server))
    }

    /// Expects so many events from now on.
    pub(super) fn begin(&mut self, events: u32) -> Result<()> {
        self.receiver.begin(Expected {
            events: events.into(),
            warm_up: Some(0),
            ..Expected::default()
        })
    }

    /// Starts the load generator.
    pub(super) fn feeder(&self, addresses: &[String], load: Load) -> Result<Process> {
        let mut feeder = tool("feed")?;
        for address in addresses {
            feeder = feeder.args(["--address", address]);
        }
        if let Some(rate) = load.rate {
            feeder = feeder.args(["--rate", &rate.to_string()]);
        }
        let Load { events, batch, .. } = load;
        for (name, value) in [
            ("--connections", self.connections),
            ("--keys", KEYS),
            ("--batch", batch),
            ("--count", events),
        ] {
            feeder = feeder.arg(name).arg(value.to_string());
        }
        Ok(Launch::input(feeder, Stdio::null()).spawn())
    }

    /// Posts a load to its end.
    pub(super) fn feed(&self, addresses: &[String], load: Load) -> Result<feed::Report> {
        fed(self.feeder(addresses, load)?).map(|(report, _)| report)
    }

    /// Waits until so many events have arrived.
    pub(super) fn wait_for(&mut self, events: u32, workers: &Workers) -> Result<()> {
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            let came = self.receiver.wait(LOOK)?;
            if came >= u64::from(events) {
                return Ok(());
            }
            if came > last {
                (last, changed) = (came, Instant::now());
            }
            if changed.elapsed() >= SILENCE {
                let report = self.receiver.report()?;
                bail!(
                    "{came} of {events} events arrived, {} more than once and {} altered, and no \
                     more came; the workers said:\n{}",
                    report.repeated,
                    report.odd,
                    workers.said()
                );
            }
        }
    }

    /// Starts workers on a new queue, warms up, and measures.
    pub(super) fn measure(&mut self, plan: Plan) -> Result<Sample> {
        let Plan { kind, load, .. } = plan;
        announce(&format!("{} x {}", kind.title(), plan.workers));
        let server = Bench::server(kind)?;
        let folder = self.subfolder()?;
        let url = self.receiver.url.clone();
        let place = (folder.path(), server.as_ref());
        let workers = Workers::start(self, kind, plan.workers, place, &url)?;
        std::thread::sleep(SHARING);
        self.begin(WARM_UP)?;
        let warm_up = Load {
            events: WARM_UP,
            batch: load.batch,
            rate: None,
        };
        self.feed(&workers.addresses, warm_up)?;
        self.wait_for(WARM_UP, &workers)?;

        let _held = server
            .as_ref()
            .filter(|_| plan.holds_xmin)
            .map(Server::hold_xmin);
        // A request holds whole batches.
        let events = load.events / load.batch * load.batch;
        let load = Load { events, ..load };
        let before = server.as_ref().map(Server::counters);
        let server_time = || {
            server
                .as_ref()
                .map_or(Duration::ZERO, Server::processor_time)
        };
        // The receiver begins once the connections of the warm-up are closed, which kept ones of
        // workers are not: it waits in vain for a moment, and counts then.
        self.begin(events)?;
        let used_before = [
            workers.processor_time(),
            server_time(),
            self.receiver.process.processor_time(),
        ];
        let meter = LoadMeter::start();
        let feeder = self.feeder(&workers.addresses, load)?;
        let arrived = self.wait_for(events, &workers);
        arrived.with_context(|| format!("the load generator said:\n{}", feeder.error_so_far()))?;
        let (fed, feeder_time) = fed(feeder)?;
        std::thread::sleep(SETTLING);
        let used = [
            workers.processor_time(),
            server_time(),
            self.receiver.process.processor_time(),
        ];
        let spent: [Duration; 3] =
            std::array::from_fn(|index| used[index].saturating_sub(used_before[index]));
        let other_load = meter.other(spent.iter().sum::<Duration>() + feeder_time);
        let report = self.receiver.report()?;
        workers.stop();
        ensure!(report.odd == 0, "{} bodies were altered", report.odd);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(events);
        let [workers_us, server_us, receiver_us] = spent.map(each);
        let span = report.last_us.saturating_sub(fed.first_us).max(1);
        let total = u64::from(events + WARM_UP);
        let counts = server.as_ref().zip(before);
        Ok(Sample {
            queue: kind,
            workers: plan.workers,
            held_xmin: plan.holds_xmin,
            offered: load.rate,
            events: report.events,
            rate: f64::from(events) * 1e6 / span as f64,
            workers_us,
            server_us,
            receiver_us,
            feeder_us: each(feeder_time),
            server: counts.map(|(server, before)| server.counts(before, events.into(), total)),
            accept_us: fed.accept_us,
            deliver_us: report.latencies_us.unwrap_or_default(),
            repeated: report.repeated,
            out_of_order: report.out_of_order,
            other_load,
        })
    }
}

/// The report of a load generator, once it has ended, and its processor time.
pub(super) fn fed(feeder: Process) -> Result<(feed::Report, Duration)> {
    let ended = feeder.wait_at_most(END);
    ensure!(
        ended.status.success(),
        "the load generator failed; it said:\n{}",
        ended.stderr
    );
    let report = serde_json::from_slice(&ended.stdout).context("the load generator's report")?;
    Ok((report, ended.processor))
}
