//! What the rest of a dispatcher shares with a target's courier.

use crate::stats::{Counters, add};
use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use webhook_config::{Delivery, Target};
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
    /// Look around: something was accepted while it was behind.
    Wake,
    /// These tasks are owed something again that was settled before.
    OwedAgain(Vec<Box<[u8]>>),
    /// Send nothing, or go on.
    Pause(bool),
    /// Forget that the target failed, or said that it is gone.
    Restart,
    /// Cut short what is under way, and end.
    Stop,
}

/// A target as the submitters and the queue's writer see it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: Arc<str>,
    pub(crate) target: Arc<Target>,
    pub(crate) counters: Counters,
    /// Whether the courier has missed an event and reads the queue instead.
    pub(crate) behind: AtomicBool,
    pub(crate) tally: Arc<Tally>,
    events: Sender<Live>,
    commands: Sender<Command>,
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

    pub(crate) fn new(
        target: Arc<Target>,
        tally: Arc<Tally>,
        events: Sender<Live>,
        commands: Sender<Command>,
    ) -> Line {
        Line {
            name: Arc::from(target.name().as_str()),
            behind: AtomicBool::new(target.delivery() == Delivery::Reliable),
            target,
            counters: Counters::new(),
            tally,
            events,
            commands,
            unheeded: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            next_entry: AtomicU64::new(1),
            synced: Mutex::new(Vec::new()),
            waits_for_sync: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_reliable(&self) -> bool {
        self.target.delivery() == Delivery::Reliable
    }

    /// Tells the courier of an event that the queue has. Never blocks: a courier that does not
    /// keep up reads the queue.
    pub(crate) fn tell(&self, live: Live) {
        if !self.behind.load(Ordering::SeqCst) && self.has_room(live.body.len()) {
            let bytes = live.body.len();
            self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
            match self.events.try_send(live) {
                Ok(()) => return,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                    self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                }
            }
        }
        self.behind.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Gives a best-effort target an event, waiting for room until the deadline.
    /// False when there was none.
    pub(crate) fn give(&self, mut live: Live, deadline: Option<Instant>) -> bool {
        live.entry = EntryId(self.next_entry.fetch_add(1, Ordering::Relaxed));
        let bytes = live.body.len();
        if deadline.is_none() && !self.has_room(bytes) {
            return false;
        }
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counters.pending.fetch_add(1, Ordering::SeqCst);
        let given = match deadline {
            None => self.events.try_send(live).is_ok(),
            Some(deadline) => match self.events.send_deadline(live, deadline) {
                Ok(()) => true,
                Err(SendTimeoutError::Timeout(_) | SendTimeoutError::Disconnected(_)) => false,
            },
        };
        if given {
            add(&self.counters.accepted, 1);
        } else {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counters.pending.fetch_sub(1, Ordering::SeqCst);
        }
        given
    }

    /// Gives a best-effort target an event if there is room at once, and counts it as dropped if
    /// not: others wait for this event, too.
    pub(crate) fn give_or_drop(&self, live: &Live) {
        if !self.give(live.clone(), None) {
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

    fn wake(&self) {
        // A courier with a full channel of commands is awake.
        drop(self.commands.try_send(Command::Wake));
    }

    /// Commands the courier; false when it has ended.
    pub(crate) fn command(&self, command: Command) -> bool {
        self.unheeded.fetch_add(1, Ordering::SeqCst);
        self.commands.send(command).is_ok()
    }

    /// The courier has done, and shows, what so many commands asked for.
    pub(crate) fn heeded(&self, commands: usize) {
        self.unheeded.fetch_sub(commands, Ordering::SeqCst);
    }

    /// Whether nothing is sent until somebody says so, and nobody has.
    pub(crate) fn is_held(&self) -> bool {
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

/// Lets those who wait for deliveries know that there was one.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    waiting: AtomicUsize,
    progress: Mutex<u64>,
    changed: Condvar,
}

impl Tally {
    /// Something was settled.
    pub(crate) fn progressed(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            *self.progress.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            self.changed.notify_all();
        }
    }

    /// Waits until `done`, or until nothing has been settled for `patience`, or until `deadline`;
    /// whether it is done. A patience longer than a clock can count has no end.
    pub(crate) fn wait(
        &self,
        patience: Option<Duration>,
        deadline: Option<Instant>,
        done: impl Fn() -> bool,
    ) -> bool {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moved_at = Instant::now();
        let finished = loop {
            if done() {
                break true;
            }
            let now = Instant::now();
            let patient_until = patience.and_then(|patience| moved_at.checked_add(patience));
            let give_up = [patient_until, deadline].into_iter().flatten().min();
            // What changes without a word, a command to stop say, is seen this often.
            let mut wait = Duration::from_millis(100);
            if let Some(give_up) = give_up {
                let Some(left) = give_up.checked_duration_since(now).filter(|d| !d.is_zero())
                else {
                    break false;
                };
                wait = wait.min(left);
            }
            let before = *progress;
            (progress, _) = self
                .changed
                .wait_timeout(progress, wait)
                .unwrap_or_else(PoisonError::into_inner);
            if *progress != before {
                moved_at = Instant::now();
            }
        };
        drop(progress);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patience_beyond_what_a_clock_counts_waits_until_it_is_done() {
        let asked = std::cell::Cell::new(0);
        let done = || asked.replace(asked.get() + 1) > 0;
        assert!(Tally::default().wait(Some(Duration::MAX), None, done));
    }
}
