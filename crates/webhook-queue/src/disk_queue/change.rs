//! One transaction that changes the queue.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use heed::{AnyTls, PutFlags, RoTxn, RwTxn};

use super::capacity::{self, Capacity};
use super::cost;
use super::fault::{Fault, damage};
use super::known;
use super::pieces;
use super::record::{self, Dead};
use super::removal::Removal;
use super::states;
use super::tables::Tables;
use super::target_rows::{Names, TargetRows};
use crate::duplicates::{body_hash, fingerprint};
use crate::{
    Accepted, DeadLetterLimits, DuplicateWindow, EntryId, Event, EventId, LastState, Quotas,
    Settled, Settlement,
};

/// The first dead letters of a target that are looked at for their age. They are in the order
/// accepted, which is nearly that of their ages.
const OLDEST: usize = 64;

/// The key of the next entry's number in `meta`.
pub(super) const NEXT: &[u8] = b"next";

/// The bounds that appends keep.
pub(super) struct Bounds<'q> {
    pub(super) capacity: &'q Capacity,
    pub(super) window: DuplicateWindow,
    pub(super) max_states: u64,
    pub(super) quotas: &'q Quotas,
}

/// An event to append, and the fingerprints of its keys.
struct Append<'e> {
    event: &'e Event,
    /// That of its idempotency key.
    once: Option<[u8; 16]>,
    /// That of the key of its state.
    state: Option<(&'e LastState, [u8; 16])>,
}

/// A transaction that changes the queue. Nothing changes until [`commit`](Change::commit).
pub(super) struct Change<'q> {
    tables: &'q Tables,
    identity: [u8; 16],
    txn: RwTxn<'q>,
    rows: TargetRows<'q>,
    removal: Removal<'q>,
}

impl Append<'_> {
    /// Whether the event has the state that its key has already.
    fn is_unchanged(&self, last: Option<&[u8]>) -> bool {
        let state = self.state.as_ref().map(|(it, _)| &*it.state);
        state.is_some() && state == last
    }
}

impl<'q> Change<'q> {
    pub(super) fn begin(
        tables: &'q Tables,
        names: &'q Names,
        identity: [u8; 16],
    ) -> heed::Result<Change<'q>> {
        Ok(Change {
            tables,
            identity,
            txn: tables.env.write_txn()?,
            rows: TargetRows::new(tables, names),
            removal: Removal::new(tables, identity),
        })
    }

    /// Makes the change durable; returns the targets' names if they have changed.
    pub(super) fn commit(mut self) -> heed::Result<Option<Names>> {
        self.remove_settled()?;
        self.rows.write(&mut self.txn)?;
        self.txn.commit()?;
        Ok(self.rows.into_changed_names())
    }

    /// Changes nothing that is visible, so that the next commit can reuse the pages that the one
    /// before this freed.
    pub(super) fn touch(&mut self) -> Result<(), Fault> {
        let next = read_next(self.tables.meta.get(&self.txn, NEXT)?)?;
        let meta = &self.tables.meta;
        Ok(meta.put(&mut self.txn, NEXT, &next.to_le_bytes())?)
    }

    fn remove_settled(&mut self) -> heed::Result<()> {
        self.removal.apply(&mut self.txn, &mut self.rows)
    }

    /// Appends the events that are neither duplicates nor without a change, in order, if they fit.
    pub(super) fn append(
        &mut self,
        events: &[Event],
        bounds: &Bounds<'_>,
    ) -> Result<Vec<Accepted>, Fault> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        self.remove_settled()?;
        let print = |key: &Arc<[u8]>| fingerprint(&self.identity, key);
        let appends: Vec<_> = events
            .iter()
            .map(|event| Append {
                event,
                once: event.idempotency_key.as_ref().map(print),
                state: event.last_state.as_deref().map(|it| (it, print(&it.key))),
            })
            .collect();
        let free = self.admit(&appends, bounds)?;
        let mut next = read_next(self.tables.meta.get(&self.txn, NEXT)?)?;
        let mut accepted = Vec::with_capacity(events.len());
        let mut buffer = Vec::new();
        let mut last_target = self.last_target()?;
        for append in &appends {
            let event = append.event;
            if let Some(first) = self.repeated(append, bounds.window)? {
                accepted.push(Accepted::Duplicate(first));
                continue;
            }
            let previous = self.previous_state(append)?;
            if append.is_unchanged(previous.as_deref()) {
                self.learn(append, bounds.window)?;
                accepted.push(Accepted::Unchanged);
                continue;
            }
            let completed = event.after(previous.as_deref());
            let event = completed.as_ref().unwrap_or(event);
            let over_quota = self.over_quota(event, bounds.quotas, free)?;
            if !over_quota.is_empty()
                && event
                    .targets
                    .iter()
                    .all(|target| over_quota.contains(target))
            {
                if !self.any_within_quota(event, bounds.quotas, free)? {
                    let full = bounds.capacity.full(self.tables, &self.txn)?;
                    return Err(Fault::Refused(full));
                }
                accepted.push(Accepted::OverQuota(over_quota.into()));
                continue;
            }
            self.append_one(next, (event, &over_quota), &mut last_target, &mut buffer)?;
            self.learn(append, bounds.window)?;
            if let (Some((last, print)), Some(tables)) = (&append.state, &self.tables.states) {
                let (txn, max) = (&mut self.txn, bounds.max_states);
                states::set(tables, txn, print, &last.state, max)?;
            }
            let entry = EntryId(next);
            let stored = match over_quota.is_empty() {
                true => Accepted::Stored(entry),
                false => Accepted::Partly {
                    entry,
                    over_quota: over_quota.into(),
                },
            };
            accepted.push(stored.after(previous));
            next += 1;
        }
        // If nothing was stored, nothing else changes, and mostly nothing needs a sync.
        if accepted.iter().any(|accepted| accepted.entry().is_some()) {
            let meta = &self.tables.meta;
            meta.put(&mut self.txn, NEXT, &next.to_le_bytes())?;
        }
        Ok(accepted)
    }

    /// Checks that the events fit. Returns the bytes that are free once they are stored.
    fn admit(&self, appends: &[Append<'_>], bounds: &Bounds<'_>) -> Result<u64, Fault> {
        let mut sizes = Vec::with_capacity(appends.len());
        let mut keys = HashSet::new();
        for append in appends {
            // A duplicate of an event in this commit is found once that event is appended.
            if self.repeated(append, bounds.window)?.is_some() {
                continue;
            }
            let mut size = capacity::size(append.event);
            if let Some((last, print)) = &append.state {
                last.check().map_err(Fault::Refused)?;
                // So is one without a change, after another event of its key.
                if keys.insert(print)
                    && append.is_unchanged(self.previous_state(append)?.as_deref())
                {
                    size = capacity::size_of_key(append.event);
                }
            }
            sizes.push(size);
        }
        let sizes = sizes.into_iter();
        bounds.capacity.admit(self.tables, &self.txn, sizes)
    }

    /// The last state of the key of an event's state.
    fn previous_state(&self, append: &Append<'_>) -> heed::Result<Option<Vec<u8>>> {
        let Some(((_, print), tables)) = append.state.as_ref().zip(self.tables.states.as_ref())
        else {
            return Ok(None);
        };
        let found = states::get(tables, &self.txn, print)?;
        Ok(found.map(<[u8]>::to_vec))
    }

    /// Remembers the idempotency key of an event, if it has one.
    fn learn(&mut self, append: &Append<'_>, window: DuplicateWindow) -> heed::Result<()> {
        let Append { event, once, .. } = append;
        let Some(print) = once else {
            return Ok(());
        };
        let first = (event.id, body_hash(&self.identity, &event.body));
        let now = event.accepted_at;
        known::learn(self.tables, &mut self.txn, print, first, (window, now))
    }

    /// The id of the first event, if this one is a duplicate.
    fn repeated(
        &self,
        append: &Append<'_>,
        window: DuplicateWindow,
    ) -> heed::Result<Option<EventId>> {
        let now = append.event.accepted_at;
        match &append.once {
            None => Ok(None),
            Some(print) => known::find(self.tables, &self.txn, print, (window, now)),
        }
    }

    /// Forgets up to `limit` last states over the bound; whether there may be more.
    pub(super) fn trim_states(&mut self, max: u64, limit: usize) -> heed::Result<bool> {
        match &self.tables.states {
            None => Ok(false),
            Some(tables) => states::trim(tables, &mut self.txn, max, limit),
        }
    }

    /// Forgets up to `limit` idempotency keys over the bound; whether there may be more.
    pub(super) fn trim_known(
        &mut self,
        window: DuplicateWindow,
        limit: usize,
    ) -> heed::Result<bool> {
        known::trim(self.tables, &mut self.txn, window, limit)
    }

    /// The targets of an event that are over their quotas, each once.
    fn over_quota(
        &mut self,
        event: &Event,
        quotas: &Quotas,
        free: u64,
    ) -> heed::Result<Vec<Arc<str>>> {
        let mut over: Vec<Arc<str>> = Vec::new();
        if quotas.is_unlimited() {
            return Ok(over);
        }
        for target in event.targets.iter() {
            let max = quotas.max_owed(target, free);
            if self.is_over(target, event, max)? && !over.contains(target) {
                over.push(Arc::clone(target));
            }
        }
        Ok(over)
    }

    /// Whether a target, other than those of the event, may be owed it.
    fn any_within_quota(
        &mut self,
        event: &Event,
        quotas: &Quotas,
        free: u64,
    ) -> heed::Result<bool> {
        for target in quotas.owed.keys() {
            let max = quotas.max_owed(target, free);
            if !event.targets.contains(target) && !self.is_over(target, event, max)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an event is too much for a target that may be owed `max` bytes.
    fn is_over(&mut self, target: &str, event: &Event, max: u64) -> heed::Result<bool> {
        let Some(index) = self.rows.find(&self.txn, target)? else {
            return Ok(false);
        };
        let owed = self.rows.at(index).1.owed_bytes;
        let cost = u64::from(capacity::cost(record::event_len(event)));
        Ok(owed > 0 && owed.saturating_add(cost) > max)
    }

    /// The target with the last entry in `owed`.
    fn last_target(&self) -> heed::Result<Option<u32>> {
        let last = self.tables.owed.last(&self.txn)?;
        Ok(last.and_then(|(key, _)| record::target_of_target_key(key)))
    }

    fn append_one(
        &mut self,
        seq: u64,
        (event, over_quota): (&Event, &[Arc<str>]),
        last_target: &mut Option<u32>,
        buffer: &mut Vec<u8>,
    ) -> heed::Result<()> {
        let mut targets = 0_u32;
        let cost = capacity::cost(record::event_len(event));
        let stored_for = |target: &&Arc<str>| !over_quota.contains(target);
        for target in event.targets.iter().filter(stored_for) {
            let index = self.rows.find_or_add(&self.txn, target)?;
            let (number, row) = self.rows.at(index);
            let key = record::target_key(*number, seq);
            let mut put = |flags| {
                let owed = &self.tables.owed;
                match owed.put_with_flags(&mut self.txn, flags, &key, &cost.to_le_bytes()) {
                    Ok(()) => Ok(true),
                    Err(heed::Error::Mdb(heed::MdbError::KeyExist)) => Ok(false),
                    Err(error) => Err(error),
                }
            };
            // An entry after all others is appended without a search.
            let is_last = last_target.is_none_or(|last| *number >= last);
            // If the entry exists already, the event names the target twice.
            if (is_last && put(PutFlags::APPEND)?) || put(PutFlags::NO_OVERWRITE)? {
                row.add_owed(cost);
                targets += 1;
            }
            *last_target = (*last_target).max(Some(*number));
        }
        if targets == 0 {
            return Ok(());
        }
        let (txn, key) = (&mut self.txn, record::event_key(seq));
        let Tables { shares, by_key, .. } = self.tables;
        if targets > 1 {
            shares.put_with_flags(txn, PutFlags::APPEND, &key, &targets.to_le_bytes())?;
        }
        record::write_event(seq, event, buffer);
        pieces::append(self.tables, txn, seq, buffer)?;
        let key = record::by_key_key(record::key_hash(self.identity, &event.key), seq);
        by_key.put(txn, &key, &[])
    }

    /// Applies a settlement; without effect if the target is not owed the entry. `notes` says
    /// whether the notes of dead letters are kept, if there is room for them.
    pub(super) fn settle(
        &mut self,
        settlement: &Settlement,
        capacity: &Capacity,
        notes: bool,
    ) -> heed::Result<()> {
        let Some(index) = self.rows.find(&self.txn, &settlement.target)? else {
            return Ok(());
        };
        let seq = settlement.entry.0;
        if let Settled::Delivered | Settled::Dropped = settlement.outcome {
            self.removal.settle(index, seq);
            return Ok(());
        }
        if let Settled::Held { until, note } = &settlement.outcome {
            let (number, _) = self.rows.at(index);
            let (key, meta) = (record::hold_key(*number), &self.tables.meta);
            if *until == 0 {
                meta.delete(&mut self.txn, &key)?;
                return Ok(());
            }
            return meta.put(&mut self.txn, &key, &record::hold_value(*until, note));
        }
        // A settlement applies to what those before it have left.
        self.removal.take_settled(&mut self.txn, &mut self.rows)?;
        let (number, row) = self.rows.at(index);
        let key = record::target_key(*number, seq);
        let Tables { owed, dead, .. } = self.tables;
        match &settlement.outcome {
            Settled::Delivered | Settled::Dropped | Settled::Held { .. } => Ok(()),
            Settled::Attempted {
                attempts,
                not_before,
            } => {
                let Some(cost) = owed.get(&self.txn, &key)?.map(record::cost_of_owed) else {
                    return Ok(());
                };
                let value = record::owed_value(*attempts, *not_before, cost);
                owed.put(&mut self.txn, &key, &value)
            }
            Settled::Dead {
                attempts,
                died_at,
                note,
            } => {
                let Some(cost) = owed.get(&self.txn, &key)?.map(record::cost_of_owed) else {
                    return Ok(());
                };
                owed.delete(&mut self.txn, &key)?;
                row.remove_owed(1, u64::from(cost));
                // If there is no room for the note, the settlement is made without it.
                let fits = notes && capacity.fits_note(self.tables, &self.txn, note.len())?;
                let value = Dead {
                    attempts: *attempts,
                    died_at: *died_at,
                    note: if fits { note } else { &[] },
                };
                let value = record::dead_value(&key, value);
                row.add_dead(cost::of_dead(self.tables, &self.txn, seq, value.len())?);
                dead.put(&mut self.txn, &key, &value)
            }
        }
    }

    /// Makes dead letters owed again; how many there were.
    pub(super) fn replay(&mut self, target: &str, entries: &[EntryId]) -> heed::Result<u64> {
        let mut found = 0;
        for &entry in entries {
            if let Some(index) = self.take_dead(target, entry)? {
                let cost = cost::of_event(self.tables, &self.txn, entry.0)?;
                let (number, row) = self.rows.at(index);
                row.add_owed(cost);
                let key = record::target_key(*number, entry.0);
                let value = cost.to_le_bytes();
                self.tables.owed.put(&mut self.txn, &key, &value)?;
                found += 1;
            }
        }
        Ok(found)
    }

    /// Removes dead letters; how many there were.
    pub(super) fn drop_dead(&mut self, target: &str, entries: &[EntryId]) -> heed::Result<u64> {
        let mut found = 0;
        for &entry in entries {
            if self.take_dead(target, entry)?.is_some() {
                self.removal.release(entry.0);
                found += 1;
            }
        }
        Ok(found)
    }

    /// Removes up to `limit` dead letters over the bounds. Returns how many of each target.
    pub(super) fn trim_dead(
        &mut self,
        limits: &DeadLetterLimits,
        now: u64,
        limit: usize,
    ) -> heed::Result<Vec<(Arc<str>, u64)>> {
        let mut removed: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        let mut indices = Vec::new();
        for name in self.rows.names() {
            if let Some(index) = self.rows.find(&self.txn, &name)? {
                indices.push((name, index));
            }
        }
        let mut left = limit;
        for (name, index) in &indices {
            let number = self.rows.at(*index).0;
            let mut expired = expired(self.tables, &self.txn, number, limits, now)?;
            expired.truncate(left);
            left -= expired.len();
            for seq in expired {
                self.drop_one(name, seq, &mut removed)?;
            }
        }
        while left > 0 {
            let (mut count, mut bytes, mut largest) = (0, 0, None);
            for (name, index) in &indices {
                let (number, row) = self.rows.at(*index);
                count += row.dead;
                bytes += row.dead_bytes;
                largest = largest.max(Some((row.dead_bytes, row.dead, *number, name)));
            }
            let Some((.., number, name)) = largest.filter(|_| limits.are_exceeded(count, bytes))
            else {
                break;
            };
            let first = first_dead(self.tables, &self.txn, number)?;
            let Some(seq) = first else { break };
            self.drop_one(name, seq, &mut removed)?;
            left -= 1;
        }
        Ok(removed.into_iter().collect())
    }

    fn drop_one(
        &mut self,
        target: &Arc<str>,
        seq: u64,
        removed: &mut BTreeMap<Arc<str>, u64>,
    ) -> heed::Result<()> {
        if self.take_dead(target, EntryId(seq))?.is_some() {
            self.removal.release(seq);
            *removed.entry(Arc::clone(target)).or_default() += 1;
        }
        Ok(())
    }

    /// Removes a dead letter, if there is one; the index of its target's row.
    fn take_dead(&mut self, target: &str, entry: EntryId) -> heed::Result<Option<usize>> {
        let Some(index) = self.rows.find(&self.txn, target)? else {
            return Ok(None);
        };
        let (number, row) = self.rows.at(index);
        let key = record::target_key(*number, entry.0);
        let Some(value) = self.tables.dead.get(&self.txn, &key)? else {
            return Ok(None);
        };
        let bytes = cost::of_dead(self.tables, &self.txn, entry.0, value.len())?;
        self.tables.dead.delete(&mut self.txn, &key)?;
        row.remove_dead(bytes);
        Ok(Some(index))
    }

    /// Removes up to `limit` entries of a target, owed or dead, and the target after its last one.
    /// Returns how many entries were removed, and whether the target is gone.
    pub(super) fn drop_target(&mut self, target: &str, limit: usize) -> heed::Result<(u64, bool)> {
        // Settled entries hold indices of rows, which the removal of a row invalidates.
        self.remove_settled()?;
        let Some(index) = self.rows.find(&self.txn, target)? else {
            return Ok((0, true));
        };
        let number = self.rows.at(index).0;
        let prefix = number.to_be_bytes();
        let mut left = limit;
        for (table, dead) in [(self.tables.owed, false), (self.tables.dead, true)] {
            let mut found = Vec::new();
            for item in table.prefix_iter(&self.txn, &prefix)?.take(left) {
                let (key, value) = item?;
                let Some(seq) = record::seq_of_target_key(key) else {
                    continue;
                };
                let bytes = match dead {
                    true => cost::of_dead(self.tables, &self.txn, seq, value.len())?,
                    false => u64::from(record::cost_of_owed(value)),
                };
                found.push((seq, bytes));
            }
            left -= found.len();
            for (seq, bytes) in found {
                table.delete(&mut self.txn, &record::target_key(number, seq))?;
                self.removal.release(seq);
                let (_, row) = self.rows.at(index);
                match dead {
                    true => row.remove_dead(bytes),
                    false => row.remove_owed(1, bytes),
                }
            }
        }
        let all = left > 0;
        if all {
            self.rows.remove(&mut self.txn, number)?;
        }
        Ok(((limit - left) as u64, all))
    }

    /// Quarantines an event if its record is still damaged, so that no target is owed it;
    /// whether it was.
    pub(super) fn quarantine(&mut self, seq: u64) -> heed::Result<bool> {
        let event_key = record::event_key(seq);
        let first = self.tables.events.get(&self.txn, &event_key)?;
        if let Some(first) = first {
            let found = pieces::join(self.tables, &self.txn, seq, first)?;
            if record::read_event(seq, &found).is_some() {
                return Ok(false);
            }
        }
        // Its other pieces stay where they are.
        let found = first.unwrap_or_default().to_vec();
        let names = self.rows.names();
        let mut owed_by = Vec::new();
        for name in &names {
            let Some(index) = self.rows.find(&self.txn, name)? else {
                continue;
            };
            let (number, row) = self.rows.at(index);
            let key = record::target_key(*number, seq);
            let Tables { owed, dead, .. } = self.tables;
            if let Some(value) = owed.get(&self.txn, &key)? {
                row.remove_owed(1, u64::from(record::cost_of_owed(value)));
                owed.delete(&mut self.txn, &key)?;
            } else if let Some(value) = dead.get(&self.txn, &key)? {
                row.remove_dead(cost::of_dead(self.tables, &self.txn, seq, value.len())?);
                dead.delete(&mut self.txn, &key)?;
            } else {
                continue;
            }
            owed_by.push(&**name);
        }
        if owed_by.is_empty() {
            return Ok(false);
        }
        let value = record::aside_value(&owed_by, &found);
        self.tables.aside.put(&mut self.txn, &event_key, &value)?;
        self.tables.shares.delete(&mut self.txn, &event_key)?;
        self.removal.forget_first_piece(&mut self.txn, seq)?;
        Ok(true)
    }
}

/// The entry of a target's first dead letter.
fn first_dead(tables: &Tables, txn: &RoTxn<'_, AnyTls>, target: u32) -> heed::Result<Option<u64>> {
    let mut letters = tables.dead.prefix_iter(txn, &target.to_be_bytes())?;
    let first = letters.next().transpose()?;
    Ok(first.and_then(|(key, _)| record::seq_of_target_key(key)))
}

/// The entries of a target's dead letters that are too old, of the [`OLDEST`] first. One whose
/// record is damaged has no age.
pub(super) fn expired(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    target: u32,
    limits: &DeadLetterLimits,
    now: u64,
) -> heed::Result<Vec<u64>> {
    let mut expired = Vec::new();
    let letters = tables.dead.prefix_iter(txn, &target.to_be_bytes())?;
    for item in letters.take(OLDEST) {
        let (key, value) = item?;
        let died_at = record::read_dead(key, value).map(|dead| dead.died_at);
        if died_at.is_some_and(|at| limits.has_expired(at, now)) {
            expired.extend(record::seq_of_target_key(key));
        }
    }
    Ok(expired)
}

/// The number of the next entry, from its value in `meta`.
pub(super) fn read_next(value: Option<&[u8]>) -> heed::Result<u64> {
    match value {
        None => Ok(1),
        Some(value) => value
            .try_into()
            .map(u64::from_le_bytes)
            .map_err(|_| damage("the next entry's number")),
    }
}
