//! The LMDB environment and the tables in it.

use std::path::Path;

use heed::types::Bytes;
use heed::{AnyTls, CommitOrAbort, Database, Env, EnvOpenOptions, RoTxn, WithoutTls};

/// A table of bytes by bytes, in the order of its keys.
pub(super) type Table = Database<'static, Bytes, Bytes>;

/// The most calls that read at the same time.
const MAX_READERS: u32 = 1024;

/// Pages of LMDB itself: two meta pages, its table of tables and the root of its list of free
/// pages.
const OWN_PAGES: u64 = 4;

/// The environment and its tables, which `docs/queue-format.md` describes.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// Declared first: nothing has to be closed before it.
    pub(super) env: Env<WithoutTls>,
    pub(super) meta: Table,
    pub(super) events: Table,
    pub(super) owed: Table,
    pub(super) dead: Table,
    pub(super) by_key: Table,
    pub(super) shares: Table,
    pub(super) aside: Table,
    pub(super) known: Table,
    pub(super) learnt: Table,
    pub(super) pieces: Table,
    /// Missing until the first event with a state.
    pub(super) states: Option<StateTables>,
    all: Vec<(&'static str, Table)>,
}

/// The tables of last states.
#[derive(Clone, Copy, Debug)]
pub(super) struct StateTables {
    pub(super) states: Table,
    pub(super) changed: Table,
}

/// Opens the environment in `dir`, creating its files if they are missing. The caller holds the
/// directory's lock as long as the environment lives.
#[allow(
    unsafe_code,
    reason = "mapping a file is unsafe; there is no other way to open LMDB"
)]
pub(super) fn open_env(dir: &Path, map_size: usize) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options
        .map_size(map_size)
        .max_readers(MAX_READERS)
        .max_dbs((NAMES.len() + STATE_NAMES.len()) as u32);
    // SAFETY: the map may not change under us. The directory is one that we created (it holds our
    // mark), its files are open to its owner alone, and the lock in it, which the caller holds,
    // keeps every other process that follows the format out. No flag that weakens LMDB's own
    // locking or syncing is set. A file that is shorter than its content says is refused by the
    // caller before any table is read.
    unsafe { options.open(dir) }
}

/// The tables' names in the environment, in the order of the fields of [`Tables`].
const NAMES: [&str; 10] = [
    "meta", "events", "owed", "dead", "by_key", "shares", "aside", "known", "learnt", "pieces",
];

/// Those of the fields of [`StateTables`].
const STATE_NAMES: [&str; 2] = ["states", "changed"];

impl Tables {
    /// Opens the tables, creating those that are missing.
    pub(super) fn open(env: Env<WithoutTls>, with_states: bool) -> heed::Result<Tables> {
        let all = open_named(&env, NAMES)?;
        let [
            meta,
            events,
            owed,
            dead,
            by_key,
            shares,
            aside,
            known,
            learnt,
            pieces,
        ] = all;
        let tables = Tables {
            env,
            meta,
            events,
            owed,
            dead,
            by_key,
            shares,
            aside,
            known,
            learnt,
            pieces,
            states: None,
            all: NAMES.into_iter().zip(all).collect(),
        };
        match with_states {
            true => tables.with_states(),
            false => Ok(tables),
        }
    }

    /// These tables and those of last states, which are created if they are missing. A transaction
    /// that began before cannot read them.
    pub(super) fn with_states(&self) -> heed::Result<Tables> {
        let mut tables = self.clone();
        if self.states.is_none() {
            let opened = open_named(&self.env, STATE_NAMES)?;
            let [states, changed] = opened;
            tables.states = Some(StateTables { states, changed });
            tables.all.extend(STATE_NAMES.into_iter().zip(opened));
        }
        Ok(tables)
    }

    /// Whether the environment has these tables and no other. If a damaged page hides one of them,
    /// an empty one was created in addition.
    pub(super) fn are_all(&self) -> bool {
        self.env.unnamed_database_stat().entries == self.all.len()
    }

    /// All tables, with their names.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, Table)> {
        self.all.iter().copied()
    }

    /// Bytes of the pages in use, as the transaction sees them. Free pages do not count.
    pub(super) fn used(&self, txn: &RoTxn<'_, AnyTls>) -> heed::Result<u64> {
        let (mut pages, mut page_size) = (OWN_PAGES, 0);
        for (_, table) in &self.all {
            let stat = table.stat(txn)?;
            // A damaged file may state any number: a sum that overflows counts as full.
            for count in [stat.branch_pages, stat.leaf_pages, stat.overflow_pages] {
                pages = u64::saturating_add(pages, count as u64);
            }
            page_size = u64::from(stat.page_size);
        }
        Ok(pages.saturating_mul(page_size))
    }
}

/// Opens tables, creating those that are missing.
fn open_named<const N: usize>(env: &Env<WithoutTls>, names: [&str; N]) -> heed::Result<[Table; N]> {
    let txn = env.write_txn()?;
    let failed = || heed::Error::Decoding("the tables were not created".into());
    let created = env.create_databases_and_commit(txn, |opener, txn| {
        let mut tables = Vec::with_capacity(N);
        for name in names {
            tables.push(opener.create_database::<Bytes, Bytes>(txn, Some(name))?);
        }
        let tables: [_; N] = tables.try_into().map_err(|_| failed())?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tables))
    })?;
    created.commit().ok_or_else(failed)
}

#[cfg(test)]
mod tests {
    use heed::EnvFlags;

    use super::*;
    use crate::{DiskQueue, Event, EventId, Options, Queue, verify};

    #[test]
    fn a_queue_without_the_tables_of_known_keys_gets_them_when_it_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let identity = DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 20))
            .unwrap()
            .identity();
        std::fs::remove_file(dir.path().join("data.mdb")).unwrap();
        let env = open_env(dir.path(), 1 << 20).unwrap();
        let txn = env.write_txn().unwrap();
        env.create_databases_and_commit(txn, |opener, txn| {
            let mut tables = Vec::new();
            for name in &NAMES[..7] {
                tables.push(opener.create_database::<Bytes, Bytes>(txn, Some(name))?);
            }
            tables[0].put(txn, b"format", &1_u32.to_le_bytes())?;
            tables[0].put(txn, b"identity", &identity)?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(()))
        })
        .unwrap();
        env.prepare_for_closing().wait();

        assert!(verify(dir.path()).unwrap().is_whole());
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 20)).unwrap();
        let event = Event {
            id: EventId([1; 16]),
            key: [].into(),
            body: [].into(),
            accepted_at: 0,
            targets: ["t".into()].into(),
            attributes: [].into(),
            idempotency_key: Some([1].into()),
            last_state: None,
        };
        let twice = [event.clone(), event];
        let accepted = queue.commit(&twice, &[]).unwrap().accepted;
        assert_eq!(accepted[1].duplicate_of(), Some(twice[0].id));
    }

    #[test]
    fn a_queue_without_last_states_gets_no_tables_for_them_when_it_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 20)).unwrap();
            let tables = queue.store.tables();
            assert!(tables.states.is_none() && tables.are_all());
        }
    }

    #[test]
    fn only_an_event_of_several_targets_has_a_row_in_shares() {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 20)).unwrap();
        let append = |targets: &[&str]| {
            let targets = targets.iter().copied();
            let event = Event::new(EventId([1; 16]), &b"k"[..], &b"{}"[..], 0, targets);
            queue.commit(&[event], &[]).unwrap();
            let tables = queue.store.tables();
            tables.shares.len(&tables.env.read_txn().unwrap()).unwrap()
        };
        assert_eq!(append(&["a"]), 0);
        assert_eq!(append(&["a", "b"]), 1);
    }

    #[test]
    fn every_commit_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let env = open_env(dir.path(), 1 << 20).unwrap();
        let flags = EnvFlags::from_bits_truncate(env.get_flags().unwrap());
        let weak = EnvFlags::NO_SYNC
            | EnvFlags::NO_META_SYNC
            | EnvFlags::MAP_ASYNC
            | EnvFlags::WRITE_MAP
            | EnvFlags::NO_LOCK;
        assert!(!flags.intersects(weak), "{flags:?}");
    }
}
