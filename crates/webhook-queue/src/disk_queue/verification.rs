//! Reading all of a queue, to see whether it is whole.

use std::collections::BTreeMap;
use std::path::Path;

use heed::RoTxn;

use super::capacity::Capacity;
use super::directory::Directory;
use super::fault::{damage, storage};
use super::opening::{check_meta, open_tables, read_names};
use super::record::Row;
use super::tables::Tables;
use super::{change, record};
use crate::{EntryId, QueueError};

/// Problems that a [`Verification`] names; it counts all.
const NAMED: usize = 1000;

/// What was found in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Events read.
    pub events: u64,
    /// Entries owed, over all targets.
    pub owed: u64,
    /// Dead letters, over all targets.
    pub dead: u64,
    /// Entries set aside before, since their record was damaged.
    pub set_aside: u64,
    /// Damaged records, the first thousand. An event's will be set aside when it is met.
    pub corrupt: Vec<CorruptEntry>,
    /// How many there are.
    pub corrupt_count: u64,
    /// Where the tables contradict each other, the first thousand. None of it keeps an event from
    /// being delivered, unless it says so.
    pub disagreements: Vec<String>,
    /// How many there are.
    pub disagreement_count: u64,
}

/// A damaged record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorruptEntry {
    /// The entry.
    pub entry: EntryId,
    /// What is wrong with it.
    pub reason: String,
}

impl Verification {
    /// Whether nothing is wrong now. What was set aside before does not count.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.corrupt_count == 0 && self.disagreement_count == 0
    }

    fn corrupt(&mut self, seq: u64, reason: String) {
        self.corrupt_count += 1;
        if self.corrupt.len() < NAMED {
            self.corrupt.push(CorruptEntry {
                entry: EntryId(seq),
                reason,
            });
        }
    }

    fn disagree(&mut self, what: String) {
        self.disagreement_count += 1;
        if self.disagreements.len() < NAMED {
            self.disagreements.push(what);
        }
    }
}

/// Reads all of the queue in `dir`, which has to be closed, and changes nothing in it. Takes as
/// long as the disk needs to read it once.
///
/// # Errors
/// Those of [`DiskQueue::open_existing`](crate::DiskQueue::open_existing), and
/// [`Storage`](QueueError::Storage) if it cannot be read to its end. A damaged record is no error,
/// but part of what is returned.
pub fn verify(dir: impl AsRef<Path>) -> Result<Verification, QueueError> {
    let directory = Directory::open(dir.as_ref(), false)?;
    let tables = open_tables(&directory, Capacity::new(0).map_size(0))?;
    check_meta(&tables, &directory)?;
    let names = read_names(&tables, &directory)?;
    let mut found = Verification::default();
    let mut check = || {
        let txn = tables.env.read_txn()?;
        let mut rows = BTreeMap::new();
        for (name, &number) in &names {
            if let Some(row) = tables.meta.get(&txn, &record::row_key(number))? {
                let row = Row::read(row).ok_or_else(|| damage("the row of a target"))?;
                rows.insert(number, (&**name, row));
            }
        }
        check_targets(&tables, &txn, &rows, &mut found)?;
        let numbers: Vec<u32> = rows.keys().copied().collect();
        check_events(&tables, &txn, directory.identity(), &numbers, &mut found)?;
        found.set_aside = tables.aside.len(&txn)?;
        Ok(())
    };
    check().map_err(|error| storage("verify", error))?;
    Ok(found)
}

/// Each entry at a target has an event, and the targets' counts are right.
fn check_targets(
    tables: &Tables,
    txn: &RoTxn<'_, heed::WithoutTls>,
    rows: &BTreeMap<u32, (&str, Row)>,
    found: &mut Verification,
) -> heed::Result<()> {
    let mut counts: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
    for (place, table) in [&tables.owed, &tables.dead].into_iter().enumerate() {
        for item in table.iter(txn)? {
            let (key, value) = item?;
            let Some((target, seq)) =
                record::target_of_target_key(key).zip(record::seq_of_target_key(key))
            else {
                found.disagree(format!("an entry has the key {key:?}"));
                continue;
            };
            counts.entry(target).or_default()[place] += 1;
            if tables.events.get(txn, &record::event_key(seq))?.is_none() {
                found.corrupt(seq, "its event is missing".into());
            }
            if place == 1 && record::read_dead(key, value).is_none() {
                found.corrupt(seq, "its dead letter does not match its checksum".into());
            }
        }
    }
    found.owed = counts.values().map(|[owed, _]| owed).sum();
    found.dead = counts.values().map(|[_, dead]| dead).sum();
    for (number, [owed, dead]) in &counts {
        match rows.get(number) {
            None => found.disagree(format!(
                "{owed} owed entries and {dead} dead letters belong to a target without a name: \
                 they are not delivered"
            )),
            Some((name, row)) if (row.pending, row.dead) != (*owed, *dead) => {
                found.disagree(format!(
                    "{name} has {owed} owed entries and {dead} dead letters, not {} and {} as \
                     counted",
                    row.pending, row.dead
                ));
            }
            Some(_) => {}
        }
    }
    for (number, (name, row)) in rows {
        if !counts.contains_key(number) && (row.pending, row.dead) != (0, 0) {
            found.disagree(format!(
                "{name} has no entries, not {} owed and {} dead letters as counted",
                row.pending, row.dead
            ));
        }
    }
    Ok(())
}

/// Each event matches its checksum, is found by its key, and is kept for as many as want it.
fn check_events(
    tables: &Tables,
    txn: &RoTxn<'_, heed::WithoutTls>,
    identity: [u8; 16],
    targets: &[u32],
    found: &mut Verification,
) -> heed::Result<()> {
    for item in tables.events.iter(txn)? {
        let (key, value) = item?;
        found.events += 1;
        let Ok(seq) = key.try_into().map(u64::from_be_bytes) else {
            found.disagree(format!("an event has the key {key:?}"));
            continue;
        };
        let Some(event) = record::read_event(seq, value) else {
            found.corrupt(seq, "its event does not match its checksum".into());
            continue;
        };
        let by_key = record::by_key_key(change::hash(identity, event.key), seq);
        if tables.by_key.get(txn, &by_key)?.is_none() {
            found.disagree(format!("entry {seq} is not found by its key"));
        }
        let mut holders = 0;
        for &target in targets {
            let key = record::target_key(target, seq);
            let held =
                tables.owed.get(txn, &key)?.is_some() || tables.dead.get(txn, &key)?.is_some();
            holders += u32::from(held);
        }
        let shares = record::read_shares(tables.shares.get(txn, key)?);
        if shares != holders {
            found.disagree(format!(
                "entry {seq} is kept for {shares} targets and wanted by {holders}"
            ));
        }
    }
    let indexed = tables.by_key.len(txn)?;
    if indexed > found.events {
        let stale = indexed - found.events;
        found.disagree(format!(
            "{stale} entries of the index by key lead nowhere: no harm"
        ));
    }
    Ok(())
}
