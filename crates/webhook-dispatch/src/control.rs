//! Changing a dispatcher while it works.

use crate::intake::Inner;
use crate::worker::handle::{Command, Line};
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use webhook_config::Config;
use webhook_queue::{EntryId, Queue, QueueError};

/// Changes what a dispatcher does while it works. Clones share it, and any thread may use one; it
/// may outlive the dispatcher, whose queue stays open as long.
#[derive(Clone)]
pub struct Control {
    pub(crate) inner: Arc<Inner>,
}

/// What a reload did. Targets are known by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Targets that are new. What the queue holds for one from an earlier time is delivered first.
    pub added: Vec<String>,
    /// Targets that go on under other settings.
    pub changed: Vec<String>,
    /// Targets that are none any more. A target whose `delivery` is another counts as removed and
    /// added.
    pub removed: Vec<String>,
    /// Targets that go on as they were.
    pub unchanged: Vec<String>,
    /// What stays as it was until the program is started again, in words.
    pub kept: Vec<String>,
}

/// Why a reload failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The queue that the first reliable target needs cannot be opened or read.
    #[error("the queue cannot be used")]
    Queue(#[source] QueueError),
    /// A target's settings cannot be used.
    #[error("target {target}: {detail}")]
    Target {
        /// The target's name.
        target: String,
        /// What is wrong.
        detail: String,
    },
    /// A target's `delivery` was changed, and is to be changed back while deliveries of the first
    /// kind are still under way.
    #[error(
        "target {target}: what was under way before its `delivery` was changed has not ended yet; \
         try again in a while"
    )]
    StillEnding {
        /// The target's name.
        target: String,
    },
    /// The system refused a thread.
    #[error("the system refused what a dispatcher needs")]
    System(#[source] std::io::Error),
    /// The dispatcher is shutting down.
    #[error("the dispatcher is shutting down")]
    ShuttingDown,
}

impl Control {
    pub(crate) fn new(inner: Arc<Inner>) -> Control {
        Control { inner }
    }

    /// Puts another configuration in force, without losing or reordering anything. Targets are
    /// matched by their names.
    ///
    /// Events accepted from now on meet the new filters and are sent under the new settings;
    /// attempts under way end under theirs. A target that was removed gets nothing more: what a
    /// reliable one is owed stays in the queue until it is added again, and a best-effort one is
    /// given what is in memory. One that had stopped after a 410 is tried again, changed or not; one
    /// that is paused stays so. Figures of a target that stays go on. The settings of a queue that
    /// is open cannot change: [`Reloaded::kept`] says which are not as wanted.
    ///
    /// It takes as long as the new settings take to be tried, and a queue to be opened.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn reload(&self, config: Config) -> Result<Reloaded, ReloadError> {
        let fleet = self.inner.fleet.lock();
        let mut fleet = fleet.unwrap_or_else(PoisonError::into_inner);
        if self.inner.closed.load(Ordering::SeqCst) {
            return Err(ReloadError::ShuttingDown);
        }
        fleet.deploy(&self.inner, config)
    }

    /// What is in force: the last configuration, but for what [`Reloaded::kept`] told of.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.inner.roster().config)
    }

    /// Sends a target nothing more, or lets it go on; false if there is no such target.
    #[must_use]
    pub fn pause(&self, target: &str, paused: bool) -> bool {
        self.line(target)
            .is_some_and(|line| line.command(Command::Pause(paused)))
    }

    /// Forgets that a target failed, or that it answered 410; false if there is no such target.
    #[must_use]
    pub fn restart(&self, target: &str) -> bool {
        self.line(target)
            .is_some_and(|line| line.command(Command::Restart))
    }

    /// Makes dead letters of a target owed again, under their old names and as if never attempted;
    /// how many were found. Of a task, they go before what it is owed and has not been read from
    /// the queue yet.
    ///
    /// # Errors
    /// The queue failed, and nothing was replayed.
    pub fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        let (Some(queue), Some(line)) = (self.queue(), self.line(target)) else {
            return Ok(0);
        };
        let mut keys: HashSet<Box<[u8]>> = HashSet::new();
        for &entry in entries {
            let before = entry.0.checked_sub(1).map(EntryId);
            queue.dead_letters(Some(target), before, &mut |dead| {
                if dead.owed.entry == entry && !keys.contains(dead.owed.key) {
                    keys.insert(Box::from(dead.owed.key));
                }
                ControlFlow::Break(())
            })?;
        }
        let found = queue.replay(target, entries)?;
        // Told before it is counted: of what is counted, the courier knows.
        line.command(Command::OwedAgain(keys.into_iter().collect()));
        let pending = i64::try_from(found).unwrap_or(i64::MAX);
        line.counters.pending.fetch_add(pending, Ordering::SeqCst);
        Ok(found)
    }

    /// The queue; `None` when no target has been reliable so far.
    pub(crate) fn queue(&self) -> Option<Arc<dyn Queue>> {
        let storage = self.inner.storage();
        storage.map(|storage| Arc::clone(&storage.queue))
    }

    /// Has the next event find out whether there is room again.
    pub(crate) fn made_room(&self) {
        if let Some(storage) = self.inner.storage() {
            storage.writer.made_room();
        }
    }

    /// A target of the configuration.
    pub(crate) fn line(&self, target: &str) -> Option<Arc<Line>> {
        let roster = self.inner.roster();
        roster.seat(target).map(|seat| Arc::clone(&seat.line))
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}
