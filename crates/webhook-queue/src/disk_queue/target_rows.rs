//! The rows of the targets that a transaction touches.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use heed::{AnyTls, RoTxn, RwTxn};

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
        let (row, number) = Row::read(value)
            .zip(number)
            .ok_or_else(|| damage("the row of a target"))?;
        rows.insert(number, row);
    }
    Ok(rows)
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
        let Some(found) = self.tables.meta.get(txn, &record::row_key(number))? else {
            return Ok(None);
        };
        let row = Row::read(found).ok_or_else(|| damage("the row of a target"))?;
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
            pending: 0,
            dead: 0,
            name: target.to_string(),
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
        self.rows.retain(|(other, _)| *other != number);
        self.index.clear();
        self.latest = None;
        self.removed.push(number);
        Ok(())
    }

    /// Stores the rows.
    pub(super) fn write(&self, txn: &mut RwTxn<'_>) -> heed::Result<()> {
        for (number, row) in &self.rows {
            self.tables
                .meta
                .put(txn, &record::row_key(*number), &row.write())?;
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
