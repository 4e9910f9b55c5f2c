//! How an agenda learns what its target is owed: live, or from the queue.

use super::Agenda;
use crate::shared::clock::Moment;
use crate::target::lanes::{Delivery, Offered};
use crate::worker::handle::{Line, Live, Synced};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use webhook_queue::{Owed, Queue, QueueError};

/// Entries looked at in one reading of the queue, so that reports are not kept waiting.
const READ_AT_ONCE: usize = 512;

impl Agenda {
    /// Whether live events are learned of; else the queue is read.
    pub(crate) fn follows(&self) -> bool {
        self.following
    }

    /// Reads the queue from now on.
    pub(crate) fn fall_behind(&mut self) {
        self.following = !self.reliable;
    }

    /// Whether a best-effort target may be given another event.
    pub(crate) fn has_room(&self) -> bool {
        self.lanes.has_room()
    }

    /// Takes an event that was just accepted. False if there is no room: the queue has it.
    pub(crate) fn learn(&mut self, live: Live, now: Instant) -> bool {
        if self.reliable
            && (!self.following || self.cursor.is_some_and(|cursor| live.entry <= cursor))
        {
            // The queue was, or will be, read for it.
            return true;
        }
        let delivery = Delivery::of(&live);
        let (key, body) = (live.key, live.body);
        let shared_key = || Arc::clone(&key);
        match self.lanes.offer(&key, delivery, now, shared_key, || body) {
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

    /// Learns what the queue has synced. A reading that begins after this does not show it.
    pub(crate) fn synced(&mut self, synced: &[Synced]) {
        for synced in synced {
            match synced {
                Synced::Settled(entry) => {
                    self.settling.remove(entry);
                }
                Synced::Noted => self.noting = self.noting.saturating_sub(1),
            }
        }
        if !synced.is_empty() {
            self.owed_again.extend(self.look_again.drain(..));
        }
    }

    /// Whether the next sync is news.
    pub(crate) fn wants_sync(&self) -> bool {
        self.reliable && (self.room_to_settle() == 0 || !self.look_again.is_empty())
    }

    /// How many more attempts may end before a sync: what a crash can deliver twice, and what
    /// waits to be written, is bounded by the window.
    pub(super) fn room_to_settle(&self) -> usize {
        self.window
            .saturating_sub(self.settling.len() + self.noting)
    }

    /// Learns that these tasks are owed something that was settled before. What lies after the
    /// cursor is found by reading on, so it falls behind.
    pub(crate) fn owe_again(&mut self, keys: Vec<Box<[u8]>>) {
        self.owed_again.extend(keys);
        self.fall_behind();
    }

    /// Makes lanes for tasks that are owed something again; false if there was no room for all.
    pub(crate) fn readmit(&mut self) -> bool {
        while let Some(key) = self.owed_again.front() {
            if !self.lanes.owed_again(key) {
                return false;
            }
            self.owed_again.pop_front();
        }
        true
    }

    /// Reads back the lanes whose turn has come; whether there were any.
    pub(crate) fn read_back(&mut self, queue: &dyn Queue, at: Moment) -> Result<bool, QueueError> {
        self.lanes.wake(at.now);
        let mut any = false;
        while let Some((lane, key)) = self.lanes.to_read() {
            let most = self.lanes.read_at_most();
            let mut events = Vec::new();
            let mut bytes = 0_usize;
            let mut more = false;
            let mut hidden = false;
            let (cursor, settling) = (self.cursor, &self.settling);
            queue.owed_of_key(&self.name, &key, None, &mut |owed| {
                if cursor.is_none_or(|cursor| owed.entry > cursor) {
                    return ControlFlow::Break(());
                }
                if settling.contains(&owed.entry) {
                    hidden = true;
                    return ControlFlow::Continue(());
                }
                if events.len() >= most || bytes >= Line::LANE_BYTES {
                    more = true;
                    return ControlFlow::Break(());
                }
                bytes += owed.body.len();
                events.push((stored(&owed, at), Arc::from(owed.body)));
                ControlFlow::Continue(())
            })?;
            any = true;
            if hidden {
                // It may have been owed again since its settlement was synced.
                self.look_again.push(Box::from(&*key));
            }
            self.lanes.refill(lane, events, more, at.now);
        }
        Ok(any)
    }

    /// Reads on from the cursor, if it is behind and there is room, and follows again once there
    /// is nothing more. `behind` says that an accepted event was not told live; whether anything
    /// was done.
    pub(crate) fn read_on(
        &mut self,
        queue: &dyn Queue,
        behind: &AtomicBool,
        at: Moment,
    ) -> Result<bool, QueueError> {
        if self.following || !self.lanes.has_ample_room() {
            return Ok(false);
        }
        let mut seen = 0_usize;
        let mut full = false;
        let name = Arc::clone(&self.name);
        queue.owed(&name, self.cursor, &mut |owed| {
            if self.settling.contains(&owed.entry) {
                self.cursor = Some(owed.entry);
                return ControlFlow::Continue(());
            }
            let offered = self.lanes.offer(
                owed.key,
                stored(&owed, at),
                at.now,
                || Arc::from(owed.key),
                || Arc::from(owed.body),
            );
            if offered == Offered::Full {
                full = true;
                return ControlFlow::Break(());
            }
            self.cursor = Some(owed.entry);
            seen += 1;
            if seen >= READ_AT_ONCE {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if full || seen >= READ_AT_ONCE {
            return Ok(seen > 0);
        }
        // The end, for now. Events accepted after this swap are told live. Those accepted before
        // it may not have been, and the next reading, which begins after it, finds them: so only
        // one that ends without a new gap is the last.
        self.following = !behind.swap(false, Ordering::SeqCst);
        Ok(true)
    }
}

impl Delivery {
    /// An event that was not attempted yet.
    fn of(live: &Live) -> Delivery {
        Delivery {
            entry: live.entry,
            id: live.id,
            accepted_at: live.accepted_at,
            attempts: 0,
            submitted: Some(live.submitted),
            first_attempt_at: None,
            not_before: None,
        }
    }
}

/// An entry as the queue knows it.
fn stored(owed: &Owed<'_>, at: Moment) -> Delivery {
    let wait = owed.not_before.saturating_sub(at.epoch_ms());
    Delivery {
        entry: owed.entry,
        id: owed.id,
        accepted_at: owed.accepted_at,
        attempts: owed.attempts,
        submitted: None,
        first_attempt_at: None,
        // A clock that was set back must not hold an event for years.
        not_before: (wait > 0).then(|| at.now + Duration::from_millis(wait.min(86_400_000))),
    }
}
