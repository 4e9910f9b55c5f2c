//! `webhookd` as a child process.

use crate::{DEADLINE, Summary, webhookd};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// How `webhookd` is to be started.
#[derive(Debug)]
pub struct Launch(Command);

impl Launch {
    /// Without arguments, in the environment of the tests but for what could change deliveries.
    #[expect(
        clippy::new_without_default,
        reason = "a launch of what is not a default value"
    )]
    pub fn new() -> Launch {
        let mut command = Command::new(webhookd());
        for name in [
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "rust_backtrace",
        ] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        Launch(command)
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
        self.0.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Launch {
        self.0.args(args);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Launch {
        self.0.env(name, value);
        self
    }

    /// Sets its working directory.
    #[must_use]
    pub fn current_dir(mut self, folder: &Path) -> Launch {
        self.0.current_dir(folder);
        self
    }

    /// Starts it, with pipes to all three streams.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn spawn(mut self) -> Webhookd {
        let mut child = self
            .0
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("webhookd starts");
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("it has an id");
        let progress = Arc::new(Progress::default());
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let threads = vec![
            follow(stdout, &progress, |seen| &mut seen.stdout),
            follow(stderr, &progress, |seen| &mut seen.stderr),
            std::thread::spawn({
                let progress = Arc::clone(&progress);
                move || {
                    let status = child.wait().expect("a child can be waited for");
                    progress.change(|seen| seen.status = Some(status));
                }
            }),
        ];
        Webhookd {
            pid,
            stdin,
            progress,
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
        let mut stdin = process.stdin.take().expect("it is piped");
        // A thread, since the process may stop reading, or end, before it has read all.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let ended = process.wait();
        writer.join().expect("the writer does not panic");
        ended
    }
}

/// What has been seen of a process so far.
#[derive(Debug, Default)]
struct Seen {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Option<ExitStatus>,
    /// Streams that have ended, of two.
    closed: usize,
}

#[derive(Debug, Default)]
struct Progress {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Progress {
    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().expect("no holder panics"));
        self.changed.notify_all();
    }

    /// Waits until `done`, at most to the deadline.
    fn wait(&self, what: &str, done: impl Fn(&Seen) -> bool) -> MutexGuard<'_, Seen> {
        let seen = self.seen.lock().expect("no holder panics");
        let (seen, timeout) = self
            .changed
            .wait_timeout_while(seen, DEADLINE, |seen| !done(seen))
            .expect("no holder panics");
        if timeout.timed_out() {
            let stdout = String::from_utf8_lossy(&seen.stdout).into_owned();
            let stderr = String::from_utf8_lossy(&seen.stderr).into_owned();
            let status = seen.status;
            // A poisoned lock would hide this message behind others.
            drop(seen);
            panic!("waited in vain for {what}; {status:?}\nout: {stdout}\nerr: {stderr}");
        }
        seen
    }
}

fn follow(
    mut stream: impl Read + Send + 'static,
    progress: &Arc<Progress>,
    target: fn(&mut Seen) -> &mut Vec<u8>,
) -> JoinHandle<()> {
    let progress = Arc::clone(progress);
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break progress.change(|seen| seen.closed += 1),
                Ok(length) => {
                    let new = buffer.get(..length).expect("a read fits its buffer");
                    progress.change(|seen| target(seen).extend_from_slice(new));
                }
            }
        }
    })
}

/// A running `webhookd`. Dropping it kills it.
#[derive(Debug)]
pub struct Webhookd {
    pid: Pid,
    stdin: Option<ChildStdin>,
    progress: Arc<Progress>,
    threads: Vec<JoinHandle<()>>,
}

impl Webhookd {
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

    /// Sends a signal, if it has not ended yet.
    pub fn signal(&self, signal: Signal) {
        let seen = self.progress.seen.lock().expect("no holder panics");
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
        drop(
            self.progress
                .wait(&format!("`{text}` in its output"), |seen| {
                    String::from_utf8_lossy(&seen.stdout).contains(text)
                }),
        );
    }

    /// Waits until its standard error holds this text.
    ///
    /// # Panics
    ///
    /// When it does not at the deadline.
    pub fn wait_for_error(&self, text: &str) {
        drop(
            self.progress
                .wait(&format!("`{text}` in its standard error"), |seen| {
                    String::from_utf8_lossy(&seen.stderr).contains(text)
                }),
        );
    }

    /// Waits until it takes events over HTTP, and returns where: `http://127.0.0.1:PORT/`.
    ///
    /// # Panics
    ///
    /// When it does not at the deadline.
    pub fn listens(&self) -> String {
        self.told_url("events are taken on ")
    }

    /// The URL that it tells after these words.
    ///
    /// # Panics
    ///
    /// When it does not tell it until the deadline.
    pub fn told_url(&self, words: &str) -> String {
        let find = |seen: &Seen| {
            let said = String::from_utf8_lossy(&seen.stderr).into_owned();
            let (_, after) = said.split_once(words)?;
            let (url, _) = after.split_once('\n')?;
            Some(url.trim().to_owned())
        };
        let seen = self
            .progress
            .wait(&format!("a URL after `{words}`"), |seen| {
                find(seen).is_some()
            });
        find(&seen).expect("it was waited for")
    }

    /// Bytes of memory that it has of its own, files that it has mapped left out.
    ///
    /// # Panics
    ///
    /// When the system does not tell.
    pub fn anonymous_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let status = std::fs::read_to_string(path).expect("it is running");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib
            .and_then(|kib| kib.parse().ok())
            .expect("it is told in kB");
        kib * 1024
    }

    /// Its standard error so far.
    pub fn error_so_far(&self) -> String {
        let seen = self.progress.seen.lock().expect("no holder panics");
        String::from_utf8_lossy(&seen.stderr).into_owned()
    }

    /// Waits until it has ended. Its standard input is closed only where the test has done so.
    ///
    /// # Panics
    ///
    /// When it has not at the deadline.
    pub fn wait(mut self) -> Ended {
        let ended = {
            let mut seen = self
                .progress
                .wait("its end", |seen| seen.status.is_some() && seen.closed == 2);
            let status = seen.status.expect("it was waited for");
            Ended {
                code: status.code(),
                signal: status.signal(),
                stdout: std::mem::take(&mut seen.stdout),
                stderr: String::from_utf8_lossy(&seen.stderr).into_owned(),
            }
        };
        for thread in self.threads.drain(..) {
            thread.join().expect("the followers do not panic");
        }
        ended
    }
}

impl Drop for Webhookd {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// How a process has ended, and what it said.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
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
        assert_eq!(
            self.code,
            Some(code),
            "signal {:?}, it said:\n{}",
            self.signal,
            self.stderr
        );
        self
    }
}
