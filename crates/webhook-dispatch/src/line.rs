//! What the rest of a dispatcher shares with a target's courier.

use crate::bell::{Bell, News};
use crate::sender::Bench;
use crate::stats::{Counters, add};
use crate::tally::Tally;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use webhook_queue::{EntryId, EventId};

/// An event on its way to a courier that keeps up.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) entry: EntryId,
    pub(crate) id: EventId,
    pub(crate) key: Arc<[u8]>,
    pub(crate) body: Arc<[u8]>,
    pub(crate) accepted_at: u64,
    pub(crate) submitted: Instant,
}

/// What a courier hears of an event.
#[derive(Debug)]
pub(crate) enum Notice {
    /// It was accepted; with its number. Of a best-effort target, the number says nothing.
    Live(Live, u64),
    /// It is about to be committed. `after` is the number of the last event before it that this
    /// was not said of.
    Early {
        /// The event. Its entry says nothing.
        live: Live,
        /// That number.
        after: u64,
    },
    /// What was said to be about to be committed is.
    Told {
        /// The event.
        id: EventId,
        /// Where the queue has it.
        entry: EntryId,
        /// Its number.
        number: u64,
    },
}

impl Notice {
    fn bytes(&self) -> usize {
        match self {
            Notice::Live(live, _) | Notice::Early { live, .. } => live.body.len(),
            Notice::Told { .. } => 0,
        }
    }
}

/// What a courier is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Look around: something was synced, or withdrawn.
    Wake,
    /// These tasks are owed something again that was settled before.
    OwedAgain(Vec<Box<[u8]>>),
    /// Send nothing, or go on.
    Pause(bool),
    /// Forget that the target failed, or said that it is gone.
    Restart,
    /// Forget that the target said that it is gone.
    Reopen,
    /// Go on under other settings; attempts under way end under theirs.
    Reconfigure(Arc<Bench>),
    /// End when nothing is under way any more, by the retirement of this number: the target is
    /// none any more.
    Retire(u64),
    /// Do not retire, and go on under these settings.
    Revive(Arc<Bench>),
    /// Cut short what is under way, and end.
    Stop,
}

/// A target as the submitters and the queue's writer see it. It outlives its courier: should the
/// target be removed and added again, another one takes over what comes along it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: Arc<str>,
    reliable: bool,
    pub(crate) counters: Counters,
    /// Whether the courier has missed an event and reads the queue instead.
    pub(crate) behind: AtomicBool,
    pub(crate) tally: Arc<Tally>,
    /// Rung when there is something for the courier.
    pub(crate) bell: Bell,
    events: (Sender<Notice>, Receiver<Notice>),
    commands: (Sender<Command>, Receiver<Command>),
    /// [`WORKING`], [`ENDED`], or the number of the courier's retirement.
    courier: AtomicU64,
    /// Shared by all seats of this line in any roster that is still in use.
    presence: Mutex<Weak<Presence>>,
    /// Commands that the courier has not carried out yet.
    unheeded: AtomicUsize,
    /// Bytes of the bodies in `events`.
    queued_bytes: AtomicUsize,
    /// Handles for events that no queue keeps.
    next_entry: AtomicU64,
    /// The number of the last event on its way to the queue.
    last_number: AtomicU64,
    /// The number of the last of them that the courier was not told of early.
    unannounced: AtomicU64,
    /// Whether the courier does not know that the queue has something that it was told of early.
    unheard: AtomicBool,
    /// Told of early, and refused by the queue after all.
    withdrawn: Mutex<Vec<EventId>>,
    /// What was synced since the courier last asked.
    synced: Mutex<Vec<Synced>>,
    /// Whether the courier waits for that.
    waits_for_sync: AtomicBool,
}

/// A line's place in a roster.
#[derive(Debug)]
pub(crate) struct Presence;

/// How long a courier may be busy before it is asked whether it is there at all.
const LISTENS: Duration = Duration::from_millis(100);
/// A courier works, or will.
const WORKING: u64 = 0;
/// There is no courier.
const ENDED: u64 = 1;

/// A settlement that the queue has synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    /// This entry is owed no longer.
    Settled(EntryId),
    /// An attempt was noted.
    Noted,
}

impl Line {
    /// Bytes of bodies that a target may hold in its lanes, and as many again on their way there.
    pub(crate) const WINDOW_BYTES: usize = 16 * 1024 * 1024;
    /// Bytes of bodies that one task reads back at once.
    pub(crate) const LANE_BYTES: usize = 1024 * 1024;

    /// The number of the first retirement.
    pub(crate) const RETIREMENTS: u64 = 2;

    /// A line that holds `live` events at most on their way to the courier, which it waits for.
    pub(crate) fn new(name: Arc<str>, reliable: bool, live: usize, tally: Arc<Tally>) -> Line {
        Line {
            name,
            behind: AtomicBool::new(reliable),
            reliable,
            counters: Counters::new(),
            tally,
            bell: Bell::default(),
            events: crossbeam_channel::bounded(live),
            commands: crossbeam_channel::bounded(16),
            courier: AtomicU64::new(WORKING),
            presence: Mutex::default(),
            unheeded: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            next_entry: AtomicU64::new(1),
            last_number: AtomicU64::new(0),
            unannounced: AtomicU64::new(0),
            unheard: AtomicBool::new(false),
            withdrawn: Mutex::default(),
            synced: Mutex::new(Vec::new()),
            waits_for_sync: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_reliable(&self) -> bool {
        self.reliable
    }

    /// Where its courier hears of events.
    pub(crate) fn events(&self) -> Receiver<Notice> {
        self.events.1.clone()
    }

    /// Where its courier hears what to do.
    pub(crate) fn commands(&self) -> Receiver<Command> {
        self.commands.1.clone()
    }

    /// Held by whoever may give it an event.
    pub(crate) fn presence(&self) -> Arc<Presence> {
        let mut known = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        known.upgrade().unwrap_or_else(|| {
            let presence = Arc::new(Presence);
            *known = Arc::downgrade(&presence);
            presence
        })
    }

    /// Whether anybody may give it an event.
    pub(crate) fn is_present(&self) -> bool {
        let known = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        known.strong_count() > 0
    }

    /// Whether there is a courier, or will be.
    pub(crate) fn is_running(&self) -> bool {
        self.courier.load(Ordering::SeqCst) != ENDED
    }

    /// Has the courier end when it is ready to.
    pub(crate) fn retire(&self, number: u64) {
        let working =
            self.courier
                .compare_exchange(WORKING, number, Ordering::SeqCst, Ordering::SeqCst);
        if working.is_ok() {
            self.command(Command::Retire(number));
        }
    }

    /// The courier ends by this retirement, unless another command has come since.
    pub(crate) fn end_by(&self, retirement: u64) -> bool {
        self.courier
            .compare_exchange(retirement, ENDED, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The courier has ended, however it came to that.
    pub(crate) fn end(&self) {
        self.courier.store(ENDED, Ordering::SeqCst);
        self.tally.progressed();
    }

    /// Another courier begins: what the queue holds comes first.
    pub(crate) fn begin(&self) {
        self.behind.store(self.reliable, Ordering::SeqCst);
        self.courier.store(WORKING, Ordering::SeqCst);
    }

    /// Has the courier that is there stay; false if it has ended: then another may begin.
    pub(crate) fn stay(&self) -> bool {
        self.courier.swap(WORKING, Ordering::SeqCst) != ENDED
    }

    /// Tells the courier of an event that the queue has. Never blocks: a courier that does not
    /// keep up reads the queue.
    pub(crate) fn tell(&self, live: Live, number: u64) {
        if self.behind.load(Ordering::SeqCst) || !self.notify(Notice::Live(live, number)) {
            self.behind.store(true, Ordering::SeqCst);
            self.bell.ring(News::Event);
        }
    }

    /// Tells the courier that the queue has an event that it was told of early. One that has
    /// missed another since is told, too: it sees that from `behind`.
    pub(crate) fn told(&self, id: EventId, entry: EntryId, number: u64) {
        if !self.notify(Notice::Told { id, entry, number }) {
            self.unheard.store(true, Ordering::SeqCst);
            self.behind.store(true, Ordering::SeqCst);
            // One that leaves looks no longer whether it is behind, but at commands.
            self.wake();
        }
    }

    /// The number of the last event on its way to the queue.
    pub(crate) fn last_number(&self) -> u64 {
        self.last_number.load(Ordering::SeqCst)
    }

    /// Has [`take_unheard`](Line::take_unheard) asked again.
    pub(crate) fn set_unheard(&self) {
        self.unheard.store(true, Ordering::SeqCst);
    }

    /// Whether the courier could not be told that the queue has something. Asked once.
    pub(crate) fn take_unheard(&self) -> bool {
        self.unheard.swap(false, Ordering::SeqCst)
    }

    /// Tells the courier of an event that is about to be committed; whether it could be told.
    /// Numbers must come in the order in which their events will be committed.
    pub(crate) fn tell_early(&self, live: Live, number: u64) -> bool {
        self.last_number.store(number, Ordering::SeqCst);
        if self.behind.load(Ordering::SeqCst) {
            // It reads the queue, and would only have to keep this in mind.
            self.pass_over(number);
            return false;
        }
        let after = self.unannounced.load(Ordering::SeqCst);
        let told = self.notify(Notice::Early { live, after });
        if !told {
            self.pass_over(number);
        }
        told
    }

    /// Does not tell the courier of an event that is about to be committed.
    pub(crate) fn pass_over(&self, number: u64) {
        self.last_number.store(number, Ordering::SeqCst);
        self.unannounced.fetch_max(number, Ordering::SeqCst);
    }

    /// Tells the courier that the queue refused an event that it was told of early.
    pub(crate) fn withdraw(&self, id: EventId) {
        self.withdrawn_so_far().push(id);
        self.wake();
    }

    /// What was withdrawn since this was last asked.
    pub(crate) fn take_withdrawn(&self) -> Vec<EventId> {
        std::mem::take(&mut *self.withdrawn_so_far())
    }

    fn withdrawn_so_far(&self) -> std::sync::MutexGuard<'_, Vec<EventId>> {
        self.withdrawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something to the courier, if there is room for it.
    fn notify(&self, notice: Notice) -> bool {
        let bytes = notice.bytes();
        if !self.has_room(bytes) {
            return false;
        }
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let told = self.events.0.try_send(notice).is_ok();
        if told {
            self.bell.ring(News::Event);
        } else {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        told
    }

    /// Gives a best-effort target an event, waiting for room until the deadline.
    /// Gives it back when there was none.
    pub(crate) fn give(&self, mut live: Live, deadline: Option<Instant>) -> Result<(), Live> {
        live.entry = EntryId(self.next_entry.fetch_add(1, Ordering::Relaxed));
        let bytes = live.body.len();
        if deadline.is_none() && !self.has_room(bytes) {
            return Err(live);
        }
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counters.pending.fetch_add(1, Ordering::SeqCst);
        let notice = Notice::Live(live, 0);
        let refused = match deadline {
            None => self
                .events
                .0
                .try_send(notice)
                .map_err(TrySendError::into_inner),
            Some(deadline) => self
                .events
                .0
                .send_deadline(notice, deadline)
                .map_err(SendTimeoutError::into_inner),
        };
        match refused {
            Err(Notice::Live(live, _)) => {
                self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.counters.pending.fetch_sub(1, Ordering::SeqCst);
                Err(live)
            }
            _ => {
                self.bell.ring(News::Event);
                add(&self.counters.accepted, 1);
                Ok(())
            }
        }
    }

    /// Gives a best-effort target an event if there is room at once, and counts it as dropped if
    /// not: others wait for this event, too.
    pub(crate) fn give_or_drop(&self, live: &Live) {
        if self.give(live.clone(), None).is_err() {
            add(&self.counters.dropped, 1);
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        let queued = self.queued_bytes.load(Ordering::Relaxed);
        queued == 0 || queued.saturating_add(bytes) <= Line::WINDOW_BYTES
    }

    /// The courier has this one out of the channel.
    pub(crate) fn taken(&self, notice: &Notice) {
        self.queued_bytes
            .fetch_sub(notice.bytes(), Ordering::Relaxed);
    }

    fn wake(&self) {
        // A courier with a full channel of commands is awake.
        drop(self.commands.0.try_send(Command::Wake));
        self.bell.ring(News::Urgent);
    }

    /// Commands the courier; false when it has ended.
    pub(crate) fn command(&self, mut command: Command) -> bool {
        self.unheeded.fetch_add(1, Ordering::SeqCst);
        while self.is_running() {
            match self.commands.0.send_timeout(command, LISTENS) {
                Ok(()) => {
                    self.bell.ring(News::Urgent);
                    return true;
                }
                Err(refused) => command = refused.into_inner(),
            }
        }
        self.unheeded.fetch_sub(1, Ordering::SeqCst);
        false
    }

    /// The courier has done, and shows, what so many commands asked for.
    pub(crate) fn heeded(&self, commands: usize) {
        self.unheeded.fetch_sub(commands, Ordering::SeqCst);
    }

    /// Whether nothing is under way, and nothing will be unless somebody does something.
    pub(crate) fn is_at_rest(&self) -> bool {
        let counters = &self.counters;
        counters.pending() == 0
            || !self.is_running()
            || (self.is_held() && counters.in_flight.load(Ordering::Relaxed) == 0)
    }

    /// Whether nothing is sent until somebody says so, and nobody has.
    fn is_held(&self) -> bool {
        self.unheeded.load(Ordering::SeqCst) == 0 && self.counters.is_held()
    }

    /// The queue has synced a settlement.
    pub(crate) fn synced(&self, synced: Synced) {
        self.synced_so_far().push(synced);
        if self.waits_for_sync.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// What was synced since this was last asked.
    pub(crate) fn take_synced(&self) -> Vec<Synced> {
        std::mem::take(&mut *self.synced_so_far())
    }

    /// Has the courier woken by the next sync. False if there was one already.
    pub(crate) fn wake_on_sync(&self) -> bool {
        self.waits_for_sync.store(true, Ordering::SeqCst);
        // A sync may have come before it could know that somebody waits.
        self.synced_so_far().is_empty()
    }

    fn synced_so_far(&self) -> std::sync::MutexGuard<'_, Vec<Synced>> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_courier_is_commanded_to_look_when_what_the_queue_has_could_not_be_said() {
        let line = Line::new("a".into(), true, 1, Arc::default());
        line.told(EventId([1; 16]), EntryId(1), 1);
        assert!(line.commands().is_empty());
        line.told(EventId([2; 16]), EntryId(2), 2);
        // It may hear the first and see nothing else that is new to it.
        assert_eq!(line.events().try_iter().count(), 1);
        assert!(matches!(line.commands().try_recv(), Ok(Command::Wake)));
    }
}
