//! The storage of a queue: reads of snapshots, and changes in transactions, until one fails for good.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::capacity::Capacity;
use super::change::Change;
use super::directory::{self, Directory};
use super::fault::{self, Fault};
use super::opening;
use super::parts;
use super::read::Snapshot;
use super::tables::Tables;
use super::target_rows::{self, Names};
use super::write_back;
use crate::QueueError;

/// The most damaged entries quarantined in one transaction.
const QUARANTINED_AT_ONCE: usize = 64;

/// The tables of a queue in their directory.
#[derive(Debug)]
pub(super) struct Store {
    /// Replaced when those of last states are added. A call takes them before it begins a
    /// transaction.
    tables: Mutex<Arc<Tables>>,
    /// The largest size of the data file.
    max_bytes: u64,
    /// The numbers of the targets, as of the last commit.
    names: Mutex<Arc<Names>>,
    /// Held during a change, so that names are published in the order of commits. Whether the last
    /// commit freed no pages that the next one cannot reuse.
    changing: Mutex<bool>,
    /// Damaged entries that could not yet be quarantined.
    damaged: Mutex<BTreeSet<u64>>,
    /// Why the queue refuses every change, if it does.
    failure: Mutex<Option<Failure>>,
    /// Declared last, so that the lock is released after the environment is closed.
    pub(super) directory: Directory,
}

/// Why a queue refuses every change until it is opened again.
#[derive(Clone, Debug)]
enum Failure {
    /// The last step of a commit failed.
    Undecided(Arc<QueueError>),
    /// LMDB's pages contradict each other.
    Damage(String),
}

impl Store {
    pub(super) fn open(mut directory: Directory, capacity: Capacity) -> Result<Store, QueueError> {
        directory.begin_use()?;
        let mut tables = opening::open_tables(&directory, capacity.map_size(0))?;
        let used = tables.env.read_txn().and_then(|txn| tables.used(&txn));
        let used = used.map_err(|error| fault::storage("read", error))?;
        if capacity.map_size(used) != capacity.map_size(0) {
            drop(tables);
            tables = opening::open_tables(&directory, capacity.map_size(used))?;
        }
        opening::check_meta(&tables, &directory)?;
        directory.finish()?;
        let names = opening::read_names(&tables, &directory)?;
        // On a full disk the counts are too low until they can be stored.
        target_rows::recount(&tables).ok();
        Ok(Store {
            tables: Mutex::new(Arc::new(tables)),
            max_bytes: capacity.max,
            names: Mutex::new(Arc::new(names)),
            changing: Mutex::default(),
            damaged: Mutex::default(),
            failure: Mutex::default(),
            directory,
        })
    }

    pub(super) fn tables(&self) -> Arc<Tables> {
        lock(&self.tables).clone()
    }

    /// Adds the tables of last states, if they are missing.
    pub(super) fn add_state_tables(&self) -> Result<(), QueueError> {
        let mut all_reusable = lock(&self.changing);
        let tables = self.tables();
        if tables.states.is_some() {
            return Ok(());
        }
        if let Some(failure) = &*lock(&self.failure) {
            return Err(self.refusal(failure));
        }
        *all_reusable = false;
        let added = tables.with_states();
        let added = added.map_err(|error| self.failed("add tables to", error))?;
        self.keep_length();
        *lock(&self.tables) = Arc::new(added);
        Ok(())
    }

    /// The queue's identity.
    pub(super) fn identity(&self) -> [u8; 16] {
        self.directory.identity()
    }

    /// Makes a change and commits it.
    pub(super) fn change<R>(
        &self,
        action: &'static str,
        make: impl Fn(&mut Change<'_>) -> Result<R, Fault>,
    ) -> Result<R, QueueError> {
        let mut all_reusable = lock(&self.changing);
        if let Some(failure) = &*lock(&self.failure) {
            return Err(self.refusal(failure));
        }
        let mut made = self.try_change(&make);
        if let Err(Fault::Storage(heed::Error::Mdb(heed::MdbError::MapFull))) = made
            && !*all_reusable
        {
            // LMDB reuses the pages that a commit freed from the second commit after it on.
            *all_reusable = self.try_change(|change| change.touch()).is_ok();
            made = self.try_change(&make);
        }
        *all_reusable &= made.is_err();
        match made {
            Ok(made) => Ok(made),
            Err(Fault::Refused(error)) => Err(error),
            Err(Fault::Storage(error)) => Err(self.failed(action, error)),
        }
    }

    fn try_change<R>(
        &self,
        make: impl Fn(&mut Change<'_>) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let names = self.names();
        let tables = self.tables();
        let mut change = Change::begin(&tables, &names, self.identity())?;
        let made = make(&mut change)?;
        let renamed = change.commit()?;
        self.keep_length();
        if let Some(names) = renamed {
            *lock(&self.names) = Arc::new(names);
        }
        Ok(made)
    }

    /// Makes a change of these entries, in parts if there is no room for all at once. Returns the sum
    /// of what `make` returns. After a failure of a later part, it is the sum of those before.
    pub(super) fn change_in_parts<T>(
        &self,
        action: &'static str,
        entries: &[T],
        make: impl Fn(&mut Change<'_>, &[T]) -> heed::Result<u64>,
    ) -> Result<u64, QueueError> {
        parts::make_in_parts(entries, |part| {
            self.change(action, |change| Ok(make(change, part)?))
        })
    }

    /// Extends the file to the length that its pages need. LMDB does not write pages at the end
    /// that a transaction allocated and freed again; without them the file would look truncated.
    fn keep_length(&self) {
        let env = &self.tables().env;
        let needed = opening::extent(env);
        let size = env.real_disk_size();
        if size.is_ok_and(|size| size < needed) {
            // If it fails, the next opening extends the file.
            self.directory.lengthen(needed).ok();
        }
    }

    /// The error of a failed change.
    fn failed(&self, action: &'static str, error: heed::Error) -> QueueError {
        if let heed::Error::Mdb(heed::MdbError::MapFull) = error {
            let tables = self.tables();
            let txn = tables.env.read_txn();
            let used = txn.and_then(|txn| tables.used(&txn));
            let max = self.max_bytes;
            // If even this cannot be read, report the queue as full.
            let used = used.unwrap_or(max);
            return QueueError::Full { used, max };
        }
        if fault::is_damage(&error) {
            return self.found_damage(&error);
        }
        let error = match fault::storage(action, error) {
            // LMDB reports an I/O error when the disk has room for only a part of a write.
            error @ QueueError::Storage { .. } => match self.directory.lack_of_room() {
                Some(source) => QueueError::NoSpace { source },
                None => error,
            },
            error => error,
        };
        // LMDB can continue after every failure but one: that of the page that makes a commit
        // valid.
        let tables = self.tables();
        let next = tables.env.write_txn();
        if !matches!(next, Err(heed::Error::Mdb(heed::MdbError::Panic))) {
            return error;
        }
        self.directory.abandon();
        let failure = Failure::Undecided(Arc::new(error));
        self.refusal(lock(&self.failure).insert(failure))
    }

    /// Refuses every change from now on, and when the queue is opened again: a page is damaged, and
    /// what cannot be settled would be delivered again after each start.
    fn found_damage(&self, error: &heed::Error) -> QueueError {
        let detail = error.to_string();
        self.directory.mark_damaged(&detail);
        self.refusal(lock(&self.failure).insert(Failure::Damage(detail)))
    }

    /// The error of every change after a failure.
    fn refusal(&self, failure: &Failure) -> QueueError {
        match failure.clone() {
            Failure::Undecided(source) => QueueError::Refusing { source },
            Failure::Damage(detail) => directory::corrupt(self.directory.path(), detail),
        }
    }

    /// Reads from a snapshot, and quarantines the damaged entries that it finds.
    pub(super) fn read<R>(
        &self,
        read: impl FnOnce(&mut Snapshot<'_>) -> heed::Result<R>,
    ) -> Result<R, QueueError> {
        let failed = |error| match fault::is_damage(&error) {
            true => self.found_damage(&error),
            false => fault::storage("read from", error),
        };
        let tables = self.tables();
        let mut snapshot = Snapshot::take(&tables).map_err(failed)?;
        let result = read(&mut snapshot).map_err(failed);
        let found = std::mem::take(&mut snapshot.damaged);
        drop(snapshot);
        for group in found.chunks(QUARANTINED_AT_ONCE) {
            self.quarantine(group);
        }
        result
    }

    /// Quarantines damaged entries; those that cannot be are tried again when they are read again.
    fn quarantine(&self, entries: &[u64]) {
        let done =
            self.change_in_parts("quarantine damaged records of", entries, |change, part| {
                for &seq in part {
                    change.quarantine(seq)?;
                }
                Ok(part.len() as u64)
            });
        let done = done.map_or(0, |done| done as usize);
        let mut damaged = lock(&self.damaged);
        damaged.retain(|seq| !entries[..done].contains(seq));
        // Reads skip the others all the same, and they are counted.
        damaged.extend(&entries[done..]);
    }

    pub(super) fn names(&self) -> Arc<Names> {
        lock(&self.names).clone()
    }

    pub(super) fn number(&self, target: &str) -> Option<u32> {
        self.names().get(target).copied()
    }

    /// The number of damaged entries that could not yet be quarantined.
    pub(super) fn damaged(&self) -> u64 {
        lock(&self.damaged).len() as u64
    }

    /// Checks that it takes changes.
    pub(super) fn check(&self) -> Result<(), QueueError> {
        match &*lock(&self.failure) {
            Some(failure) => Err(self.refusal(failure)),
            None => self.directory.check_files(),
        }
    }

    /// Writes back what only the open files have, and marks the directory as not in use.
    pub(super) fn close(&self) -> Result<(), QueueError> {
        let _changing = lock(&self.changing);
        if !self.directory.is_in_use() {
            // It was closed already, or is damaged.
            return Ok(());
        }
        write_back::write_back(&self.tables(), &self.directory)?;
        self.directory.end_use();
        Ok(())
    }
}

/// Each lock protects a value that is consistent even after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::disk_queue::record;
    use crate::{DiskQueue, Event, EventId, Options, Owed, Quarantined, Queue, Verify};

    #[test]
    fn a_missing_and_a_damaged_event_are_counted_once_before_and_after_they_are_quarantined() {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(8 << 20)).unwrap();
        let events = [1, 2, 3].map(|id| Event::new(EventId([id; 16]), [0], *b"body", 0, ["t"]));
        queue.commit(&events, &[]).unwrap();
        let tables = queue.store.tables();
        let mut txn = tables.env.write_txn().unwrap();
        let [missing, damaged] = [1, 2].map(record::event_key);
        tables.events.delete(&mut txn, &missing).unwrap();
        tables.events.put(&mut txn, &damaged, b"damaged").unwrap();
        txn.commit().unwrap();
        let read = || {
            let mut ids = Vec::new();
            let mut visit = |owed: Owed<'_>| {
                ids.push(owed.id.0[0]);
                ControlFlow::Continue(())
            };
            queue.owed("t", None, &mut visit).unwrap();
            let mut reasons = Vec::new();
            let mut visit = |found: Quarantined<'_>| {
                reasons.push((found.entry.0, found.reason.to_owned()));
                ControlFlow::Continue(())
            };
            queue.quarantined(None, &mut visit).unwrap();
            (ids, reasons, queue.statistics().unwrap().corrupt)
        };
        // As long as nothing can be changed, they are skipped alone.
        *lock(&queue.store.failure) = Some(Failure::Damage("a page".into()));
        for _ in 0..2 {
            assert_eq!(read(), (vec![3], vec![], 2));
        }
        *lock(&queue.store.failure) = None;
        let reasons = vec![
            (1, "its event is missing".to_owned()),
            (2, "its event does not match its checksum".to_owned()),
        ];
        for _ in 0..2 {
            assert_eq!(read(), (vec![3], reasons.clone(), 2));
        }
    }
}
