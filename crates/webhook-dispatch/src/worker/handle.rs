//! A target's handle: its counters, and the channels to its worker.

use crate::delivery::Endpoint;
use crate::shared::ProgressNotifier;
use crate::shared::stats::{Counters, add};
use crate::target::WINDOW_BYTES;
use crate::target::backlog::LiveEvent;
use crate::target::unsynced::Synced;
use crate::worker::wakeup::{WakeReason, Wakeup};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use webhook_queue::EntryId;

/// What a worker is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// These tasks are owed entries again that were settled before.
    OwedAgain(Vec<Box<[u8]>>),
    /// Send nothing, or go on.
    Pause(bool),
    /// Forget failures, a `Retry-After` and a 410.
    Restart,
    /// Forget a 410.
    Reopen,
    /// Go on under other settings; attempts under way end under theirs.
    Reconfigure(Arc<Endpoint>),
    /// End once nothing is under way, by the retirement of this number: the target was removed.
    Retire(u64),
    /// Do not retire, and go on under these settings.
    Revive(Arc<Endpoint>),
    /// Cut short what is under way, and end.
    Stop,
}

/// What submitters, the queue's writer and the supervisor see of a target. It outlives the worker:
/// when a removed target is added again, the next worker takes over its channels.
#[derive(Debug)]
pub(crate) struct TargetHandle {
    pub(crate) name: Arc<str>,
    reliable: bool,
    pub(crate) counters: Counters,
    /// Whether the worker has missed an event, and has to read the queue.
    pub(crate) behind: AtomicBool,
    pub(crate) progress: Arc<ProgressNotifier>,
    pub(crate) wakeup: Wakeup,
    events: (Sender<LiveEvent>, Receiver<LiveEvent>),
    commands: (Sender<Command>, Receiver<Command>),
    /// [`WORKING`], [`ENDED`], or the number of the worker's retirement.
    worker: AtomicU64,
    /// Shared by the entries of this target in all routing tables in use.
    lease: Mutex<Weak<Lease>>,
    /// Commands that the worker has not carried out yet.
    unhandled: AtomicUsize,
    /// Bytes of the bodies in `events`.
    queued_bytes: AtomicUsize,
    /// Handles for events that no queue keeps.
    next_entry: AtomicU64,
    /// Settlements that were synced since the worker last took them.
    synced: Mutex<Vec<Synced>>,
    /// Whether the next sync wakes the worker.
    wakes_on_sync: AtomicBool,
}

/// Held by a routing table in use.
#[derive(Debug)]
pub(crate) struct Lease(());

/// How often a caller that waits for room for its command looks whether the worker still runs.
const COMMAND_STEP: Duration = Duration::from_millis(100);
/// A worker runs, or is about to.
const WORKING: u64 = 0;
/// No worker runs.
const ENDED: u64 = 1;

impl TargetHandle {
    /// The number of the first retirement.
    pub(crate) const RETIREMENTS: u64 = 2;

    /// A handle with room for so many events on their way to the worker.
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
            progress,
            wakeup: Wakeup::default(),
            events: crossbeam_channel::bounded(events),
            commands: crossbeam_channel::bounded(16),
            worker: AtomicU64::new(WORKING),
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

    /// The worker's end of the channel of events.
    pub(crate) fn events(&self) -> Receiver<LiveEvent> {
        self.events.1.clone()
    }

    /// The worker's end of the channel of commands.
    pub(crate) fn commands(&self) -> Receiver<Command> {
        self.commands.1.clone()
    }

    /// A lease, held by routing tables that may give it an event.
    pub(crate) fn lease(&self) -> Arc<Lease> {
        let mut known = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        known.upgrade().unwrap_or_else(|| {
            let lease = Arc::new(Lease(()));
            *known = Arc::downgrade(&lease);
            lease
        })
    }

    /// Whether a routing table in use may give it an event.
    pub(crate) fn is_leased(&self) -> bool {
        let known = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        known.strong_count() > 0
    }

    /// Whether a worker runs, or is about to.
    pub(crate) fn is_running(&self) -> bool {
        self.worker.load(Ordering::SeqCst) != ENDED
    }

    /// Has the worker end once nothing is under way.
    pub(crate) fn retire(&self, number: u64) {
        let working =
            self.worker
                .compare_exchange(WORKING, number, Ordering::SeqCst, Ordering::SeqCst);
        if working.is_ok() {
            self.command(Command::Retire(number));
        }
    }

    /// Ends the worker by this retirement, unless another command has come since.
    pub(crate) fn end_by(&self, retirement: u64) -> bool {
        self.worker
            .compare_exchange(retirement, ENDED, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The worker has ended, by a panic too.
    pub(crate) fn end(&self) {
        self.worker.store(ENDED, Ordering::SeqCst);
        self.progress.notify();
    }

    /// Another worker begins. It reads the queue first.
    pub(crate) fn begin(&self) {
        self.behind.store(self.reliable, Ordering::SeqCst);
        self.worker.store(WORKING, Ordering::SeqCst);
    }

    /// Cancels the worker's retirement. False if it has ended; then another worker has to begin.
    pub(crate) fn cancel_retirement(&self) -> bool {
        self.worker.swap(WORKING, Ordering::SeqCst) != ENDED
    }

    /// Announces an event after its commit. Never blocks: a worker that does not keep up reads the
    /// queue.
    pub(crate) fn announce(&self, live: LiveEvent) {
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
        self.wakeup.wake(WakeReason::Event);
    }

    /// Gives a best-effort target an event, waiting for room until the deadline.
    /// Gives it back when there was none.
    pub(crate) fn give(
        &self,
        mut live: LiveEvent,
        deadline: Option<Instant>,
    ) -> Result<(), LiveEvent> {
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
                self.wakeup.wake(WakeReason::Event);
                add(&self.counters.accepted, 1);
                Ok(())
            }
        }
    }

    /// Gives a best-effort target an event if there is room at once, and counts it as dropped if
    /// not: other targets want the event, too.
    pub(crate) fn give_or_drop(&self, live: &LiveEvent) {
        if self.give(live.clone(), None).is_err() {
            add(&self.counters.dropped, 1);
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        let queued = self.queued_bytes.load(Ordering::Relaxed);
        queued == 0 || queued.saturating_add(bytes) <= WINDOW_BYTES
    }

    /// The worker has taken this event out of the channel.
    pub(crate) fn taken(&self, live: &LiveEvent) {
        self.queued_bytes
            .fetch_sub(live.body.len(), Ordering::Relaxed);
    }

    /// Commands the worker; false when it has ended.
    pub(crate) fn command(&self, mut command: Command) -> bool {
        self.unhandled.fetch_add(1, Ordering::SeqCst);
        while self.is_running() {
            match self.commands.0.send_timeout(command, COMMAND_STEP) {
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

    /// The worker has carried out so many commands, and shows it.
    pub(crate) fn handled(&self, commands: usize) {
        self.unhandled.fetch_sub(commands, Ordering::SeqCst);
    }

    /// Whether nothing is under way, and nothing will be before an operator acts.
    pub(crate) fn is_at_rest(&self) -> bool {
        let counters = &self.counters;
        counters.pending() == 0
            || !self.is_running()
            || (self.is_held() && counters.in_flight.load(Ordering::Relaxed) == 0)
    }

    /// Whether nothing is sent before an operator acts, and no command waits.
    fn is_held(&self) -> bool {
        self.unhandled.load(Ordering::SeqCst) == 0 && self.counters.is_held()
    }

    /// The queue has synced settlements.
    pub(crate) fn synced(&self, synced: impl Iterator<Item = Synced>) {
        self.synced_so_far().extend(synced);
        if self.wakes_on_sync.swap(false, Ordering::SeqCst) {
            self.wakeup.wake(WakeReason::Urgent);
        }
    }

    /// Takes what was synced since the last call.
    pub(crate) fn take_synced(&self) -> Vec<Synced> {
        std::mem::take(&mut *self.synced_so_far())
    }

    /// Has the worker woken by the next sync.
    pub(crate) fn wake_on_sync(&self) {
        self.wakes_on_sync.store(true, Ordering::SeqCst);
    }

    /// Whether something was synced since [`take_synced`](TargetHandle::take_synced).
    pub(crate) fn has_synced(&self) -> bool {
        !self.synced_so_far().is_empty()
    }

    fn synced_so_far(&self) -> MutexGuard<'_, Vec<Synced>> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
