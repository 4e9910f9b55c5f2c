//! A target's pending events: those in memory, and the cursor from which the queue holds the rest.
//!
//! While the target keeps up, the backlog *follows*: each event is announced right after its
//! commit. If its window or the channel to its worker is full, it *falls behind*: the worker reads
//! the queue, in order, as room appears, until it has read all of it and the backlog follows again.
//! An entry up to the cursor is in a lane, is known to a lane and in the queue, or is settled; an
//! entry after the cursor is not known yet. So neither way overtakes the other.

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
            entry: live.entry,
            claim: Claim::SOLE,
            id: live.id,
            accepted_at: live.accepted_at,
            attempts: 0,
            early: 0,
            recovered: 0,
            failed_in: None,
            submitted: Some(live.submitted),
            first_attempt_at: None,
            not_before: None,
            batch: None,
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
            entry: owed.entry,
            claim: owed.claim,
            id: owed.id,
            accepted_at: owed.accepted_at,
            attempts: owed.attempts,
            early: 0,
            recovered: 0,
            failed_in: None,
            submitted: None,
            first_attempt_at: None,
            // Longer only if the wall clock was set back since, which must not hold an event up.
            not_before: (!wait.is_zero()).then(|| at.now + wait.min(self.longest_wait)),
            batch: BatchTag::new(owed.not_before).filter(|_| self.batches && owed.attempts > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    /// An entry that failed before.
    fn owed<'a>(entry: usize, key: &'a [u8], body: &'a [u8]) -> Owed<'a> {
        Owed {
            entry: EntryId(entry as u64),
            id: EventId([7; 16]),
            key,
            body,
            attributes: &[],
            accepted_at: 0,
            attempts: 1,
            not_before: 0,
            claim: Claim::SOLE,
        }
    }

    #[test]
    fn lanes_that_are_due_are_read_together_up_to_a_bound_in_bytes() {
        let bounds = Bounds {
            window: 64,
            window_bytes: 16 * READ_BYTES,
            per_lane: 2,
            lanes: 8,
        };
        let mut backlog = Backlog::new(true, bounds, Duration::from_secs(60));
        let mut at = Moment {
            now: Instant::now(),
            wall: UNIX_EPOCH + Duration::from_secs(1_000_000),
        };
        let keys = [b"a", b"b", b"c"];
        let body = vec![0; READ_BYTES / 2];
        for (entry, key) in keys.iter().enumerate() {
            let offered = backlog.offer(&owed(entry, &key[..], &body), at);
            assert_eq!(offered, Offered::Held);
        }
        at.now += Duration::from_secs(2);
        backlog.lanes.wake(at.now);
        let mut read_together = Vec::new();
        loop {
            let (due, mut reads) = backlog.begin_reads();
            if due.is_empty() {
                break;
            }
            read_together.push(due.len());
            for (index, key) in due.iter().enumerate() {
                let entry = keys.iter().position(|it| it[..] == **key).unwrap();
                let owed = owed(entry, key, &body);
                // Each has one entry, however the visit ends.
                let _flow = backlog.read_entry(&mut reads, index, &owed, at);
            }
            backlog.finish_reads(&due, reads, at.now);
        }
        assert_eq!(
            read_together,
            [3, 1],
            "the third found no room in the first read"
        );
        assert_eq!(backlog.lanes.held(), 3);
    }

    const WIDE: Bounds = Bounds {
        window: 64,
        window_bytes: 1 << 30,
        per_lane: 4,
        lanes: 8,
    };
    const HOUR: Duration = Duration::from_secs(3_600);

    fn moment() -> Moment {
        Moment {
            now: Instant::now(),
            wall: UNIX_EPOCH + Duration::from_secs(1_000_000),
        }
    }

    fn live(entry: u64) -> LiveEvent {
        LiveEvent {
            entry: EntryId(entry),
            id: EventId([7; 16]),
            key: Arc::from(*b"a"),
            content: Content::copied(b"{}", &[]),
            accepted_at: 0,
            submitted: Instant::now(),
        }
    }

    #[test]
    fn announced_events_are_taken_once_the_queue_was_read_to_its_end() {
        let at = moment();
        let mut backlog = Backlog::new(true, WIDE, HOUR);
        assert!(!backlog.follows() && backlog.is_starting());
        assert!(backlog.take(live(1), at.now), "a read will find it");
        assert_eq!((backlog.lanes.held(), backlog.cursor()), (0, None));
        assert!(!backlog.is_done(), "the queue may hold more");
        backlog.follow();
        assert!(backlog.follows() && !backlog.is_starting());
        assert!(backlog.is_done());
        assert!(backlog.take(live(2), at.now));
        assert_eq!(backlog.cursor(), Some(EntryId(2)));
        assert!(!backlog.is_done(), "it is owed");
        assert!(backlog.take(live(2), at.now), "it is known");
        assert_eq!(backlog.lanes.held(), 1);
        backlog.fall_behind();
        assert!(!backlog.follows() && !backlog.is_starting());
        backlog.reread();
        assert_eq!(backlog.cursor(), None);
    }

    #[test]
    fn without_room_an_announced_event_is_left_in_the_queue() {
        let at = moment();
        let bounds = Bounds { window: 1, ..WIDE };
        let mut backlog = Backlog::new(true, bounds, HOUR);
        backlog.follow();
        assert!(backlog.has_room());
        assert!(backlog.take(live(1), at.now));
        assert!(!backlog.has_room());
        assert!(!backlog.take(live(2), at.now));
        assert!(!backlog.follows());
        assert_eq!(backlog.cursor(), Some(EntryId(1)));
        backlog.set_window(2, 4);
        assert!(backlog.has_room());
        assert_eq!(backlog.unsynced.room(), 2);
    }

    #[test]
    fn a_best_effort_target_always_follows_and_waits_for_no_sync() {
        let bounds = Bounds { window: 1, ..WIDE };
        let mut backlog = Backlog::new(false, bounds, HOUR);
        backlog.fall_behind();
        assert!(backlog.follows() && backlog.is_done());
        backlog.unsynced.note();
        assert!(!backlog.wants_sync() && !backlog.wants_flush());
    }

    #[test]
    fn a_task_is_pending_while_an_entry_of_it_may_be_owed_again() {
        let mut backlog = Backlog::new(true, Bounds { lanes: 1, ..WIDE }, HOUR);
        let keys = |keys: &[&[u8]]| keys.iter().map(|key| Box::from(*key)).collect();
        backlog.owe_again(keys(&[b"a", b"b"]));
        backlog.follow();
        assert!(!backlog.readmit(), "there is room for one");
        assert_eq!(backlog.lanes.len(), 1);
        let (due, reads) = backlog.begin_reads();
        assert_eq!(*due, [Arc::from(&b"a"[..])]);
        backlog.finish_reads(&due, reads, Instant::now());
        assert!(backlog.lanes.is_empty() && !backlog.is_done());
        assert!(backlog.readmit());
        assert!(!backlog.is_done(), "it is to be read");
    }

    #[test]
    fn an_entry_whose_settlement_is_not_synced_is_looked_for_after_the_sync() {
        let at = moment();
        let mut backlog = Backlog::new(true, WIDE, HOUR);
        backlog.follow();
        backlog.unsynced.settle(EntryId(1), Claim::SOLE);
        assert!(!backlog.wants_sync());
        assert_eq!(backlog.offer(&owed(1, b"a", b"{}"), at), Offered::Held);
        assert!(backlog.lanes.is_empty(), "it is settled");
        assert!(backlog.wants_sync() && !backlog.is_done());
        backlog.synced(&[]);
        assert!(backlog.wants_sync());
        assert!(backlog.readmit() && backlog.lanes.is_empty());
        backlog.synced(&[Synced::Settled(EntryId(1))]);
        assert!(!backlog.wants_sync());
        assert!(backlog.readmit() && !backlog.lanes.is_empty());
    }

    #[test]
    fn a_task_that_waits_for_a_sync_does_not_wait_behind_one_without_room_for_a_lane() {
        let at = moment();
        let mut backlog = Backlog::new(true, Bounds { lanes: 1, ..WIDE }, HOUR);
        let earlier = Claim {
            fence: 1,
            ..Claim::SOLE
        };
        backlog.unsynced.settle(EntryId(1), earlier);
        assert_eq!(backlog.offer(&owed(1, b"a", b"{}"), at), Offered::Held);
        assert!(backlog.begin_reads().0.is_empty(), "it may be settled");
        backlog.owe_again(vec![Box::from(*b"b")]);
        assert!(!backlog.readmit());
        backlog.synced(&[Synced::Settled(EntryId(1))]);
        assert!(!backlog.readmit());
        assert_eq!(*backlog.begin_reads().0, [Arc::from(&b"a"[..])]);
    }

    #[test]
    fn a_task_without_room_for_a_lane_at_a_sync_is_read_later() {
        let at = moment();
        let mut backlog = Backlog::new(true, Bounds { lanes: 1, ..WIDE }, HOUR);
        backlog.follow();
        backlog.unsynced.settle(EntryId(1), Claim::SOLE);
        assert_eq!(backlog.offer(&owed(1, b"a", b"{}"), at), Offered::Held);
        assert_eq!(backlog.offer(&owed(2, b"b", b"{}"), at), Offered::Held);
        assert_eq!(backlog.lanes.len(), 1, "the lane of the other task");
        backlog.synced(&[Synced::Settled(EntryId(1))]);
        assert!(!backlog.readmit(), "it waits for room");
    }

    #[test]
    fn a_stored_event_waits_for_its_time_but_no_longer_than_the_longest_wait() {
        let at = moment();
        let mut backlog = Backlog::new(true, WIDE, HOUR);
        let stored = |backlog: &Backlog, wait: i64| {
            let not_before = at.epoch_ms().saturating_add_signed(wait);
            let owed = Owed {
                not_before,
                ..owed(1, b"a", b"{}")
            };
            backlog.stored(&owed, at).not_before
        };
        let ms = Duration::from_millis;
        assert_eq!(stored(&backlog, -1), None);
        assert_eq!(stored(&backlog, 0), None);
        assert_eq!(stored(&backlog, 5), Some(at.now + ms(5)));
        assert_eq!(stored(&backlog, 3_600_001), Some(at.now + HOUR));
        backlog.set_longest_wait(ms(3));
        assert_eq!(stored(&backlog, 5), Some(at.now + ms(3)));
    }

    #[test]
    fn stored_events_failed_in_one_batch_if_their_time_is_the_same_and_the_target_has_batches() {
        let mut backlog = Backlog::new(true, WIDE, HOUR);
        let batch = |backlog: &Backlog, attempts, not_before| {
            let owed = Owed {
                attempts,
                not_before,
                ..owed(1, b"a", b"{}")
            };
            backlog.stored(&owed, moment()).batch.map(BatchTag::get)
        };
        assert_eq!(batch(&backlog, 1, 7), None);
        backlog.set_batches(true);
        assert_eq!(batch(&backlog, 1, 7), Some(7));
        assert_eq!(batch(&backlog, 1, 0), None);
        assert_eq!(batch(&backlog, 0, 7), None, "it was never attempted");
    }

    #[test]
    fn the_events_of_a_failed_batch_are_read_back_together_however_large_they_are() {
        let large = vec![0; READ_BYTES];
        for (attempts, together) in [(1, 2), (0, 1)] {
            let at = moment();
            let mut backlog = Backlog::new(true, WIDE, HOUR);
            backlog.set_batches(true);
            let entry = |number| Owed {
                attempts,
                not_before: 7,
                ..owed(number, b"a", &large)
            };
            if attempts == 0 {
                backlog.cursor = Some(EntryId(2));
                backlog.owe_again(vec![Box::from(*b"a")]);
                assert!(backlog.readmit());
            } else {
                for number in 1..=2 {
                    assert_eq!(backlog.offer(&entry(number), at), Offered::Held);
                }
                backlog.lanes.wake(at.now + Duration::from_secs(1));
            }
            let (due, mut reads) = backlog.begin_reads();
            for number in 1..=2 {
                if backlog
                    .read_entry(&mut reads, 0, &entry(number), at)
                    .is_break()
                {
                    break;
                }
            }
            backlog.finish_reads(&due, reads, at.now);
            assert_eq!(backlog.lanes.held(), together, "{attempts} attempts");
        }
    }
}
