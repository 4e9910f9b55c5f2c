//! Taking out what is owed no longer, and the events that nobody has to do with any more.
//!
//! Entries are settled about in the order accepted, so that those of a group lie beside each
//! other: each run of them is walked over once, where one by one each would be searched for from
//! the root of each table.

use std::ops::Bound;

use super::super::record;
use super::{Change, hash};

impl Change<'_> {
    /// Takes the entries out of `owed` that are owed no longer; without effect on those that are
    /// not there.
    pub(super) fn take_out(&mut self) -> heed::Result<()> {
        let mut over = std::mem::take(&mut self.over);
        over.sort_unstable();
        over.dedup();
        for run in over.chunk_by(|a, b| a.0 == b.0 && a.1 + 1 == b.1) {
            let [(at, first), ..] = *run else { continue };
            let before = self.released.len();
            self.take_out_run(self.rows[at].0, first, run.len())?;
            let taken = (self.released.len() - before) as u64;
            let row = &mut self.rows[at].1;
            row.pending = row.pending.saturating_sub(taken);
        }
        Ok(())
    }

    /// Takes `count` entries of a target out, from the first on.
    fn take_out_run(&mut self, target: u32, first: u64, count: usize) -> heed::Result<()> {
        let low = record::target_key(target, first);
        if count == 1 {
            if self.tables.owed.delete(&mut self.txn, &low)? {
                self.released.push(first);
            }
            return Ok(());
        }
        let high = record::target_key(target, last_of(first, count));
        let range = (Bound::Included(&low[..]), Bound::Included(&high[..]));
        for item in self.tables.owed.range(&self.txn, &range)? {
            self.released.extend(record::seq_of_target_key(item?.0));
        }
        self.tables.owed.delete_range(&mut self.txn, &range)?;
        Ok(())
    }

    /// One target less has to do with an event.
    pub(super) fn release(&mut self, seq: u64) {
        self.released.push(seq);
    }

    /// Forgets the events that no target has to do with any longer.
    pub(super) fn forget_released(&mut self) -> heed::Result<()> {
        let mut released = std::mem::take(&mut self.released);
        if released.is_empty() {
            return Ok(());
        }
        released.sort_unstable();
        let mut over = Vec::with_capacity(released.len());
        let any_shared = !self.tables.shares.is_empty(&self.txn)?;
        for same in released.chunk_by(|a, b| a == b) {
            let [seq, ..] = *same else { continue };
            if !any_shared || !self.is_shared_still(seq, same.len())? {
                over.push(seq);
            }
        }
        for run in over.chunk_by(|a, b| a + 1 == *b) {
            match *run {
                [] => {}
                [seq] => self.forget(seq)?,
                [first, ..] => self.forget_run(first, run.len())?,
            }
        }
        Ok(())
    }

    /// Whether any target has to do with an event after so many have not any longer.
    fn is_shared_still(&mut self, seq: u64, released: usize) -> heed::Result<bool> {
        let key = record::event_key(seq);
        let shares = self.tables.shares.get(&self.txn, &key)?;
        let released = u32::try_from(released).unwrap_or(u32::MAX);
        let left = record::read_shares(shares).saturating_sub(released);
        if left > 0 {
            self.tables
                .shares
                .put(&mut self.txn, &key, &left.to_le_bytes())?;
        } else if shares.is_some() {
            self.tables.shares.delete(&mut self.txn, &key)?;
        }
        Ok(left > 0)
    }

    /// Removes an event and its entry in the index by key.
    pub(super) fn forget(&mut self, seq: u64) -> heed::Result<()> {
        let key = record::event_key(seq);
        let Some(found) = self.tables.events.get(&self.txn, &key)? else {
            return Ok(());
        };
        // If the record is damaged, the key may be, and the entry in the index remains. It does no
        // harm: an index entry without an event is passed over.
        if let Some(hash) = record::key_of_event(found).map(|key| hash(self.identity, key)) {
            self.tables
                .by_key
                .delete(&mut self.txn, &record::by_key_key(hash, seq))?;
        }
        self.tables.events.delete(&mut self.txn, &key)?;
        Ok(())
    }

    /// As [`forget`](Change::forget), of `count` events from the first on.
    fn forget_run(&mut self, first: u64, count: usize) -> heed::Result<()> {
        let (low, high) = (
            record::event_key(first),
            record::event_key(last_of(first, count)),
        );
        let range = (Bound::Included(&low[..]), Bound::Included(&high[..]));
        let mut indexed = Vec::with_capacity(count);
        for item in self.tables.events.range(&self.txn, &range)? {
            let (key, found) = item?;
            let seq = key.try_into().map(u64::from_be_bytes);
            if let (Ok(seq), Some(key)) = (seq, record::key_of_event(found)) {
                indexed.push(record::by_key_key(hash(self.identity, key), seq));
            }
        }
        // In the order in which they lie there.
        indexed.sort_unstable();
        for key in indexed {
            self.tables.by_key.delete(&mut self.txn, &key)?;
        }
        self.tables.events.delete_range(&mut self.txn, &range)?;
        Ok(())
    }
}

/// The last of so many numbers from the first on.
fn last_of(first: u64, count: usize) -> u64 {
    first.saturating_add((count as u64).saturating_sub(1))
}
