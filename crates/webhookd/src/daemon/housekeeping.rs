//! What has to be done now and then.

use super::Daemon;
use crate::log::Sparing;
use crate::notify;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often lines that were left out are counted up, if the watchdog does not want more.
const EVERY: Duration = Duration::from_secs(1);

/// Feeds systemd's watchdog while the program does its work, and has the log tell what it left
/// out; on a thread of its own.
pub(crate) struct Housekeeping {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Housekeeping {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses it.
    pub(crate) fn start(daemon: Arc<Daemon>, sparing: Sparing) -> Result<Housekeeping> {
        let ended = Arc::new(AtomicBool::new(false));
        let watchdog = sd_notify::watchdog_enabled().map(|bound| bound / 2);
        let thread = std::thread::Builder::new()
            .name("housekeeping".to_owned())
            .spawn({
                let ended = Arc::clone(&ended);
                move || {
                    while !ended.load(Ordering::SeqCst) {
                        if watchdog.is_some() {
                            feed(&daemon);
                        }
                        sparing.settle();
                        std::thread::park_timeout(watchdog.unwrap_or(EVERY).min(EVERY));
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(Housekeeping { ended, thread })
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        // Nothing hangs on how it ended.
        drop(self.thread.join());
    }
}

/// Tells the watchdog that all is well, if it is.
fn feed(daemon: &Daemon) {
    let (stats, health) = daemon.glance();
    if !health.is_alive() {
        notify::status("not alive: a thread has ended");
        return;
    }
    let targets = &stats.targets;
    let delivered: u64 = targets.iter().map(|target| target.delivered).sum();
    let pending: u64 = targets.iter().map(|target| target.pending).sum();
    notify::alive(&format!(
        "{} targets, {delivered} delivered, {pending} pending",
        targets.len()
    ));
}
