//! What every part needs: the programs, the receiver, the events; and one measurement.

use super::child::{Measured, SAMPLE, Used};
use super::receiver::{Expected, Receiver, Report};
use super::results::Sample;
use crate::measure::load::{Label, Load};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a process may take to end once all is delivered.
const END: Duration = Duration::from_secs(60);
/// How long nothing may arrive.
const SILENCE: Duration = Duration::from_secs(30);
/// Tasks that the events are of, in turns.
pub(super) const TASKS: u32 = 5_000;

/// A run of the benchmark.
pub(super) struct Session {
    pub(super) webhookd: PathBuf,
    /// The other senders, and the receiver.
    pub(super) tool: PathBuf,
    pub(super) receiver: Receiver,
    pub(super) load: Load,
    pub(super) folder: TempDir,
    pub(super) threads: usize,
}

/// How a sender ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// By itself, once all is delivered.
    ByItself,
    /// By itself, after its time: how much it sends is not known before.
    AfterItsTime,
    /// When it is told to.
    WhenTold,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    /// Requests that are to arrive.
    pub(super) requests: u64,
    /// Bytes of each body.
    pub(super) body: usize,
    pub(super) delay_ms: u64,
    pub(super) ends: Ends,
}

impl Session {
    /// Starts the sender and measures until all has arrived.
    pub(super) fn measure(&mut self, sender: Command, task: Task) -> Result<Sample> {
        let goal = match task.ends {
            Ends::AfterItsTime => u64::MAX,
            _ => task.requests,
        };
        self.receiver.begin(Expected {
            goal,
            delay_ms: task.delay_ms,
            stamps: None,
        })?;
        let before = self.receiver.processor_time();
        let mut sender = Measured::start(sender, self.folder.path())?;
        self.wait(&mut sender, goal)?;
        let receiver = self.receiver.processor_time() - before;
        let used = match task.ends {
            Ends::WhenTold => sender.stop()?,
            _ => sender.finish(END)?,
        };
        let report = self.receiver.report()?;
        sample(&report, used, receiver, task)
    }

    /// Waits for the goal, or for the sender's end where there is none.
    pub(super) fn wait(&mut self, sender: &mut Measured, goal: u64) -> Result<()> {
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            let came = self.receiver.wait(SAMPLE)?;
            let ended = sender.look()?;
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
                sender.said()
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
    ) -> Result<Command> {
        let path = folder.join("webhook.json");
        std::fs::write(&path, format!("{config:#}\n")).context("cannot write a configuration")?;
        let mut command = Command::new(&self.webhookd);
        command.arg("run").arg("--webhook-config").arg(path);
        command.arg("--queue").arg(folder.join("queue"));
        command.args(["--summary", "none"]);
        command.current_dir(folder).stdout(Stdio::null());
        command.stdin(match events {
            Some(path) => Stdio::from(File::open(path).context("cannot read the events")?),
            None => Stdio::null(),
        });
        Ok(command)
    }
}

/// Makes a file of events, a line each.
pub(super) fn write_events(path: &Path, load: &Load, count: u64, tasks: u32) -> Result<()> {
    let name = || format!("cannot write {}", path.display());
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).with_context(name)?);
    let mut line = Vec::new();
    for index in 0..u32::try_from(count).context("too many events")? {
        line.clear();
        let (task, number) = (index % tasks, index / tasks);
        load.write(Label { task, number }, &mut line);
        out.write_all(&line).with_context(name)?;
    }
    out.flush().with_context(name)
}

pub(super) fn sample(
    report: &Report,
    used: Used,
    receiver: Duration,
    task: Task,
) -> Result<Sample> {
    let events = report.requests;
    ensure!(
        report.odd == 0 && report.bytes == events * task.body as u64,
        "bodies arrived that were not sent: {} requests of {} bytes in all, {} odd",
        events,
        report.bytes,
        report.odd
    );
    ensure!(
        task.ends == Ends::AfterItsTime || events == task.requests,
        "{events} requests came, and {} were to come",
        task.requests
    );
    let each = |time: Duration| time.as_secs_f64() * 1e6 / events.max(1) as f64;
    Ok(Sample {
        events,
        rate: events as f64 / report.span().as_secs_f64().max(1e-6),
        sender_us: each(used.processor),
        receiver_us: each(receiver),
        peak_mib: used.peak_mib,
    })
}
