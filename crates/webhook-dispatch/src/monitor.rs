//! The public handle that reads a dispatcher's statistics.

use crate::intake::Router;
use crate::shared::clock::Moment;
use crate::shared::stats::get;
use crate::shared::{AttemptFilter, AttemptPage, Stats};
use crate::supervisor::quotas;
use crate::worker::handle::TargetHandle;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use webhook_queue::{QueueError, Statistics, WriterStatistics};

/// Reads a dispatcher's statistics. Clones share one dispatcher. A monitor may outlive it, and the
/// queue stays open as long.
///
/// ```no_run
/// # use webhook_config::{Config, Target, TargetUrl};
/// # use webhook_dispatch::Dispatcher;
/// # let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?).build()?;
/// # let dispatcher = Dispatcher::builder(Config::builder().target(target).build()?).start()?;
/// use webhook_dispatch::AttemptFilter;
///
/// let monitor = dispatcher.monitor();
/// for target in monitor.stats()?.targets {
///     println!("{}: {} delivered, {} pending", target.name, target.delivered, target.pending);
/// }
/// let last = monitor.attempts("default", &AttemptFilter::default(), 10);
/// println!("{} attempts", last.map_or(0, |page| page.attempts.len()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Monitor {
    router: Arc<Router>,
}

/// The most frequently changing counters, summed over all targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Events delivered.
    pub delivered: u64,
    /// Events given up: dead letters, failed best-effort attempts, and those without room.
    pub failed: u64,
    /// Events accepted and neither delivered nor given up.
    pub pending: u64,
}

impl Monitor {
    pub(crate) fn new(router: Arc<Router>) -> Monitor {
        Monitor { router }
    }

    /// All statistics.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn stats(&self) -> Result<Stats, QueueError> {
        let queue = match self.router.storage() {
            Some(storage) => storage.queue.statistics()?,
            None => Statistics::default(),
        };
        let mut stats = self.snapshot(queue);
        self.find_blocking(&mut stats);
        Ok(stats)
    }

    /// Marks the targets whose quotas are why the queue refuses events: less of the quota is left than of
    /// the queue.
    fn find_blocking(&self, stats: &mut Stats) {
        let is_blocked = || self.writer().is_some_and(|writer| writer.blocked);
        if !self.is_full() && !is_blocked() {
            return;
        }
        let quotas = quotas(&self.router.routing_table().config);
        let queue = &stats.queue;
        let free = queue.usable_bytes.saturating_sub(queue.bytes);
        for target in &mut stats.targets {
            let mut known = queue.targets.iter();
            let known = known.find(|known| known.target == target.name && known.owed_bytes > 0);
            let is_shared = quotas.owed.contains_key(&*target.name);
            target.blocks_queue = known.filter(|_| is_shared).is_some_and(|known| {
                let most = quotas.max_owed(&target.name, free);
                most.saturating_sub(known.owed_bytes) < free
            });
        }
    }

    /// All statistics but the queue's, which are zeros, and the ages of pending events; for when
    /// the queue cannot be read.
    #[must_use]
    pub fn stats_without_queue(&self) -> Stats {
        self.snapshot(Statistics::default())
    }

    /// Whether the queue had no room for the last event and nothing was settled since.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let storage = self.router.storage();
        storage.is_some_and(|storage| storage.writer.is_full())
    }

    /// Whether the queue can store events, as [`Queue::check`](webhook_queue::Queue::check) says.
    ///
    /// # Errors
    /// Those of that method.
    pub fn check_queue(&self) -> Result<(), QueueError> {
        match self.router.storage() {
            Some(storage) => storage.queue.check(),
            None => Ok(()),
        }
    }

    /// The most frequently changing counters. Does not read the queue.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let mut delivered = 0;
        let mut failed = 0;
        for handle in self.router.routing_table().handles() {
            let counters = &handle.counters;
            delivered += get(&counters.delivered);
            failed += get(&counters.failed) + get(&counters.dropped) + counters.dead_letters();
        }
        Progress {
            delivered,
            failed,
            pending: self.pending(),
        }
    }

    /// The last attempts at a target that match, the newest first, up to `limit`; `None` if there is no
    /// such target. [`ATTEMPTS_KEPT`](crate::ATTEMPTS_KEPT) are kept of each target, in memory.
    #[must_use]
    pub fn attempts(
        &self,
        target: &str,
        filter: &AttemptFilter,
        limit: usize,
    ) -> Option<AttemptPage> {
        let table = self.router.routing_table();
        let entry = table.entry(target)?;
        Some(entry.handle.attempts.page(filter, limit))
    }

    /// The statistics of the queue's writer; `None` while no target has been reliable.
    #[must_use]
    pub fn writer(&self) -> Option<WriterStatistics> {
        let storage = self.router.storage();
        storage.map(|storage| storage.writer.statistics())
    }

    /// Events handed over whose commit has not ended.
    pub(crate) fn unwritten(&self) -> u64 {
        self.router
            .storage()
            .map_or(0, |storage| storage.writer.unwritten())
    }

    /// Events accepted and neither delivered nor given up, over all targets.
    pub(crate) fn pending(&self) -> u64 {
        // In this order: an event counts as pending before it stops counting as unwritten.
        let unwritten = self.unwritten();
        let routing_table = self.router.routing_table();
        let owed: u64 = routing_table
            .delivering()
            .map(|handle| handle.counters.pending())
            .sum();
        unwritten + owed
    }

    /// Whether nothing will be delivered until an event is submitted or an operator acts.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.unwritten() == 0
            && self
                .router
                .routing_table()
                .delivering()
                .all(|handle| handle.is_at_rest())
    }

    /// Counts pending events that the queue no longer holds as damaged: they were quarantined, and
    /// no worker noticed. Call it once every settlement is synced; until then the queue holds more.
    pub(crate) fn count_damaged(&self, queue: &Statistics) {
        let routing_table = self.router.routing_table();
        for known in &queue.targets {
            let entry = routing_table.entry(&known.target);
            if let Some(handle) = entry.map(|entry| &entry.handle)
                && handle.is_reliable()
            {
                handle.counters.set_pending(known.pending);
            }
        }
    }

    pub(crate) fn snapshot(&self, mut queue: Statistics) -> Stats {
        if self.router.storage().is_none() {
            queue.last_states = self.router.last_states_in_memory();
        }
        let at = Moment::of(&*self.router.shared.clock);
        let now = at.epoch_ms();
        let routing_table = self.router.routing_table();
        let snapshot = |handle: &Arc<TargetHandle>| {
            let oldest = queue
                .targets
                .iter()
                .find(|known| handle.is_reliable() && *known.target == *handle.name)
                .and_then(|known| known.oldest_accepted_at)
                .map(|at| Duration::from_millis(now.saturating_sub(at)));
            handle
                .counters
                .snapshot(&handle.name, handle.is_running(), oldest, at)
        };
        Stats {
            targets: routing_table
                .entries
                .iter()
                .map(|entry| snapshot(&entry.handle))
                .collect(),
            removed: routing_table.former.iter().map(snapshot).collect(),
            inputs: routing_table.inputs.stats(),
            queue,
        }
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}
