//! What the rest of a dispatcher shares with a target's courier.

use crate::shared::progress::Tally;
use crate::shared::stats::{Counters, add};
use crate::worker::sender::Bench;
use crate::worker::wakeup::{Bell, News};
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

/// What a courier is told to do.
#[derive(Debug)]
pub(crate) enum Command {
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
    events: (Sender<Live>, Receiver<Live>),
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
            synced: Mutex::new(Vec::new()),
            waits_for_sync: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_reliable(&self) -> bool {
        self.reliable
    }

    /// Where its courier hears of events.
    pub(crate) fn events(&self) -> Receiver<Live> {
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
    pub(crate) fn tell(&self, live: Live) {
        let bytes = live.body.len();
        if self.behind.load(Ordering::SeqCst) || !self.has_room(bytes) {
            self.behind.store(true, Ordering::SeqCst);
        } else {
            self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
            if self.events.0.try_send(live).is_err() {
                self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.behind.store(true, Ordering::SeqCst);
            }
        }
        self.bell.ring(News::Event);
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
        let refused = match deadline {
            None => self
                .events
                .0
                .try_send(live)
                .map_err(TrySendError::into_inner),
            Some(deadline) => self
                .events
                .0
                .send_deadline(live, deadline)
                .map_err(SendTimeoutError::into_inner),
        };
        match refused {
            Err(live) => {
                self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.counters.pending.fetch_sub(1, Ordering::SeqCst);
                Err(live)
            }
            Ok(()) => {
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
    pub(crate) fn taken(&self, live: &Live) {
        self.queued_bytes
            .fetch_sub(live.body.len(), Ordering::Relaxed);
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
            self.bell.ring(News::Urgent);
        }
    }

    /// What was synced since this was last asked.
    pub(crate) fn take_synced(&self) -> Vec<Synced> {
        std::mem::take(&mut *self.synced_so_far())
    }

    /// Has the courier woken by the next sync.
    pub(crate) fn wake_on_sync(&self) {
        self.waits_for_sync.store(true, Ordering::SeqCst);
    }

    /// Whether something was synced since [`take_synced`](Line::take_synced).
    pub(crate) fn has_synced(&self) -> bool {
        !self.synced_so_far().is_empty()
    }

    fn synced_so_far(&self) -> std::sync::MutexGuard<'_, Vec<Synced>> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
