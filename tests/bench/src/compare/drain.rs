//! A backlog on disk: filled while nothing listens, then delivered.

use super::TASKS;
use super::part::Part;
use super::results::Sample;
use super::senders;
use super::session::{Session, write_events};
use crate::{ensure_space, evict};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::Port;

/// Bytes on the disk for each event: a page and what is written about it, generously.
const PER_EVENT: u64 = 6_000;
/// How long a backlog may take to be filled.
const FILLING: Duration = Duration::from_secs(1_800);

/// A queue with pending events, to be copied for each round.
pub(super) struct Backlog {
    folder: TempDir,
    pub(super) events: u64,
}

impl Backlog {
    /// Has webhookd accept so many events while nothing listens, and end.
    pub(super) fn fill(session: &Session, events: u64) -> Result<Backlog> {
        // The queue, its copy, and the events themselves.
        ensure_space(session.folder.path(), events * PER_EVENT * 3)?;
        let folder = session.subfolder()?;
        let file = folder.path().join("events.ndjson");
        write_events(&file, &session.load, events, TASKS)?;
        let port = Port::take();
        let mut config = senders::config(session, Part::Durable);
        config["targetURL"] = port.url().into();
        let webhookd = session.webhookd(folder.path(), &config, Some(&file))?;
        // It does not wait for a receiver that is not there.
        let ended = webhookd
            .args(["--grace", "0s"])
            .spawn()
            .wait_at_most(FILLING);
        let (status, said) = (ended.status, ended.stderr);
        // 3: all that was accepted is still pending.
        ensure!(
            ended.code == Some(3),
            "webhookd ended with {status}; it said:\n{said}"
        );
        std::fs::remove_file(&file).context("cannot remove the events")?;
        Ok(Backlog { folder, events })
    }

    /// Delivers a copy of it, of which nothing is cached in memory.
    pub(super) fn drain(&self, session: &mut Session) -> Result<Sample> {
        let folder = session.subfolder()?;
        let [from, to] = [&self.folder, &folder].map(|folder| folder.path().join("queue"));
        evict(&copy(&from, &to)?)?;
        let config = senders::config(session, Part::Durable);
        let sender = session.webhookd(folder.path(), &config, None)?;
        let task = session.task(self.events);
        session.measure(sender, task)
    }
}

/// Copies a queue's folder; where its data is.
fn copy(from: &Path, to: &Path) -> Result<PathBuf> {
    // `cp` leaves holes, and shares blocks where the file system can.
    let status = Command::new("cp")
        .args(["-r", "--reflink=auto", "--sparse=auto"])
        .args([from, to])
        .stdin(Stdio::null())
        .status()
        .context("cannot start cp")?;
    ensure!(status.success(), "cp ended with {status}");
    Ok(to.join("data.mdb"))
}
