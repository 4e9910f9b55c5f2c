//! A target's handle: its counters, and the channels to its worker.

use crate::delivery::Endpoint;
use crate::shared::stats::{Counters, add};
use crate::shared::{AttemptLog, ProgressNotifier};
use crate::target::WINDOW_BYTES;
use crate::target::backlog::LiveEvent;
use crate::target::lanes::LaneReport;
use crate::target::unsynced::Synced;
use crate::worker::wakeup::{WakeReason, Wakeup};
use crossbeam_channel::{Receiver, Sender};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};
use webhook_queue::EntryId;

/// A command to a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Look for entries of these tasks that were settled and are pending again.
    OwedAgain(Vec<Box<[u8]>>),
    /// Read the queue from the beginning: entries are owed that were not, or not here.
    Reread,
    /// Pause (true) or resume (false).
    Pause(bool),
    /// Close the breaker, and end a hold by `Retry-After` and a stop by a 410.
    Restart,
    /// End a stop by a 410.
    Reopen,
    /// Continue under other settings; attempts under way end under the old ones.
    Reconfigure(Arc<Endpoint>),
    /// The target was removed: end once nothing is under way. Carries the retirement's number.
    Retire(u64),
    /// Cancel the retirement, and continue under these settings.
    Revive(Arc<Endpoint>),
    /// Abort the attempts under way, and end.
    Stop,
    /// Report lanes.
    Inspect(Inspection, Sender<Vec<LaneReport>>),
}

/// Which lanes a worker reports.
#[derive(Debug)]
pub(crate) enum Inspection {
    /// Up to this many lanes whose first event has failed.
    Stuck(usize),
    /// Those of these keys in the queue.
    Keys(Box<[Arc<[u8]>]>),
}

/// The handles of all reliable targets since the start, by name. A reload adds to them.
pub(crate) type ReliableHandles = Arc<RwLock<HashMap<Arc<str>, Arc<TargetHandle>>>>;

/// A target as submitters, the queue's writer and the supervisor use it. It outlives the worker:
/// when a removed target is added again, the next worker takes over the channels.
#[derive(Debug)]
pub(crate) struct TargetHandle {
    pub(crate) name: Arc<str>,
    reliable: bool,
    pub(crate) counters: Counters,
    pub(crate) attempts: AttemptLog,
    /// Whether an event was not announced, so that the worker has to read the queue.
    pub(crate) behind: AtomicBool,
    pub(crate) progress: Arc<ProgressNotifier>,
    pub(crate) wakeup: Wakeup,
    /// Events for the worker, as many as `room` has. Unbounded itself, since a bounded channel
    /// allocates its slots when it is made, also for a target that gets no event.
    events: (Sender<LiveEvent>, Receiver<LiveEvent>),
    /// Has an entry for each event in `events`, and bounds them.
    room: (Sender<()>, Receiver<()>),
    commands: (Sender<Command>, Receiver<Command>),
    /// [`WORKING`], [`ENDED`], or the number of the worker's retirement.
    worker: AtomicU64,
    /// Whether an operator has paused the target; it stays so when it is removed and added again.
    pub(crate) paused: AtomicBool,
    /// Held by this target's entries in all routing tables in use.
    lease: Mutex<Weak<Lease>>,
    /// Commands that the worker has not carried out yet.
    unhandled: AtomicUsize,
    /// Bytes of the events in `events`.
    queued_bytes: AtomicUsize,
    /// The next entry number of a best-effort target, whose events are in no queue.
    next_entry: AtomicU64,
    /// Settlements synced since the worker last took them.
    synced: Mutex<Vec<Synced>>,
    /// Whether the next sync wakes the worker.
    wakes_on_sync: AtomicBool,
}

/// Shows that a routing table in use may still give the target an event.
#[derive(Debug)]
pub(crate) struct Lease(());

/// How often a thread that waits for room for its command checks whether the worker still runs.
const COMMAND_POLL: Duration = Duration::from_millis(100);
/// A worker runs, or is about to begin.
const WORKING: u64 = 0;
/// No worker runs.
const ENDED: u64 = 1;

impl TargetHandle {
    /// The number of the first retirement.
    pub(crate) const RETIREMENTS: u64 = 2;

    /// A handle whose channel to the worker has room for this many events.
    pub(crate) fn new(
        name: Arc<str>,
        reliable: bool,
        events: usize,
        progress: Arc<ProgressNotifier>,
    ) -> TargetHandle {
        TargetHandle {
            name,
            behind: AtomicBool::new(reliable),
            reliable,
            counters: Counters::new(),
            attempts: AttemptLog::new(),
            progress,
            wakeup: Wakeup::default(),
            events: crossbeam_channel::unbounded(),
            room: crossbeam_channel::bounded(events),
            commands: crossbeam_channel::bounded(16),
            worker: AtomicU64::new(WORKING),
            paused: AtomicBool::new(false),
            lease: Mutex::default(),
            unhandled: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            next_entry: AtomicU64::new(1),
            synced: Mutex::default(),
            wakes_on_sync: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_reliable(&self) -> bool {
        self.reliable
    }

    /// The receiving end of the channel of events.
    pub(crate) fn events(&self) -> Receiver<LiveEvent> {
        self.events.1.clone()
    }

    /// The receiving end of the channel of commands.
    pub(crate) fn commands(&self) -> Receiver<Command> {
        self.commands.1.clone()
    }

    /// The target's lease, for a routing table that may give the target an event.
    pub(crate) fn lease(&self) -> Arc<Lease> {
        let mut known = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        known.upgrade().unwrap_or_else(|| {
            let lease = Arc::new(Lease(()));
            *known = Arc::downgrade(&lease);
            lease
        })
    }

    /// Whether a routing table in use may still give the target an event.
    pub(crate) fn is_leased(&self) -> bool {
        let known = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        known.strong_count() > 0
    }

    /// Whether a worker runs, or is about to begin.
    pub(crate) fn is_running(&self) -> bool {
        self.worker.load(Ordering::SeqCst) != ENDED
    }

    /// Commands the worker to end once nothing is under way.
    pub(crate) fn retire(&self, number: u64) {
        let working =
            self.worker
                .compare_exchange(WORKING, number, Ordering::SeqCst, Ordering::SeqCst);
        if working.is_ok() {
            self.command(Command::Retire(number));
        }
    }

    /// Marks the worker as ended by this retirement, unless the retirement was cancelled.
    pub(crate) fn end_by(&self, retirement: u64) -> bool {
        self.worker
            .compare_exchange(retirement, ENDED, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Marks the worker as ended, also after a panic.
    pub(crate) fn end(&self) {
        self.worker.store(ENDED, Ordering::SeqCst);
        self.progress.notify();
    }

    /// Marks a new worker as running, and makes it read the queue first.
    pub(crate) fn begin(&self) {
        self.behind.store(self.reliable, Ordering::SeqCst);
        self.worker.store(WORKING, Ordering::SeqCst);
    }

    /// Cancels the worker's retirement. False if it has ended; then another worker has to begin.
    pub(crate) fn cancel_retirement(&self) -> bool {
        self.worker.swap(WORKING, Ordering::SeqCst) != ENDED
    }

    /// Announces an event after its commit. Never blocks: without room, the worker reads the event
    /// from the queue.
    pub(crate) fn announce(&self, live: LiveEvent) {
        let bytes = live.content.len();
        let behind = self.behind.load(Ordering::SeqCst);
        if behind || !self.has_room(bytes) || self.room.0.try_send(()).is_err() {
            self.behind.store(true, Ordering::SeqCst);
        } else {
            self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.queue(live);
        }
        self.wakeup.wake(WakeReason::Event);
    }

    /// Makes the worker read the queue on: entries were appended that are not announced.
    pub(crate) fn read_on(&self) {
        self.behind.store(true, Ordering::SeqCst);
        self.wakeup.wake(WakeReason::Event);
    }

    /// Gives a best-effort target an event, waiting for room until the deadline. Without room,
    /// gives the event back.
    pub(crate) fn give(
        &self,
        mut live: LiveEvent,
        deadline: Option<Instant>,
    ) -> Result<(), LiveEvent> {
        live.entry = EntryId(self.next_entry.fetch_add(1, Ordering::Relaxed));
        let bytes = live.content.len();
        if deadline.is_none() && !self.has_room(bytes) {
            return Err(live);
        }
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counters.pending.fetch_add(1, Ordering::SeqCst);
        let has_room = match deadline {
            None => self.room.0.try_send(()).is_ok(),
            Some(deadline) => self.room.0.send_deadline((), deadline).is_ok(),
        };
        if !has_room {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counters.pending.fetch_sub(1, Ordering::SeqCst);
            return Err(live);
        }
        self.queue(live);
        self.wakeup.wake(WakeReason::Event);
        add(&self.counters.accepted, 1);
        Ok(())
    }

    /// Sends an event for which there is room to the worker.
    fn queue(&self, live: LiveEvent) {
        // The receiving end is in `self`, so the channel is open.
        drop(self.events.0.send(live));
    }

    /// Gives a best-effort target an event if there is room at once, and counts it as dropped if
    /// not: other targets want the event, too. After a shutdown no worker takes it.
    pub(crate) fn give_or_drop(&self, live: &LiveEvent) {
        if !self.is_running() || self.give(live.clone(), None).is_err() {
            add(&self.counters.dropped, 1);
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        let queued = self.queued_bytes.load(Ordering::Relaxed);
        queued == 0 || queued.saturating_add(bytes) <= WINDOW_BYTES
    }

    /// Records that the worker has received this event from the channel.
    pub(crate) fn taken(&self, live: &LiveEvent) {
        // It has an entry for each event that was received.
        let _entry: Option<()> = self.room.1.try_recv().ok();
        self.queued_bytes
            .fetch_sub(live.content.len(), Ordering::Relaxed);
    }

    /// Sends a command to the worker. False if the worker has ended.
    pub(crate) fn command(&self, mut command: Command) -> bool {
        self.unhandled.fetch_add(1, Ordering::SeqCst);
        while self.is_running() {
            match self.commands.0.send_timeout(command, COMMAND_POLL) {
                Ok(()) => {
                    self.wakeup.wake(WakeReason::Urgent);
                    return true;
                }
                Err(refused) => command = refused.into_inner(),
            }
        }
        self.unhandled.fetch_sub(1, Ordering::SeqCst);
        false
    }

    /// Records that the worker has carried out this many commands, and published the result.
    pub(crate) fn handled(&self, commands: usize) {
        self.unhandled.fetch_sub(commands, Ordering::SeqCst);
    }

    /// Whether nothing is under way, and nothing will be sent until an event comes or an operator
    /// acts.
    pub(crate) fn is_at_rest(&self) -> bool {
        let counters = &self.counters;
        counters.pending() == 0
            || !self.is_running()
            || (self.is_held() && counters.in_flight.load(Ordering::Relaxed) == 0)
    }

    /// Whether nothing is sent until an operator acts, and no command is waiting.
    fn is_held(&self) -> bool {
        self.unhandled.load(Ordering::SeqCst) == 0 && self.counters.is_held()
    }

    /// Records settlements that the queue has synced.
    pub(crate) fn synced(&self, synced: impl Iterator<Item = Synced>) {
        self.lock_synced().extend(synced);
        if self.wakes_on_sync.swap(false, Ordering::SeqCst) {
            self.wakeup.wake(WakeReason::Urgent);
        }
    }

    /// Takes the settlements synced since the last call.
    pub(crate) fn take_synced(&self) -> Vec<Synced> {
        std::mem::take(&mut *self.lock_synced())
    }

    /// Makes the next sync wake the worker.
    pub(crate) fn wake_on_sync(&self) {
        self.wakes_on_sync.store(true, Ordering::SeqCst);
    }

    /// Whether a settlement was synced since [`take_synced`](TargetHandle::take_synced).
    pub(crate) fn has_synced(&self) -> bool {
        !self.lock_synced().is_empty()
    }

    fn lock_synced(&self) -> MutexGuard<'_, Vec<Synced>> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
