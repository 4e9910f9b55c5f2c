//! `webhookd` as a process that is fed, watched and killed.

use super::load::{Label, Load};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, read_to_string};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(10);
/// Bytes handed to the pipe at once.
const CHUNK: usize = 64 << 10;

/// A running `webhookd`; killed when dropped before its end.
#[derive(Debug)]
pub(super) struct Webhookd {
    child: Child,
    acks: Arc<Acks>,
    memory: Arc<Memory>,
    watchers: Vec<JoinHandle<()>>,
    said: Option<JoinHandle<String>>,
}

#[derive(Debug, Default)]
struct Acks {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    /// When the last one came.
    last_at: Option<Instant>,
    /// The longest time without one, between two.
    longest_gap: Duration,
}

#[derive(Debug, Default)]
struct Memory {
    ended: AtomicBool,
    /// KiB.
    peak: AtomicU64,
}

impl Webhookd {
    /// Starts it in `folder`, whose `webhook.json` it reads and whose `queue` it keeps its events
    /// in. Its input is returned, and is to be closed by who feeds it.
    pub(super) fn start(
        binary: &Path,
        folder: &Path,
        grace: &str,
    ) -> Result<(Webhookd, ChildStdin)> {
        let mut child = Command::new(binary)
            .arg("run")
            .arg("--webhook-config")
            .arg(folder.join("webhook.json"))
            .arg("--queue")
            .arg(folder.join("queue"))
            .args(["--acks", "-", "--grace", grace, "--summary", "json"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdin = child.stdin.take().context("standard input is piped")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut stderr = child.stderr.take().context("standard error is piped")?;
        let acks = Arc::new(Acks::default());
        let memory = Arc::new(Memory::default());
        let (counting, watching) = (Arc::clone(&acks), Arc::clone(&memory));
        let pid = child.id();
        let watchers = vec![
            std::thread::spawn(move || counting.count(stdout)),
            std::thread::spawn(move || watching.watch(pid)),
        ];
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            // What cannot be read cannot be shown; the exit status tells all that counts.
            drop(stderr.read_to_string(&mut text));
            text
        });
        let webhookd = Webhookd {
            child,
            acks,
            memory,
            watchers,
            said: Some(said),
        };
        Ok((webhookd, stdin))
    }

    /// Acknowledgements so far.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acks.seen().count
    }

    /// The longest time between two acknowledgements.
    pub(super) fn longest_silence(&self) -> Duration {
        self.acks.seen().longest_gap
    }

    /// Waits for so many acknowledgements.
    pub(super) fn wait_for_acks(&self, count: u64, longest: Duration) -> Result<()> {
        let (seen, _) = self
            .acks
            .changed
            .wait_timeout_while(self.acks.seen(), longest, |seen| seen.count < count)
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(
            seen.count >= count,
            "{} of {count} events were acknowledged within {longest:?}",
            seen.count
        );
        Ok(())
    }

    /// The most anonymous memory that it had since the last call, MiB.
    pub(super) fn take_peak(&self) -> f64 {
        mib(self.memory.peak.swap(0, Ordering::SeqCst))
    }

    /// The processor time that it has used so far, which others on the machine do not change much.
    pub(super) fn processor_time(&self) -> Duration {
        processor_ticks(self.child.id()).map_or(Duration::ZERO, |ticks| {
            let per_second = rustix::param::clock_ticks_per_second().max(1);
            Duration::from_secs_f64(ticks as f64 / per_second as f64)
        })
    }

    /// Kills it, as kill -9 does.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill webhookd")?;
        self.finish().map(drop)
    }

    /// Waits for its end; how it ended, and what it said.
    pub(super) fn finish(&mut self) -> Result<(ExitStatus, String)> {
        let status = self.child.wait().context("webhookd's end")?;
        self.memory.ended.store(true, Ordering::SeqCst);
        for watcher in self.watchers.drain(..) {
            ensure!(watcher.join().is_ok(), "a watcher of webhookd panicked");
        }
        let said = self.said.take().map(JoinHandle::join);
        let said = said.and_then(Result::ok).unwrap_or_default();
        Ok((status, said))
    }
}

impl Drop for Webhookd {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
        self.memory.ended.store(true, Ordering::SeqCst);
    }
}

impl Acks {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, stdout: impl Read) {
        let mut stdout = BufReader::with_capacity(CHUNK, stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            if !matches!(stdout.read_until(b'\n', &mut line), Ok(1..)) {
                return;
            }
            let mut seen = self.seen();
            let now = Instant::now();
            let gap = seen.last_at.map_or(Duration::ZERO, |last| now - last);
            seen.longest_gap = seen.longest_gap.max(gap);
            seen.last_at = Some(now);
            seen.count += 1;
            self.changed.notify_all();
        }
    }
}

impl Memory {
    fn watch(&self, pid: u32) {
        while !self.ended.load(Ordering::SeqCst) {
            if let Some(kib) = rss_anon(pid) {
                self.peak.fetch_max(kib, Ordering::SeqCst);
            }
            std::thread::park_timeout(SAMPLE);
        }
    }
}

/// Anonymous resident memory, KiB: what the process has taken for itself, without the pages of
/// files, which the system takes back when it needs them.
pub(crate) fn rss_anon(pid: u32) -> Option<u64> {
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Clock ticks spent in the program and, for it, in the system: `proc(5)`, fields 14 and 15 of
/// `/proc/PID/stat`.
pub(crate) fn processor_ticks(pid: u32) -> Option<u64> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

pub(crate) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Feeds events on a thread of its own, and then closes the input.
pub(crate) fn feed(
    mut stdin: ChildStdin,
    load: &Arc<Load>,
    labels: impl Iterator<Item = Label> + Send + 'static,
    close: bool,
) -> JoinHandle<std::io::Result<Option<ChildStdin>>> {
    let load = Arc::clone(load);
    std::thread::spawn(move || {
        use std::io::Write;
        let mut chunk = Vec::with_capacity(CHUNK + load.size() + 1);
        for label in labels {
            load.write(label, &mut chunk);
            if chunk.len() >= CHUNK {
                stdin.write_all(&chunk)?;
                chunk.clear();
            }
        }
        stdin.write_all(&chunk)?;
        Ok((!close).then_some(stdin))
    })
}

/// The events of so many tasks from `first_task` on, in turns.
pub(crate) fn in_turns(
    first_task: u32,
    tasks: u32,
    events: u32,
) -> impl Iterator<Item = Label> + Send {
    (0..events).map(move |index| Label {
        task: first_task + index % tasks,
        number: index / tasks,
    })
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, signal: Signal) -> Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.context("a process has an id")?, signal).context("cannot signal a child")
}

/// Lets the system forget what it has of a file in memory, as after a restart of the machine.
pub(crate) fn evict(file: &Path) -> Result<()> {
    let file = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    file.sync_all().context("cannot sync")?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).context("cannot evict")
}
