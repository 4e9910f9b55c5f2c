//! What every part needs: the program, the receiver, the events; and one measurement.

use super::TASKS;
use super::results::Sample;
use crate::mib;
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
    /// Requests that are to arrive.
    pub(super) requests: u64,
    /// Bytes of each body.
    pub(super) body: usize,
    pub(super) delay_ms: u64,
    pub(super) ends: Ends,
}

impl Session {
    /// A task of so many events that end when all is delivered.
    pub(super) fn task(&self, requests: u64) -> Task {
        Task {
            requests,
            body: self.load.size(),
            ..Task::default()
        }
    }

    /// Starts the sender and measures until all has arrived.
    pub(super) fn measure(&mut self, sender: Launch, task: Task) -> Result<Sample> {
        let goal = match task.ends {
            Ends::AfterItsTime => u64::MAX,
            _ => task.requests,
        };
        self.receiver.begin(Expected {
            requests: goal,
            delay_ms: task.delay_ms,
            warm_up: None,
        })?;
        let before = self.receiver.process.processor_time();
        let sender = sender.watching_memory().spawn();
        self.wait(&sender, goal)?;
        self.finish(sender, before, task)
    }

    /// Waits for the sender's end, or ends it; the figures.
    pub(super) fn finish(
        &mut self,
        sender: Process,
        before: Duration,
        task: Task,
    ) -> Result<Sample> {
        let receiver = self.receiver.process.processor_time() - before;
        let mut used = sender.processor_time();
        let mut peak = sender.take_peak_memory();
        if task.ends == Ends::WhenTold {
            sender.signal(Signal::TERM);
            sender.has_ended(END);
        } else {
            let ended = sender.wait_at_most(END);
            let (status, said) = (ended.status, ended.stderr);
            ensure!(
                status.success(),
                "the sender ended with {status}; it said:\n{said}"
            );
            (used, peak) = (ended.processor, peak.max(ended.peak_memory));
        }
        let report = self.receiver.report()?;
        check(&report, task)?;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / report.requests.max(1) as f64;
        let span = report.last_us.saturating_sub(report.first_us).max(1);
        Ok(Sample {
            events: report.requests,
            rate: report.requests as f64 * 1e6 / span as f64,
            sender_us: each(used),
            receiver_us: each(receiver),
            peak_mib: mib(peak),
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
                "{came} of {goal} requests came, and no more; the sender said:\n{}",
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
        requests,
        bytes,
        odd,
        ..
    } = report;
    ensure!(
        *odd == 0 && *bytes == requests * task.body as u64,
        "bodies arrived that were not sent: {requests} requests of {bytes} bytes in all, {odd} odd"
    );
    let expected = task.requests;
    ensure!(
        task.ends == Ends::AfterItsTime || *requests == expected,
        "{requests} requests came, and {expected} were to come"
    );
    Ok(())
}
