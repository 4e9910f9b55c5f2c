//! A process that is measured: its processor time, its memory, and its end.

use crate::measure::process::{mib, processor_ticks, rss_anon, signal};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often memory is looked at: seldom enough to cost the measured nothing.
pub(super) const SAMPLE: Duration = Duration::from_millis(50);

/// A process; killed when dropped.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) child: Child,
    name: String,
    said: PathBuf,
    /// KiB.
    peak: u64,
}

/// What a process took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    pub(super) processor: Duration,
    /// The most anonymous memory that was seen, MiB.
    pub(super) peak_mib: f64,
}

impl Measured {
    /// Starts it; what it says on standard error goes into a file in `folder`.
    pub(super) fn start(mut command: Command, folder: &Path) -> Result<Measured> {
        let program = PathBuf::from(command.get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let said = folder.join(format!("{name}.stderr"));
        let file = File::create(&said).context("cannot make a file for standard error")?;
        command.stderr(file);
        Ok(Measured {
            child: command
                .spawn()
                .with_context(|| format!("cannot start {}", program.display()))?,
            name: name.into_owned(),
            said,
            peak: 0,
        })
    }

    /// Looks at its memory, and tells whether it has ended.
    pub(super) fn look(&mut self) -> Result<bool> {
        self.peak = self.peak.max(rss_anon(self.child.id()).unwrap_or(0));
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("a process has an id")?;
        // It stays a zombie, so that its processor time can still be read.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let ended = waitid(WaitId::Pid(pid), options).context("cannot look at a child")?;
        Ok(ended.is_some())
    }

    /// What it took so far.
    pub(super) fn used(&self) -> Used {
        Used {
            processor: processor_time(self.child.id()),
            peak_mib: mib(self.peak),
        }
    }

    /// Waits for its end, which is to be a success.
    pub(super) fn finish(mut self, longest: Duration) -> Result<Used> {
        let begun = Instant::now();
        while !self.look()? {
            ensure!(
                begun.elapsed() < longest,
                "{} does not end; it said:\n{}",
                self.name,
                self.said()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let used = self.used();
        let status = self.child.wait().context("a child's end")?;
        if !status.success() {
            bail!(
                "{} ended with {status}; it said:\n{}",
                self.name,
                self.said()
            );
        }
        Ok(used)
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn stop(mut self) -> Result<Used> {
        let used = self.used();
        signal(&self.child, Signal::TERM)?;
        let begun = Instant::now();
        while !self.look()? && begun.elapsed() < Duration::from_secs(20) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(used)
    }

    /// The end of what it said.
    pub(super) fn said(&self) -> String {
        let text = std::fs::read(&self.said).unwrap_or_default();
        let from = text.len().saturating_sub(2_000);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The processor time that a process has used so far, in steps of the system's clock tick.
pub(super) fn processor_time(pid: u32) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let ticks = processor_ticks(pid).unwrap_or(0);
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}

/// The first line that a program says of its version; `None` if it is not installed.
pub(super) fn version(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.trim().to_owned())
}
