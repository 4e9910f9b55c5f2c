//! A queue without a disk.

use std::collections::{BTreeMap, HashSet};
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    Accepted, Claim, CommitResult, DeadLetter, DeadLetterLimits, DuplicateWindow, EntryId, Event,
    LastState, LastStates, Owed, Quarantined, Queue, QueueError, Quotas, RecentKeys, Settled,
    Settlement, SettlementResult, Statistics, TargetHold, TargetStatistics, Verification, Verify,
    has_room_to_keep, kept_name, merge_kept, target_of_kept,
};

/// Bytes counted for an event besides its key, body and attributes.
const EVENT_OVERHEAD: u64 = 64;

/// Bytes counted for each target of an event, besides a dead letter's note.
const TARGET_OVERHEAD: u64 = 32;

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

#[derive(Clone, Debug, Default)]
struct State {
    last: u64,
    bytes: u64,
    /// The bytes that each target is owed.
    targets: BTreeMap<Arc<str>, u64>,
    events: BTreeMap<u64, Stored>,
    holds: BTreeMap<Arc<str>, TargetHold>,
}

#[derive(Clone, Debug)]
struct Stored {
    event: Event,
    standings: BTreeMap<Arc<str>, Standing>,
}

/// The state of an event at one target.
#[derive(Clone, Debug)]
enum Standing {
    Owed {
        attempts: u32,
        not_before: u64,
    },
    Dead {
        attempts: u32,
        died_at: u64,
        note: Vec<u8>,
    },
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

    /// The targets of each event that are over their quotas. Those that are dropped are not looked
    /// at.
    fn over_quota(
        &self,
        state: &State,
        appends: &[Event],
        free: u64,
        dropped: &[bool],
    ) -> Result<Vec<Vec<Arc<str>>>, QueueError> {
        let quotas = self.quotas();
        let mut owed = match quotas.is_unlimited() {
            true => return Ok(vec![Vec::new(); appends.len()]),
            false => state.targets.clone(),
        };
        let mut found = Vec::with_capacity(appends.len());
        for (event, dropped) in appends.iter().zip(dropped) {
            if *dropped {
                found.push(Vec::new());
                continue;
            }
            let cost = Stored::cost(event);
            let is_over = |owed: &BTreeMap<Arc<str>, u64>, target: &Arc<str>| {
                let owed = owed.get(target).copied().unwrap_or(0);
                owed > 0 && owed + cost > quotas.max_owed(target, free)
            };
            let mut over: Vec<Arc<str>> = event.targets.to_vec();
            over.retain(|target| is_over(&owed, target));
            let accepts = |target: &&Arc<str>| !is_over(&owed, target);
            if over.len() < event.targets.len() {
                for target in event.targets.iter().filter(|it| !over.contains(it)) {
                    *owed.entry(target.clone()).or_default() += cost;
                }
            } else if !over.is_empty() && !quotas.owed.keys().any(|target| accepts(&target)) {
                return Err(QueueError::Full {
                    used: state.bytes,
                    max: self.max_bytes,
                });
            }
            found.push(over);
        }
        Ok(found)
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

impl Stored {
    fn size(event: &Event) -> u64 {
        let lengths = [&event.key, &event.body, &event.attributes].map(|bytes| bytes.len() as u64);
        EVENT_OVERHEAD + lengths.iter().sum::<u64>()
    }

    /// What an event counts for each of its targets.
    fn cost(event: &Event) -> u64 {
        Stored::size(event) + TARGET_OVERHEAD
    }

    fn owed(&self, seq: u64, attempts: u32, not_before: u64) -> Owed<'_> {
        Owed {
            entry: EntryId(seq),
            id: self.event.id,
            key: &self.event.key,
            body: &self.event.body,
            attributes: &self.event.attributes,
            accepted_at: self.event.accepted_at,
            attempts,
            not_before,
            claim: Claim::SOLE,
        }
    }
}

impl Standing {
    /// That of an event that was never attempted.
    const NEW: Standing = Standing::Owed {
        attempts: 0,
        not_before: 0,
    };

    fn size(&self) -> u64 {
        match self {
            Standing::Owed { .. } => TARGET_OVERHEAD,
            Standing::Dead { note, .. } => TARGET_OVERHEAD + note.len() as u64,
        }
    }
}

impl State {
    fn of_target<'a>(
        &'a self,
        target: &'a str,
        after: Option<EntryId>,
    ) -> impl Iterator<Item = (u64, &'a Stored)> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.0));
        self.events
            .range((from, Bound::Unbounded))
            .filter(move |(_, stored)| stored.standings.contains_key(target))
            .map(|(&seq, stored)| (seq, stored))
    }

    fn append(&mut self, event: &Event, over_quota: &[Arc<str>]) -> EntryId {
        self.last += 1;
        let targets = event.targets.iter();
        let standings: BTreeMap<Arc<str>, Standing> = targets
            .filter(|target| !over_quota.contains(target))
            .map(|target| (target.clone(), Standing::NEW))
            .collect();
        if !standings.is_empty() {
            for target in standings.keys() {
                *self.targets.entry(target.clone()).or_default() += Stored::cost(event);
            }
            self.bytes += Stored::size(event) + standings.values().map(Standing::size).sum::<u64>();
            self.events.insert(
                self.last,
                Stored {
                    event: event.clone(),
                    standings,
                },
            );
        }
        EntryId(self.last)
    }

    fn settle(&mut self, settlement: &Settlement, has_room: bool) -> SettlementResult {
        let (seq, target) = (settlement.entry.0, &*settlement.target);
        if let Settled::Held { until, note } = &settlement.outcome {
            let (until, note) = (*until, note.clone());
            self.holds.remove(target);
            if until > 0 {
                let target = Arc::clone(&settlement.target);
                self.holds.insert(target, TargetHold { until, note });
            }
            return SettlementResult::Applied;
        }
        if !matches!(self.standing(seq, target), Some(Standing::Owed { .. })) {
            return SettlementResult::NotOwed;
        }
        if let Settled::Kept {
            attempts,
            delivered_at,
        } = settlement.outcome
            && has_room
        {
            let kept = Standing::Dead {
                attempts,
                died_at: delivered_at,
                note: Vec::new(),
            };
            self.add(seq, &kept_name(target).into(), kept);
        }
        let standing = match &settlement.outcome {
            Settled::Kept { .. } | Settled::Delivered | Settled::Dropped | Settled::Held { .. } => {
                None
            }
            Settled::Dead {
                attempts,
                died_at,
                note,
            } => Some(Standing::Dead {
                attempts: *attempts,
                died_at: *died_at,
                note: note.clone(),
            }),
            Settled::Attempted {
                attempts,
                not_before,
            } => Some(Standing::Owed {
                attempts: *attempts,
                not_before: *not_before,
            }),
        };
        self.set(seq, target, standing);
        SettlementResult::Applied
    }

    /// Adds a standing to a stored event.
    fn add(&mut self, seq: u64, target: &Arc<str>, new: Standing) {
        if let Some(stored) = self.events.get_mut(&seq) {
            let owed = self.targets.entry(Arc::clone(target)).or_default();
            if matches!(new, Standing::Owed { .. }) {
                *owed += Stored::cost(&stored.event);
            }
            self.bytes += new.size();
            stored.standings.insert(Arc::clone(target), new);
        }
    }

    /// Replaces the standing of an event at a target, if it has one there.
    fn set(&mut self, seq: u64, target: &str, new: Option<Standing>) {
        let Some(stored) = self.events.get_mut(&seq) else {
            return;
        };
        let Some((name, old)) = stored.standings.remove_entry(target) else {
            return;
        };
        self.bytes -= old.size();
        let owed = |standing: &Standing| matches!(standing, Standing::Owed { .. });
        if let Some(bytes) = self.targets.get_mut(&name) {
            let cost = Stored::cost(&stored.event);
            *bytes -= cost * u64::from(owed(&old));
            *bytes += cost * u64::from(new.as_ref().is_some_and(owed));
        }
        if let Some(new) = new {
            self.bytes += new.size();
            stored.standings.insert(name, new);
        } else if stored.standings.is_empty() {
            self.bytes -= Stored::size(&stored.event);
            self.events.remove(&seq);
        }
    }

    /// Removes the dead letters among `entries`, or makes them owed again; how many there are.
    fn take_dead(&mut self, target: &str, entries: &[EntryId], is_owed: bool) -> u64 {
        let to = Arc::from(target_of_kept(target).unwrap_or(target));
        let mut found = 0;
        for &EntryId(seq) in entries {
            let Some(Standing::Dead { .. }) = self.standing(seq, target) else {
                continue;
            };
            if !is_owed {
                self.set(seq, target, None);
            } else if *to == *target {
                self.set(seq, target, Some(Standing::NEW));
            } else {
                self.add(seq, &to, Standing::NEW);
                self.set(seq, target, None);
            }
            found += 1;
        }
        found
    }

    /// Removes the oldest kept deliveries of a target that are over its bounds. Those of a second name
    /// without bounds are all over them.
    fn trim_kept(&mut self, name: &str, limits: Option<&DeadLetterLimits>, now: u64) -> u64 {
        let mut kept = Vec::new();
        for (seq, stored) in self.of_target(name, None) {
            if let Some(Standing::Dead { died_at, .. }) = stored.standings.get(name) {
                kept.push((seq, *died_at, Stored::cost(&stored.event)));
            }
        }
        let (mut count, mut bytes) = (kept.len() as u64, kept.iter().map(|it| it.2).sum());
        let mut removed = 0;
        for (seq, at, cost) in kept {
            let is_over = |limits: &DeadLetterLimits| {
                limits.are_exceeded(count, bytes) || limits.has_expired(at, now)
            };
            if limits.is_none_or(is_over) {
                self.set(seq, name, None);
                (count, bytes) = (count - 1, bytes - cost);
                removed += 1;
            }
        }
        removed
    }

    fn standing(&self, seq: u64, target: &str) -> Option<&Standing> {
        self.events.get(&seq)?.standings.get(target)
    }

    fn visit_owed(
        &self,
        target: &str,
        key: Option<&[u8]>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) {
        for (seq, stored) in self.of_target(target, after) {
            let Some(Standing::Owed {
                attempts,
                not_before,
            }) = stored.standings.get(target)
            else {
                continue;
            };
            if key.is_some_and(|key| *key != *stored.event.key) {
                continue;
            }
            if visit(stored.owed(seq, *attempts, *not_before)).is_break() {
                return;
            }
        }
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
        let state = self.snapshot();
        let mut found = Verification {
            events: state.events.len() as u64,
            ..Verification::default()
        };
        for (name, standing) in state.events.values().flat_map(|of| &of.standings) {
            match standing {
                Standing::Owed { .. } => found.owed += 1,
                Standing::Dead { .. } if target_of_kept(name).is_some() => found.kept += 1,
                Standing::Dead { .. } => found.dead += 1,
            }
        }
        Ok(found)
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
            let size = Stored::size(event) + TARGET_OVERHEAD * event.targets.len() as u64;
            if size > self.max_bytes {
                return Err(QueueError::TooLarge {
                    size,
                    max: self.max_bytes,
                });
            }
            need += size;
        }
        if need > 0 && state.bytes + need > self.max_bytes {
            return Err(QueueError::Full {
                used: state.bytes,
                max: self.max_bytes,
            });
        }
        // Before anything changes, so that a commit that fails changes nothing.
        let free = self.max_bytes.saturating_sub(state.bytes + need);
        let over_quota = self.over_quota(&state, appends, free, &dropped)?;
        let state = Arc::make_mut(&mut state);
        let has_room = has_room_to_keep(state.bytes, self.max_bytes);
        let settle = |it| state.settle(it, has_room);
        let settled = settlements.iter().map(settle).collect();
        let quotas = self.quotas();
        for settlement in settlements {
            if let Settled::Kept { delivered_at, .. } = settlement.outcome
                && let Some(limits) = quotas.retained.get(&settlement.target)
            {
                let name = kept_name(&settlement.target);
                state.trim_kept(&name, Some(limits), delivered_at);
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
        let limits = quotas.dead_letters;
        let mut state = self.lock();
        let mut letters: BTreeMap<Arc<str>, Vec<(u64, u64)>> = BTreeMap::new();
        let mut gone: Vec<(Arc<str>, u64)> = Vec::new();
        for (&seq, stored) in &state.events {
            for (name, standing) in &stored.standings {
                let Standing::Dead { died_at, note, .. } = standing else {
                    continue;
                };
                if target_of_kept(name).is_some() {
                    continue;
                }
                if limits.has_expired(*died_at, now) {
                    gone.push((name.clone(), seq));
                } else {
                    let bytes = Stored::cost(&stored.event) + note.len() as u64;
                    letters.entry(name.clone()).or_default().push((seq, bytes));
                }
            }
        }
        let sum = |letters: &[(u64, u64)]| letters.iter().map(|(_, bytes)| bytes).sum::<u64>();
        while limits.are_exceeded(
            letters.values().map(|letters| letters.len() as u64).sum(),
            letters.values().map(|letters| sum(letters)).sum(),
        ) {
            let largest = letters.iter_mut().max_by_key(|(_, letters)| sum(letters));
            let Some((name, letters)) = largest else {
                break;
            };
            gone.push((name.clone(), letters.remove(0).0));
        }
        let mut removed: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (name, seq) in gone {
            Arc::make_mut(&mut state).set(seq, &name, None);
            *removed.entry(name).or_default() += 1;
        }
        let names: Vec<Arc<str>> = state.targets.keys().cloned().collect();
        for name in names {
            let Some(target) = target_of_kept(&name) else {
                continue;
            };
            let limits = quotas.retained.get(target);
            let count = Arc::make_mut(&mut state).trim_kept(&name, limits, now);
            if count > 0 {
                removed.insert(name, count);
            }
        }
        Ok(removed.into_iter().collect())
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
        let snapshot = self.snapshot();
        snapshot.visit_owed(target, None, after, visit);
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
        let snapshot = self.snapshot();
        for name in snapshot.targets.keys() {
            let of = target_of_kept(name);
            if target.map_or(of.is_some(), |target| target != &**name) {
                continue;
            }
            for (seq, stored) in snapshot.of_target(name, after) {
                let Some(Standing::Dead {
                    attempts,
                    died_at,
                    note,
                }) = stored.standings.get(name)
                else {
                    continue;
                };
                let owed = stored.owed(seq, *attempts, 0);
                let letter = DeadLetter {
                    target: of.unwrap_or(name),
                    owed,
                    died_at: *died_at,
                    note,
                };
                if visit(letter).is_break() {
                    return Ok(());
                }
            }
        }
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
        let state = Arc::make_mut(&mut state);
        state.holds.remove(target);
        let mut dropped = 0;
        for name in [&kept_name(target), target] {
            state.targets.remove(name);
            let entries: Vec<u64> = state.of_target(name, None).map(|(seq, _)| seq).collect();
            for &seq in &entries {
                state.set(seq, name, None);
            }
            dropped += entries.len() as u64;
        }
        Ok(dropped)
    }

    fn hold(&self, target: &str) -> Result<Option<TargetHold>, QueueError> {
        Ok(self.snapshot().holds.get(target).cloned())
    }

    fn verifier(&self) -> Option<&dyn Verify> {
        Some(self)
    }

    fn statistics(&self) -> Result<Statistics, QueueError> {
        let state = self.lock();
        let of = |name: &Arc<str>| {
            let mut of = TargetStatistics {
                target: name.to_string(),
                ..Default::default()
            };
            for (_, stored) in state.of_target(name, None) {
                let cost = Stored::cost(&stored.event);
                match stored.standings.get(name) {
                    Some(Standing::Owed { .. }) => {
                        of.pending += 1;
                        of.owed_bytes += cost;
                        of.oldest_accepted_at
                            .get_or_insert(stored.event.accepted_at);
                    }
                    Some(Standing::Dead { note, .. }) => {
                        of.dead += 1;
                        of.dead_bytes += cost + note.len() as u64;
                    }
                    None => {}
                }
            }
            of
        };
        Ok(Statistics {
            targets: merge_kept(state.targets.keys().map(of).collect()),
            events: state.events.len() as u64,
            bytes: state.bytes,
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
        let size = Stored::cost(&event());
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
        let queue = MemoryQueue::new(Stored::cost(&event()));
        queue.commit(&[event()], &[]).unwrap();
        queue.commit(&[], &[dead(b"a long reason")]).unwrap();
        let statistics = queue.statistics().unwrap();
        assert!(statistics.bytes > statistics.max_bytes);
        queue.commit(&[], &[dead(b"")]).unwrap();
    }
}
