//! The rows of the targets that a transaction touches.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use heed::{AnyTls, RoTxn, RwTxn};

use super::cost;
use super::fault::damage;
use super::record::{self, Row};
use super::tables::Tables;

/// The numbers of the targets that the queue knows, by name.
pub(super) type Names = HashMap<Arc<str>, u32>;

/// The rows of targets, by their numbers.
pub(super) type Rows = BTreeMap<u32, Row>;

/// The rows of all targets.
pub(super) fn read_rows(tables: &Tables, txn: &RoTxn<'_, AnyTls>) -> heed::Result<Rows> {
    let mut rows = Rows::new();
    for item in tables.meta.prefix_iter(txn, b"t")? {
        let (key, value) = item?;
        let number = record::target_of_row_key(key);
        let (mut row, number) = Row::read(value)
            .zip(number)
            .ok_or_else(|| damage("the row of a target"))?;
        row.read_usage(tables.meta.get(txn, &record::usage_key(number))?);
        rows.insert(number, row);
    }
    Ok(rows)
}

/// The row of a target, if there is one.
pub(super) fn read_row(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    number: u32,
) -> heed::Result<Option<Row>> {
    let Some(found) = tables.meta.get(txn, &record::row_key(number))? else {
        return Ok(None);
    };
    let mut row = Row::read(found).ok_or_else(|| damage("the row of a target"))?;
    row.read_usage(tables.meta.get(txn, &record::usage_key(number))?);
    Ok(Some(row))
}

/// Counts the bytes of targets whose counts a program changed that did not count bytes.
pub(super) fn recount(tables: &Tables) -> heed::Result<()> {
    let txn = tables.env.read_txn()?;
    let mut stale = Vec::new();
    for (number, mut row) in read_rows(tables, &txn)? {
        let usage = tables.meta.get(&txn, &record::usage_key(number))?;
        if (row.pending, row.dead) == (0, 0) || row.read_usage(usage) {
            continue;
        }
        let prefix = number.to_be_bytes();
        for item in tables.owed.prefix_iter(&txn, &prefix)? {
            row.owed_bytes += u64::from(record::cost_of_owed(item?.1));
        }
        for item in tables.dead.prefix_iter(&txn, &prefix)? {
            let (key, value) = item?;
            if let Some(seq) = record::seq_of_target_key(key) {
                row.dead_bytes += cost::of_dead(tables, &txn, seq, value.len())?;
            }
        }
        stale.push((number, row));
    }
    drop(txn);
    if stale.is_empty() {
        return Ok(());
    }
    let mut txn = tables.env.write_txn()?;
    for (number, row) in stale {
        let key = record::usage_key(number);
        tables.meta.put(&mut txn, &key, &row.write_usage())?;
    }
    txn.commit()
}

/// The rows that a transaction has read or added; [`write`](TargetRows::write) stores them.
pub(super) struct TargetRows<'q> {
    tables: &'q Tables,
    names: &'q Names,
    /// Each target's number and row.
    rows: Vec<(u32, Row)>,
    /// The index in `rows` of each target.
    index: HashMap<Arc<str>, usize>,
    /// The target that was looked up last and its index, since the next one is mostly the same.
    latest: Option<(Arc<str>, usize)>,
    /// Targets that this transaction is the first to name.
    added: Vec<(Arc<str>, u32)>,
    /// Targets that it removed.
    removed: Vec<u32>,
}

impl<'q> TargetRows<'q> {
    pub(super) fn new(tables: &'q Tables, names: &'q Names) -> TargetRows<'q> {
        TargetRows {
            tables,
            names,
            rows: Vec::new(),
            index: HashMap::new(),
            latest: None,
            added: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// The number and the row at an index that [`find`](TargetRows::find) returned.
    pub(super) fn at(&mut self, index: usize) -> &mut (u32, Row) {
        &mut self.rows[index]
    }

    /// The names of the known targets, in their order.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.names.keys().cloned().collect();
        names.sort();
        names
    }

    /// The index of a known target's row.
    pub(super) fn find(
        &mut self,
        txn: &RoTxn<'_, AnyTls>,
        target: &str,
    ) -> heed::Result<Option<usize>> {
        if let Some((name, index)) = &self.latest
            && **name == *target
        {
            return Ok(Some(*index));
        }
        if let Some((name, &index)) = self.index.get_key_value(target) {
            self.latest = Some((name.clone(), index));
            return Ok(Some(index));
        }
        let Some((name, &number)) = self.names.get_key_value(target) else {
            return Ok(None);
        };
        let Some(row) = read_row(self.tables, txn, number)? else {
            return Ok(None);
        };
        Ok(Some(self.push(name.clone(), number, row)))
    }

    /// The index of a target's row, which is added if the target is new.
    pub(super) fn find_or_add(
        &mut self,
        txn: &RoTxn<'_, AnyTls>,
        target: &Arc<str>,
    ) -> heed::Result<usize> {
        if let Some(index) = self.find(txn, target)? {
            return Ok(index);
        }
        let added = self.added.iter().map(|(_, number)| number);
        let last = self.names.values().chain(added).max();
        let number = last.map_or(0, |last| last + 1);
        self.added.push((target.clone(), number));
        let row = Row {
            name: target.to_string(),
            ..Row::default()
        };
        Ok(self.push(target.clone(), number, row))
    }

    fn push(&mut self, name: Arc<str>, number: u32, row: Row) -> usize {
        let index = self.rows.len();
        self.index.insert(name, index);
        self.rows.push((number, row));
        index
    }

    /// Removes a target. Indices returned before are no longer valid.
    pub(super) fn remove(&mut self, txn: &mut RwTxn<'_>, number: u32) -> heed::Result<()> {
        self.tables.meta.delete(txn, &record::row_key(number))?;
        self.tables.meta.delete(txn, &record::hold_key(number))?;
        self.tables.meta.delete(txn, &record::usage_key(number))?;
        self.rows.retain(|(other, _)| *other != number);
        self.index.clear();
        self.latest = None;
        self.removed.push(number);
        Ok(())
    }

    /// Stores the rows.
    pub(super) fn write(&self, txn: &mut RwTxn<'_>) -> heed::Result<()> {
        let meta = &self.tables.meta;
        for (number, row) in &self.rows {
            meta.put(txn, &record::row_key(*number), &row.write())?;
            meta.put(txn, &record::usage_key(*number), &row.write_usage())?;
        }
        Ok(())
    }

    /// The names after the commit, if a target was added or removed.
    pub(super) fn into_changed_names(self) -> Option<Names> {
        if self.added.is_empty() && self.removed.is_empty() {
            return None;
        }
        let mut names = self.names.clone();
        names.extend(self.added);
        names.retain(|_, number| !self.removed.contains(number));
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use crate::disk_queue::record;
    use crate::{DiskQueue, EntryId, Event, EventId, Options, Queue, Settled, Settlement};
    use crate::{SlotGuard, Verify};

    #[test]
    fn the_bytes_of_a_queue_of_an_older_version_are_counted_when_it_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::with_max_bytes(1 << 20);
        let queue = DiskQueue::open(dir.path(), &options).unwrap();
        let event = Event {
            id: EventId([1; 16]),
            key: [].into(),
            body: vec![0; 1000].into(),
            accepted_at: 0,
            targets: ["t".into()].into(),
            attributes: [].into(),
            idempotency_key: None,
            last_state: None,
        };
        queue.commit(&vec![event; 3], &[]).unwrap();
        let dead = Settlement {
            target: "t".into(),
            entry: EntryId(1),
            outcome: Settled::Dead {
                attempts: 1,
                died_at: 0,
                note: Vec::new(),
            },
            guard: SlotGuard::SOLE,
        };
        queue.commit(&[], &[dead]).unwrap();
        let counted = queue.statistics().unwrap();
        // Such a version writes no usage, and no bytes in `owed`.
        let tables = queue.store.tables();
        let mut txn = tables.env.write_txn().unwrap();
        let meta = &tables.meta;
        meta.delete(&mut txn, &record::usage_key(0)).unwrap();
        let key = record::target_key(0, 2);
        tables.owed.put(&mut txn, &key, &[]).unwrap();
        txn.commit().unwrap();
        drop((tables, queue));
        let queue = DiskQueue::open(dir.path(), &options).unwrap();
        let target = &queue.statistics().unwrap().targets[0];
        assert_eq!(target.dead_bytes, counted.targets[0].dead_bytes);
        assert_eq!(target.owed_bytes, counted.targets[0].owed_bytes / 2);
        assert!(queue.verify().unwrap().is_whole());
    }
}
