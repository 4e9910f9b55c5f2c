//! A child process: its output, its signals, its figures and its end.

use crate::{DEADLINE, Summary, proc};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdin, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// What has been seen of a process so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) status: Option<ExitStatus>,
    pub(crate) processor: Duration,
    /// Streams that are followed.
    open: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Progress {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Progress {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.notify_all();
    }

    /// Waits until `done`, at most this long.
    pub(crate) fn wait(
        &self,
        longest: Duration,
        mut done: impl FnMut(&mut Seen) -> bool,
    ) -> MutexGuard<'_, Seen> {
        let (seen, _) = self
            .changed
            .wait_timeout_while(self.seen(), longest, |seen| !done(seen))
            .expect("no holder panics");
        seen
    }

    /// Waits until there is something, and returns it; panics when there is none in time.
    fn expect<T>(&self, longest: Duration, what: &str, find: impl Fn(&mut Seen) -> Option<T>) -> T {
        let mut found = None;
        let seen = self.wait(longest, |seen| {
            found = find(seen);
            found.is_some()
        });
        let Some(found) = found else {
            let stdout = String::from_utf8_lossy(&seen.stdout).into_owned();
            let stderr = String::from_utf8_lossy(&seen.stderr).into_owned();
            let status = seen.status;
            // A poisoned lock would hide this message behind others.
            drop(seen);
            panic!("waited in vain for {what}; {status:?}\nout: {stdout}\nerr: {stderr}");
        };
        found
    }
}

pub(crate) fn follow(
    mut stream: impl Read + Send + 'static,
    progress: &Arc<Progress>,
    mut take: impl FnMut(&mut Seen, &[u8]) + Send + 'static,
) -> JoinHandle<()> {
    let progress = Arc::clone(progress);
    progress.change(|seen| seen.open += 1);
    std::thread::spawn(move || {
        let mut buffer = [0; 64 << 10];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break progress.change(|seen| seen.open -= 1),
                Ok(length) => progress.change(|seen| take(seen, &buffer[..length])),
            }
        }
    })
}

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    pub(crate) pid: Pid,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) progress: Arc<Progress>,
    /// Bytes.
    pub(crate) peak: Arc<AtomicU64>,
    pub(crate) threads: Vec<JoinHandle<()>>,
}

impl Process {
    /// Writes to its standard input.
    pub fn write(&mut self, input: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("the input is open");
        stdin.write_all(input.as_ref()).expect("it reads its input");
    }

    /// Ends its standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Its standard input, for a thread that writes to it.
    pub fn take_input(&mut self) -> ChildStdin {
        self.stdin.take().expect("the input is open")
    }

    /// Sends a signal, if it has not ended yet.
    pub fn signal(&self, signal: Signal) {
        let seen = self.progress.seen();
        if seen.status.is_none() {
            // It may end at this moment, which a signal to it cannot change.
            kill_process(self.pid, signal).ok();
        }
    }

    /// Lets it write files of any length again, if [it could
    /// not](crate::Launch::limiting_file_size).
    pub fn lift_file_size_limit(&self) {
        let none = Rlimit {
            current: None,
            maximum: None,
        };
        prlimit(Some(self.pid), Resource::Fsize, none).expect("it is running");
    }

    /// Waits until its standard output holds this text.
    pub fn wait_for_output(&self, text: &str) {
        self.expect_text(text, |seen| &seen.stdout);
    }

    /// Waits until its standard error holds this text.
    pub fn wait_for_error(&self, text: &str) {
        self.expect_text(text, |seen| &seen.stderr);
    }

    fn expect_text(&self, text: &str, stream: fn(&Seen) -> &Vec<u8>) {
        self.progress
            .expect(DEADLINE, &format!("`{text}`"), |seen| {
                String::from_utf8_lossy(stream(seen))
                    .contains(text)
                    .then_some(())
            });
    }

    /// Waits until `done`, it has ended, or the time is over; returns what `done` says then. It is
    /// asked again whenever the process has written something.
    pub fn wait_for(&self, longest: Duration, done: impl Fn() -> bool) -> bool {
        let is_over = |seen: &mut Seen| done() || seen.status.is_some() && seen.open == 0;
        drop(self.progress.wait(longest, is_over));
        done()
    }

    /// Whether it has ended after at most this time.
    pub fn has_ended(&self, longest: Duration) -> bool {
        let seen = self.progress.wait(longest, |seen| seen.status.is_some());
        seen.status.is_some()
    }

    /// Waits until it takes events over HTTP, and returns where: `http://127.0.0.1:PORT/`.
    pub fn listens(&self) -> String {
        self.told_url("events are accepted on ")
    }

    /// The URL that it tells after these words.
    pub fn told_url(&self, words: &str) -> String {
        let what = format!("a URL after `{words}`");
        self.progress.expect(DEADLINE, &what, |seen| {
            let said = String::from_utf8_lossy(&seen.stderr);
            let (_, after) = said.split_once(words)?;
            let (url, _) = after.split_once('\n')?;
            Some(url.trim().to_owned())
        })
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        number(self.pid)
    }

    /// Bytes of memory that it has of its own, files that it has mapped left out.
    pub fn anonymous_memory(&self) -> u64 {
        proc::anonymous_memory(number(self.pid)).expect("it is running")
    }

    /// The most of that memory since the last call, in bytes, if [it is
    /// watched](crate::Launch::watching_memory).
    pub fn take_peak_memory(&self) -> u64 {
        self.peak.swap(0, Ordering::SeqCst)
    }

    /// The processor time that it has used so far.
    pub fn processor_time(&self) -> Duration {
        let seen = self.progress.seen();
        match seen.status {
            Some(_) => seen.processor,
            None => proc::processor_time(number(self.pid)).unwrap_or_default(),
        }
    }

    /// Its standard output so far.
    pub fn output_so_far(&self) -> String {
        String::from_utf8_lossy(&self.progress.seen().stdout).into_owned()
    }

    /// Its standard error so far.
    pub fn error_so_far(&self) -> String {
        String::from_utf8_lossy(&self.progress.seen().stderr).into_owned()
    }

    /// Waits until it has ended. Its standard input is closed only where the test has done so.
    pub fn wait(self) -> Ended {
        self.wait_at_most(DEADLINE)
    }

    /// The same, with a deadline of its own.
    pub fn wait_at_most(mut self, longest: Duration) -> Ended {
        let mut ended = self.progress.expect(longest, "its end", |seen| {
            let status = seen.status.filter(|_| seen.open == 0)?;
            Some(Ended {
                status,
                code: status.code(),
                signal: status.signal(),
                stdout: std::mem::take(&mut seen.stdout),
                stderr: String::from_utf8_lossy(&seen.stderr).into_owned(),
                processor: seen.processor,
                peak_memory: 0,
            })
        });
        for thread in self.threads.drain(..) {
            thread.join().expect("the followers do not panic");
        }
        ended.peak_memory = self.take_peak_memory();
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// How a process has ended, and what it said.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
    /// The processor time that it used.
    pub processor: Duration,
    /// The most anonymous memory, in bytes, if [it was watched](crate::Launch::watching_memory).
    pub peak_memory: u64,
}

impl Ended {
    /// The summary that `--summary json` asks for.
    pub fn summary(&self) -> Summary {
        Summary::find(&self.stderr)
            .unwrap_or_else(|| panic!("there is no summary in:\n{}", self.stderr))
    }

    /// Itself, once the exit code is the one expected.
    pub fn expect_code(self, code: i32) -> Ended {
        let Ended { signal, stderr, .. } = &self;
        assert_eq!(
            self.code,
            Some(code),
            "signal {signal:?}, it said:\n{stderr}"
        );
        self
    }
}

pub(crate) fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
