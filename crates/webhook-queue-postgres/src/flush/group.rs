//! A group of events and settlements as the parameters of one call.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher24};
use webhook_queue::{Claim, Event, Settled, Settlement, SettlementResult};

use super::admission::{cost, targets};
use super::keeping::Kept;
use crate::connection::Parameter;
use crate::database::Database;
use crate::log::{LogState, TargetId};
use crate::parameters::{Array, Uuid};

/// Instead of the index of a set of targets: all targets are over their quotas.
const ALL_OVER_QUOTA: i16 = -1;

/// The parameters of one call of the function `flush`, in its order.
#[derive(Debug, Default)]
pub(super) struct Group<'e> {
    ids: Vec<Uuid>,
    hashes: Vec<i64>,
    slots: Vec<i16>,
    accepted_at: Vec<i64>,
    bytes: Vec<i32>,
    set: Vec<i16>,
    sets: Vec<String>,
    keys: Vec<&'e [u8]>,
    attributes: Vec<Option<&'e [u8]>>,
    bodies: Vec<&'e [u8]>,
    known: Option<Known>,
    states: Option<States<'e>>,
    pub(super) settled: Vec<i64>,
    pub(super) settled_target: Vec<TargetId>,
    fresh: Vec<bool>,
    pub(super) settled_claim: Vec<i16>,
    dead: Vec<i32>,
    dead_attempts: Vec<i32>,
    died_at: Vec<i64>,
    notes: Vec<&'e [u8]>,
    /// What is kept of the settled entries, if anything is.
    pub(super) kept: Kept,
    pub(super) attempted: Vec<i64>,
    pub(super) attempted_target: Vec<TargetId>,
    pub(super) attempted_fresh: Vec<bool>,
    pub(super) attempted_claim: Vec<i16>,
    pub(super) attempts: Vec<i32>,
    pub(super) not_before: Vec<i64>,
    claim_slot: Vec<i16>,
    claim_epoch: Vec<i64>,
    held_target: Vec<TargetId>,
    held_until: Vec<i64>,
    held_note: Vec<&'e [u8]>,
    /// Where each settlement is.
    pub(super) places: Vec<Place>,
}

/// Idempotency keys.
#[derive(Debug, Default)]
struct Known {
    prints: Vec<Option<Uuid>>,
    body_hashes: Vec<Option<i64>>,
    before: Vec<i32>,
}

/// Last states.
#[derive(Debug, Default)]
struct States<'e> {
    prints: Vec<Option<Uuid>>,
    states: Vec<Option<&'e [u8]>>,
    before: Vec<i32>,
    append_previous: Vec<bool>,
    first_set: Vec<Option<i16>>,
}

/// Where a settlement is in the parameters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Nowhere: this is its result.
    Known(SettlementResult),
    /// Its index among those that end what is owed.
    Settled(usize),
    /// Its index among the failed attempts.
    Attempted(usize),
}

/// The hash that stands for an idempotency key, or for what has a last state.
pub(crate) fn fingerprint(database: &Database, key: &[u8]) -> Uuid {
    let mut hasher = SipHasher24::new_with_key(&database.meta.secret);
    hasher.write(key);
    Uuid(hasher.finish128().as_bytes())
}

/// The hash that tells bodies of one idempotency key apart.
pub(crate) fn body_hash(database: &Database, body: &[u8]) -> i64 {
    let mut hasher = SipHasher13::new_with_key(&database.meta.secret);
    hasher.write(body);
    hasher.finish().cast_signed()
}

/// The window of idempotency keys, as parameters: milliseconds, and the number of keys.
pub(super) fn window(database: &Database) -> (i64, i64) {
    let window = database.settings.window;
    let number = |it: u64| i64::try_from(it).unwrap_or(i64::MAX / 2);
    (number(window.age_ms), number(window.keys))
}

impl<'e> Group<'e> {
    /// The parameters of events. `over_quota` has the targets of each that do not get it.
    pub(super) fn new(
        database: &Database,
        names: &BTreeMap<Arc<str>, TargetId>,
        events: &'e [Event],
        over_quota: &[Vec<Arc<str>>],
    ) -> Group<'e> {
        let mut group = Group::default();
        let mut sets: HashMap<String, i16> = HashMap::new();
        let is_keyed = |event: &Event| event.idempotency_key.is_some();
        let mut known = events.iter().any(is_keyed).then(Known::default);
        let has_state = |event: &Event| event.last_state.is_some();
        let mut states = events.iter().any(has_state).then(States::default);
        let (mut prints, mut state_prints) = (HashMap::new(), HashMap::new());
        for (at, (event, over)) in (1..).zip(events.iter().zip(over_quota)) {
            let hash = database.hash(&event.key);
            group.ids.push(event.id.into());
            group.hashes.push(hash);
            group.slots.push(database.slot(hash).cast_signed());
            group
                .accepted_at
                .push(database.to_server(event.accepted_at));
            group
                .bytes
                .push(i32::try_from(cost(event)).unwrap_or(i32::MAX));
            group.keys.push(&event.key);
            let attributes = Some(&*event.attributes).filter(|it| !it.is_empty());
            group.attributes.push(attributes);
            group.bodies.push(&event.body);
            let mut set = |wants: &dyn Fn(&Arc<str>) -> bool| {
                let wanted: Vec<_> = targets(event).filter(|it| wants(it)).collect();
                let gets = wanted.iter().filter(|it| !over.contains(it));
                let ids: Vec<_> = gets.filter_map(|name| names.get(*name)).collect();
                match (ids.is_empty(), wanted.is_empty()) {
                    (true, true) => 0,
                    (true, false) => ALL_OVER_QUOTA,
                    _ => {
                        let text = format!("{ids:?}").replace('[', "{").replace(']', "}");
                        let next = sets.len() + 1;
                        *sets.entry(text).or_insert_with_key(|text| {
                            group.sets.push(text.clone());
                            i16::try_from(next).unwrap_or(i16::MAX)
                        })
                    }
                }
            };
            group.set.push(set(&|_| true));
            if let Some(known) = &mut known {
                let key = event.idempotency_key.as_deref();
                let print = key.map(|key| fingerprint(database, key));
                let before = print.and_then(|it| prints.insert(it, at));
                known.prints.push(print);
                let hash = key.map(|_| body_hash(database, &event.body));
                known.body_hashes.push(hash);
                known.before.push(before.unwrap_or(0));
            }
            if let Some(states) = &mut states {
                let state = event.last_state.as_deref();
                let print = state.map(|it| fingerprint(database, &it.key));
                let before = print.and_then(|it| state_prints.insert(it, at));
                states.prints.push(print);
                states.states.push(state.map(|it| &*it.state));
                states.before.push(before.unwrap_or(0));
                states
                    .append_previous
                    .push(state.is_some_and(|it| it.append_previous));
                let only = state.filter(|it| !it.changes_only.is_empty());
                let first = only.map(|it| set(&|name| !it.changes_only.contains(name)));
                states.first_set.push(first);
            }
        }
        (group.known, group.states) = (known, states);
        group
    }

    /// Adds the parameters of settlements.
    pub(super) fn settle(
        &mut self,
        database: &Database,
        names: &BTreeMap<Arc<str>, TargetId>,
        log: &LogState,
        settlements: &'e [Settlement],
        kept: &BTreeMap<Arc<str>, Arc<str>>,
    ) {
        let mut claims: HashMap<Claim, i16> = HashMap::new();
        let mut ends: HashMap<(i64, TargetId), usize> = HashMap::new();
        let mut holds: BTreeMap<TargetId, (i64, &[u8])> = BTreeMap::new();
        for settlement in settlements {
            let entry = settlement.entry.0.cast_signed();
            let Some(&target) = names.get(&settlement.target) else {
                self.places.push(Place::Known(SettlementResult::NotOwed));
                continue;
            };
            if let Settled::Held { until, note } = &settlement.outcome {
                let until = database.to_server(*until);
                holds.insert(target, (until, note));
                self.places.push(Place::Known(SettlementResult::Applied));
                continue;
            }
            let next = i16::try_from(claims.len() + 1).unwrap_or(i16::MAX);
            let claim = settlement.guard.claim();
            let claim = *claims.entry(claim).or_insert_with(|| {
                self.claim_slot.push(claim.slot.cast_signed());
                self.claim_epoch.push(claim.fence.cast_signed());
                next
            });
            let number = settlement.entry.0;
            let fresh = number > log.truncated() && !log.is_settled(target, number);
            if let Settled::Attempted {
                attempts,
                not_before,
            } = settlement.outcome
            {
                self.places.push(Place::Attempted(self.attempted.len()));
                self.attempted.push(entry);
                self.attempted_target.push(target);
                self.attempted_fresh.push(fresh);
                self.attempted_claim.push(claim);
                self.attempts.push(attempts.cast_signed());
                self.not_before.push(database.to_server(not_before));
                continue;
            }
            let at = *ends.entry((entry, target)).or_insert_with(|| {
                self.settled.push(entry);
                self.settled_target.push(target);
                self.fresh.push(fresh);
                self.settled_claim.push(claim);
                if let Settled::Dead {
                    attempts,
                    died_at,
                    note,
                } = &settlement.outcome
                {
                    self.dead
                        .push(i32::try_from(self.settled.len()).unwrap_or(i32::MAX));
                    self.dead_attempts.push(attempts.cast_signed());
                    self.died_at.push(database.to_server(*died_at));
                    self.notes.push(note);
                }
                if let Settled::Kept {
                    attempts,
                    delivered_at,
                } = settlement.outcome
                    && let Some(name) = kept.get(&settlement.target)
                    && let Some(&name) = names.get(name)
                {
                    let kept = &mut self.kept;
                    kept.at
                        .push(i32::try_from(self.settled.len()).unwrap_or(i32::MAX));
                    kept.target.push(name);
                    kept.attempts.push(attempts.cast_signed());
                    kept.delivered_at.push(database.to_server(delivered_at));
                }
                self.settled.len() - 1
            });
            self.places.push(Place::Settled(at));
        }
        for (target, (until, note)) in holds {
            self.held_target.push(target);
            self.held_until.push(until);
            self.held_note.push(note);
        }
    }

    /// Runs `call` with the parameters of the function `flush` after the first two.
    pub(super) fn with_parameters<T>(
        &self,
        (age, keys): (i64, i64),
        call: impl FnOnce(&[Parameter<'_>]) -> T,
    ) -> T {
        let no_known = Known::default();
        let no_states = States::default();
        let known = self.known.as_ref().unwrap_or(&no_known);
        let states = self.states.as_ref().unwrap_or(&no_states);
        call(&[
            &Array(&self.ids),
            &Array(&self.hashes),
            &Array(&self.slots),
            &Array(&self.accepted_at),
            &Array(&self.bytes),
            &Array(&self.set),
            &Array(&self.sets),
            &Array(&self.keys),
            &Array(&self.attributes),
            &Array(&self.bodies),
            &Array(&known.prints),
            &Array(&known.body_hashes),
            &Array(&known.before),
            &Array(&states.prints),
            &Array(&states.states),
            &Array(&states.before),
            &Array(&states.append_previous),
            &Array(&states.first_set),
            &age,
            &keys,
            &Array(&self.settled),
            &Array(&self.settled_target),
            &Array(&self.fresh),
            &Array(&self.settled_claim),
            &Array(&self.dead),
            &Array(&self.dead_attempts),
            &Array(&self.died_at),
            &Array(&self.notes),
            &Array(&self.attempted),
            &Array(&self.attempted_target),
            &Array(&self.attempted_fresh),
            &Array(&self.attempted_claim),
            &Array(&self.attempts),
            &Array(&self.not_before),
            &Array(&self.claim_slot),
            &Array(&self.claim_epoch),
            &Array(&self.held_target),
            &Array(&self.held_until),
            &Array(&self.held_note),
        ])
    }
}
