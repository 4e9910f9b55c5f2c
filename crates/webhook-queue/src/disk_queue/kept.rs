//! Keeps what was delivered, within the bounds of its target: as dead letters of the target's second
//! name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use heed::RwTxn;

use super::capacity::Capacity;
use super::cost;
use super::record::{self, Dead};
use super::removal::Removal;
use super::tables::Tables;
use super::target_rows::TargetRows;
use crate::{DeadLetterLimits, Quotas, kept_name};

/// The most kept deliveries of a target that a commit removes, besides two for each one that it adds:
/// a bound that became smaller is reached over several commits.
const REMOVED_AT_ONCE: usize = 256;

/// What settlements keep of what they settle.
#[derive(Clone, Copy)]
pub(super) struct Keeping<'q> {
    pub(super) capacity: &'q Capacity,
    pub(super) quotas: &'q Quotas,
    /// Whether the notes of dead letters are kept if there is room for them, and deliveries.
    pub(super) all: bool,
}

/// The deliveries that a transaction keeps.
pub(super) struct Kept<'q> {
    tables: &'q Tables,
    /// Whether there is room, once that was looked up: what the transaction adds itself is charged to
    /// the entries that it settles.
    has_room: Option<bool>,
    /// By the index of the target's row.
    targets: BTreeMap<usize, KeptOfTarget>,
}

#[derive(Clone)]
struct KeptOfTarget {
    target: Arc<str>,
    /// The index of the row of its second name.
    row: usize,
    /// How many were added.
    added: usize,
    /// Whether all that was kept before was within the bounds.
    was_within: bool,
    /// When the last of them was delivered, epoch milliseconds.
    now: u64,
}

impl<'q> Kept<'q> {
    pub(super) fn new(tables: &'q Tables) -> Kept<'q> {
        Kept {
            tables,
            has_room: None,
            targets: BTreeMap::new(),
        }
    }

    /// Keeps a delivery (its entry, the attempts made and its time) of a target, which has a row at
    /// this index. Whether it was kept.
    pub(super) fn keep(
        &mut self,
        txn: &mut RwTxn<'_>,
        rows: &mut TargetRows<'_>,
        (target, index): (&Arc<str>, usize),
        (seq, attempts, delivered_at): (u64, u32, u64),
        keeping: Keeping<'_>,
    ) -> heed::Result<bool> {
        let has_room = match self.has_room {
            Some(has_room) => has_room,
            None => keeping.capacity.has_room_to_keep(self.tables, txn)?,
        };
        self.has_room = Some(has_room);
        if !has_room || !keeping.all {
            return Ok(false);
        }
        let of_target = match self.targets.entry(index) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(none) => {
                let row = rows.find_or_add(txn, &kept_name(target).into())?;
                let limits = keeping.quotas.retained.get(target);
                let bytes = rows.at(row).1.dead_bytes;
                none.insert(KeptOfTarget {
                    target: Arc::clone(target),
                    row,
                    added: 0,
                    was_within: limits.is_none_or(|limits| bytes <= limits.max_bytes),
                    now: 0,
                })
            }
        };
        of_target.now = of_target.now.max(delivered_at);
        if !of_target.was_within {
            // The bound became smaller, and is not reached yet.
            return Ok(false);
        }
        let (number, row) = rows.at(of_target.row);
        let key = record::target_key(*number, seq);
        let value = record::dead_value(
            &key,
            Dead {
                attempts,
                died_at: delivered_at,
                note: &[],
            },
        );
        row.add_dead(cost::of_dead(self.tables, txn, seq, value.len())?);
        self.tables.dead.put(txn, &key, &value)?;
        of_target.added += 1;
        Ok(true)
    }

    /// Removes the oldest kept deliveries over the bounds of the targets that were added to.
    pub(super) fn trim_all(
        &mut self,
        txn: &mut RwTxn<'_>,
        rows: &mut TargetRows<'_>,
        removal: &mut Removal<'_>,
        quotas: &Quotas,
    ) -> heed::Result<()> {
        for (_, kept) in std::mem::take(&mut self.targets) {
            if let Some(limits) = quotas.retained.get(&kept.target) {
                let most = REMOVED_AT_ONCE + 2 * kept.added;
                let bounded = (kept.row, Some(limits));
                self.trim(txn, rows, removal, bounded, kept.now, (most, 1))?;
            }
        }
        Ok(())
    }

    /// Removes up to `most` kept deliveries of the row at an index, the oldest over the bounds first;
    /// all of them without bounds. They are in the order accepted, which is nearly that of their ages:
    /// it looks for older ones behind up to `patience` that stay. Returns how many were removed.
    pub(super) fn trim(
        &self,
        txn: &mut RwTxn<'_>,
        rows: &mut TargetRows<'_>,
        removal: &mut Removal<'_>,
        (index, limits): (usize, Option<&DeadLetterLimits>),
        now: u64,
        (most, mut patience): (usize, usize),
    ) -> heed::Result<u64> {
        let (number, row) = rows.at(index);
        let (number, mut count, mut bytes) = (*number, row.dead, row.dead_bytes);
        let mut over = Vec::new();
        for item in self.tables.dead.prefix_iter(txn, &number.to_be_bytes())? {
            if over.len() == most || patience == 0 {
                break;
            }
            let (key, value) = item?;
            let Some(seq) = record::seq_of_target_key(key) else {
                continue;
            };
            let at = record::read_dead(key, value).map(|dead| dead.died_at);
            let is_over = limits.is_none_or(|limits| {
                limits.are_exceeded(count, bytes)
                    || at.is_some_and(|at| limits.has_expired(at, now))
            });
            if !is_over {
                patience -= 1;
                continue;
            }
            let size = cost::of_dead(self.tables, txn, seq, value.len())?;
            (count, bytes) = (count.saturating_sub(1), bytes.saturating_sub(size));
            over.push((seq, size));
        }
        let (_, row) = rows.at(index);
        for &(seq, size) in &over {
            row.remove_dead(size);
            let key = record::target_key(number, seq);
            self.tables.dead.delete(txn, &key)?;
            removal.release(seq);
        }
        Ok(over.len() as u64)
    }
}
