//! Background tasks: systemd's watchdog, the log of the queue and of lines left out, `--watch`.

use super::queue_log::QueueLog;
use super::state::Daemon;
use crate::console::Console;
use crate::log::RateLimitedLog;
use crate::notify;
use crate::periodic::Periodic;
use crate::reload::ReloadThread;
use crate::signals::Signals;
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;

/// How often housekeeping runs, unless the watchdog wants it more often.
const EVERY: Duration = Duration::from_secs(1);
/// How often dead letters are removed in each turn, at most: each removes some hundred.
const TRIMS: usize = 8;

/// The running background tasks.
pub(crate) struct BackgroundTasks {
    reload: ReloadThread,
    notices: Periodic,
    housekeeping: Periodic,
    dead_letters: Periodic,
    /// A thread of its own, since the watchdog does not wait for the disk.
    disk_probe: Periodic,
}

impl BackgroundTasks {
    /// Starts the last threads, and takes those that reload and send notices: from now on the program
    /// is ready.
    ///
    /// # Errors
    /// The system refuses them.
    pub(crate) fn start(
        daemon: &Arc<Daemon>,
        console: &Console,
        (reload, notices): (ReloadThread, Periodic),
        signals: Arc<Signals>,
    ) -> Result<BackgroundTasks> {
        let log = console.limited_log().clone();
        let housekeeping = housekeeping(Arc::clone(daemon), log, signals)?;
        let dead_letters = trim_dead_letters(Arc::clone(daemon))?;
        let disk_probe = disk_probe(Arc::clone(daemon))?;
        daemon.is_up();
        notify::ready("running");
        Ok(BackgroundTasks {
            reload,
            notices,
            housekeeping,
            dead_letters,
            disk_probe,
        })
    }

    /// Ends the threads.
    pub(crate) fn stop(self) {
        self.reload.stop();
        self.notices.stop();
        self.dead_letters.stop();
        self.housekeeping.stop();
        self.disk_probe.stop();
    }
}

/// Removes dead letters that have become too old, or too many by a reload. It may wait for the
/// disk, which housekeeping must not.
fn trim_dead_letters(daemon: Arc<Daemon>) -> Result<Periodic> {
    Periodic::start("dead-letters", EVERY, move || {
        for _ in 0..TRIMS {
            // After an error the next turn tries again.
            if daemon.control.trim_dead_letters().unwrap_or(0) == 0 {
                return;
            }
        }
    })
}

/// Finds out whether the disk takes writes again, after a failed commit.
fn disk_probe(daemon: Arc<Daemon>) -> Result<Periodic> {
    Periodic::start("disk-probe", EVERY, move || daemon.probe_disk())
}

/// Feeds systemd's watchdog while the program is alive, logs changes of the queue's state and how
/// many lines were left out, and ends the program when the queue has to be opened again.
fn housekeeping(
    daemon: Arc<Daemon>,
    log: RateLimitedLog,
    signals: Arc<Signals>,
) -> Result<Periodic> {
    let watchdog = sd_notify::watchdog_enabled().map(|bound| bound / 2);
    let pause = watchdog.unwrap_or(EVERY).min(EVERY);
    let mut queue_log = QueueLog::default();
    Periodic::start("housekeeping", pause, move || {
        if watchdog.is_some() {
            feed_watchdog(&daemon);
        }
        if let Some(writer) = daemon.monitor.writer() {
            queue_log.observe(writer.failures, daemon.commit_failure(&writer));
            queue_log.observe_targets(&daemon.monitor.stats_without_queue().targets);
        }
        if let Some(shared) = daemon.shared_queue() {
            queue_log.observe_shared(&shared);
        }
        check_queue(&daemon, &mut queue_log, &signals);
        log.flush_if_quiet();
    })
}

/// Logs why the queue takes no events. Begins the end of the program if only opening the queue again
/// helps.
fn check_queue(daemon: &Daemon, log: &mut QueueLog, signals: &Signals) {
    let checked = daemon.monitor.check_queue();
    log.observe_check(checked.as_ref().err());
    if let Err(error) = checked
        && !error.is_retryable()
    {
        daemon.fail(error);
        signals.request_end();
    }
}

/// Tells the watchdog that the program is alive, if it is.
fn feed_watchdog(daemon: &Daemon) {
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
