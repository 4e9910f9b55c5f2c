//! One transaction that changes the queue.

mod settled;

use std::collections::HashMap;
use std::hash::Hasher;
use std::sync::Arc;

use heed::{PutFlags, RwTxn};
use siphasher::sip::SipHasher13;

use super::capacity::Capacity;
use super::fault::{Fault, damage};
use super::known;
use super::record::{self, Dead, Row};
use super::tables::Tables;
use crate::duplicates::fingerprint;
use crate::{Accepted, DuplicateWindow, EntryId, Event, EventId, Settled, Settlement};

/// The key of the next entry's number in `meta`.
pub(super) const NEXT: &[u8] = b"next";

/// The numbers of the targets that the queue knows, by name.
pub(super) type Names = HashMap<Arc<str>, u32>;

/// A transaction that changes the queue: nothing is, until [`commit`](Change::commit).
pub(super) struct Change<'q> {
    tables: &'q Tables,
    names: &'q Names,
    identity: [u8; 16],
    txn: RwTxn<'q>,
    /// The rows of the targets that this change touched.
    rows: Vec<(u32, Row)>,
    /// Where they are in `rows`.
    index: HashMap<Arc<str>, usize>,
    /// The target that was looked up last, and where its row is: mostly it is the next one, too.
    latest: Option<(Arc<str>, usize)>,
    /// Targets that this change is the first to name.
    added: Vec<(Arc<str>, u32)>,
    /// Targets that it forgot.
    dropped: Vec<u32>,
    /// Entries that are owed no longer, with the place of their target in `rows`: they are taken
    /// out together.
    over: Vec<(usize, u64)>,
    /// Events that a target less has to do with, once for each. Applied together, since targets
    /// often settle an event in the same group.
    released: Vec<u64>,
}

impl<'q> Change<'q> {
    pub(super) fn begin(
        tables: &'q Tables,
        names: &'q Names,
        identity: [u8; 16],
    ) -> heed::Result<Change<'q>> {
        Ok(Change {
            tables,
            names,
            identity,
            txn: tables.env.write_txn()?,
            rows: Vec::new(),
            index: HashMap::new(),
            latest: None,
            added: Vec::new(),
            dropped: Vec::new(),
            over: Vec::new(),
            released: Vec::new(),
        })
    }

    /// Makes the change durable; the names of targets, if they are others now.
    pub(super) fn commit(mut self) -> heed::Result<Option<Names>> {
        self.take_out()?;
        self.forget_released()?;
        for (number, row) in &self.rows {
            self.tables
                .meta
                .put(&mut self.txn, &record::row_key(*number), &row.write())?;
        }
        self.txn.commit()?;
        if self.added.is_empty() && self.dropped.is_empty() {
            return Ok(None);
        }
        let mut names = self.names.clone();
        names.extend(self.added);
        names.retain(|_, number| !self.dropped.contains(number));
        Ok(Some(names))
    }

    /// Appends the events that are not known, in order, if they fit.
    pub(super) fn append(
        &mut self,
        events: &[Event],
        capacity: &Capacity,
        window: DuplicateWindow,
    ) -> Result<Vec<Accepted>, Fault> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        self.take_out()?;
        self.forget_released()?;
        let new: Vec<_> = events
            .iter()
            .map(|event| (event, self.print(event)))
            .collect();
        let mut unknown = Vec::with_capacity(events.len());
        for (event, print) in &new {
            // What repeats an event of this same group is found when that has been appended.
            if self.repeated(event, print.as_ref(), window)?.is_none() {
                unknown.push(*event);
            }
        }
        capacity.admit(self.tables, &self.txn, unknown.into_iter())?;
        let mut next = read_next(self.tables.meta.get(&self.txn, NEXT)?)?;
        let mut accepted = Vec::with_capacity(events.len());
        let mut buffer = Vec::new();
        let mut last_target = self.last_target()?;
        for (event, print) in &new {
            if let Some(first) = self.repeated(event, print.as_ref(), window)? {
                accepted.push(Accepted::Duplicate(first));
                continue;
            }
            self.append_one(next, event, &mut last_target, &mut buffer)?;
            if let Some(print) = print {
                let now = event.accepted_at;
                known::learn(self.tables, &mut self.txn, print, event.id, (window, now))?;
            }
            accepted.push(Accepted::Stored(EntryId(next)));
            next += 1;
        }
        // If all are duplicates nothing changes, and there is nothing to sync.
        if accepted.iter().any(|accepted| accepted.entry().is_some()) {
            self.tables
                .meta
                .put(&mut self.txn, NEXT, &next.to_le_bytes())?;
        }
        Ok(accepted)
    }

    /// What the event's idempotency key is known by.
    fn print(&self, event: &Event) -> Option<[u8; 16]> {
        let key = event.idempotency_key.as_deref()?;
        Some(fingerprint(&self.identity, key))
    }

    /// The name of the event that this one repeats.
    fn repeated(
        &self,
        event: &Event,
        print: Option<&[u8; 16]>,
        window: DuplicateWindow,
    ) -> heed::Result<Option<EventId>> {
        match print {
            None => Ok(None),
            Some(print) => known::find(self.tables, &self.txn, print, (window, event.accepted_at)),
        }
    }

    /// Forgets up to `limit` idempotency keys that a smaller bound has no room for; whether there
    /// may be more.
    pub(super) fn trim_known(
        &mut self,
        window: DuplicateWindow,
        limit: usize,
    ) -> heed::Result<bool> {
        known::trim(self.tables, &mut self.txn, window, limit)
    }

    /// The target whose entries are the last in `owed`.
    fn last_target(&self) -> heed::Result<Option<u32>> {
        let last = self.tables.owed.last(&self.txn)?;
        Ok(last.and_then(|(key, _)| record::target_of_target_key(key)))
    }

    fn append_one(
        &mut self,
        seq: u64,
        event: &Event,
        last_target: &mut Option<u32>,
        buffer: &mut Vec<u8>,
    ) -> heed::Result<()> {
        let mut targets = 0_u32;
        for target in event.targets.iter() {
            let at = self.row_or_new(target)?;
            let (number, row) = &mut self.rows[at];
            let key = record::target_key(*number, seq);
            let mut put = |flags| {
                let owed = &self.tables.owed;
                match owed.put_with_flags(&mut self.txn, flags, &key, &[]) {
                    Ok(()) => Ok(true),
                    Err(heed::Error::Mdb(heed::MdbError::KeyExist)) => Ok(false),
                    Err(error) => Err(error),
                }
            };
            // Behind all others, it need not be searched for where it belongs.
            let is_last = last_target.is_none_or(|last| *number >= last);
            // If it is there, the target is named twice.
            if (is_last && put(PutFlags::APPEND)?) || put(PutFlags::NO_OVERWRITE)? {
                row.pending += 1;
                targets += 1;
            }
            *last_target = (*last_target).max(Some(*number));
        }
        if targets == 0 {
            return Ok(());
        }
        if targets > 1 {
            let key = record::event_key(seq);
            let shares = targets.to_le_bytes();
            self.tables
                .shares
                .put_with_flags(&mut self.txn, PutFlags::APPEND, &key, &shares)?;
        }
        record::write_event(seq, event, buffer);
        let key = record::event_key(seq);
        self.tables
            .events
            .put_with_flags(&mut self.txn, PutFlags::APPEND, &key, buffer)?;
        let key = record::by_key_key(hash(self.identity, &event.key), seq);
        self.tables.by_key.put(&mut self.txn, &key, &[])
    }

    /// Applies a settlement; without effect if the target is not owed the entry.
    pub(super) fn settle(
        &mut self,
        settlement: &Settlement,
        capacity: &Capacity,
    ) -> heed::Result<()> {
        let Some(at) = self.row(&settlement.target)? else {
            return Ok(());
        };
        let number = self.rows[at].0;
        let seq = settlement.entry.0;
        if let Settled::Delivered | Settled::Dropped = settlement.outcome {
            self.over.push((at, seq));
            return Ok(());
        }
        // Each finds what those before it have left.
        self.take_out()?;
        let key = record::target_key(number, seq);
        if let Settled::Attempted {
            attempts,
            not_before,
        } = settlement.outcome
        {
            if self.tables.owed.get(&self.txn, &key)?.is_some() {
                let value = record::owed_value(attempts, not_before);
                self.tables.owed.put(&mut self.txn, &key, &value)?;
            }
            return Ok(());
        }
        if let Settled::Dead {
            attempts,
            died_at,
            note,
        } = &settlement.outcome
        {
            if !self.tables.owed.delete(&mut self.txn, &key)? {
                return Ok(());
            }
            let row = &mut self.rows[at].1;
            row.pending = row.pending.saturating_sub(1);
            row.dead += 1;
            // A note is worth keeping, but not worth failing a settlement for want of room.
            let fits = capacity.fits_note(self.tables, &self.txn, note.len())?;
            let note = if fits { note } else { &[][..] };
            let dead = Dead {
                attempts: *attempts,
                died_at: *died_at,
                note,
            };
            let value = record::dead_value(&key, dead);
            return self.tables.dead.put(&mut self.txn, &key, &value);
        }
        Ok(())
    }

    /// Makes a dead letter owed again; whether there is one.
    pub(super) fn replay(&mut self, target: &str, entry: EntryId) -> heed::Result<bool> {
        let Some(at) = self.row(target)? else {
            return Ok(false);
        };
        let (number, row) = &mut self.rows[at];
        let key = record::target_key(*number, entry.0);
        if !self.tables.dead.delete(&mut self.txn, &key)? {
            return Ok(false);
        }
        row.dead = row.dead.saturating_sub(1);
        row.pending += 1;
        self.tables.owed.put(&mut self.txn, &key, &[])?;
        Ok(true)
    }

    /// Forgets a dead letter; whether there was one.
    pub(super) fn drop_dead(&mut self, target: &str, entry: EntryId) -> heed::Result<bool> {
        let Some(at) = self.row(target)? else {
            return Ok(false);
        };
        let (number, row) = &mut self.rows[at];
        let key = record::target_key(*number, entry.0);
        if !self.tables.dead.delete(&mut self.txn, &key)? {
            return Ok(false);
        }
        row.dead = row.dead.saturating_sub(1);
        self.release(entry.0);
        Ok(true)
    }

    /// Forgets up to `limit` entries of a target, owed or dead, and then the target; how many
    /// entries, and whether that were all.
    pub(super) fn drop_target(&mut self, target: &str, limit: usize) -> heed::Result<(u64, bool)> {
        debug_assert!(
            self.over.is_empty(),
            "what is settled knows rows by their place"
        );
        let Some(at) = self.row(target)? else {
            return Ok((0, true));
        };
        let number = self.rows[at].0;
        let prefix = number.to_be_bytes();
        let mut left = limit;
        for (table, dead) in [(self.tables.owed, false), (self.tables.dead, true)] {
            let mut found = Vec::new();
            for item in table.prefix_iter(&self.txn, &prefix)?.take(left) {
                found.extend(record::seq_of_target_key(item?.0));
            }
            left -= found.len();
            let row = &mut self.rows[at].1;
            let count = if dead {
                &mut row.dead
            } else {
                &mut row.pending
            };
            *count = count.saturating_sub(found.len() as u64);
            for seq in found {
                table.delete(&mut self.txn, &record::target_key(number, seq))?;
                self.release(seq);
            }
        }
        let all = left > 0;
        if all {
            self.tables
                .meta
                .delete(&mut self.txn, &record::row_key(number))?;
            self.rows.retain(|(other, _)| *other != number);
            self.index.clear();
            self.latest = None;
            self.dropped.push(number);
        }
        Ok(((limit - left) as u64, all))
    }

    /// Quarantines an event if its record is still damaged, so that no target is owed it;
    /// whether it was.
    pub(super) fn quarantine(&mut self, seq: u64) -> heed::Result<bool> {
        let event_key = record::event_key(seq);
        let found = self.tables.events.get(&self.txn, &event_key)?;
        if found.is_some_and(|found| record::read_event(seq, found).is_some()) {
            return Ok(false);
        }
        let found = found.unwrap_or_default().to_vec();
        let mut names: Vec<Arc<str>> = self.names.keys().cloned().collect();
        names.sort();
        let mut owed_by = Vec::new();
        for name in &names {
            let Some(at) = self.row(name)? else { continue };
            let (number, row) = &mut self.rows[at];
            let key = record::target_key(*number, seq);
            let owed = self.tables.owed.delete(&mut self.txn, &key)?;
            let dead = self.tables.dead.delete(&mut self.txn, &key)?;
            row.pending = row.pending.saturating_sub(u64::from(owed));
            row.dead = row.dead.saturating_sub(u64::from(dead));
            if owed || dead {
                owed_by.push(&**name);
            }
        }
        if owed_by.is_empty() {
            return Ok(false);
        }
        let value = record::aside_value(&owed_by, &found);
        self.tables.aside.put(&mut self.txn, &event_key, &value)?;
        self.tables.shares.delete(&mut self.txn, &event_key)?;
        self.forget(seq)?;
        Ok(true)
    }

    /// Where the row of a known target is in `rows`.
    fn row(&mut self, target: &str) -> heed::Result<Option<usize>> {
        if let Some((name, at)) = &self.latest
            && **name == *target
        {
            return Ok(Some(*at));
        }
        if let Some((name, &at)) = self.index.get_key_value(target) {
            self.latest = Some((name.clone(), at));
            return Ok(Some(at));
        }
        let Some((name, &number)) = self.names.get_key_value(target) else {
            return Ok(None);
        };
        let Some(found) = self.tables.meta.get(&self.txn, &record::row_key(number))? else {
            return Ok(None);
        };
        let row = Row::read(found).ok_or_else(|| damage("the row of a target"))?;
        self.index.insert(name.clone(), self.rows.len());
        self.rows.push((number, row));
        Ok(Some(self.rows.len() - 1))
    }

    /// Where the row of a target is in `rows`, after adding it if need be.
    fn row_or_new(&mut self, target: &Arc<str>) -> heed::Result<usize> {
        if let Some(at) = self.row(target)? {
            return Ok(at);
        }
        let last = self
            .names
            .values()
            .chain(self.added.iter().map(|(_, number)| number))
            .max();
        let number = last.map_or(0, |last| last + 1);
        self.added.push((target.clone(), number));
        self.index.insert(target.clone(), self.rows.len());
        self.rows.push((
            number,
            Row {
                pending: 0,
                dead: 0,
                name: target.to_string(),
            },
        ));
        Ok(self.rows.len() - 1)
    }
}

/// The number that the next entry gets, as lies in `meta`.
pub(super) fn read_next(value: Option<&[u8]>) -> heed::Result<u64> {
    match value {
        None => Ok(1),
        Some(value) => value
            .try_into()
            .map(u64::from_le_bytes)
            .map_err(|_| damage("the next entry's number")),
    }
}

/// What the index by key finds a key by. Keyed with the queue's identity, so that nobody can choose
/// keys that collide; equal hashes of different keys are told apart by reading the event.
pub(super) fn hash(identity: [u8; 16], key: &[u8]) -> u32 {
    let mut hasher = SipHasher13::new_with_key(&identity);
    hasher.write(key);
    hasher.finish() as u32
}
