//! Removes what is settled from `owed`, and the events that no target is owed any longer.
//!
//! Entries are settled roughly in the order accepted, so the entries of a commit are mostly
//! adjacent. Each run of them is removed in one walk, instead of one search from the root of a
//! table for each.

use std::ops::Bound;

use heed::{AnyTls, RoTxn, RwTxn};

use super::fault::check_all_deleted;
use super::pieces;
use super::record;
use super::tables::{Table, Tables};
use super::target_rows::TargetRows;

/// What a transaction is to remove, collected so that runs are removed together.
pub(super) struct Removal<'q> {
    tables: &'q Tables,
    identity: [u8; 16],
    /// Entries that are owed no longer, each with the index of its target's row.
    settled: Vec<(usize, u64)>,
    /// Events, once for each target that no longer holds them. Applied together, since targets
    /// often settle an event in the same group.
    released: Vec<u64>,
    /// Those of `settled` that were not there.
    missing: Vec<(usize, u64)>,
}

impl<'q> Removal<'q> {
    pub(super) fn new(tables: &'q Tables, identity: [u8; 16]) -> Removal<'q> {
        Removal {
            tables,
            identity,
            settled: Vec::new(),
            released: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Has an entry removed from `owed`; without effect if it is not there.
    pub(super) fn settle(&mut self, row: usize, seq: u64) {
        self.settled.push((row, seq));
    }

    /// Takes the settled entries that were not in `owed`.
    pub(super) fn take_missing(&mut self) -> Vec<(usize, u64)> {
        std::mem::take(&mut self.missing)
    }

    /// Counts that one target less holds an event.
    pub(super) fn release(&mut self, seq: u64) {
        self.released.push(seq);
    }

    /// Removes all that was collected.
    pub(super) fn apply(
        &mut self,
        txn: &mut RwTxn<'_>,
        rows: &mut TargetRows<'_>,
    ) -> heed::Result<()> {
        self.take_settled(txn, rows)?;
        self.forget_released(txn)
    }

    /// Removes the settled entries from `owed`.
    pub(super) fn take_settled(
        &mut self,
        txn: &mut RwTxn<'_>,
        rows: &mut TargetRows<'_>,
    ) -> heed::Result<()> {
        let mut settled = std::mem::take(&mut self.settled);
        settled.sort_unstable();
        settled.dedup();
        for run in settled.chunk_by(|a, b| a.0 == b.0 && a.1 + 1 == b.1) {
            let [(index, first), ..] = *run else { continue };
            let taken = self.take_run(txn, rows, index, (first, run.len()))?;
            self.released.extend(taken.iter().map(|(seq, _)| seq));
        }
        Ok(())
    }

    /// Removes `count` entries of the target at an index from `owed`, from the first on. Returns
    /// those that were there, and the bytes that each of them counted.
    pub(super) fn take_run(
        &mut self,
        txn: &mut RwTxn<'_>,
        rows: &mut TargetRows<'_>,
        index: usize,
        (first, count): (u64, usize),
    ) -> heed::Result<Vec<(u64, u32)>> {
        let owed = &self.tables.owed;
        let (number, row) = rows.at(index);
        let range = target_range(*number, first, count);
        let mut taken = Vec::with_capacity(count);
        if count == 1 {
            let cost = owed.get(txn, &range.0)?.map(record::cost_of_owed);
            taken.extend(cost.map(|cost| (first, cost)));
        } else {
            for item in owed.range(txn, &bounds(&range))? {
                let (key, value) = item?;
                let seq = record::seq_of_target_key(key);
                taken.extend(seq.map(|seq| (seq, record::cost_of_owed(value))));
            }
        }
        if !taken.is_empty() {
            delete_run(owed, txn, &range, taken.len())?;
        }
        let bytes = taken.iter().map(|(_, cost)| u64::from(*cost)).sum();
        row.remove_owed(taken.len() as u64, bytes);
        if taken.len() != count {
            let is_missing = |seq: &u64| taken.binary_search_by_key(seq, |(seq, _)| *seq).is_err();
            let missing = (first..=last_of(first, count)).filter(is_missing);
            self.missing.extend(missing.map(|seq| (index, seq)));
        }
        Ok(taken)
    }

    /// Removes the events that no target holds any longer.
    fn forget_released(&mut self, txn: &mut RwTxn<'_>) -> heed::Result<()> {
        let mut released = std::mem::take(&mut self.released);
        if released.is_empty() {
            return Ok(());
        }
        released.sort_unstable();
        let mut unheld = Vec::with_capacity(released.len());
        let any_shared = !self.tables.shares.is_empty(txn)?;
        for same in released.chunk_by(|a, b| a == b) {
            let [seq, ..] = *same else { continue };
            if !any_shared || !self.is_still_held(txn, seq, same.len())? {
                unheld.push(seq);
            }
        }
        for run in unheld.chunk_by(|a, b| a + 1 == *b) {
            match *run {
                [] => {}
                [seq] => self.forget(txn, seq)?,
                [first, ..] => self.forget_run(txn, first, run.len())?,
            }
        }
        Ok(())
    }

    /// Whether a target holds an event after `released` targets have let go of it.
    fn is_still_held(&self, txn: &mut RwTxn<'_>, seq: u64, released: usize) -> heed::Result<bool> {
        let key = record::event_key(seq);
        let shares = self.tables.shares.get(txn, &key)?;
        let released = u32::try_from(released).unwrap_or(u32::MAX);
        let left = record::read_shares(shares).saturating_sub(released);
        if left > 0 {
            self.tables.shares.put(txn, &key, &left.to_le_bytes())?;
        } else if shares.is_some() {
            self.tables.shares.delete(txn, &key)?;
        }
        Ok(left > 0)
    }

    /// Removes an event and its entry in the index by key.
    fn forget(&self, txn: &mut RwTxn<'_>, seq: u64) -> heed::Result<()> {
        self.forget_first_piece(txn, seq)?;
        pieces::remove(self.tables, txn, seq, seq)
    }

    /// As [`forget`](Removal::forget), but other pieces of the event's record are kept.
    pub(super) fn forget_first_piece(&self, txn: &mut RwTxn<'_>, seq: u64) -> heed::Result<()> {
        let key = record::event_key(seq);
        let Some(found) = self.tables.events.get(txn, &key)? else {
            return Ok(());
        };
        // If the record is damaged, its key may be damaged too, and the entry in the index
        // remains. That is harmless: readers skip an index entry without an event.
        if let Some(index_key) = self.index_key(txn, seq, found)? {
            self.tables.by_key.delete(txn, &index_key)?;
        }
        self.tables.events.delete(txn, &key)?;
        Ok(())
    }

    /// As [`forget`](Removal::forget), of `count` events from the first on.
    fn forget_run(&self, txn: &mut RwTxn<'_>, first: u64, count: usize) -> heed::Result<()> {
        let events = &self.tables.events;
        let low = record::event_key(first);
        let high = record::event_key(last_of(first, count));
        let range = (Bound::Included(&low[..]), Bound::Included(&high[..]));
        let mut index_keys = Vec::with_capacity(count);
        let mut found = 0;
        for item in events.range(txn, &range)? {
            let (key, event) = item?;
            found += 1;
            if let Ok(seq) = key.try_into().map(u64::from_be_bytes) {
                index_keys.extend(self.index_key(txn, seq, event)?);
            }
        }
        // In the order of the index, so that each page is visited once.
        index_keys.sort_unstable();
        for key in index_keys {
            self.tables.by_key.delete(txn, &key)?;
        }
        check_all_deleted(found, events.delete_range(txn, &range)?)?;
        pieces::remove(self.tables, txn, first, last_of(first, count))
    }

    /// The entry of an event in the index by key, from the first piece of its record.
    fn index_key(
        &self,
        txn: &RoTxn<'_, AnyTls>,
        seq: u64,
        first: &[u8],
    ) -> heed::Result<Option<[u8; 14]>> {
        let of = |key| record::by_key_key(record::key_hash(self.identity, key), seq);
        if let Some(key) = record::key_of_event(first) {
            return Ok(Some(of(key)));
        }
        // A key may be longer than a piece.
        let found = pieces::join(self.tables, txn, seq, first)?;
        Ok(record::key_of_event(&found).map(of))
    }
}

/// The keys of the first and the last of `count` entries of a target, in `owed` and in `dead`.
pub(super) fn target_range(target: u32, first: u64, count: usize) -> ([u8; 12], [u8; 12]) {
    let last = last_of(first, count);
    (
        record::target_key(target, first),
        record::target_key(target, last),
    )
}

/// Removes the `found` entries of a table from one key to another.
pub(super) fn delete_run(
    table: &Table,
    txn: &mut RwTxn<'_>,
    range: &([u8; 12], [u8; 12]),
    found: usize,
) -> heed::Result<()> {
    if range.0 == range.1 {
        return table.delete(txn, &range.0).map(|_| ());
    }
    check_all_deleted(found, table.delete_range(txn, &bounds(range))?)
}

fn bounds((low, high): &([u8; 12], [u8; 12])) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Included(&low[..]), Bound::Included(&high[..]))
}

/// The last of `count` numbers from the first on.
fn last_of(first: u64, count: usize) -> u64 {
    first.saturating_add((count as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use crate::{SlotGuard, Verify};
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use crate::{
        DiskQueue, EntryId, Event, EventId, Options, Queue, Settled, Settlement, SettlementResult,
    };

    const ATTEMPTED: Settled = Settled::Attempted {
        attempts: 3,
        not_before: 0,
    };

    const KEPT: Settled = Settled::Kept {
        attempts: 1,
        delivered_at: 7,
    };

    fn queue(dir: &tempfile::TempDir, events: u64, targets: &[&str]) -> DiskQueue {
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(8 << 20)).unwrap();
        let targets: Arc<[Arc<str>]> = targets.iter().map(|&name| name.into()).collect();
        let events: Vec<_> = (1..=events)
            .map(|number| Event {
                id: EventId([number as u8; 16]),
                key: Arc::from(&[number as u8 % 3][..]),
                body: (*b"body").into(),
                accepted_at: number,
                targets: Arc::clone(&targets),
                attributes: [].into(),
                idempotency_key: None,
                last_state: None,
            })
            .collect();
        queue.commit(&events, &[]).unwrap();
        queue
    }

    fn settle(queue: &DiskQueue, settlements: &[(&str, u64, Settled)]) -> Vec<SettlementResult> {
        let settlements: Vec<_> = settlements
            .iter()
            .map(|(target, entry, outcome)| Settlement {
                target: (*target).into(),
                entry: EntryId(*entry),
                outcome: outcome.clone(),
                guard: SlotGuard::SOLE,
            })
            .collect();
        queue.commit(&[], &settlements).unwrap().settled
    }

    /// The entries that a target is owed, with the attempts made; also checks the whole queue.
    fn owed(queue: &DiskQueue, target: &str) -> Vec<(u64, u32)> {
        let mut found = Vec::new();
        let mut visit = |owed: crate::Owed<'_>| {
            found.push((owed.entry.0, owed.attempts));
            ControlFlow::Continue(())
        };
        queue.owed(target, None, &mut visit).unwrap();
        assert!(queue.verify().unwrap().is_whole());
        let statistics = queue.statistics().unwrap();
        let row = statistics.targets.iter().find(|row| row.target == target);
        assert_eq!(row.unwrap().pending, found.len() as u64);
        found
    }

    #[test]
    fn adjacent_scattered_and_missing_entries_are_removed_once() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(&dir, 12, &["t"]);
        let settled = [5, 2, 4, 3, 3, 9, 11, 12, 13, 40, u64::MAX - 1, u64::MAX, 0];
        let settled = settled.map(|entry| ("t", entry, Settled::Delivered));
        settle(&queue, &settled);
        assert_eq!(owed(&queue, "t"), [1, 6, 7, 8, 10].map(|entry| (entry, 0)));
        settle(&queue, &settled);
        // Some entries of the run are gone already.
        settle(
            &queue,
            &(1..=8)
                .map(|entry| ("t", entry, Settled::Dropped))
                .collect::<Vec<_>>(),
        );
        assert_eq!(owed(&queue, "t"), [(10, 0)]);
        assert_eq!(queue.statistics().unwrap().events, 1);
    }

    #[test]
    fn a_settlement_tells_whether_its_target_was_owed_the_entry() {
        use crate::SettlementResult::{Applied, NotOwed};

        let dir = tempfile::tempdir().unwrap();
        let queue = queue(&dir, 8, &["a", "b"]);
        settle(&queue, &[("a", 2, Settled::Delivered)]);
        let settlements = [
            ("a", 1, Settled::Delivered),
            ("a", 2, Settled::Delivered),
            ("a", 3, Settled::Dropped),
            ("b", 1, Settled::Dropped),
            ("b", 9, Settled::Dropped),
            ("b", 10, Settled::Delivered),
            ("a", 4, KEPT),
            ("a", 11, KEPT),
            ("b", 2, ATTEMPTED),
            ("a", 12, ATTEMPTED),
            ("c", 5, Settled::Delivered),
        ];
        let expected = [
            Applied, NotOwed, Applied, Applied, NotOwed, NotOwed, Applied, NotOwed, Applied,
            NotOwed, NotOwed,
        ];
        assert_eq!(settle(&queue, &settlements), expected);
        assert_eq!(owed(&queue, "a"), [5, 6, 7, 8].map(|entry| (entry, 0)));
    }

    #[test]
    fn adjacent_entries_of_different_targets_are_removed_from_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(&dir, 3, &["a", "b"]);
        let settled = [("a", 1), ("b", 2)];
        settle(
            &queue,
            &settled.map(|(target, entry)| (target, entry, Settled::Delivered)),
        );
        assert_eq!(owed(&queue, "a"), [(2, 0), (3, 0)]);
        assert_eq!(owed(&queue, "b"), [(1, 0), (3, 0)]);
    }

    /// More entries than a page of each table holds, so that pages become empty and merge.
    #[test]
    fn runs_longer_than_a_page_are_removed_whole() {
        const EVENTS: u64 = 3000;
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(64 << 20)).unwrap();
        let targets: Arc<[Arc<str>]> = ["a", "b"].map(Into::into).into();
        let events: Vec<_> = (1..=EVENTS)
            .map(|number| Event {
                id: EventId(u128::from(number).to_be_bytes()),
                key: Arc::from(&(number % 50).to_be_bytes()[..]),
                body: vec![b'x'; if number % 3 == 0 { 3500 } else { 40 }].into(),
                accepted_at: number,
                targets: Arc::clone(&targets),
                attributes: [].into(),
                idempotency_key: None,
                last_state: None,
            })
            .collect();
        queue.commit(&events, &[]).unwrap();
        let sevenths = (1..=EVENTS / 7).map(|number| ("a", number * 7, ATTEMPTED));
        settle(&queue, &sevenths.collect::<Vec<_>>());

        let mut left: Vec<u64> = (1..=EVENTS).collect();
        // From the front, the middle and the end, in turn.
        for (turn, count) in [1, 2, 184, 185, 186, 187, 768, 768].into_iter().enumerate() {
            let from = (left.len() - count) * (turn % 3) / 2;
            let run: Vec<u64> = left.drain(from..from + count).collect();
            for target in ["a", "b"] {
                let settled = run.iter().map(|entry| (target, *entry, Settled::Delivered));
                settle(&queue, &settled.collect::<Vec<_>>());
            }
            let expected = |attempts: fn(u64) -> u32| {
                let entries = left.iter().map(move |entry| (*entry, attempts(*entry)));
                entries.collect::<Vec<_>>()
            };
            assert_eq!(owed(&queue, "b"), expected(|_| 0));
            let attempts = |entry| if entry % 7 == 0 { 3 } else { 0 };
            assert_eq!(owed(&queue, "a"), expected(attempts));
            assert_eq!(queue.statistics().unwrap().events, left.len() as u64);
        }
    }

    #[test]
    fn an_event_stays_until_its_last_target_has_settled_it() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(&dir, 6, &["a", "b"]);
        let all = |target| (1..=6).map(move |entry| (target, entry, Settled::Delivered));
        settle(&queue, &all("a").collect::<Vec<_>>());
        assert_eq!((owed(&queue, "a").len(), owed(&queue, "b").len()), (0, 6));
        let both: Vec<_> = all("a").chain(all("b").take(4)).collect();
        settle(&queue, &both);
        assert_eq!(owed(&queue, "b"), [(5, 0), (6, 0)]);
        assert_eq!(queue.statistics().unwrap().events, 2);
    }

    #[test]
    fn settlements_of_one_entry_count_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(&dir, 7, &["t"]);
        let dead = Settled::Dead {
            attempts: 1,
            died_at: 7,
            note: Vec::new(),
        };
        let settlements = [
            ("t", 1, Settled::Delivered),
            ("t", 1, dead.clone()),
            ("t", 2, Settled::Delivered),
            ("t", 2, ATTEMPTED),
            ("t", 3, dead),
            ("t", 3, Settled::Delivered),
            ("t", 4, ATTEMPTED),
            ("t", 6, KEPT),
            ("t", 5, KEPT),
            ("t", 5, Settled::Delivered),
            ("t", 6, ATTEMPTED),
            ("t", 7, Settled::Delivered),
            ("t", 7, KEPT),
        ];
        settle(&queue, &settlements);
        assert_eq!(owed(&queue, "t"), [(4, 3)]);
        let mut letters = Vec::new();
        let mut visit = |letter: crate::DeadLetter<'_>| {
            letters.push(letter.owed.entry.0);
            ControlFlow::Continue(())
        };
        queue.dead_letters(None, None, &mut visit).unwrap();
        assert_eq!(letters, [3]);
        let statistics = queue.statistics().unwrap();
        assert_eq!((statistics.targets[0].kept, statistics.events), (2, 4));
    }
}
