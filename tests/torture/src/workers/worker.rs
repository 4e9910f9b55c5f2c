//! A worker: a webhookd that shares the queue with others.

use crate::run::log;
use crate::workers::Paths;
use anyhow::Result;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use testkit::{Launch, Process, Signal};

/// How long a worker may take to end when asked to.
const TO_END: Duration = Duration::from_secs(20);

/// A worker.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Process,
    /// Where it takes events.
    pub(crate) url: String,
    log: PathBuf,
}

impl Worker {
    /// Starts one, and waits until it takes events.
    pub(crate) fn start(paths: &Paths, number: usize) -> Worker {
        let process = Launch::of(&paths.webhookd)
            .current_dir(&paths.folder)
            .arg("run")
            .arg("--webhook-config")
            .arg(&paths.config)
            .arg("--state-dir")
            .arg(paths.folder.join(format!("state-{number}")))
            .args(["--listen", "127.0.0.1:0", "--summary", "none"])
            .args(["--grace", "1s"])
            .spawn();
        let url = process.listens();
        Worker {
            process,
            url,
            log: paths.folder.join("webhookd.log"),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.process.has_ended(Duration::ZERO)
    }

    /// Kills it, and keeps its log.
    pub(crate) fn kill(self) -> Result<()> {
        self.process.signal(Signal::KILL);
        self.end().map(drop)
    }

    /// Asks it to end; what was wrong with its end.
    pub(crate) fn terminate(self) -> Result<Option<String>> {
        self.process.signal(Signal::TERM);
        if !self.process.has_ended(TO_END) {
            self.process.signal(Signal::KILL);
        }
        let status = self.end()?;
        // Deliveries may be left after the grace.
        let is_orderly = matches!(status.code(), Some(0 | 1 | 3));
        Ok((!is_orderly).then(|| format!("a worker that was asked to end ended with {status}")))
    }

    fn end(self) -> Result<std::process::ExitStatus> {
        let ended = self.process.wait();
        log(&self.log)?.write_all(ended.stderr.as_bytes())?;
        Ok(ended.status)
    }
}
