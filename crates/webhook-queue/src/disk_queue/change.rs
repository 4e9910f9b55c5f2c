//! One transaction that changes the queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use heed::{AnyTls, RoTxn, RwTxn};

use super::cost;
use super::fault::{Fault, damage};
use super::kept::{Delivery, Keeping, Kept};
use super::known;
use super::pieces;
use super::record::{self, Dead};
use super::removal::Removal;
use super::states;
use super::tables::Tables;
use super::target_rows::{Names, TargetRows};
use crate::{
    DeadLetterLimits, DuplicateWindow, EntryId, Quotas, Settled, Settlement, SettlementResult,
    target_of_kept,
};

/// The first dead letters of a target that are looked at for their age. They are in the order
/// accepted, which is nearly that of their ages.
const OLDEST: usize = 64;

/// How many kept deliveries are trimmed for each dead letter: there are as many as deliveries, and
/// the commits that keep others remove most of them.
const KEPT_PER_LETTER: usize = 8;

/// The key of the next entry's number in `meta`.
pub(super) const NEXT: &[u8] = b"next";

/// A transaction that changes the queue. Nothing changes until [`commit`](Change::commit).
pub(super) struct Change<'q> {
    pub(super) tables: &'q Tables,
    pub(super) identity: [u8; 16],
    pub(super) txn: RwTxn<'q>,
    pub(super) rows: TargetRows<'q>,
    pub(super) removal: Removal<'q>,
    /// What the transaction keeps of deliveries.
    kept: Kept<'q>,
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
            kept: Kept::new(tables),
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

    pub(super) fn remove_settled(&mut self) -> heed::Result<()> {
        self.removal.apply(&mut self.txn, &mut self.rows)
    }

    /// Forgets up to `limit` last states over the bound.
    pub(super) fn trim_states(&mut self, max: u64, limit: usize) -> heed::Result<()> {
        match &self.tables.states {
            None => Ok(()),
            Some(tables) => states::trim(tables, &mut self.txn, max, limit),
        }
    }

    /// Forgets up to `limit` idempotency keys over the bound.
    pub(super) fn trim_known(&mut self, window: DuplicateWindow, limit: usize) -> heed::Result<()> {
        known::trim(self.tables, &mut self.txn, window, limit)
    }

    /// Applies a settlement; without effect if the target is not owed the entry. Of those that end an
    /// entry without a dead letter,
    /// [`find_not_owed`](Change::find_not_owed) tells later whether it was.
    pub(super) fn settle(
        &mut self,
        settlement: &Settlement,
        keeping: Keeping<'_>,
    ) -> heed::Result<SettlementResult> {
        use SettlementResult::{Applied, NotOwed};
        let Some(index) = self.rows.find(&self.txn, &settlement.target)? else {
            return Ok(NotOwed);
        };
        let seq = settlement.entry.0;
        // A settlement applies to what those before it have left.
        if let Settled::Delivered | Settled::Dropped = settlement.outcome {
            self.take_kept(keeping)?;
            self.removal.settle(index, seq);
            return Ok(Applied);
        }
        if let Settled::Kept {
            attempts,
            delivered_at,
        } = settlement.outcome
        {
            self.removal.take_settled(&mut self.txn, &mut self.rows)?;
            self.kept.settle(Delivery {
                row: index,
                seq,
                attempts,
                delivered_at,
            });
            return Ok(Applied);
        }
        if let Settled::Held { until, note } = &settlement.outcome {
            let (number, _) = self.rows.at(index);
            let (key, meta) = (record::hold_key(*number), &self.tables.meta);
            if *until == 0 {
                meta.delete(&mut self.txn, &key)?;
            } else {
                meta.put(&mut self.txn, &key, &record::hold_value(*until, note))?;
            }
            return Ok(Applied);
        }
        self.take_kept(keeping)?;
        self.removal.take_settled(&mut self.txn, &mut self.rows)?;
        let (number, row) = self.rows.at(index);
        let key = record::target_key(*number, seq);
        let Tables { owed, dead, .. } = self.tables;
        match &settlement.outcome {
            Settled::Delivered | Settled::Dropped | Settled::Held { .. } | Settled::Kept { .. } => {
            }
            Settled::Attempted {
                attempts,
                not_before,
            } => {
                let Some(cost) = owed.get(&self.txn, &key)?.map(record::cost_of_owed) else {
                    return Ok(NotOwed);
                };
                let value = record::owed_value(*attempts, *not_before, cost);
                owed.put(&mut self.txn, &key, &value)?;
            }
            Settled::Dead {
                attempts,
                died_at,
                note,
            } => {
                let Some(cost) = owed.get(&self.txn, &key)?.map(record::cost_of_owed) else {
                    return Ok(NotOwed);
                };
                owed.delete(&mut self.txn, &key)?;
                row.remove_owed(1, u64::from(cost));
                // If there is no room for the note, the settlement is made without it.
                let capacity = keeping.capacity;
                let fits = keeping.all && capacity.fits_note(self.tables, &self.txn, note.len())?;
                let value = Dead {
                    attempts: *attempts,
                    died_at: *died_at,
                    note: if fits { note } else { &[] },
                };
                let value = record::dead_value(&key, value);
                row.add_dead(cost::of_dead(self.tables, &self.txn, seq, value.len())?);
                dead.put(&mut self.txn, &key, &value)?;
            }
        }
        Ok(Applied)
    }

    /// Keeps the deliveries that were settled.
    fn take_kept(&mut self, keeping: Keeping<'_>) -> heed::Result<()> {
        let (txn, rows, removal) = (&mut self.txn, &mut self.rows, &mut self.removal);
        self.kept.take_settled(txn, rows, removal, keeping)
    }

    /// Keeps the deliveries that were settled, and removes the oldest ones over the bounds of the
    /// targets that some were added to.
    pub(super) fn trim_kept(&mut self, keeping: Keeping<'_>) -> heed::Result<()> {
        self.take_kept(keeping)?;
        let (txn, rows, removal) = (&mut self.txn, &mut self.rows, &mut self.removal);
        self.kept.trim_all(txn, rows, removal, keeping.quotas)
    }

    /// Removes what was delivered or dropped, and corrects the results of those that were not owed.
    pub(super) fn find_not_owed(
        &mut self,
        settlements: &[Settlement],
        results: &mut [SettlementResult],
    ) -> heed::Result<()> {
        self.remove_settled()?;
        let missing = self.removal.take_missing();
        if missing.is_empty() {
            return Ok(());
        }
        for (settlement, result) in settlements.iter().zip(results) {
            let Some(index) = self.rows.find(&self.txn, &settlement.target)? else {
                continue;
            };
            if let Settled::Delivered | Settled::Dropped | Settled::Kept { .. } = settlement.outcome
                && missing.contains(&(index, settlement.entry.0))
            {
                *result = SettlementResult::NotOwed;
            }
        }
        Ok(())
    }

    /// Makes dead letters or kept deliveries owed again; how many there were.
    pub(super) fn replay(&mut self, target: &str, entries: &[EntryId]) -> heed::Result<u64> {
        let mut found = 0;
        let to = Arc::from(target_of_kept(target).unwrap_or(target));
        for &entry in entries {
            if self.take_dead(target, entry)?.is_some() {
                let index = self.rows.find_or_add(&self.txn, &to)?;
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

    /// Removes up to `limit` dead letters over the bounds, and [`KEPT_PER_LETTER`] times as many
    /// kept deliveries of each target. Returns how many of each target.
    pub(super) fn trim_dead(
        &mut self,
        quotas: &Quotas,
        now: u64,
        limit: usize,
    ) -> heed::Result<Vec<(Arc<str>, u64)>> {
        let limits = &quotas.dead_letters;
        let mut removed: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        let mut indices = Vec::new();
        for name in self.rows.names() {
            if let Some(index) = self.rows.find(&self.txn, &name)? {
                indices.push((name, index));
            }
        }
        let (kept, indices): (Vec<_>, Vec<_>) = indices
            .into_iter()
            .partition(|(name, _)| target_of_kept(name).is_some());
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
        for (name, index) in kept {
            let limits = target_of_kept(&name).and_then(|target| quotas.retained.get(target));
            let (txn, rows, removal) = (&mut self.txn, &mut self.rows, &mut self.removal);
            let bound = (limit * KEPT_PER_LETTER, OLDEST);
            let count = self
                .kept
                .trim(txn, rows, removal, (index, limits), now, bound)?;
            if count > 0 {
                removed.insert(name, count);
            }
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
