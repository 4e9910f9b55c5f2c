//! A target's pending events: those in memory, and the cursor from which the queue holds the rest.
//!
//! While the target keeps up, the backlog *follows*: each event is announced right after its
//! commit. If its window or the channel to its worker is full, it *falls behind*: the worker reads
//! the queue, in order, as room appears, until it has read all of it and the backlog follows again.
//! An entry up to the cursor is in a lane, is known to a lane and in the queue, or is settled; an
//! entry after the cursor is not known yet. So neither way overtakes the other.

#[cfg(test)]
mod tests;

use crate::shared::clock::Moment;
use crate::target::lanes::{
    BatchTag, Bounds, Content, Delivery, LaneId, LaneReport, Lanes, Offered,
};
use crate::target::unsynced::{Synced, Unsynced};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_queue::{Claim, EntryId, EventId, Owed};

/// Bytes of bodies that lanes read back at once, unless one event, or a lane's part of a batch, has more.
const READ_BYTES: usize = 1024 * 1024;

/// An event announced right after its commit, or given to a best-effort target.
#[derive(Clone, Debug)]
pub(crate) struct LiveEvent {
    pub(crate) entry: EntryId,
    pub(crate) id: EventId,
    pub(crate) key: Arc<[u8]>,
    pub(crate) content: Content,
    pub(crate) accepted_at: u64,
    pub(crate) submitted: Instant,
}

/// A target's pending events.
#[derive(Debug)]
pub(crate) struct Backlog {
    reliable: bool,
    /// The longest time for which a stored event waits for its retry.
    longest_wait: Duration,
    /// Whether stored events that are to be retried at the same time failed in one batch.
    batches: bool,
    pub(super) lanes: Lanes,
    pub(crate) unsynced: Unsynced,
    /// The last entry that the lanes know.
    cursor: Option<EntryId>,
    /// Whether the next announced event is the next after the cursor.
    following: bool,
    /// Whether events of before the start may not be known yet.
    first_read: bool,
    /// Whether a batch waits until all its events have room in the window.
    pub(super) lacks_room: bool,
    /// Tasks with an entry that is pending again and may be before the cursor.
    owed_again: VecDeque<Box<[u8]>>,
    /// Tasks whose read skipped an entry with an unsynced settlement: to be read again after a
    /// sync.
    read_again: Vec<Box<[u8]>>,
}

/// A read of lanes from the queue.
#[derive(Debug)]
pub(crate) struct LaneReads {
    lanes: Vec<LaneRead>,
    bytes: usize,
}

/// A read of one lane from the queue.
#[derive(Debug)]
struct LaneRead {
    lane: LaneId,
    most: usize,
    events: Vec<(Delivery, Content)>,
    more: bool,
    skipped: bool,
}

impl Backlog {
    pub(crate) fn new(reliable: bool, bounds: Bounds, longest_wait: Duration) -> Backlog {
        Backlog {
            reliable,
            longest_wait,
            batches: false,
            lanes: Lanes::new(bounds),
            unsynced: Unsynced::new(bounds.window),
            cursor: None,
            // Events that the queue holds from before are read first.
            following: !reliable,
            first_read: reliable,
            lacks_room: false,
            owed_again: VecDeque::new(),
            read_again: Vec::new(),
        }
    }

    pub(crate) fn set_longest_wait(&mut self, longest_wait: Duration) {
        self.longest_wait = longest_wait;
    }

    /// Sets whether the target has batches.
    pub(crate) fn set_batches(&mut self, batches: bool) {
        self.batches = batches;
    }

    /// Changes how many events it may hold, and how many of one task. Events in memory stay there.
    pub(crate) fn set_window(&mut self, window: usize, per_lane: usize) {
        self.lanes.set_window(window, per_lane);
        self.unsynced.set_window(window);
    }

    /// Whether announced events are taken; if not, the queue is to be read.
    pub(crate) fn follows(&self) -> bool {
        self.following
    }

    /// Reads the queue from the beginning: entries before the cursor are owed that no lane knows.
    pub(crate) fn reread(&mut self) {
        self.cursor = None;
        self.fall_behind();
    }

    /// Ignores announced events from now on: the queue is to be read.
    pub(crate) fn fall_behind(&mut self) {
        self.following = !self.reliable;
    }

    /// Up to `most` lanes whose first event has failed, those first whose event was accepted first.
    pub(crate) fn stuck(&self, most: usize, epoch_ms: impl Fn(Instant) -> u64) -> Vec<LaneReport> {
        self.lanes.stuck(most, epoch_ms)
    }

    /// The lane of a key.
    pub(crate) fn report(
        &self,
        key: &[u8],
        epoch_ms: impl Fn(Instant) -> u64,
    ) -> Option<LaneReport> {
        self.lanes.report(key, epoch_ms)
    }

    /// Whether a best-effort target may be given another event.
    pub(crate) fn has_room(&self) -> bool {
        self.lanes.has_room()
    }

    /// Whether every known event is settled, and the queue was read to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.following
            && self.owed_again.is_empty()
            && self.read_again.is_empty()
            && self.lanes.is_empty()
    }

    /// Takes an announced event. False if there is no room: the event is to be read from the queue.
    pub(crate) fn take(&mut self, live: LiveEvent, now: Instant) -> bool {
        if self.reliable
            && (!self.following || self.cursor.is_some_and(|cursor| live.entry <= cursor))
        {
            // A read of the queue has found it already, or will.
            return true;
        }
        let delivery = Delivery {
            submitted: Some(live.submitted),
            ..Delivery::new(live.entry, Claim::SOLE, live.id, live.accepted_at)
        };
        let (key, content) = (live.key, live.content);
        let shared_key = || Arc::clone(&key);
        match self
            .lanes
            .offer(&key, delivery, now, shared_key, || content)
        {
            Offered::Taken | Offered::Held => {
                self.cursor = Some(live.entry);
                true
            }
            Offered::Full => {
                self.fall_behind();
                false
            }
        }
    }

    /// Records settlements that the queue has synced. Later reads do not show these entries.
    pub(crate) fn synced(&mut self, synced: &[Synced]) {
        for synced in synced {
            self.unsynced.synced(*synced);
        }
        if !synced.is_empty() {
            for key in self.read_again.drain(..) {
                // A lane that waits for the sync needs no room, and must not wait behind tasks that do.
                if !self.lanes.owed_again(&key) {
                    self.owed_again.push_back(key);
                }
            }
        }
    }

    /// Whether it waits for the next sync.
    pub(crate) fn wants_sync(&self) -> bool {
        let is_full = self.unsynced.room() == 0 || self.lacks_room;
        self.reliable && (is_full || !self.read_again.is_empty())
    }

    /// Whether so many settlements are not synced that they should not wait for others: the rest of
    /// the window is for those that come during the sync.
    pub(crate) fn wants_flush(&self) -> bool {
        self.reliable && (self.lacks_room || self.unsynced.room() <= self.unsynced.len())
    }

    /// Records that these tasks have entries that were settled and are pending again. Entries after
    /// the cursor are found by reading on, so the backlog falls behind.
    pub(crate) fn owe_again(&mut self, keys: Vec<Box<[u8]>>) {
        self.owed_again.extend(keys);
        self.fall_behind();
    }

    /// Makes lanes for tasks with entries that are pending again; false if there is no room for
    /// all.
    pub(crate) fn readmit(&mut self) -> bool {
        while let Some(key) = self.owed_again.front() {
            if !self.lanes.owed_again(key) {
                return false;
            }
            self.owed_again.pop_front();
        }
        true
    }

    /// Begins to read back the lanes of these keys, which are due, as far as there is room.
    pub(crate) fn begin_reads(&self) -> (Vec<Arc<[u8]>>, LaneReads) {
        let due = self.lanes.to_read().into_iter();
        let reads = due.map(|(lane, key, most)| {
            let read = LaneRead {
                lane,
                most,
                events: Vec::new(),
                more: false,
                skipped: false,
            };
            (key, read)
        });
        let (keys, lanes) = reads.unzip();
        (keys, LaneReads { lanes, bytes: 0 })
    }

    /// Reads the next entry of a lane, by the index of its key; breaks when the lane has read enough.
    pub(crate) fn read_entry(
        &self,
        reads: &mut LaneReads,
        index: usize,
        owed: &Owed<'_>,
        at: Moment,
    ) -> ControlFlow<()> {
        let Some(read) = reads.lanes.get_mut(index) else {
            return ControlFlow::Break(());
        };
        if self.cursor.is_none_or(|cursor| owed.entry > cursor) {
            return ControlFlow::Break(());
        }
        if let Some(claim) = self.unsynced.settled_under(owed.entry) {
            read.skipped = true;
            if claim == owed.claim {
                return ControlFlow::Continue(());
            }
            // It may be owed still, and then goes before the others.
            read.more = true;
            return ControlFlow::Break(());
        }
        // The events of a failed batch are read together.
        let goes_on = !read.events.is_empty() && self.lanes.reads_retry(read.lane);
        if read.events.len() >= read.most || reads.bytes >= READ_BYTES && !goes_on {
            read.more = true;
            return ControlFlow::Break(());
        }
        let content = Content::copied(owed.body, owed.attributes);
        reads.bytes += content.len();
        read.events.push((self.stored(owed, at), content));
        ControlFlow::Continue(())
    }

    /// Gives lanes the events that were read. One that read nothing of what it is owed waits for the
    /// next sync, or stays due, since the others read enough.
    pub(crate) fn finish_reads(&mut self, keys: &[Arc<[u8]>], reads: LaneReads, now: Instant) {
        for (key, read) in keys.iter().zip(reads.lanes) {
            if read.skipped {
                // It may be owed again, since a dead letter can be replayed after the sync.
                self.read_again.push(Box::from(&**key));
            }
            if !(read.events.is_empty() && read.more) {
                self.lanes.refill(read.lane, read.events, read.more, now);
            } else if read.skipped {
                self.lanes.suspend(read.lane);
            }
        }
    }

    /// Whether it goes on to read events of before the start. Their batches are not woken before all
    /// their events are known.
    pub(crate) fn is_starting(&self) -> bool {
        self.first_read && self.wants_more()
    }

    /// Whether it is behind and has enough room to make a read worth its cost.
    pub(crate) fn wants_more(&self) -> bool {
        !self.following && self.lanes.has_ample_room()
    }

    /// The entry after which reading continues.
    pub(crate) fn cursor(&self) -> Option<EntryId> {
        self.cursor
    }

    /// Takes the entry after the cursor; `Full` does not move the cursor.
    pub(crate) fn offer(&mut self, owed: &Owed<'_>, at: Moment) -> Offered {
        let stored = self.stored(owed, at);
        let offered = if let Some(claim) = self.unsynced.settled_under(owed.entry) {
            // As of a lane's read.
            let offered = match claim == owed.claim {
                true => Offered::Held,
                false => self.lanes.offer_suspended(owed.key),
            };
            if offered == Offered::Held {
                self.read_again.push(Box::from(owed.key));
            }
            offered
        } else {
            self.lanes.offer(
                owed.key,
                stored,
                at.now,
                || Arc::from(owed.key),
                || Content::copied(owed.body, owed.attributes),
            )
        };
        if offered == Offered::Full {
            // Its batches must wake for others to find room.
            self.first_read = false;
        } else {
            self.cursor = Some(owed.entry);
        }
        offered
    }

    /// Takes announced events from now on: the queue was read to its end.
    pub(crate) fn follow(&mut self) {
        self.first_read = false;
        self.following = true;
    }

    /// The delivery that an entry of the queue describes.
    fn stored(&self, owed: &Owed<'_>, at: Moment) -> Delivery {
        let wait = Duration::from_millis(owed.not_before.saturating_sub(at.epoch_ms()));
        Delivery {
            attempts: owed.attempts,
            // Longer only if the wall clock was set back since, which must not hold an event up.
            not_before: (!wait.is_zero()).then(|| at.now + wait.min(self.longest_wait)),
            batch: BatchTag::new(owed.not_before).filter(|_| self.batches && owed.attempts > 0),
            ..Delivery::new(owed.entry, owed.claim, owed.id, owed.accepted_at)
        }
    }
}
