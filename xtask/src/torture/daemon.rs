//! A webhookd under a feeder that notes what is acknowledged.

use super::history::{Id, parse_id};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An event on its way: its place in the history, and its body.
pub(super) type Pending = (usize, Arc<[u8]>);

/// What a webhookd is started with.
#[derive(Debug)]
pub(super) struct Settings<'s> {
    pub(super) webhookd: &'s Path,
    pub(super) config: PathBuf,
    pub(super) queue: &'s Path,
    /// Where its complaints go, at the end.
    pub(super) log: &'s Path,
    /// Bytes that a file of its may have.
    pub(super) file_bytes: Option<u64>,
    pub(super) grace: Duration,
}

/// A webhookd that is fed.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    feeder: JoinHandle<Option<ChildStdin>>,
    reader: JoinHandle<Result<()>>,
    fed: Arc<Vec<Pending>>,
    written: Arc<AtomicUsize>,
    heard: Arc<Heard>,
}

/// How events are fed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feeding {
    /// Events a second; all at once if there is none.
    pub(super) rate: Option<u32>,
    /// Whether the input ends after them.
    pub(super) ends: bool,
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) status: ExitStatus,
    /// Events acknowledged, by their place in the history, in that order.
    pub(super) acks: Vec<(usize, Id)>,
    /// Events that were written, all or in part, by their place in the history.
    pub(super) written: Vec<usize>,
    /// What was fed and not acknowledged, in order.
    pub(super) left: Vec<Pending>,
}

/// What the reader of acknowledgements has heard.
#[derive(Debug, Default)]
struct Heard {
    state: Mutex<HeardState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct HeardState {
    /// Line and name, in the order heard.
    acks: Vec<(usize, Id)>,
    ended: bool,
}

#[derive(Deserialize)]
struct AckLine {
    line: usize,
    id: String,
}

impl Daemon {
    /// Starts webhookd and begins to feed it.
    pub(super) fn start(
        settings: &Settings<'_>,
        fed: Vec<Pending>,
        feeding: Feeding,
    ) -> Result<Daemon> {
        let mut child = command(settings)?
            .spawn()
            .with_context(|| format!("cannot start {}", settings.webhookd.display()))?;
        let stdin = child.stdin.take().context("standard input is piped")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let fed = Arc::new(fed);
        let written = Arc::new(AtomicUsize::new(0));
        let heard = Arc::new(Heard::default());
        let feeder = {
            let (fed, written) = (Arc::clone(&fed), Arc::clone(&written));
            std::thread::spawn(move || feed(stdin, &fed, &written, feeding))
        };
        let reader = {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || hear(stdout, &heard))
        };
        Ok(Daemon {
            child,
            feeder,
            reader,
            fed,
            written,
            heard,
        })
    }

    /// Waits until so many events are acknowledged, webhookd has ended, or the time is over.
    /// Whether it runs still.
    pub(super) fn wait_for_acks(&self, count: usize, at_most: Duration) -> bool {
        self.wait(at_most, |heard| heard.acks.len() >= count)
    }

    /// Waits for its end, so long. Whether it runs still.
    pub(super) fn wait_for_end(&self, at_most: Duration) -> bool {
        self.wait(at_most, |_| false)
    }

    fn wait(&self, at_most: Duration, done: impl Fn(&HeardState) -> bool) -> bool {
        let deadline = Instant::now() + at_most;
        let mut state = self.heard.lock();
        while !state.ended && !done(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (state, _) = self
                .heard
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        !state.ended
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process has an id")?, signal).context("cannot signal webhookd")
    }

    /// Waits for its end, and tells what became of what was fed.
    pub(super) fn finish(mut self) -> Result<Outcome> {
        let status = self.child.wait().context("webhookd's exit")?;
        let panicked = |_| anyhow::anyhow!("a thread of the feeder panicked");
        self.reader.join().map_err(panicked)??;
        drop(self.feeder.join().map_err(panicked)?);
        let mut acked = vec![false; self.fed.len()];
        let mut acks = Vec::new();
        for (line, id) in std::mem::take(&mut self.heard.lock().acks) {
            let Some((event, _)) = line.checked_sub(1).and_then(|index| self.fed.get(index)) else {
                bail!("line {line} is acknowledged, but was not fed");
            };
            acked[line - 1] = true;
            acks.push((*event, id));
        }
        let left = self.fed.iter().zip(&acked);
        let left = left.filter(|(_, acked)| !**acked);
        Ok(Outcome {
            status,
            acks,
            written: self.fed[..self.written.load(Ordering::SeqCst)]
                .iter()
                .map(|(event, _)| *event)
                .collect(),
            left: left.map(|(pending, _)| pending.clone()).collect(),
        })
    }
}

impl Heard {
    fn lock(&self) -> std::sync::MutexGuard<'_, HeardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn command(settings: &Settings<'_>) -> Result<Command> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(settings.log)
        .with_context(|| format!("cannot write {}", settings.log.display()))?;
    let mut command = match settings.file_bytes {
        None => Command::new(settings.webhookd),
        Some(bytes) => {
            // Writing beyond the limit is to fail, not to kill; the unit is 512 bytes.
            let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(script).arg("sh").arg(settings.webhookd);
            shell
        }
    };
    command
        .arg("run")
        .arg("--webhook-config")
        .arg(&settings.config)
        .arg("--queue")
        .arg(settings.queue)
        .args(["--acks", "-", "--summary", "none", "--grace"])
        .arg(format!("{}ms", settings.grace.as_millis()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    Ok(command)
}

/// Writes the events, a line each; gives the input back unless it is to end, or nobody reads it.
fn feed(
    mut stdin: ChildStdin,
    fed: &[Pending],
    written: &AtomicUsize,
    feeding: Feeding,
) -> Option<ChildStdin> {
    const AT_ONCE: usize = 25;
    let began = Instant::now();
    let mut text = Vec::new();
    for (number, some) in fed.chunks(AT_ONCE).enumerate() {
        if let Some(rate) = feeding.rate {
            let due = (number * AT_ONCE) as f64 / f64::from(rate);
            let due = began + Duration::from_secs_f64(due);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        text.clear();
        for (_, body) in some {
            text.extend_from_slice(body);
            text.push(b'\n');
        }
        // Of these any number may have arrived, whatever the write says.
        written.fetch_add(some.len(), Ordering::SeqCst);
        if stdin.write_all(&text).is_err() {
            return None;
        }
    }
    (!feeding.ends).then_some(stdin)
}

/// Reads acknowledgements until webhookd has ended.
fn hear(stdout: ChildStdout, heard: &Heard) -> Result<()> {
    let mut lines = BufReader::new(stdout);
    let mut line = Vec::new();
    let result = loop {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Err(error) => break Err(error).context("webhookd's standard output"),
            // What has no line feed was cut off by a kill.
            Ok(_) if line.last() != Some(&b'\n') => break Ok(()),
            Ok(_) => {}
        }
        let parsed: Result<AckLine, _> = serde_json::from_slice(&line);
        let ack = parsed
            .ok()
            .and_then(|ack| Some((ack.line, parse_id(&ack.id)?)));
        let Some(ack) = ack else {
            let line = String::from_utf8_lossy(&line).into_owned();
            break Err(anyhow::anyhow!("this is no acknowledgement: {line}"));
        };
        heard.lock().acks.push(ack);
        heard.changed.notify_all();
    };
    heard.lock().ended = true;
    heard.changed.notify_all();
    result
}
