//! A queue without a disk.

mod state;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::state::State;
use crate::{
    Accepted, CommitResult, DeadLetter, DuplicateWindow, EntryId, Event, LastState, LastStates,
    Owed, Quarantined, Queue, QueueError, Quotas, RecentKeys, Settled, Settlement, Statistics,
    TargetHold, Verification, Verify, has_room_to_keep,
};

/// A [`Queue`] in memory, bounded in bytes: for dispatchers that need no disk, and the model that
/// other queues are tested against. Its events are lost when the process ends.
#[derive(Debug)]
pub struct MemoryQueue {
    max_bytes: u64,
    /// Readers share it, so that none holds the lock while it visits entries. A change copies it if
    /// a reader still has it.
    state: Mutex<Arc<State>>,
    quotas: Mutex<Arc<Quotas>>,
    /// Outside the state, so that it is never copied. Locked after the state.
    recent: Mutex<RecentKeys>,
    /// Likewise, and locked after the keys.
    last_states: Mutex<LastStates>,
}

impl MemoryQueue {
    /// An empty queue that holds about `max_bytes` of keys, bodies, attributes and notes, and knows
    /// idempotency keys as long as [`DuplicateWindow::DEFAULT`] says.
    ///
    /// ```
    /// use webhook_queue::{Event, EventId, MemoryQueue, Queue, QueueError};
    ///
    /// let queue = MemoryQueue::new(1_000);
    /// let large = Event::new(EventId([7; 16]), &b"hello-0"[..], vec![b' '; 2_000], 0, ["audit"]);
    /// let refused = queue.commit(&[large], &[]).unwrap_err();
    /// assert!(matches!(refused, QueueError::TooLarge { .. }), "{refused}");
    /// ```
    #[must_use]
    pub fn new(max_bytes: u64) -> MemoryQueue {
        MemoryQueue::with_window(max_bytes, DuplicateWindow::DEFAULT)
    }

    /// As [`new`](MemoryQueue::new), with another window. The memory of the keys is not counted.
    #[must_use]
    pub fn with_window(max_bytes: u64, window: DuplicateWindow) -> MemoryQueue {
        MemoryQueue {
            max_bytes,
            state: Mutex::default(),
            quotas: Mutex::default(),
            recent: Mutex::new(RecentKeys::new(window)),
            last_states: Mutex::new(LastStates::new(LastState::DEFAULT_COUNT)),
        }
    }

    /// Bounds the number of last states, whose memory is not counted either.
    #[must_use]
    pub fn with_max_last_states(mut self, max: u64) -> MemoryQueue {
        self.last_states = Mutex::new(LastStates::new(max));
        self
    }

    fn quotas(&self) -> Arc<Quotas> {
        let quotas = self.quotas.lock();
        quotas.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn last_states(&self) -> MutexGuard<'_, LastStates> {
        let states = self.last_states.lock();
        states.unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Arc<State> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<State>> {
        // No change panics midway, so even a poisoned state is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verify for MemoryQueue {
    fn quarantined(
        &self,
        _after: Option<EntryId>,
        _visit: &mut dyn FnMut(Quarantined<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        Ok(())
    }

    fn verify(&self) -> Result<Verification, QueueError> {
        Ok(self.snapshot().verification())
    }
}

impl Queue for MemoryQueue {
    fn commit(
        &self,
        appends: &[Event],
        settlements: &[Settlement],
    ) -> Result<CommitResult, QueueError> {
        let mut state = self.lock();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let repeated = |recent: &RecentKeys, event: &Event| {
            let key = event.idempotency_key.as_deref()?;
            recent.find(key, event.accepted_at)
        };
        let mut states = self.last_states();
        let is_unchanged = |states: &LastStates, state: &LastState| {
            states
                .get(&state.key)
                .is_some_and(|last| last == state.state)
        };
        let mut need = 0;
        // An event after another of its key is looked at when that one was appended.
        let (mut dropped, mut keys) = (Vec::with_capacity(appends.len()), HashSet::new());
        for event in appends {
            let state = event.last_state.as_deref();
            dropped.push(
                repeated(&recent, event).is_some()
                    || state.is_some_and(|it| keys.insert(&it.key) && is_unchanged(&states, it)),
            );
            if dropped.last() == Some(&true) {
                continue;
            }
            state.map_or(Ok(()), LastState::check)?;
            let size = state::size(event);
            if size > self.max_bytes {
                return Err(QueueError::TooLarge {
                    size,
                    max: self.max_bytes,
                });
            }
            need += size;
        }
        let used = state.bytes();
        let full = || QueueError::Full {
            used,
            max: self.max_bytes,
        };
        if need > 0 && used + need > self.max_bytes {
            return Err(full());
        }
        // Before anything changes, so that a commit that fails changes nothing.
        let quotas = self.quotas();
        let free = self.max_bytes.saturating_sub(used + need);
        let over_quota = state.over_quota(appends, &dropped, &quotas, free);
        let over_quota = over_quota.ok_or_else(full)?;
        let state = Arc::make_mut(&mut state);
        let has_room = has_room_to_keep(used, self.max_bytes);
        let settle = |it| state.settle(it, has_room);
        let settled = settlements.iter().map(settle).collect();
        for settlement in settlements {
            if let Settled::Kept { delivered_at, .. } = settlement.outcome {
                state.trim_kept(&settlement.target, &quotas, delivered_at);
            }
        }
        let mut append = |(event, mut over_quota): (&Event, Vec<Arc<str>>)| {
            if let Some(first) = repeated(&recent, event) {
                return Accepted::Duplicate(first);
            }
            let last_state = event.last_state.as_deref();
            if last_state.is_some_and(|it| is_unchanged(&states, it)) {
                if let Some(key) = &event.idempotency_key {
                    recent.learn(key, &event.body, event.id, event.accepted_at);
                }
                return Accepted::Unchanged;
            }
            let previous = last_state.and_then(|it| states.get(&it.key));
            let completed = event.after(previous.as_deref());
            let event = completed.as_ref().unwrap_or(event);
            over_quota.retain(|target| event.targets.contains(target));
            if !over_quota.is_empty() && event.targets.iter().all(|it| over_quota.contains(it)) {
                return Accepted::OverQuota(over_quota.into());
            }
            if let Some(key) = &event.idempotency_key {
                recent.learn(key, &event.body, event.id, event.accepted_at);
            }
            if let Some(LastState { key, state, .. }) = last_state {
                states.set(key, Arc::clone(state));
            }
            let entry = state.append(event, &over_quota);
            let accepted = match over_quota.is_empty() {
                true => Accepted::Stored(entry),
                false => Accepted::Partly {
                    entry,
                    over_quota: over_quota.into(),
                },
            };
            accepted.after(previous)
        };
        let accepted = appends.iter().zip(over_quota).map(&mut append).collect();
        Ok(CommitResult { accepted, settled })
    }

    fn set_quotas(&self, quotas: Quotas) {
        *self.quotas.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(quotas);
    }

    fn trim_dead_letters(&self, now: u64) -> Result<Vec<(Arc<str>, u64)>, QueueError> {
        let quotas = self.quotas();
        let mut state = self.lock();
        let excess = state.excess(&quotas, now);
        if !excess.is_empty() {
            let state = Arc::make_mut(&mut state);
            for (name, entries) in &excess {
                state.remove(name, entries);
            }
        }
        let count = |(name, entries): (Arc<str>, Vec<u64>)| (name, entries.len() as u64);
        Ok(excess.into_iter().map(count).collect())
    }

    fn is_repetition(&self, key: &[u8], body: &[u8]) -> Result<bool, QueueError> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(recent.is_repetition(key, body))
    }

    fn last_state(&self, key: &[u8]) -> Result<Option<Arc<[u8]>>, QueueError> {
        Ok(self.last_states().get(key))
    }

    fn owed(
        &self,
        target: &str,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.snapshot().visit_owed(target, None, after, visit);
        Ok(())
    }

    fn owed_of_keys(
        &self,
        target: &str,
        keys: &[Arc<[u8]>],
        visit: &mut dyn FnMut(usize, Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        let snapshot = self.snapshot();
        for (index, key) in keys.iter().enumerate() {
            snapshot.visit_owed(target, Some(key), None, &mut |owed| visit(index, owed));
        }
        Ok(())
    }

    fn dead_letters(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.snapshot().visit_dead(target, after, visit);
        Ok(())
    }

    fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        let mut state = self.lock();
        Ok(Arc::make_mut(&mut state).take_dead(target, entries, true))
    }

    fn drop_dead(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        let mut state = self.lock();
        Ok(Arc::make_mut(&mut state).take_dead(target, entries, false))
    }

    fn drop_target(&self, target: &str) -> Result<u64, QueueError> {
        let mut state = self.lock();
        Ok(Arc::make_mut(&mut state).drop_target(target))
    }

    fn hold(&self, target: &str) -> Result<Option<TargetHold>, QueueError> {
        Ok(self.snapshot().hold(target).cloned())
    }

    fn verifier(&self) -> Option<&dyn Verify> {
        Some(self)
    }

    fn statistics(&self) -> Result<Statistics, QueueError> {
        let state = self.lock();
        Ok(Statistics {
            targets: state.statistics(),
            events: state.events(),
            bytes: state.bytes(),
            max_bytes: self.max_bytes,
            usable_bytes: self.max_bytes,
            corrupt: 0,
            last_states: self.last_states().len(),
            shared: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, SlotGuard};

    fn event() -> Event {
        Event::new(EventId([7; 16]), &b"key"[..], &b"body"[..], 0, ["t"])
    }

    fn dead(note: &[u8]) -> Settlement {
        Settlement {
            target: "t".into(),
            entry: EntryId(1),
            outcome: Settled::Dead {
                attempts: 1,
                died_at: 0,
                note: note.to_vec(),
            },
            guard: SlotGuard::SOLE,
        }
    }

    #[test]
    fn an_event_needs_exactly_the_bytes_that_it_is_counted_with() {
        let size = state::size(&event());
        let queue = MemoryQueue::new(size);
        queue.commit(&[event()], &[]).unwrap();
        assert_eq!(queue.statistics().unwrap().bytes, size);
        let error = queue.commit(&[event()], &[]).unwrap_err();
        assert!(matches!(error, QueueError::Full { .. }), "{error}");
        let error = MemoryQueue::new(size - 1).commit(&[event()], &[]);
        let error = error.unwrap_err();
        assert!(matches!(error, QueueError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn the_bytes_of_a_queue_are_those_of_what_its_targets_hold() {
        let queue = MemoryQueue::new(1 << 20);
        let bytes = || {
            let statistics = queue.statistics().unwrap();
            let target = &statistics.targets[0];
            assert_eq!(statistics.bytes, target.owed_bytes + target.dead_bytes);
            statistics.bytes
        };
        queue.commit(&[event()], &[]).unwrap();
        let owed = bytes();
        queue.commit(&[], &[dead(b"why")]).unwrap();
        assert_eq!(bytes(), owed + 3);
        assert_eq!(queue.drop_dead("t", &[EntryId(1)]).unwrap(), 1);
        assert_eq!(bytes(), 0);
    }

    #[test]
    fn a_queue_over_its_bound_takes_settlements() {
        let queue = MemoryQueue::new(state::size(&event()));
        queue.commit(&[event()], &[]).unwrap();
        queue.commit(&[], &[dead(b"a long reason")]).unwrap();
        let statistics = queue.statistics().unwrap();
        assert!(statistics.bytes > statistics.max_bytes);
        queue.commit(&[], &[dead(b"")]).unwrap();
    }
}
