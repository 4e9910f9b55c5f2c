//! Changing a dispatcher while it works.

use crate::line::{Command, Line};
use crate::submit::Inner;
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use webhook_queue::{EntryId, Queue, QueueError};

/// Changes what a dispatcher does while it works. Clones share it, and any thread may use one; it
/// may outlive the dispatcher, whose queue stays open as long.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

impl Control {
    pub(crate) fn new(inner: Arc<Inner>) -> Control {
        Control { inner }
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
        let pending = i64::try_from(found).unwrap_or(i64::MAX);
        line.counters.pending.fetch_add(pending, Ordering::SeqCst);
        line.command(Command::OwedAgain(keys.into_iter().collect()));
        Ok(found)
    }

    /// The queue; `None` when no target has been reliable so far.
    pub(crate) fn queue(&self) -> Option<Arc<dyn Queue>> {
        self.inner.queue.clone()
    }

    /// A target of the configuration.
    pub(crate) fn line(&self, target: &str) -> Option<Arc<Line>> {
        let mut lines = self.inner.lines.iter();
        lines.find(|line| &*line.name == target).map(Arc::clone)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}
