//! Keeps what was delivered, within the bounds of its target: as dead letters of the target's second
//! name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use heed::{PutFlags, RwTxn};

use super::capacity::{self, Capacity};
use super::cost;
use super::pieces::RecordLengths;
use super::record::{self, Dead};
use super::removal::{Removal, delete_run, target_range};
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
    /// Those that were settled, collected so that runs are moved together.
    settled: Vec<Delivery>,
    /// Whether there is room, once that was looked up: what the transaction adds itself is charged to
    /// the entries that it settles.
    has_room: Option<bool>,
    /// By the index of the target's row.
    targets: BTreeMap<usize, KeptOfTarget>,
}

/// A delivery that was settled.
#[derive(Clone, Copy)]
pub(super) struct Delivery {
    /// The index of its target's row.
    pub(super) row: usize,
    pub(super) seq: u64,
    pub(super) attempts: u32,
    pub(super) delivered_at: u64,
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
            settled: Vec::new(),
            has_room: None,
            targets: BTreeMap::new(),
        }
    }

    /// Has an entry moved from `owed` to the kept deliveries of its target; without effect if it is
    /// not there.
    pub(super) fn settle(&mut self, delivery: Delivery) {
        self.settled.push(delivery);
    }

    /// Moves the settled entries, or removes those that are not kept.
    pub(super) fn take_settled(
        &mut self,
        txn: &mut RwTxn<'_>,
        rows: &mut TargetRows<'_>,
        removal: &mut Removal<'_>,
        keeping: Keeping<'_>,
    ) -> heed::Result<()> {
        let mut settled = std::mem::take(&mut self.settled);
        // Of several settlements of an entry the first counts: the sort is stable.
        settled.sort_by_key(|delivery| (delivery.row, delivery.seq));
        settled.dedup_by_key(|delivery| (delivery.row, delivery.seq));
        for run in settled.chunk_by(|a, b| a.row == b.row && a.seq.checked_add(1) == Some(b.seq)) {
            let [first, ..] = *run else { continue };
            let taken = removal.take_run(txn, rows, first.row, (first.seq, run.len()))?;
            let times = run.iter().map(|delivery| delivery.delivered_at);
            let now = times.max().unwrap_or(0);
            if self.may_keep(txn, rows, (first.row, now), keeping)? {
                let of = |seq: u64| run[(seq - first.seq) as usize];
                let taken = taken.into_iter().map(|(seq, cost)| (of(seq), cost));
                self.keep(txn, rows, first.row, taken)?;
            } else {
                taken.iter().for_each(|(seq, _)| removal.release(*seq));
            }
        }
        Ok(())
    }

    /// Whether deliveries of this time to the target of the row at an index are kept.
    fn may_keep(
        &mut self,
        txn: &mut RwTxn<'_>,
        rows: &mut TargetRows<'_>,
        (index, now): (usize, u64),
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
                let target: Arc<str> = rows.at(index).1.name.as_str().into();
                let row = rows.find_or_add(txn, &kept_name(&target).into())?;
                let limits = keeping.quotas.retained.get(&target);
                let bytes = rows.at(row).1.dead_bytes;
                none.insert(KeptOfTarget {
                    target,
                    row,
                    added: 0,
                    was_within: limits.is_none_or(|limits| bytes <= limits.max_bytes),
                    now: 0,
                })
            }
        };
        of_target.now = of_target.now.max(now);
        // Else the bound became smaller, and is not reached yet.
        Ok(of_target.was_within)
    }

    /// Keeps deliveries, in the order of their entries, each with the bytes that it counts.
    fn keep(
        &mut self,
        txn: &mut RwTxn<'_>,
        rows: &mut TargetRows<'_>,
        index: usize,
        deliveries: impl Iterator<Item = (Delivery, u32)>,
    ) -> heed::Result<()> {
        let Some(of_target) = self.targets.get_mut(&index) else {
            return Ok(());
        };
        let (number, row) = rows.at(of_target.row);
        let dead = &self.tables.dead;
        let mut last = dead.last(txn)?.map(|(key, _)| key.to_vec());
        for (delivery, cost) in deliveries {
            let Delivery { seq, attempts, .. } = delivery;
            let key = record::target_key(*number, seq);
            let letter = Dead {
                attempts,
                died_at: delivery.delivered_at,
                note: &[],
            };
            let value = record::dead_value(&key, letter);
            let cost = match cost {
                // An earlier version stored the entry.
                0 => cost::of_event(self.tables, txn, seq)?,
                cost => cost,
            };
            row.add_dead(u64::from(cost) + value.len() as u64);
            // One after all others is appended without a search.
            let is_last = last.as_ref().is_none_or(|last| last[..] < key[..]);
            let flags = match is_last {
                true => PutFlags::APPEND,
                false => PutFlags::empty(),
            };
            dead.put_with_flags(txn, flags, &key, &value)?;
            if is_last {
                last = None;
            }
            of_target.added += 1;
        }
        Ok(())
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
        let mut over: Vec<(u64, u64)> = Vec::new();
        let mut lengths = RecordLengths::new(self.tables, txn);
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
            let size = lengths.get(seq)?.map_or(0, capacity::cost);
            let size = u64::from(size) + value.len() as u64;
            (count, bytes) = (count.saturating_sub(1), bytes.saturating_sub(size));
            over.push((seq, size));
        }
        drop(lengths);
        let (_, row) = rows.at(index);
        for run in over.chunk_by(|a, b| a.0.checked_add(1) == Some(b.0)) {
            let [(first, _), ..] = *run else { continue };
            let range = target_range(number, first, run.len());
            delete_run(&self.tables.dead, txn, &range, run.len())?;
            for &(seq, size) in run {
                row.remove_dead(size);
                removal.release(seq);
            }
        }
        Ok(over.len() as u64)
    }
}
