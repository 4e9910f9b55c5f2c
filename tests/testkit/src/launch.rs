//! How a child process is started, and the threads that follow it.

use crate::process::{Ended, Process, Progress, follow, number};
use crate::{proc, webhookd};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

    /// Runs it with a limit on the size of files, in KiB: beyond it, a write fails as on a full
    /// disk. The hard limit stays, so that [the limit can be
    /// lifted](Process::lift_file_size_limit).
    pub fn limiting_file_size(self, kib: u64) -> Launch {
        // The signal for such a write would end the program. A block of `ulimit` has 512 bytes.
        let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" \"$@\"", kib * 2);
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command.arg(self.command.get_program());
        command.args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = self.command.get_current_dir() {
            command.current_dir(folder);
        }
        Launch { command, ..self }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Launch {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Launch {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Launch {
        self.command.env(name, value);
        self
    }

    /// Runs it as another user, which only root can do.
    pub(crate) fn user(mut self, user: u32, group: u32) -> Launch {
        self.command.uid(user).gid(group);
        self
    }

    /// Sets its working directory.
    pub fn current_dir(mut self, folder: &Path) -> Launch {
        self.command.current_dir(folder);
        self
    }

    /// Gives it a standard input that is not a pipe from here.
    pub fn input(mut self, input: impl Into<Stdio>) -> Launch {
        self.input = Some(input.into());
        self
    }

    /// Sends its standard output elsewhere.
    pub fn output(mut self, output: impl Into<Stdio>) -> Launch {
        self.output = Output::Given(output.into());
        self
    }

    /// Gives each whole line of its standard output to `read`, without the line feed, instead of
    /// keeping it.
    pub fn lines(mut self, read: impl FnMut(&[u8]) + Send + 'static) -> Launch {
        self.output = Output::Lines(Box::new(read));
        self
    }

    /// Sends its standard error elsewhere.
    pub fn error(mut self, error: impl Into<Stdio>) -> Launch {
        self.error = Some(error.into());
        self
    }

    /// Looks at its memory all the time.
    pub fn watching_memory(mut self) -> Launch {
        self.watches_memory = true;
        self
    }

    /// Starts it, with pipes to all streams that go nowhere else.
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
