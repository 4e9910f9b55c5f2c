//! The public handle that changes a running dispatcher, and reads and repairs its queue.

mod tasks;

pub use self::tasks::{OwedOfTask, PendingEvent, StuckTask, StuckTasks};

use crate::intake::Router;
use crate::shared::queue_key;
use crate::supervisor::{ReloadError, Reloaded, Supervisor};
use crate::worker::handle::{Command, TargetHandle};
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use webhook_config::Config;
use webhook_queue::{
    DeadLetter, EntryId, Quarantined, Queue, QueueError, Statistics, Verification, target_of_kept,
};

/// Dead letters read from one snapshot of the queue. While a snapshot is held, the queue cannot
/// reuse freed space.
const SHOWN_AT_ONCE: usize = 1_000;

/// Changes a running dispatcher, and reads and repairs its queue. Clones share one dispatcher, from
/// any thread. A control may outlive the dispatcher, whose queue stays open as long.
///
/// Methods that use the queue block the calling thread while they do. Deliveries and submissions
/// go on meanwhile.
///
/// ```no_run
/// # use webhook_config::{Config, Target, TargetUrl};
/// # use webhook_dispatch::Dispatcher;
/// # let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?).build()?;
/// # let dispatcher = Dispatcher::builder(Config::builder().target(target).build()?).start()?;
/// use std::ops::ControlFlow;
/// use std::time::Duration;
///
/// let control = dispatcher.control();
/// control.pause("default")?;
/// let mut dead = Vec::new();
/// control.dead_letters(Some("default"), None, &mut |letter| {
///     dead.push(letter.owed.entry);
///     ControlFlow::Continue(())
/// })?;
/// println!("{} dead letters are pending again", control.replay("default", &dead)?);
/// control.resume("default")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Control {
    supervisor: Arc<Supervisor>,
    router: Arc<Router>,
}

/// The configuration has no target of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no target {0:?} in the configuration")]
pub struct UnknownTarget(pub String);

/// Why a repair failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The target is in the configuration, so its pending events are still being delivered.
    #[error(
        "target {target:?} is in the configuration: take it out, reload, and drop its events then"
    )]
    Configured {
        /// The target.
        target: String,
    },
    /// The target was removed, and an attempt to deliver to it is still under way.
    #[error("target {target:?} was removed, but an attempt is still under way: try again later")]
    UnderWay {
        /// The target.
        target: String,
    },
    /// The queue holds nothing for a target of this name.
    #[error("no target {target:?} in this queue; it knows: {}", known.join(", "))]
    UnknownTarget {
        /// The target.
        target: String,
        /// The targets that the queue knows, sorted.
        known: Vec<String>,
    },
    /// The queue failed.
    #[error("the queue cannot be read or changed")]
    Queue(#[source] QueueError),
}

impl From<QueueError> for RepairError {
    fn from(error: QueueError) -> RepairError {
        RepairError::Queue(error)
    }
}

impl Control {
    pub(crate) fn new(supervisor: Arc<Supervisor>, router: Arc<Router>) -> Control {
        Control { supervisor, router }
    }

    /// Puts another configuration in force, without losing or reordering events. Targets are
    /// matched by name.
    ///
    /// Events accepted from now on meet the new filters, and later attempts use the new settings;
    /// attempts under way end under the old ones. A removed reliable target is sent nothing more,
    /// and its events stay in the queue until it is added again; a removed best-effort target still
    /// gets the events in memory. A target that was stopped by a 410 is tried again, changed or
    /// not; a paused one stays paused. The counters of a target that stays continue. The settings
    /// of an open queue cannot change: [`Reloaded::kept`] lists those that differ.
    ///
    /// Blocks until the new settings were checked and, if there was none, a queue was opened.
    ///
    /// # Errors
    /// [`ReloadError`] says why. Nothing was changed.
    ///
    /// ```no_run
    /// # use webhook_config::{Config, Target, TargetUrl};
    /// # use webhook_dispatch::Dispatcher;
    /// # let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?).build()?;
    /// # let dispatcher = Dispatcher::builder(Config::builder().target(target).build()?).start()?;
    /// let url = TargetUrl::parse("http://localhost:6000/")?;
    /// let config = Config::builder().target(Target::builder(url).build()?).build()?;
    /// let reloaded = dispatcher.control().reload(config)?;
    /// assert!(reloaded.kept.is_empty(), "settings of the queue need a restart");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reload(&self, config: Config) -> Result<Reloaded, ReloadError> {
        self.supervisor.reload(config)
    }

    /// The configuration in force: the last one, except for what [`Reloaded::kept`] listed.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.router.routing_table().config)
    }

    /// Pauses a target: nothing is sent to it until it is resumed, not after a reload either. Attempts
    /// under way end.
    ///
    /// # Errors
    /// The configuration has no such target.
    pub fn pause(&self, target: &str) -> Result<(), UnknownTarget> {
        self.command(target, Command::Pause(true))
    }

    /// Resumes a paused target.
    ///
    /// # Errors
    /// The configuration has no such target.
    pub fn resume(&self, target: &str) -> Result<(), UnknownTarget> {
        self.command(target, Command::Pause(false))
    }

    /// Closes a target's breaker, and ends a hold by `Retry-After` and a stop by a 410.
    ///
    /// # Errors
    /// The configuration has no such target.
    pub fn restart(&self, target: &str) -> Result<(), UnknownTarget> {
        self.command(target, Command::Restart)
    }

    /// Commands the worker of a target. A worker that has ended is one of a target that was removed.
    fn command(&self, target: &str, command: Command) -> Result<(), UnknownTarget> {
        let handle = self.handle(target).filter(|it| it.command(command));
        handle
            .map(drop)
            .ok_or_else(|| UnknownTarget(target.to_owned()))
    }

    /// Up to `limit` stuck tasks of a target: their next event has failed, and the others wait. Those
    /// whose event was accepted first come first. `None` if there is no such target. Blocks.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn stuck_tasks(
        &self,
        target: &str,
        limit: usize,
    ) -> Result<Option<StuckTasks>, QueueError> {
        let Some(handle) = self.handle(target) else {
            return Ok(None);
        };
        tasks::stuck(self.queue().as_deref(), &handle, limit).map(Some)
    }

    /// What a target owes of a task, whatever its input: up to `limit` events. Nothing of a
    /// best-effort target, and of a shared queue what this process delivers. Does not read the rest of
    /// the queue. Blocks.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn owed_of_task(
        &self,
        target: &str,
        key: &str,
        limit: usize,
    ) -> Result<OwedOfTask, QueueError> {
        let handle = self.handle(target).filter(|it| it.is_reliable());
        let (Some(queue), Some(handle)) = (self.queue(), handle) else {
            return Ok(OwedOfTask::default());
        };
        tasks::owed(&*queue, &handle, &self.keys_of_task(key), limit)
    }

    /// Visits the dead letters of a task, of the inputs in the configuration, until `visit` breaks. Looks
    /// at up to `most` entries of the queue for each input, by the index of keys where the queue has
    /// one. Returns whether there can be no others. Blocks.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn dead_letters_of_task(
        &self,
        key: &str,
        most: usize,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<bool, QueueError> {
        let mut are_all = true;
        if let Some(queue) = self.queue() {
            for key in self.keys_of_task(key) {
                are_all &= queue.dead_letters_of_key(&key, most, visit)?;
            }
        }
        Ok(are_all)
    }

    /// The keys of a task in the queue: one for each input.
    fn keys_of_task(&self, key: &str) -> Vec<Arc<[u8]>> {
        let config = self.config();
        let named = config.inputs().map(|(name, _)| queue_key(name, key));
        let mut keys: Vec<Arc<[u8]>> = named.chain([queue_key("", key)]).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// Makes dead letters of a target pending again, under their old ids and as if never attempted; or
    /// what is kept of its deliveries, by the [name](webhook_queue::kept_name) of these. Returns how
    /// many were found. They are sent before those of their task's events that have not been read from
    /// the queue yet. Those of a target that is not in the configuration wait until it is.
    ///
    /// # Errors
    /// The queue failed, and nothing was replayed.
    pub fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        let Some(queue) = self.queue() else {
            return Ok(0);
        };
        if let Some(news) = self.router.storage().and_then(|it| it.news.as_ref()) {
            // The news of the queue reaches the processes that deliver them.
            let found = queue.replay(target, entries);
            news.counts.update();
            return found;
        }
        let owed_by = target_of_kept(target).unwrap_or(target);
        let Some(handle) = self.handle(owed_by) else {
            return queue.replay(target, entries);
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
        // The command first: the worker knows of every event that is counted.
        handle.command(Command::OwedAgain(keys.into_iter().collect()));
        let pending = i64::try_from(found).unwrap_or(i64::MAX);
        handle.counters.pending.fetch_add(pending, Ordering::SeqCst);
        Ok(found)
    }

    /// Visits the dead letters of one target, or of all, by target name and then in the order
    /// accepted, until `visit` breaks. What is kept of a target's deliveries is visited by its
    /// [name](webhook_queue::kept_name) alone. Each target's letters up to the entry `after` are skipped.
    /// To read in pages, name one target, break when a page is full, and continue after its last
    /// entry.
    ///
    /// Blocks. `visit` runs inside a snapshot of the queue, so it should not wait for anything.
    /// Letters added or replayed meanwhile may or may not be visited.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn dead_letters(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        if let Some(target) = target {
            return self.dead_letters_of(target, after, visit).map(drop);
        }
        for of in self.queue_statistics()?.targets {
            if self.dead_letters_of(&of.target, after, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn dead_letters_of(
        &self,
        target: &str,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, QueueError> {
        let Some(queue) = self.queue() else {
            return Ok(ControlFlow::Continue(()));
        };
        let mut next = after;
        loop {
            let (mut shown, mut flow) = (0, ControlFlow::Continue(()));
            queue.dead_letters(Some(target), next, &mut |letter| {
                next = Some(letter.owed.entry);
                shown += 1;
                flow = visit(letter);
                if shown == SHOWN_AT_ONCE {
                    return ControlFlow::Break(());
                }
                flow
            })?;
            if flow.is_break() || shown < SHOWN_AT_ONCE {
                return Ok(flow);
            }
        }
    }

    /// Shows one dead letter. Returns whether it exists. Blocks.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn dead_letter(
        &self,
        target: &str,
        entry: EntryId,
        show: impl FnOnce(DeadLetter<'_>),
    ) -> Result<bool, QueueError> {
        let Some(queue) = self.queue() else {
            return Ok(false);
        };
        let mut show = Some(show);
        let before = entry.0.checked_sub(1).map(EntryId);
        queue.dead_letters(Some(target), before, &mut |letter| {
            if letter.owed.entry == entry
                && let Some(show) = show.take()
            {
                show(letter);
            }
            ControlFlow::Break(())
        })?;
        Ok(show.is_none())
    }

    /// Deletes dead letters of a target, or kept deliveries by their
    /// [name](webhook_queue::kept_name). Returns how many were found. Blocks until that is durable.
    ///
    /// # Errors
    /// The queue failed, and nothing was deleted.
    pub fn drop_dead_letters(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        match self.queue() {
            Some(queue) => {
                let dropped = queue.drop_dead(target, entries)?;
                self.made_room();
                Ok(dropped)
            }
            None => Ok(0),
        }
    }

    /// Deletes all events and dead letters of a target that is not in the configuration. Returns
    /// how many entries were deleted. It cannot be undone. Blocks until that is durable; reloads
    /// wait meanwhile. Events accepted before the target was removed, whose commit is still under
    /// way, may remain: repeat the call then. Of a shared queue, the other processes may still have
    /// the target: take it out of their configurations before, or events that they accept remain.
    ///
    /// # Errors
    /// [`Configured`](RepairError::Configured), [`UnderWay`](RepairError::UnderWay) and
    /// [`UnknownTarget`](RepairError::UnknownTarget): nothing was deleted. If the queue failed,
    /// some entries may be deleted; repeat the call.
    pub fn drop_target(&self, target: &str) -> Result<u64, RepairError> {
        // The lock keeps reloads waiting.
        let workers = self.supervisor.workers();
        // A best-effort target of this name does not use the queue's entries.
        if self
            .handle(target)
            .is_some_and(|handle| handle.is_reliable())
        {
            let target = target.to_owned();
            return Err(RepairError::Configured { target });
        }
        let former = workers.reliable_handle(target);
        if former.is_some_and(|former| former.is_running()) {
            let target = target.to_owned();
            return Err(RepairError::UnderWay { target });
        }
        let known = self.queue_statistics()?.targets;
        let dead = known.iter().find(|known| known.target == target);
        let dead = dead.map_or(0, |known| known.dead + known.kept);
        let mut known: Vec<String> = known.into_iter().map(|known| known.target).collect();
        match self.queue() {
            Some(queue) if known.iter().any(|known| known == target) => {
                let dropped = queue.drop_target(target)?;
                self.made_room();
                let news = self.router.storage().and_then(|it| it.news.as_ref());
                match (news, former) {
                    (Some(news), _) => news.counts.update(),
                    (None, Some(former)) => {
                        former.counters.remove_pending(dropped.saturating_sub(dead));
                    }
                    (None, None) => {}
                }
                Ok(dropped)
            }
            _ => {
                known.sort_unstable();
                let target = target.to_owned();
                Err(RepairError::UnknownTarget { target, known })
            }
        }
    }

    /// Visits the quarantined entries after `after`, in the order accepted, until `visit` breaks.
    /// Their records are damaged, and they are not delivered. Blocks.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn quarantined(
        &self,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Quarantined<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        match self.queue().as_ref().and_then(|queue| queue.verifier()) {
            Some(verifier) => verifier.quarantined(after, visit),
            None => Ok(()),
        }
    }

    /// Reads the whole queue and checks every record; changes nothing. Blocks while the disk is
    /// read once, in competition with deliveries. `None` if there is no queue, or its storage checks
    /// its records itself.
    ///
    /// # Errors
    /// The queue cannot be read to its end. Damaged records are no error: they are returned.
    pub fn verify(&self) -> Result<Option<Verification>, QueueError> {
        let queue = self.queue();
        let verifier = queue.as_ref().and_then(|queue| queue.verifier());
        verifier.map(|verifier| verifier.verify()).transpose()
    }

    /// Closes the queue after [`shutdown`](crate::Dispatcher::shutdown), if that could not.
    ///
    /// # Errors
    /// What the queue holds is lost when the process ends.
    pub fn close_queue(&self) -> Result<(), QueueError> {
        self.queue().map_or(Ok(()), |queue| queue.close())
    }

    /// What the queue holds, for removed targets too. Blocks.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn queue_statistics(&self) -> Result<Statistics, QueueError> {
        match self.queue() {
            Some(queue) => queue.statistics(),
            None => Ok(Statistics::default()),
        }
    }

    /// The queue; `None` when no target has been reliable so far.
    fn queue(&self) -> Option<Arc<dyn Queue>> {
        let storage = self.router.storage();
        storage.map(|storage| Arc::clone(&storage.queue))
    }

    /// Clears the writer's note that the queue is full.
    /// Removes some of the dead letters over the bounds of the configuration (`queue.deadLetters`).
    /// Returns how many; 0 once the bounds are kept. The dispatcher does so whenever an event becomes
    /// a dead letter. Call this now and then for those that have become too old since.
    ///
    /// # Errors
    /// The queue failed, and nothing was removed.
    pub fn trim_dead_letters(&self) -> Result<u64, QueueError> {
        match self.router.storage() {
            Some(storage) => storage.writer.trim_dead_letters(),
            None => Ok(0),
        }
    }

    fn made_room(&self) {
        if let Some(storage) = self.router.storage() {
            storage.writer.made_room();
        }
    }

    /// The handle of a configured target.
    fn handle(&self, target: &str) -> Option<Arc<TargetHandle>> {
        let table = self.router.routing_table();
        table.entry(target).map(|entry| Arc::clone(&entry.handle))
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}
