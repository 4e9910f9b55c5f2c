//! Looking at a dispatcher while it works.

use crate::clock::epoch_ms;
use crate::stats::{Stats, get};
use crate::submit::Inner;
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
        let queue = match &self.inner.queue {
            Some(queue) => queue.statistics()?,
            None => Statistics::default(),
        };
        Ok(self.inner.snapshot(queue))
    }

    /// The figures that change fastest. The queue is not asked.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let mut delivered = 0;
        let mut failed = 0;
        for line in &self.inner.lines {
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
        self.inner.writer.as_ref().map(|writer| writer.statistics())
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
        self.writer.as_ref().map_or(0, |writer| writer.unwritten())
    }

    /// Events accepted and neither delivered nor given up, over all targets.
    pub(crate) fn pending(&self) -> u64 {
        // What is written now is pending before it is no longer unwritten.
        let unwritten = self.unwritten();
        let owed: u64 = self.lines.iter().map(|line| line.counters.pending()).sum();
        unwritten + owed
    }

    /// Takes what the queue says for what is pending: an event that was set aside is not, but
    /// nobody was told. How much that was. Only once nothing is settled any more; until then the
    /// queue is behind.
    pub(crate) fn leave_out_damaged(&self, queue: &Statistics) -> u64 {
        let mut damaged = 0;
        for known in &queue.targets {
            let mut lines = self.lines.iter().filter(|line| line.is_reliable());
            if let Some(line) = lines.find(|line| *line.name == *known.target) {
                damaged += line.counters.leave_pending(known.pending);
            }
        }
        damaged
    }

    pub(crate) fn snapshot(&self, queue: Statistics) -> Stats {
        let now = epoch_ms(self.clock.wall());
        let targets = self
            .lines
            .iter()
            .map(|line| {
                let oldest = queue
                    .targets
                    .iter()
                    .find(|known| *known.target == *line.name)
                    .and_then(|known| known.oldest_accepted_at)
                    .map(|at| Duration::from_millis(now.saturating_sub(at)));
                line.counters.snapshot(&line.name, oldest)
            })
            .collect();
        Stats { targets, queue }
    }
}
