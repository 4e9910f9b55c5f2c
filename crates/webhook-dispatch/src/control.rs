//! Changes a dispatcher while it works, and looks into its queue.

use crate::intake::Router;
use crate::supervisor::{ReloadError, Reloaded, Supervisor};
use crate::worker::handle::{Command, TargetHandle};
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use webhook_config::Config;
use webhook_queue::{
    DeadLetter, EntryId, Quarantined, Queue, QueueError, Statistics, Verification,
};

/// Dead letters that are shown from one snapshot of the queue. As long as one is held, the queue
/// uses no space again.
const SHOWN_AT_ONCE: usize = 1_000;

/// Changes what a dispatcher does while it works. Clones share it, and any thread may use one; it
/// may outlive the dispatcher, whose queue stays open as long.
///
/// What reads or writes the queue does so on the calling thread and blocks as long as that takes.
/// Deliveries and submissions go on meanwhile.
#[derive(Clone)]
pub struct Control {
    supervisor: Arc<Supervisor>,
    router: Arc<Router>,
}

/// Why nothing was mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The target is in the configuration, so that what it is owed is about to be delivered.
    #[error(
        "target {target:?} is in the configuration: take it out and load the configuration again, \
         then drop what it is owed"
    )]
    Configured {
        /// The target.
        target: String,
    },
    /// The target was removed, and an attempt at delivering to it is under way.
    #[error(
        "target {target:?} has left the configuration, and an attempt is under way still: try again \
         in a while"
    )]
    UnderWay {
        /// The target.
        target: String,
    },
    /// The queue has nothing of such a target.
    #[error("no target {target:?} in this queue; it knows: {}", known.join(", "))]
    UnknownTarget {
        /// The target.
        target: String,
        /// Those that it knows.
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

    /// Puts another configuration in force, without losing or reordering anything. Targets are
    /// matched by their names.
    ///
    /// Events accepted from now on meet the new filters and are sent under the new settings;
    /// attempts under way end under theirs. A removed target gets nothing more: what a reliable one
    /// is owed stays in the queue until it is added again, and a best-effort one is given what is in
    /// memory. A target that had stopped after a 410 is tried again, changed or not; a paused one
    /// stays paused. The figures of a target that stays go on. The settings of an open queue cannot
    /// change: [`Reloaded::kept`] lists those that differ.
    ///
    /// Blocks until the new settings were tried, and a queue was opened.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn reload(&self, config: Config) -> Result<Reloaded, ReloadError> {
        self.supervisor.reload(config)
    }

    /// What is in force: the last configuration, but for what [`Reloaded::kept`] told of.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.router.routing_table().config)
    }

    /// Pauses a target, or lets it go on; false if there is no such target.
    #[must_use]
    pub fn pause(&self, target: &str, paused: bool) -> bool {
        self.handle(target)
            .is_some_and(|handle| handle.command(Command::Pause(paused)))
    }

    /// Forgets that a target failed, or that it answered 410; false if there is no such target.
    #[must_use]
    pub fn restart(&self, target: &str) -> bool {
        self.handle(target)
            .is_some_and(|handle| handle.command(Command::Restart))
    }

    /// Makes dead letters of a target owed again, under their old names and as if never attempted;
    /// how many were found. Of a task, they go before what it is owed and has not been read from
    /// the queue yet.
    ///
    /// # Errors
    /// The queue failed, and nothing was replayed.
    pub fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        let (Some(queue), Some(handle)) = (self.queue(), self.handle(target)) else {
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
        // Told before it is counted: the worker knows of every event that is counted.
        handle.command(Command::OwedAgain(keys.into_iter().collect()));
        let pending = i64::try_from(found).unwrap_or(i64::MAX);
        handle.counters.pending.fetch_add(pending, Ordering::SeqCst);
        Ok(found)
    }

    /// Shows dead letters (of one target, or of all) after `after`, by the target's name and then
    /// in the order accepted, until `visit` breaks. Asked for all targets, it leaves out those of
    /// each target that are not after `after`. To show them in pages, ask for one target, break
    /// when a page is full, and go on after its last entry.
    ///
    /// Blocks. `visit` is called while a part of the queue is held as it is, so it should not wait
    /// for anything. Those that die or are replayed meanwhile may or may not be shown.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn dead_letters(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        for of in self.queue_statistics()?.targets {
            if target.is_none_or(|target| target == of.target)
                && self.letters_of(&of.target, after, visit)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }

    fn letters_of(
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

    /// Shows one dead letter; whether there is one. Blocks.
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

    /// Forgets dead letters of a target; how many were found. Blocks until that is durable.
    ///
    /// # Errors
    /// The queue failed, and nothing was changed.
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

    /// Forgets all that a target which is gone from the configuration is owed, its dead letters
    /// included; how many entries that were. There is no way back. Blocks until that is durable, and
    /// keeps reloads waiting.
    /// What was accepted for it before it went, and is being written just now, may stay; then drop
    /// it once more.
    ///
    /// # Errors
    /// [`Configured`](RepairError::Configured), [`UnderWay`](RepairError::UnderWay) and
    /// [`UnknownTarget`](RepairError::UnknownTarget): nothing was changed. If the queue failed, a
    /// part may be forgotten; it can be repeated.
    pub fn drop_target(&self, target: &str) -> Result<u64, RepairError> {
        // No other configuration comes into force meanwhile.
        let workers = self.supervisor.workers();
        // To a best-effort target the queue's entries of its name mean nothing.
        if self
            .handle(target)
            .is_some_and(|handle| handle.is_reliable())
        {
            let target = target.to_owned();
            return Err(RepairError::Configured { target });
        }
        let former = workers.former(target);
        if former.is_some_and(|former| former.is_running()) {
            let target = target.to_owned();
            return Err(RepairError::UnderWay { target });
        }
        let known = self.queue_statistics()?.targets;
        let dead = known.iter().find(|known| known.target == target);
        let dead = dead.map_or(0, |known| known.dead);
        let mut known: Vec<String> = known.into_iter().map(|known| known.target).collect();
        match self.queue() {
            Some(queue) if known.iter().any(|known| known == target) => {
                let dropped = queue.drop_target(target)?;
                self.made_room();
                if let Some(former) = former {
                    former.counters.leave(dropped.saturating_sub(dead));
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

    /// Shows the entries after `after` that were quarantined since their stored record is damaged,
    /// in the order accepted, until `visit` breaks. No target is owed them any longer. Blocks.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn quarantined(
        &self,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Quarantined<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        match self.queue() {
            Some(queue) => queue.quarantined(after, visit),
            None => Ok(()),
        }
    }

    /// Reads all of the queue and checks every record; changes nothing. Blocks as long as the disk
    /// needs to be read once, and takes its share of the disk meanwhile. `None` if there is no
    /// queue.
    ///
    /// # Errors
    /// The queue cannot be read to its end. A damaged record is no error, but part of what is
    /// returned.
    pub fn verify(&self) -> Result<Option<Verification>, QueueError> {
        self.queue().map(|queue| queue.verify()).transpose()
    }

    /// What the queue holds, of targets that are gone from the configuration as well. Blocks.
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

    /// Has the next event find out whether there is room again.
    fn made_room(&self) {
        if let Some(storage) = self.router.storage() {
            storage.writer.made_room();
        }
    }

    /// The handle of a target of the configuration.
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
