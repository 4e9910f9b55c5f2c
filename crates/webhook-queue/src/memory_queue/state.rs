//! What a queue in memory holds: its events, and the standing of each at its targets.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use crate::{
    Claim, DeadLetter, DeadLetterLimits, EntryId, Event, Owed, Quotas, Settled, Settlement,
    SettlementResult, TargetHold, TargetStatistics, Verification, kept_name, merge_kept,
    target_of_kept,
};

/// Bytes counted for an event besides its key, body and attributes.
const EVENT_OVERHEAD: u64 = 64;

/// Bytes counted for each target of an event, besides a dead letter's note.
const TARGET_OVERHEAD: u64 = 32;

/// The content of a queue at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
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

/// The bytes of an event that all its targets are owed.
pub(super) fn size(event: &Event) -> u64 {
    Stored::size(event) + TARGET_OVERHEAD * event.targets.len() as u64
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

    /// The bytes of all that it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of events.
    pub(super) fn events(&self) -> u64 {
        self.events.len() as u64
    }

    pub(super) fn hold(&self, target: &str) -> Option<&TargetHold> {
        self.holds.get(target)
    }

    /// The targets of each event that are over their quotas while `free` bytes of the queue are free.
    /// Events that are `dropped` are not looked at. `None` if all targets of an event are, and no other
    /// target has room.
    pub(super) fn over_quota(
        &self,
        appends: &[Event],
        dropped: &[bool],
        quotas: &Quotas,
        free: u64,
    ) -> Option<Vec<Vec<Arc<str>>>> {
        if quotas.is_unlimited() {
            return Some(vec![Vec::new(); appends.len()]);
        }
        let mut owed = self.targets.clone();
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
            if over.len() < event.targets.len() {
                for target in event.targets.iter().filter(|it| !over.contains(it)) {
                    *owed.entry(target.clone()).or_default() += cost;
                }
            } else if !over.is_empty() && quotas.owed.keys().all(|target| is_over(&owed, target)) {
                return None;
            }
            found.push(over);
        }
        Some(found)
    }

    pub(super) fn append(&mut self, event: &Event, over_quota: &[Arc<str>]) -> EntryId {
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

    pub(super) fn settle(&mut self, settlement: &Settlement, has_room: bool) -> SettlementResult {
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
    pub(super) fn take_dead(&mut self, target: &str, entries: &[EntryId], is_owed: bool) -> u64 {
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

    /// Removes the oldest kept deliveries of a target that are over its bounds, if it has bounds.
    pub(super) fn trim_kept(&mut self, target: &str, quotas: &Quotas, now: u64) {
        if let Some(limits) = quotas.retained.get(target) {
            let name = kept_name(target);
            let excess = self.excess_kept(&name, Some(limits), now);
            self.remove(&name, &excess);
        }
    }

    /// The dead letters and kept deliveries that are over their bounds, by the name that they are
    /// stored under.
    pub(super) fn excess(&self, quotas: &Quotas, now: u64) -> BTreeMap<Arc<str>, Vec<u64>> {
        let mut excess = self.excess_dead(&quotas.dead_letters, now);
        for name in self.targets.keys() {
            if let Some(target) = target_of_kept(name) {
                let kept = self.excess_kept(name, quotas.retained.get(target), now);
                if !kept.is_empty() {
                    excess.insert(name.clone(), kept);
                }
            }
        }
        excess
    }

    /// The dead letters over the bounds: those that are too old, then the oldest of the target with
    /// most bytes.
    fn excess_dead(&self, limits: &DeadLetterLimits, now: u64) -> BTreeMap<Arc<str>, Vec<u64>> {
        let mut letters: BTreeMap<Arc<str>, VecDeque<(u64, u64)>> = BTreeMap::new();
        let mut excess: BTreeMap<Arc<str>, Vec<u64>> = BTreeMap::new();
        for (&seq, stored) in &self.events {
            for (name, standing) in &stored.standings {
                let Standing::Dead { died_at, note, .. } = standing else {
                    continue;
                };
                if target_of_kept(name).is_some() {
                    continue;
                }
                if limits.has_expired(*died_at, now) {
                    excess.entry(name.clone()).or_default().push(seq);
                } else {
                    let bytes = Stored::cost(&stored.event) + note.len() as u64;
                    letters
                        .entry(name.clone())
                        .or_default()
                        .push_back((seq, bytes));
                }
            }
        }
        let sum = |letters: &VecDeque<(u64, u64)>| letters.iter().map(|it| it.1).sum::<u64>();
        while limits.are_exceeded(
            letters.values().map(|letters| letters.len() as u64).sum(),
            letters.values().map(sum).sum(),
        ) {
            let largest = letters.iter_mut().max_by_key(|(_, letters)| sum(letters));
            let oldest = largest.and_then(|(name, letters)| Some((name, letters.pop_front()?.0)));
            let Some((name, seq)) = oldest else {
                break;
            };
            excess.entry(name.clone()).or_default().push(seq);
        }
        excess
    }

    /// The oldest kept deliveries under a second name that are over its bounds; without bounds, all of
    /// them.
    fn excess_kept(&self, name: &str, limits: Option<&DeadLetterLimits>, now: u64) -> Vec<u64> {
        let mut kept = Vec::new();
        for (seq, stored) in self.of_target(name, None) {
            if let Some(Standing::Dead { died_at, .. }) = stored.standings.get(name) {
                kept.push((seq, *died_at, Stored::cost(&stored.event)));
            }
        }
        let (mut count, mut bytes) = (kept.len() as u64, kept.iter().map(|it| it.2).sum());
        let mut excess = Vec::new();
        for (seq, at, cost) in kept {
            let is_over = |limits: &DeadLetterLimits| {
                limits.are_exceeded(count, bytes) || limits.has_expired(at, now)
            };
            if limits.is_none_or(is_over) {
                (count, bytes) = (count - 1, bytes - cost);
                excess.push(seq);
            }
        }
        excess
    }

    /// Ends the standing of these events at a target.
    pub(super) fn remove(&mut self, target: &str, entries: &[u64]) {
        for &seq in entries {
            self.set(seq, target, None);
        }
    }

    /// Removes all that a target has; returns how many events that was.
    pub(super) fn drop_target(&mut self, target: &str) -> u64 {
        self.holds.remove(target);
        let mut dropped = 0;
        for name in [&kept_name(target), target] {
            self.targets.remove(name);
            let entries: Vec<u64> = self.of_target(name, None).map(|(seq, _)| seq).collect();
            self.remove(name, &entries);
            dropped += entries.len() as u64;
        }
        dropped
    }

    fn standing(&self, seq: u64, target: &str) -> Option<&Standing> {
        self.events.get(&seq)?.standings.get(target)
    }

    pub(super) fn visit_owed(
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
    pub(super) fn visit_dead(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) {
        for name in self.targets.keys() {
            let of = target_of_kept(name);
            if target.map_or(of.is_some(), |target| target != &**name) {
                continue;
            }
            for (seq, stored) in self.of_target(name, after) {
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
                    return;
                }
            }
        }
    }

    pub(super) fn verification(&self) -> Verification {
        let mut found = Verification {
            events: self.events(),
            ..Verification::default()
        };
        for (name, standing) in self.events.values().flat_map(|of| &of.standings) {
            match standing {
                Standing::Owed { .. } => found.owed += 1,
                Standing::Dead { .. } if target_of_kept(name).is_some() => found.kept += 1,
                Standing::Dead { .. } => found.dead += 1,
            }
        }
        found
    }

    pub(super) fn statistics(&self) -> Vec<TargetStatistics> {
        let of = |name: &Arc<str>| {
            let mut of = TargetStatistics {
                target: name.to_string(),
                ..Default::default()
            };
            for (_, stored) in self.of_target(name, None) {
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
        merge_kept(self.targets.keys().map(of).collect())
    }
}
