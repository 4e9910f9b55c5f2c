//! Reads the events of single keys.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::Row;
use webhook_queue::{Claim, Owed, QueueError};

use super::pages::Pages;
use super::statements::{BYTES, ROWS, Source, Statements};
use crate::database::Database;
use crate::lease::{Slots, boot_time};
use crate::log::{Log, TargetId};
use crate::pool::Pool;

/// Keys that are read in one statement.
const KEYS: usize = 128;

/// Entries of one key in one statement.
const ENTRIES: i64 = 64;

/// Events of one key in one statement.
const EVENTS: usize = 16;

/// Settled entries of a key that are worth a floor.
const WORTH: usize = 8;

/// The most floors.
const FLOORS: usize = 100_000;

/// For keys with many settled entries in the segments, an entry up to which they are settled. They
/// stay settled; what is parked is read in any case.
#[derive(Debug, Default)]
struct Floors {
    floors: HashMap<(TargetId, i64), u64>,
}

impl Floors {
    fn get(&self, target: TargetId, hash: i64) -> u64 {
        self.floors.get(&(target, hash)).copied().unwrap_or(0)
    }

    fn raise(&mut self, target: TargetId, hash: i64, floor: u64) {
        if self.floors.len() >= FLOORS {
            // They are found again.
            self.floors.clear();
        }
        self.floors.insert((target, hash), floor);
    }

    fn retain(&mut self, exists: impl Fn(TargetId) -> bool) {
        self.floors.retain(|(target, _), _| exists(*target));
    }
}

/// The read of one key.
#[derive(Debug)]
struct KeyRead {
    index: usize,
    hash: i64,
    claim: Claim,
    /// Where the next entries are after, parked and of segments.
    parked_after: u64,
    after: u64,
    /// Entries that are owed, with their bytes.
    next: VecDeque<(u64, u64)>,
    /// There are no others.
    ended: bool,
    /// No others are wanted.
    done: bool,
}

/// An entry of a key.
struct KeyEntry {
    entry: u64,
    bytes: u64,
    source: Source,
}

/// Reads the events of keys.
#[derive(Debug)]
pub(super) struct Keys {
    database: Arc<Database>,
    log: Arc<Log>,
    slots: Arc<Slots>,
    statements: Arc<Statements>,
    connections: Arc<Pool>,
    pages: Arc<Pages>,
    floors: Mutex<Floors>,
}

impl Keys {
    pub(super) fn new(
        database: Arc<Database>,
        log: Arc<Log>,
        slots: Arc<Slots>,
        statements: Arc<Statements>,
        connections: Arc<Pool>,
        pages: Arc<Pages>,
    ) -> Keys {
        Keys {
            database,
            log,
            slots,
            statements,
            connections,
            pages,
            floors: Mutex::default(),
        }
    }

    fn floors(&self) -> MutexGuard<'_, Floors> {
        self.floors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the targets that were removed.
    pub(super) fn retain(&self, exists: impl Fn(TargetId) -> bool) {
        self.floors().retain(exists);
    }

    /// Visits the entries of each of these keys that a target is owed, in order. A break ends the
    /// visit of that key alone.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(super) fn owed_of_keys(
        &self,
        target: TargetId,
        keys: &[Arc<[u8]>],
        visit: &mut dyn FnMut(usize, Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        let fences = self.slots.fences(boot_time());
        let read = |(index, key): (usize, &Arc<[u8]>)| {
            let hash = self.database.hash(key);
            let slot = self.database.slot(hash);
            let fence = fences[usize::from(slot)];
            (fence > 0).then(|| KeyRead {
                index,
                hash,
                claim: Claim { slot, fence },
                parked_after: 0,
                after: self.floors().get(target, hash),
                next: VecDeque::new(),
                ended: false,
                done: false,
            })
        };
        let mut reads: Vec<KeyRead> = keys.iter().enumerate().filter_map(read).collect();
        for reads in reads.chunks_mut(KEYS) {
            while reads.iter().any(|it| !it.done) {
                self.find(target, reads)?;
                self.visit_found(target, keys, reads, visit)?;
            }
        }
        Ok(())
    }

    /// Finds the next entries of the keys that have none.
    fn find(&self, target: TargetId, reads: &mut [KeyRead]) -> Result<(), QueueError> {
        let wants = |it: &&mut KeyRead| !it.done && !it.ended && it.next.is_empty();
        let mut wanting: Vec<&mut KeyRead> = reads.iter_mut().filter(wants).collect();
        while !wanting.is_empty() {
            let truncated = self.log.read().truncated();
            let hashes: Vec<i64> = wanting.iter().map(|it| it.hash).collect();
            let parked: Vec<i64> = wanting
                .iter()
                .map(|it| it.parked_after.cast_signed())
                .collect();
            let after: Vec<i64> = wanting.iter().map(|it| it.after.cast_signed()).collect();
            let rows = self.connections.run("read", |session| {
                session.query(
                    &self.statements.keys,
                    &[&hashes, &parked, &after, &target, &ENTRIES],
                )
            })?;
            let mut found: Vec<Vec<KeyEntry>> = wanting.iter().map(|_| Vec::new()).collect();
            for row in rows {
                let (index, entry) = key_entry(&row);
                found[index].push(entry);
            }
            let log = self.log.read();
            if log.truncated() != truncated {
                // Entries of a segment that was truncated meanwhile would look as if owed.
                continue;
            }
            for (read, found) in wanting.iter_mut().zip(found) {
                let settled = |entry| log.is_settled(target, entry);
                if let Some(floor) = read.take(found, settled) {
                    self.floors().raise(target, read.hash, floor);
                }
            }
            drop(log);
            wanting.retain(|it| !it.ended && it.next.is_empty());
        }
        Ok(())
    }

    /// Reads the bodies of some entries that were found, and visits them.
    fn visit_found(
        &self,
        target: TargetId,
        keys: &[Arc<[u8]>],
        reads: &mut [KeyRead],
        visit: &mut dyn FnMut(usize, Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for read in reads.iter_mut().filter(|it| !it.done) {
            for (entry, size) in read.next.iter().take(EVENTS) {
                if bytes < BYTES.unsigned_abs() && entries.len() < ROWS as usize {
                    entries.push(*entry);
                    bytes += size;
                }
            }
            read.done = read.next.is_empty();
        }
        if entries.is_empty() {
            return Ok(());
        }
        let found = self.pages.bodies(target, &entries)?;
        entries.sort_unstable();
        for read in reads.iter_mut().filter(|it| !it.done) {
            while let Some((entry, _)) = read.next.front().copied() {
                if entries.binary_search(&entry).is_err() {
                    break;
                }
                read.next.pop_front();
                // One that is gone was settled meanwhile; another key may have the same hash.
                let Some(found) = found.get(&entry) else {
                    continue;
                };
                if found.key() != &*keys[read.index] {
                    continue;
                }
                let known = self.log.read().attempt(target, entry);
                let owed = found.owed(&self.database, known, read.claim);
                if visit(read.index, owed).is_break() {
                    read.done = true;
                    break;
                }
            }
            read.done |= read.next.is_empty() && read.ended;
        }
        Ok(())
    }
}

impl KeyRead {
    /// Takes the entries that were found after its positions. Returns a floor that is worth keeping.
    fn take(&mut self, found: Vec<KeyEntry>, settled: impl Fn(u64) -> bool) -> Option<u64> {
        let last_of = |source: Source| {
            let of_source = found.iter().filter(|it| it.source == source);
            let last = of_source.clone().map(|it| it.entry).max()?;
            (of_source.count() as i64 >= ENTRIES).then_some(last)
        };
        let ends = [last_of(Source::Parked), last_of(Source::Segment)];
        let end = ends.into_iter().flatten().min();
        self.ended = end.is_none();
        let mut found = found;
        found.sort_by_key(|it| (it.entry, it.source));
        found.dedup_by_key(|it| it.entry);
        if let Some(end) = end {
            found.retain(|it| it.entry <= end);
            self.parked_after = self.parked_after.max(end);
        }
        let mut floor = None;
        let mut prefix = 0;
        for it in found {
            let is_segment = it.source == Source::Segment;
            if is_segment && settled(it.entry) {
                if self.next.is_empty() {
                    (floor, prefix) = (Some(it.entry), prefix + 1);
                }
            } else {
                self.next.push_back((it.entry, it.bytes));
            }
        }
        if let Some(end) = end {
            self.after = self.after.max(end);
        }
        floor.filter(|_| prefix >= WORTH)
    }
}

fn key_entry(row: &Row) -> (usize, KeyEntry) {
    let index = usize::try_from(row.get::<_, i32>(0) - 1).unwrap_or(0);
    let entry = KeyEntry {
        entry: row.get::<_, i64>(1).cast_unsigned(),
        bytes: u64::try_from(row.get::<_, i32>(2)).unwrap_or(0),
        source: match row.get::<_, i16>(3) {
            0 => Source::Parked,
            _ => Source::Segment,
        },
    };
    (index, entry)
}
