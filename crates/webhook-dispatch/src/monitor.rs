//! Looking at a dispatcher while it works.

use crate::intake::Inner;
use crate::shared::clock::epoch_ms;
use crate::shared::stats::{Stats, get};
use crate::worker::handle::Line;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use webhook_queue::{QueueError, Statistics, WriterStatistics};

/// Shows a dispatcher's figures. Clones share it; it may outlive the dispatcher, whose queue stays
/// open as long.
#[derive(Clone)]
pub struct Monitor {
    pub(crate) inner: Arc<Inner>,
}

/// The figures that change fastest, over all targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Deliveries made.
    pub delivered: u64,
    /// Events given up: dead letters, failed best-effort attempts, and those without room.
    pub failed: u64,
    /// Events accepted and neither delivered nor given up.
    pub pending: u64,
}

impl Monitor {
    /// All figures.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn stats(&self) -> Result<Stats, QueueError> {
        let queue = match self.inner.storage() {
            Some(storage) => storage.queue.statistics()?,
            None => Statistics::default(),
        };
        Ok(self.inner.snapshot(queue))
    }

    /// All figures but the queue's, which are zeros, and the ages of what is pending; for when it
    /// cannot be read.
    #[must_use]
    pub fn stats_without_queue(&self) -> Stats {
        self.inner.snapshot(Statistics::default())
    }

    /// Whether the queue had no room for the last event, and nothing was settled since.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let storage = self.inner.storage();
        storage.is_some_and(|storage| storage.writer.is_full())
    }

    /// The figures that change fastest. The queue is not asked.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let mut delivered = 0;
        let mut failed = 0;
        for line in self.inner.roster().lines() {
            let counters = &line.counters;
            delivered += get(&counters.delivered);
            failed += get(&counters.failed) + get(&counters.dropped) + counters.dead_letters();
        }
        Progress {
            delivered,
            failed,
            pending: self.inner.pending(),
        }
    }

    /// What the queue's writer has done; `None` when no target is reliable.
    #[must_use]
    pub fn writer(&self) -> Option<WriterStatistics> {
        let storage = self.inner.storage();
        storage.map(|storage| storage.writer.statistics())
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}

impl Inner {
    /// Events handed over whose commit has not ended.
    pub(crate) fn unwritten(&self) -> u64 {
        self.storage()
            .map_or(0, |storage| storage.writer.unwritten())
    }

    /// Events accepted and neither delivered nor given up, over all targets.
    pub(crate) fn pending(&self) -> u64 {
        // What is written now is pending before it is no longer unwritten.
        let unwritten = self.unwritten();
        let roster = self.roster();
        let owed: u64 = roster
            .delivering()
            .map(|line| line.counters.pending())
            .sum();
        unwritten + owed
    }

    /// Whether nothing is pending that will be delivered unless somebody does something.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.unwritten() == 0 && self.roster().delivering().all(|line| line.is_at_rest())
    }

    /// Takes what the queue says for what is pending: an event that was set aside is not, but
    /// nobody was told. Only once nothing is settled any more; until then the queue is behind.
    pub(crate) fn leave_out_damaged(&self, queue: &Statistics) {
        let roster = self.roster();
        for known in &queue.targets {
            let seat = roster.seat(&known.target);
            if let Some(line) = seat.map(|seat| &seat.line)
                && line.is_reliable()
            {
                line.counters.leave_pending(known.pending);
            }
        }
    }

    pub(crate) fn snapshot(&self, queue: Statistics) -> Stats {
        let now = epoch_ms(self.clock.wall());
        let roster = self.roster();
        let snapshot = |line: &Arc<Line>| {
            let oldest = queue
                .targets
                .iter()
                .find(|known| line.is_reliable() && *known.target == *line.name)
                .and_then(|known| known.oldest_accepted_at)
                .map(|at| Duration::from_millis(now.saturating_sub(at)));
            line.counters
                .snapshot(&line.name, line.is_running(), oldest)
        };
        Stats {
            targets: roster
                .seats
                .iter()
                .map(|seat| snapshot(&seat.line))
                .collect(),
            removed: roster.former.iter().map(snapshot).collect(),
            queue,
        }
    }
}
