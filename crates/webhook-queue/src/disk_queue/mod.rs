//! A queue on the disk, in LMDB.

mod append;
mod capacity;
mod change;
mod cost;
mod directory;
mod fault;
mod files;
mod kept;
mod known;
mod offline;
mod opening;
mod options;
mod parts;
mod pieces;
mod read;
mod record;
mod removal;
mod states;
mod store;
mod tables;
mod target_rows;
mod verification;
mod write_back;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use self::append::Bounds;
use self::capacity::Capacity;
use self::directory::Directory;
use self::kept::Keeping;
use self::pieces::PIECE;
use self::store::Store;
use self::target_rows::Names;
use self::verification::Depth;
use crate::duplicates::{body_hash, fingerprint};
use crate::{
    CommitResult, DeadLetter, DuplicateWindow, EntryId, Event, Owed, Quarantined, Queue,
    QueueError, Quotas, Settlement, Statistics, TargetHold, TargetStatistics, Verification, Verify,
    kept_name, merge_kept, target_of_kept,
};

pub use self::offline::{Compaction, compact, verify, verify_tables, was_left_open};
pub use self::options::Options;

/// The most idempotency keys, and last states, forgotten in one transaction when the bound has become
/// smaller.
const FORGOTTEN_AT_ONCE: usize = 1024;

/// The most entries that [`DiskQueue::drop_target`] removes in one transaction.
const DROPPED_AT_ONCE: usize = 1024;

/// The most dead letters that [`DiskQueue::trim_dead_letters`] removes in one transaction.
const TRIMMED_AT_ONCE: usize = 256;

/// A [`Queue`] in a directory of its own, stored by LMDB in the format of `docs/queue-format.md`.
/// What a call acknowledged survives a crash of the process or the system and a power loss, if the
/// disk keeps what it reports as synced.
///
/// A read holds a snapshot while it visits entries. Entries settled meanwhile are still visited,
/// and their space is not reused before the read ends, so a visitor should not wait for anything.
///
/// An event whose record does not match its checksum is not visited. It is quarantined, so that no
/// target is owed it, and counted in [`Statistics::corrupt`].
#[derive(Debug)]
pub struct DiskQueue {
    store: Store,
    capacity: Capacity,
    /// How long idempotency keys are known.
    window: DuplicateWindow,
    /// How many last states are known.
    max_states: u64,
    quotas: Mutex<Arc<Quotas>>,
}

impl DiskQueue {
    /// Opens the queue in `dir`, or creates it if the directory does not exist or is empty. The
    /// time to open does not depend on the number of events.
    ///
    /// # Errors
    /// [`NotADirectory`](QueueError::NotADirectory),
    /// [`ForeignDirectory`](QueueError::ForeignDirectory),
    /// [`UnknownVersion`](QueueError::UnknownVersion), [`Locked`](QueueError::Locked) (by another
    /// process or by this one), [`Corrupt`](QueueError::Corrupt) or [`Io`](QueueError::Io). The
    /// directory is unchanged, except that a queue whose creation was cut short is removed.
    ///
    /// ```
    /// use webhook_queue::{DiskQueue, Event, EventId, Options, Queue};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let options = Options::with_max_bytes(1 << 30);
    /// let queue = DiskQueue::open(dir.path(), &options)?;
    /// let event = Event::new(EventId([7; 16]), &b"hello-0"[..], &b"{}"[..], 1_464_992_060_258, ["audit"]);
    /// queue.commit(&[event], &[])?;
    /// drop(queue); // as a crash would
    ///
    /// let queue = DiskQueue::open(dir.path(), &options)?;
    /// assert_eq!(queue.statistics()?.targets[0].pending, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: impl AsRef<Path>, options: &Options) -> Result<DiskQueue, QueueError> {
        Self::open_directory(Directory::open(dir.as_ref(), true)?, options)
    }

    /// Opens an existing queue in `dir`: for tools.
    ///
    /// # Errors
    /// [`Missing`](QueueError::Missing) if there is no queue, else those of
    /// [`open`](DiskQueue::open).
    pub fn open_existing(
        dir: impl AsRef<Path>,
        options: &Options,
    ) -> Result<DiskQueue, QueueError> {
        Self::open_directory(Directory::open(dir.as_ref(), false)?, options)
    }

    fn open_directory(directory: Directory, options: &Options) -> Result<DiskQueue, QueueError> {
        let capacity = Capacity::new(options.max_bytes);
        let queue = DiskQueue {
            store: Store::open(directory, capacity)?,
            capacity,
            window: capacity.window(options.duplicates),
            max_states: capacity.max_states(options.max_last_states),
            quotas: Mutex::default(),
        };
        queue.forget_over_bound();
        Ok(queue)
    }

    /// Forgets the keys and last states that exceed a bound that has become smaller, so that they do
    /// not fill a queue that gets no new events. After a failure, the next opening tries again.
    fn forget_over_bound(&self) {
        let tables = self.store.tables();
        let over = || {
            let txn = tables.env.read_txn()?;
            let states = match &tables.states {
                Some(states) => states.changed.len(&txn)?,
                None => 0,
            };
            let keys = tables.learnt.len(&txn)?;
            Ok::<_, heed::Error>(keys > self.window.keys || states > self.max_states)
        };
        let mut limit = FORGOTTEN_AT_ONCE;
        while over().unwrap_or(false) {
            let trimmed = parts::make_fit(&mut limit, |limit| {
                self.store.change("forget keys of", |change| {
                    change.trim_known(self.window, limit)?;
                    Ok(change.trim_states(self.max_states, limit)?)
                })
            });
            if trimmed.is_err() {
                return;
            }
        }
    }

    /// Sixteen random bytes that identify this queue, chosen when it was created.
    #[must_use]
    pub fn identity(&self) -> [u8; 16] {
        self.store.identity()
    }

    fn quotas(&self) -> Arc<Quotas> {
        let quotas = self.quotas.lock();
        quotas.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there are dead letters or kept deliveries over the bounds.
    fn has_excess_dead(&self, quotas: &Quotas, now: u64) -> Result<bool, QueueError> {
        self.store.read(|snapshot| {
            let tables = snapshot.tables;
            let rows = target_rows::read_rows(tables, &snapshot.txn)?;
            let (mut count, mut bytes) = (0, 0);
            for (&number, row) in rows.iter().filter(|(_, row)| row.dead > 0) {
                let limits = match target_of_kept(&row.name) {
                    None => {
                        (count, bytes) = (count + row.dead, bytes + row.dead_bytes);
                        &quotas.dead_letters
                    }
                    Some(target) => match quotas.retained.get(target) {
                        Some(limits) if !limits.are_exceeded(row.dead, row.dead_bytes) => limits,
                        _ => return Ok(true),
                    },
                };
                if !change::expired(tables, &snapshot.txn, number, limits, now)?.is_empty() {
                    return Ok(true);
                }
            }
            Ok(quotas.dead_letters.are_exceeded(count, bytes))
        })
    }
}

impl Verify for DiskQueue {
    fn quarantined(
        &self,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Quarantined<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.store
            .read(|snapshot| snapshot.quarantined(after, visit))
    }

    fn verify(&self) -> Result<Verification, QueueError> {
        verification::read_all(&self.store.tables(), self.identity(), Depth::Events)
    }
}

impl Queue for DiskQueue {
    fn commit(
        &self,
        appends: &[Event],
        settlements: &[Settlement],
    ) -> Result<CommitResult, QueueError> {
        if !appends.is_empty() {
            self.store.directory.check_files()?;
        }
        let needed = appends.iter().map(needed_format).max();
        if let Some(format) = needed {
            self.store.directory.raise_format(format)?;
        }
        if appends.iter().any(|event| event.last_state.is_some()) {
            self.store.add_state_tables()?;
        }
        let quotas = self.quotas();
        let bounds = Bounds {
            capacity: &self.capacity,
            window: self.window,
            max_states: self.max_states,
            quotas: &quotas,
        };
        let commit = |all| {
            self.store.change("commit to", |change| {
                let keeping = Keeping {
                    capacity: &self.capacity,
                    quotas: &quotas,
                    all,
                };
                let mut settled = Vec::with_capacity(settlements.len());
                for settlement in settlements {
                    settled.push(change.settle(settlement, keeping)?);
                }
                change.trim_kept(keeping)?;
                let accepted = append::append(change, appends, &bounds)?;
                change.find_not_owed(settlements, &mut settled)?;
                Ok(CommitResult { accepted, settled })
            })
        };
        match (commit(true), appends, settlements) {
            // A long note needs adjacent pages; the settlement alone does not.
            (Err(QueueError::Full { .. }), [], [_]) => commit(false),
            (done, ..) => done,
        }
    }

    fn set_quotas(&self, quotas: Quotas) {
        *self.quotas.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(quotas);
    }

    fn trim_dead_letters(&self, now: u64) -> Result<Vec<(Arc<str>, u64)>, QueueError> {
        let quotas = self.quotas();
        if !self.has_excess_dead(&quotas, now)? {
            return Ok(Vec::new());
        }
        let mut limit = TRIMMED_AT_ONCE;
        parts::make_fit(&mut limit, |limit| {
            self.store.change("remove dead letters of", |change| {
                Ok(change.trim_dead(&quotas, now, limit)?)
            })
        })
    }

    fn owed(
        &self,
        target: &str,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        let Some(target) = self.store.number(target) else {
            return Ok(());
        };
        self.store
            .read(|snapshot| snapshot.owed(target, after, visit))
    }

    fn is_repetition(&self, idempotency_key: &[u8], body: &[u8]) -> Result<bool, QueueError> {
        let identity = self.identity();
        let print = fingerprint(&identity, idempotency_key);
        let hash = body_hash(&identity, body);
        self.store
            .read(|snapshot| known::is_repetition(snapshot.tables, &snapshot.txn, &print, hash))
    }

    fn last_state(&self, key: &[u8]) -> Result<Option<Arc<[u8]>>, QueueError> {
        let print = fingerprint(&self.identity(), key);
        self.store.read(|snapshot| {
            let Some(tables) = &snapshot.tables.states else {
                return Ok(None);
            };
            Ok(states::get(tables, &snapshot.txn, &print)?.map(Arc::from))
        })
    }

    fn owed_of_keys(
        &self,
        target: &str,
        keys: &[Arc<[u8]>],
        visit: &mut dyn FnMut(usize, Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        let Some(target) = self.store.number(target) else {
            return Ok(());
        };
        let identity = self.identity();
        self.store.read(|snapshot| {
            for (index, key) in keys.iter().enumerate() {
                let hash = record::key_hash(identity, key);
                let mut visit = |owed: Owed<'_>| visit(index, owed);
                snapshot.owed_of_key(target, (key, hash), &mut visit)?;
            }
            Ok(())
        })
    }

    fn dead_letters(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        let names = self.store.names();
        self.store.read(|snapshot| {
            for (name, number) in by_name(&names) {
                let of = target_of_kept(name);
                if target.map_or(of.is_some(), |target| target != name) {
                    continue;
                }
                let shown = (of.unwrap_or(name), number);
                let visited = snapshot.dead_letters(shown, after, visit)?;
                if visited.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn dead_letters_of_key(
        &self,
        key: &[u8],
        most: usize,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<bool, QueueError> {
        let names = self.store.names();
        let hash = record::key_hash(self.identity(), key);
        self.store.read(|snapshot| {
            let rows = target_rows::read_rows(snapshot.tables, &snapshot.txn)?;
            let mut targets = by_name(&names);
            let has_dead = |number: &u32| rows.get(number).is_some_and(|row| row.dead > 0);
            targets.retain(|(name, number)| target_of_kept(name).is_none() && has_dead(number));
            snapshot.dead_letters_of_key(&targets, (key, hash), most, visit)
        })
    }

    fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        self.store
            .change_in_parts("replay dead letters of", entries, |change, part| {
                change.replay(target, part)
            })
    }

    fn drop_dead(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        self.store
            .change_in_parts("drop dead letters of", entries, |change, part| {
                change.drop_dead(target, part)
            })
    }

    fn drop_target(&self, target: &str) -> Result<u64, QueueError> {
        let mut dropped = 0;
        for name in [&kept_name(target), target] {
            let mut limit = DROPPED_AT_ONCE;
            loop {
                let (count, all) = parts::make_fit(&mut limit, |limit| {
                    self.store.change("forget a target of", |change| {
                        Ok(change.drop_target(name, limit)?)
                    })
                })?;
                dropped += count;
                if all {
                    break;
                }
            }
        }
        Ok(dropped)
    }

    fn verifier(&self) -> Option<&dyn Verify> {
        Some(self)
    }

    fn check(&self) -> Result<(), QueueError> {
        self.store.check()
    }

    fn close(&self) -> Result<(), QueueError> {
        self.store.close()
    }

    fn hold(&self, target: &str) -> Result<Option<TargetHold>, QueueError> {
        let Some(number) = self.store.number(target) else {
            return Ok(None);
        };
        self.store.read(|snapshot| {
            let meta = &snapshot.tables.meta;
            let found = meta.get(&snapshot.txn, &record::hold_key(number))?;
            Ok(found.and_then(record::read_hold))
        })
    }

    fn statistics(&self) -> Result<Statistics, QueueError> {
        let names = self.store.names();
        let waiting = self.store.damaged();
        self.store.read(|snapshot| {
            let (tables, txn) = (snapshot.tables, &snapshot.txn);
            let mut targets = Vec::with_capacity(names.len());
            for (name, number) in by_name(&names) {
                // The target was removed since the names were read.
                let Some(row) = target_rows::read_row(tables, txn, number)? else {
                    continue;
                };
                targets.push(TargetStatistics {
                    target: name.to_owned(),
                    pending: row.pending,
                    oldest_accepted_at: snapshot.oldest(number)?,
                    owed_bytes: row.owed_bytes,
                    dead: row.dead,
                    dead_bytes: row.dead_bytes,
                    ..TargetStatistics::default()
                });
            }
            Ok(Statistics {
                targets: merge_kept(targets),
                events: tables.events.len(txn)?,
                bytes: tables.used(txn)?,
                max_bytes: self.capacity.max,
                usable_bytes: self.capacity.usable(tables, txn)?,
                corrupt: tables.aside.len(txn)? + waiting,
                last_states: match &tables.states {
                    Some(states) => states.states.len(txn)?,
                    None => 0,
                },
                shared: None,
            })
        })
    }
}

/// The format of a queue that may have this event.
fn needed_format(event: &Event) -> u32 {
    if !event.attributes.is_empty() || event.last_state.is_some() {
        directory::ATTRIBUTES_FORMAT
    } else if record::event_len(event) > PIECE {
        directory::PIECES_FORMAT
    } else {
        directory::FIRST_FORMAT
    }
}

/// The names and numbers of targets in the order of their names.
fn by_name(names: &Names) -> Vec<(&str, u32)> {
    let names = names.iter().map(|(name, &number)| (&**name, number));
    let mut sorted: Vec<_> = names.collect();
    sorted.sort_unstable();
    sorted
}
