//! Appends events in a transaction: those that are neither duplicates nor without a change.

use std::collections::HashSet;
use std::sync::Arc;

use heed::PutFlags;

use super::capacity::{self, Capacity};
use super::change::{Change, NEXT, read_next};
use super::fault::Fault;
use super::known;
use super::pieces;
use super::record;
use super::states;
use super::tables::Tables;
use crate::duplicates::{body_hash, fingerprint};
use crate::{Accepted, DuplicateWindow, EntryId, Event, EventId, LastState, Quotas};

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

impl Append<'_> {
    /// Whether the event has the state that its key has already.
    fn is_unchanged(&self, last: Option<&[u8]>) -> bool {
        let state = self.state.as_ref().map(|(it, _)| &*it.state);
        state.is_some() && state == last
    }
}

/// Appends the events that are neither duplicates nor without a change, in order, if they fit.
pub(super) fn append(
    change: &mut Change<'_>,
    events: &[Event],
    bounds: &Bounds<'_>,
) -> Result<Vec<Accepted>, Fault> {
    match events {
        [] => Ok(Vec::new()),
        events => Appending { change }.append(events, bounds),
    }
}

/// The change in which events are appended.
struct Appending<'c, 'q> {
    change: &'c mut Change<'q>,
}

impl Appending<'_, '_> {
    fn append(&mut self, events: &[Event], bounds: &Bounds<'_>) -> Result<Vec<Accepted>, Fault> {
        self.change.remove_settled()?;
        let print = |key: &Arc<[u8]>| fingerprint(&self.change.identity, key);
        let appends: Vec<_> = events
            .iter()
            .map(|event| Append {
                event,
                once: event.idempotency_key.as_ref().map(print),
                state: event.last_state.as_deref().map(|it| (it, print(&it.key))),
            })
            .collect();
        let free = self.admit(&appends, bounds)?;
        let mut next = read_next(self.change.tables.meta.get(&self.change.txn, NEXT)?)?;
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
                    let full = bounds.capacity.full(self.change.tables, &self.change.txn)?;
                    return Err(Fault::Refused(full));
                }
                accepted.push(Accepted::OverQuota(over_quota.into()));
                continue;
            }
            self.append_one(next, (event, &over_quota), &mut last_target, &mut buffer)?;
            self.learn(append, bounds.window)?;
            if let (Some((last, print)), Some(tables)) = (&append.state, &self.change.tables.states)
            {
                let (txn, max) = (&mut self.change.txn, bounds.max_states);
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
            let meta = &self.change.tables.meta;
            meta.put(&mut self.change.txn, NEXT, &next.to_le_bytes())?;
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
        bounds
            .capacity
            .admit(self.change.tables, &self.change.txn, sizes)
    }

    /// The last state of the key of an event's state.
    fn previous_state(&self, append: &Append<'_>) -> heed::Result<Option<Vec<u8>>> {
        let Some(((_, print), tables)) = append
            .state
            .as_ref()
            .zip(self.change.tables.states.as_ref())
        else {
            return Ok(None);
        };
        let found = states::get(tables, &self.change.txn, print)?;
        Ok(found.map(<[u8]>::to_vec))
    }

    /// Remembers the idempotency key of an event, if it has one.
    fn learn(&mut self, append: &Append<'_>, window: DuplicateWindow) -> heed::Result<()> {
        let Append { event, once, .. } = append;
        let Some(print) = once else {
            return Ok(());
        };
        let first = (event.id, body_hash(&self.change.identity, &event.body));
        let now = event.accepted_at;
        known::learn(
            self.change.tables,
            &mut self.change.txn,
            print,
            first,
            (window, now),
        )
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
            Some(print) => known::find(self.change.tables, &self.change.txn, print, (window, now)),
        }
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
        let Some(index) = self.change.rows.find(&self.change.txn, target)? else {
            return Ok(false);
        };
        let owed = self.change.rows.at(index).1.owed_bytes;
        let cost = u64::from(capacity::cost(record::event_len(event)));
        Ok(owed > 0 && owed.saturating_add(cost) > max)
    }

    /// The target with the last entry in `owed`.
    fn last_target(&self) -> heed::Result<Option<u32>> {
        let last = self.change.tables.owed.last(&self.change.txn)?;
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
            let index = self.change.rows.find_or_add(&self.change.txn, target)?;
            let (number, row) = self.change.rows.at(index);
            let key = record::target_key(*number, seq);
            let mut put = |flags| {
                let owed = &self.change.tables.owed;
                match owed.put_with_flags(&mut self.change.txn, flags, &key, &cost.to_le_bytes()) {
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
        let (txn, key) = (&mut self.change.txn, record::event_key(seq));
        let Tables { shares, by_key, .. } = self.change.tables;
        if targets > 1 {
            shares.put_with_flags(txn, PutFlags::APPEND, &key, &targets.to_le_bytes())?;
        }
        record::write_event(seq, event, buffer);
        pieces::append(self.change.tables, txn, seq, buffer)?;
        let key = record::by_key_key(record::key_hash(self.change.identity, &event.key), seq);
        by_key.put(txn, &key, &[])
    }
}
