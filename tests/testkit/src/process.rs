//! A child process: how it is started, what it said, its signals, its figures and its end.

use crate::{DEADLINE, Summary, proc, webhookd};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often memory is looked at: seldom enough to cost the process nothing.
const SAMPLE: Duration = Duration::from_millis(20);

/// How a process is to be started.
pub struct Launch {
    command: Command,
    input: Option<Stdio>,
    output: Output,
    error: Option<Stdio>,
    watches_memory: bool,
}

/// Where standard output goes.
enum Output {
    Kept,
    Given(Stdio),
    Lines(Lines),
}

type Lines = Box<dyn FnMut(&[u8]) + Send>;

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.command.fmt(f)
    }
}

impl Launch {
    /// `webhookd` without arguments.
    #[expect(
        clippy::new_without_default,
        reason = "a launch of what is not a default value"
    )]
    pub fn new() -> Launch {
        Launch::of(webhookd())
    }

    /// A program without arguments, in this environment but for what could change deliveries.
    pub fn of(program: impl AsRef<OsStr>) -> Launch {
        let mut command = Command::new(program);
        for name in [
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "rust_backtrace",
        ] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        Launch {
            command,
            input: None,
            output: Output::Kept,
            error: None,
            watches_memory: false,
        }
    }

    /// `webhookd -webhook_config=PATH --summary json`.
    pub fn with_config(config: &Path) -> Launch {
        let mut option = std::ffi::OsString::from("-webhook_config=");
        option.push(config);
        // Relative paths in a config, that of a queue say, must not lead into the repository.
        let folder = config.parent().expect("a file is in a folder");
        Launch::new()
            .arg(option)
            .args(["--summary", "json"])
            .current_dir(folder)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Launch {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Launch {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Launch {
        self.command.env(name, value);
        self
    }

    /// Sets its working directory.
    #[must_use]
    pub fn current_dir(mut self, folder: &Path) -> Launch {
        self.command.current_dir(folder);
        self
    }

    /// Gives it a standard input that is not a pipe from here.
    #[must_use]
    pub fn input(mut self, input: impl Into<Stdio>) -> Launch {
        self.input = Some(input.into());
        self
    }

    /// Sends its standard output elsewhere.
    #[must_use]
    pub fn output(mut self, output: impl Into<Stdio>) -> Launch {
        self.output = Output::Given(output.into());
        self
    }

    /// Gives each whole line of its standard output to `read`, without the line feed, instead of
    /// keeping it.
    #[must_use]
    pub fn lines(mut self, read: impl FnMut(&[u8]) + Send + 'static) -> Launch {
        self.output = Output::Lines(Box::new(read));
        self
    }

    /// Sends its standard error elsewhere.
    #[must_use]
    pub fn error(mut self, error: impl Into<Stdio>) -> Launch {
        self.error = Some(error.into());
        self
    }

    /// Looks at its memory all the time.
    #[must_use]
    pub fn watching_memory(mut self) -> Launch {
        self.watches_memory = true;
        self
    }

    /// Starts it, with pipes to all streams that go nowhere else.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn spawn(mut self) -> Process {
        let (output, lines) = match self.output {
            Output::Kept => (Stdio::piped(), None),
            Output::Given(output) => (output, None),
            Output::Lines(lines) => (Stdio::piped(), Some(lines)),
        };
        self.command
            .stdin(self.input.unwrap_or_else(Stdio::piped))
            .stdout(output)
            .stderr(self.error.unwrap_or_else(Stdio::piped));
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{:?} does not start: {error}", self.command.get_program()),
        };
        let pid = Pid::from_child(&child);
        let progress = Arc::new(Progress::default());
        let mut threads = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            threads.push(match lines {
                None => follow(stdout, &progress, |seen, bytes| seen.stdout.extend(bytes)),
                Some(lines) => {
                    let (mut lines, mut rest) = (lines, Vec::new());
                    follow(stdout, &progress, move |_, bytes| {
                        split(&mut rest, bytes, &mut lines);
                    })
                }
            });
        }
        if let Some(stderr) = child.stderr.take() {
            threads.push(follow(stderr, &progress, |seen, bytes| {
                seen.stderr.extend(bytes)
            }));
        }
        let peak = Arc::new(AtomicU64::new(0));
        if self.watches_memory {
            let (progress, peak) = (Arc::clone(&progress), Arc::clone(&peak));
            threads.push(std::thread::spawn(move || {
                while progress.seen().status.is_none() {
                    let now = proc::anonymous_memory(number(pid)).unwrap_or(0);
                    peak.fetch_max(now, Ordering::SeqCst);
                    std::thread::park_timeout(SAMPLE);
                }
            }));
        }
        let stdin = child.stdin.take();
        let waiter = Arc::clone(&progress);
        threads.push(std::thread::spawn(move || {
            // It stays a zombie, so that its processor time can still be read, and until the lock
            // is held, so that no signal goes to another process.
            let ends = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), ends))
                .expect("a child can be waited for");
            let processor = proc::processor_time(number(pid)).unwrap_or_default();
            waiter.change(|seen| {
                seen.processor = processor;
                seen.status = Some(child.wait().expect("a child can be waited for"));
            });
        }));
        Process {
            pid,
            stdin,
            progress,
            peak,
            threads,
        }
    }

    /// Runs it to its end with this standard input.
    ///
    /// # Panics
    ///
    /// When it has not ended at the deadline.
    pub fn run(self, input: impl Into<Vec<u8>>) -> Ended {
        let mut process = self.spawn();
        let input = input.into();
        let stdin = process.stdin.take();
        // A thread, since the process may stop reading, or end, before it has read all.
        let writer = std::thread::spawn(move || drop(stdin.map(|mut it| it.write_all(&input))));
        let ended = process.wait();
        writer.join().expect("the writer does not panic");
        ended
    }
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// What has been seen of a process so far.
#[derive(Debug, Default)]
struct Seen {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Option<ExitStatus>,
    processor: Duration,
    /// Streams that are followed.
    open: usize,
}

#[derive(Debug, Default)]
struct Progress {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Progress {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.notify_all();
    }

    /// Waits until `done`, at most this long.
    fn wait(
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

fn follow(
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

/// Gives the whole lines to `lines`, and keeps the rest.
fn split(rest: &mut Vec<u8>, bytes: &[u8], lines: &mut Lines) {
    rest.extend_from_slice(bytes);
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', rest) {
        lines(&rest[start..end]);
        start = end + 1;
    }
    rest.drain(..start);
}

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    stdin: Option<ChildStdin>,
    progress: Arc<Progress>,
    peak: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Process {
    /// Writes to its standard input.
    ///
    /// # Panics
    ///
    /// When it does not read, or the input is closed.
    pub fn write(&mut self, input: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("the input is open");
        stdin.write_all(input.as_ref()).expect("it reads its input");
    }

    /// Ends its standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Its standard input, for a thread that writes to it.
    ///
    /// # Panics
    ///
    /// When the input is closed or taken.
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

    /// Waits until its standard output holds this text.
    ///
    /// # Panics
    ///
    /// When it does not at the deadline.
    pub fn wait_for_output(&self, text: &str) {
        self.expect_text(text, |seen| &seen.stdout);
    }

    /// Waits until its standard error holds this text.
    ///
    /// # Panics
    ///
    /// When it does not at the deadline.
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
    ///
    /// # Panics
    ///
    /// When it does not at the deadline.
    pub fn listens(&self) -> String {
        self.told_url("events are accepted on ")
    }

    /// The URL that it tells after these words.
    ///
    /// # Panics
    ///
    /// When it does not tell it until the deadline.
    pub fn told_url(&self, words: &str) -> String {
        let what = format!("a URL after `{words}`");
        self.progress.expect(DEADLINE, &what, |seen| {
            let said = String::from_utf8_lossy(&seen.stderr);
            let (_, after) = said.split_once(words)?;
            let (url, _) = after.split_once('\n')?;
            Some(url.trim().to_owned())
        })
    }

    /// Bytes of memory that it has of its own, files that it has mapped left out.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn anonymous_memory(&self) -> u64 {
        proc::anonymous_memory(number(self.pid)).expect("it is running")
    }

    /// The most of that memory since the last call, in bytes, if [it is
    /// watched](Launch::watching_memory).
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

    /// Its standard error so far.
    pub fn error_so_far(&self) -> String {
        String::from_utf8_lossy(&self.progress.seen().stderr).into_owned()
    }

    /// Waits until it has ended. Its standard input is closed only where the test has done so.
    ///
    /// # Panics
    ///
    /// When it has not at the deadline.
    pub fn wait(self) -> Ended {
        self.wait_at_most(DEADLINE)
    }

    /// The same, with a deadline of its own.
    ///
    /// # Panics
    ///
    /// When it has not ended by then.
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
    /// The most anonymous memory, in bytes, if [it was watched](Launch::watching_memory).
    pub peak_memory: u64,
}

impl Ended {
    /// The summary that `--summary json` asks for.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn summary(&self) -> Summary {
        Summary::find(&self.stderr)
            .unwrap_or_else(|| panic!("there is no summary in:\n{}", self.stderr))
    }

    /// Itself, once the exit code is the one expected.
    ///
    /// # Panics
    ///
    /// When it is another.
    #[must_use]
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
