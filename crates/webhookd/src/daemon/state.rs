//! The state of the running program.

use super::alert::Alert;
use super::disk_probe::probe;
use super::health::{Health, Phase};
use super::history::{History, Totals};
use crate::reload::Reloader;
use crate::sources::{InputStats, StreamStats};
use jiff::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use webhook_dispatch::{Control, Monitor, Stats};
use webhook_queue::{QueueError, SharedStatistics, WriterStatistics};

/// How long after a failed commit a database that can be reached counts as failing, if no commit
/// succeeds meanwhile: only a commit tells whether its disk takes writes.
const DATABASE_QUIET: Duration = Duration::from_secs(10);

/// What the admin API shows and changes.
pub(crate) struct Daemon {
    pub(crate) control: Control,
    pub(crate) monitor: Monitor,
    pub(crate) input: Arc<InputStats>,
    pub(crate) reloader: Arc<Reloader>,
    /// Names of the sources of events, as shown to people.
    pub(crate) sources: Vec<String>,
    /// The streams that are read.
    pub(crate) streams: Vec<Arc<StreamStats>>,
    pub(crate) history: History,
    alerts: Mutex<Vec<Alert>>,
    started_at: SystemTime,
    started: Instant,
    /// Whether all parts are started.
    ready: AtomicBool,
    stopping: AtomicBool,
    /// Why the program has to be restarted.
    failure: Mutex<Option<QueueError>>,
    /// Whether an operator has dropped events, so that they were not delivered.
    dropped: AtomicBool,
    /// Commits that had failed before the disk took a write again.
    mended_failures: AtomicU64,
}

/// The state at one moment.
pub(crate) struct Snapshot {
    pub(crate) stats: Stats,
    pub(crate) writer: Option<WriterStatistics>,
    pub(crate) health: Health,
    /// Why the figures of the queue are missing.
    pub(crate) unreadable: Option<QueueError>,
    /// Why the queue stores no events, as far as that is known without storing one.
    pub(crate) unusable: Option<QueueError>,
    /// Why commits to the queue fail.
    pub(crate) commit_failure: Option<String>,
}

impl Daemon {
    pub(crate) fn new(
        control: Control,
        monitor: Monitor,
        input: Arc<InputStats>,
        reloader: Arc<Reloader>,
        sources: Vec<String>,
        streams: Vec<Arc<StreamStats>>,
    ) -> Daemon {
        Daemon {
            control,
            monitor,
            input,
            reloader,
            sources,
            streams,
            history: History::new(Instant::now(), Timestamp::now()),
            alerts: Mutex::default(),
            started_at: SystemTime::now(),
            started: Instant::now(),
            ready: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            failure: Mutex::default(),
            dropped: AtomicBool::new(false),
            mended_failures: AtomicU64::new(0),
        }
    }

    pub(crate) fn started_at(&self) -> SystemTime {
        self.started_at
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes that all parts are started.
    pub(crate) fn is_up(&self) {
        self.ready.store(true, Ordering::SeqCst);
    }

    /// Notes that no more events are accepted.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Notes why the program has to be restarted.
    pub(super) fn fail(&self, error: QueueError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
    }

    /// Why the program has to be restarted, if it has: the queue takes nothing until it is opened
    /// again.
    pub(crate) fn take_failure(&self) -> Option<QueueError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let found = || self.monitor.check_queue().err();
        failure
            .take()
            .or_else(found)
            .filter(|error| !error.is_retryable())
    }

    /// Whether the queue is in a database, which other workers use, too.
    pub(crate) fn is_shared(&self) -> bool {
        self.control.config().queue().postgres().is_some()
    }

    /// Notes that an operator has dropped so many events.
    pub(crate) fn note_dropped(&self, events: u64) {
        self.dropped.fetch_or(events > 0, Ordering::SeqCst);
    }

    /// Whether an operator has dropped events.
    pub(crate) fn has_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }

    /// Why commits fail. A failure counts until the disk takes a write again, even if a commit that
    /// needs no room succeeds meanwhile; [`probe_disk`](Daemon::probe_disk) finds out.
    pub(super) fn commit_failure(&self, writer: &WriterStatistics) -> Option<String> {
        let needs_restart = writer.failing.is_some() && writer.failed_at.is_none();
        let is_open = writer.failures > self.mended_failures.load(Ordering::SeqCst);
        let why = writer.failing.as_ref().or(writer.last_failure.as_ref());
        why.filter(|_| needs_restart || is_open).cloned()
    }

    /// Writes to the queue's disk, or looks whether its database can be reached, if a commit has
    /// failed since it took the last write. May wait for the disk.
    pub(super) fn probe_disk(&self) {
        // Read first: what fails during the probe counts.
        let Some(writer) = self.monitor.writer() else {
            return;
        };
        if writer.failures <= self.mended_failures.load(Ordering::SeqCst) {
            return;
        }
        // An open queue keeps its directory over reloads.
        let takes_writes = match self.is_shared() {
            true => {
                let failed_at = writer.failed_at.filter(|_| writer.failing.is_some());
                let is_over = failed_at.is_none_or(|at| at.elapsed() > DATABASE_QUIET);
                is_over && self.monitor.check_queue().is_ok()
            }
            false => probe(self.control.config().queue().dir()).is_ok(),
        };
        if takes_writes {
            self.mended_failures
                .store(writer.failures, Ordering::SeqCst);
        }
    }

    /// What a shared queue knows of its workers and its database. It is kept in memory, so this does
    /// not wait. `None` for a queue of this process alone.
    pub(crate) fn shared_queue(&self) -> Option<SharedStatistics> {
        self.control.config().queue().postgres()?;
        self.monitor.stats().ok()?.queue.shared
    }

    /// Adds to the history what has happened since the last call.
    pub(crate) fn observe(&self, snapshot: &Snapshot) {
        let submitted = self.input.counts().events;
        let totals = Totals::of(Instant::now(), submitted, &snapshot.stats);
        self.history.observe(totals, Timestamp::now());
    }

    /// The alerts that hold now.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let alerts = self.alerts.lock();
        alerts.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_alerts(&self, now: Vec<Alert>) {
        let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        *alerts = now;
    }

    /// The state without the queue's counters; never waits for the disk.
    pub(crate) fn glance(&self) -> (Stats, Health) {
        let stats = self.monitor.stats_without_queue();
        let health = self.health(&stats, self.monitor.writer().as_ref(), [None, None]);
        (stats, health)
    }

    /// The whole state. Reads the queue's counters, so it may wait for the disk.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (stats, unreadable) = match self.monitor.stats() {
            Ok(stats) => (stats, None),
            Err(error) => (self.monitor.stats_without_queue(), Some(error)),
        };
        let writer = self.monitor.writer();
        let unusable = self.monitor.check_queue().err();
        let problems = [unreadable.as_ref(), unusable.as_ref()];
        let health = self.health(&stats, writer.as_ref(), problems);
        let commit_failure = writer.as_ref().and_then(|it| self.commit_failure(it));
        Snapshot {
            stats,
            writer,
            commit_failure,
            health,
            unreadable,
            unusable,
        }
    }

    fn health(
        &self,
        stats: &Stats,
        writer: Option<&WriterStatistics>,
        problems: [Option<&QueueError>; 2],
    ) -> Health {
        let phase = if self.stopping.load(Ordering::SeqCst) {
            Phase::Stopping
        } else if self.ready.load(Ordering::SeqCst) {
            Phase::Running
        } else {
            Phase::Starting
        };
        let failing = writer.and_then(|writer| self.commit_failure(writer));
        let is_full = self.monitor.is_full();
        Health::of(phase, stats, writer, is_full, failing.as_deref(), problems)
    }
}

/// Epoch milliseconds; 0 before 1970.
pub(crate) fn epoch_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
