//! What every part needs: the program, the receiver, the events; and one measurement.

use super::TASKS;
use super::results::Sample;
use crate::mib;
use crate::other_load::LoadMeter;
use crate::receiver::{Expected, Receiver};
use crate::tool::receiver::Report;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::load::{Load, in_turns};
use testkit::{Launch, Process, Signal};

/// How long a process may take to end once all is delivered.
const END: Duration = Duration::from_secs(60);
/// How often the sender is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long nothing may arrive.
const SILENCE: Duration = Duration::from_secs(30);

/// A run of the benchmark.
pub(super) struct Session {
    pub(super) webhookd: PathBuf,
    pub(super) receiver: Receiver,
    pub(super) load: Load,
    pub(super) folder: TempDir,
    pub(super) threads: usize,
}

/// How a sender ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ends {
    /// By itself, once all is delivered.
    #[default]
    ByItself,
    /// By itself, after its time: how much it sends is not known before.
    AfterItsTime,
    /// By SIGTERM.
    WhenTold,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Task {
    /// Events that are to arrive.
    pub(super) events: u64,
    /// Bytes of each.
    pub(super) body: usize,
    /// Whether a request holds several, a line each.
    pub(super) lines: bool,
    pub(super) delay_ms: u64,
    pub(super) ends: Ends,
}

/// A measurement in progress.
pub(super) struct Running {
    task: Task,
    load: LoadMeter,
    /// The receiver's processor time at the start.
    receiver: Duration,
}

impl Session {
    /// A task of so many events that end when all is delivered.
    pub(super) fn task(&self, events: u64) -> Task {
        Task {
            events,
            body: self.load.size(),
            ..Task::default()
        }
    }

    /// Starts the sender and measures until all has arrived.
    pub(super) fn measure(&mut self, sender: Launch, task: Task) -> Result<Sample> {
        let running = self.begin(task)?;
        let sender = sender.watching_memory().spawn();
        self.wait(&sender, task.goal())?;
        self.finish(sender, Duration::ZERO, &running)
    }

    /// Counts from now on: the processes that are measured start after this.
    pub(super) fn begin(&mut self, task: Task) -> Result<Running> {
        self.receiver.begin(Expected {
            events: task.goal(),
            lines: task.lines,
            delay_ms: task.delay_ms,
            warm_up: None,
        })?;
        Ok(Running {
            task,
            load: LoadMeter::start(),
            receiver: self.receiver.process.processor_time(),
        })
    }

    /// Waits for the sender's end, or ends it; the figures. `feeder` is the processor time of
    /// the process that gave the sender its events, if there was one.
    pub(super) fn finish(
        &mut self,
        sender: Process,
        feeder: Duration,
        running: &Running,
    ) -> Result<Sample> {
        let task = running.task;
        let (used, peak, told) = if task.ends == Ends::WhenTold {
            let (used, peak) = (sender.processor_time(), sender.take_peak_memory());
            (used, peak, Some(sender))
        } else {
            let ended = sender.wait_at_most(END);
            let (status, said) = (ended.status, ended.stderr);
            ensure!(
                status.success(),
                "the sender ended with {status}; it said:\n{said}"
            );
            (ended.processor, ended.peak_memory, None)
        };
        let receiver = self.receiver.process.processor_time() - running.receiver;
        let other_load = running.load.other(used + receiver + feeder);
        if let Some(sender) = told {
            sender.signal(Signal::TERM);
            sender.has_ended(END);
        }
        let report = self.receiver.report()?;
        check(&report, task)?;
        let events = report.events.max(1) as f64;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / events;
        let span = report.last_us.saturating_sub(report.first_us).max(1);
        Ok(Sample {
            events: report.events,
            rate: report.events as f64 * 1e6 / span as f64,
            sender_us: each(used),
            receiver_us: each(receiver),
            feeder_us: each(feeder),
            peak_mib: mib(peak),
            per_request: events / report.requests.max(1) as f64,
            other_load,
        })
    }

    /// Waits for the goal, or for the sender's end where there is none.
    pub(super) fn wait(&mut self, sender: &Process, goal: u64) -> Result<()> {
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            let came = self.receiver.wait(LOOK)?;
            let ended = sender.has_ended(Duration::ZERO);
            if came >= goal || (ended && goal == u64::MAX) {
                return Ok(());
            }
            if came > last {
                (last, changed) = (came, Instant::now());
            }
            let silent = changed.elapsed();
            ensure!(
                silent < SILENCE && !(ended && silent > Duration::from_secs(1)),
                "{came} of {goal} events came, and no more; the sender said:\n{}",
                sender.error_so_far()
            );
        }
    }

    /// A file with so many events, made when it is first asked for.
    pub(super) fn events(&self, count: u64) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("events-{count}.ndjson"));
        if !path.exists() {
            write_events(&path, &self.load, count, TASKS)?;
        }
        Ok(path)
    }

    /// An empty folder in the run's.
    pub(super) fn subfolder(&self) -> Result<TempDir> {
        tempfile::tempdir_in(self.folder.path()).context("cannot make a folder")
    }

    /// `webhookd run` over a file, with its queue in `folder`; how long it waits at the end is the
    /// default.
    pub(super) fn webhookd(
        &self,
        folder: &Path,
        config: &Value,
        events: Option<&Path>,
    ) -> Result<Launch> {
        let path = folder.join("webhook.json");
        std::fs::write(&path, format!("{config:#}\n")).context("cannot write a configuration")?;
        let launch = Launch::of(&self.webhookd)
            .args([
                "run",
                "--webhook-config",
                "webhook.json",
                "--queue",
                "queue",
            ])
            .args(["--summary", "none"])
            .current_dir(folder)
            .output(Stdio::null());
        Ok(match events {
            Some(path) => launch.input(File::open(path).context("cannot read the events")?),
            None => launch.input(Stdio::null()),
        })
    }
}

/// Makes a file of events, a line each.
pub(super) fn write_events(path: &Path, load: &Load, count: u64, tasks: u32) -> Result<()> {
    let name = || format!("cannot write {}", path.display());
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).with_context(name)?);
    let mut line = Vec::new();
    for label in in_turns(0, tasks, u32::try_from(count).context("too many events")?) {
        line.clear();
        load.write(label, &mut line);
        out.write_all(&line).with_context(name)?;
    }
    out.flush().with_context(name)
}

fn check(report: &Report, task: Task) -> Result<()> {
    let Report {
        events, bytes, odd, ..
    } = report;
    ensure!(
        *odd == 0 && *bytes == events * task.body as u64,
        "bodies arrived that were not sent: {events} events of {bytes} bytes in all, {odd} odd"
    );
    let expected = task.events;
    ensure!(
        task.ends == Ends::AfterItsTime || *events == expected,
        "{events} events came, and {expected} were to come"
    );
    Ok(())
}

impl Task {
    /// The events that are waited for.
    fn goal(&self) -> u64 {
        match self.ends {
            Ends::AfterItsTime => u64::MAX,
            _ => self.events,
        }
    }
}
