//! Reads what targets are owed.
//!
//! The [tail](tail) has the newest entries, which were read once for all targets. A target whose
//! cursor is before it reads [pages](pages) of the tables, and the events of single [keys](keys)
//! are read by their hashes. What is settled is known from the [log](crate::log).

mod keys;
mod pages;
mod sessions;
mod statements;
mod tail;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use webhook_queue::{Claim, Owed, QueueError};

use crate::connection::Connection;
use crate::database::Database;
use crate::lease::{Slots, boot_time};
use crate::log::{Log, TargetId};
use crate::pool::Pool;
use keys::Keys;
use pages::Pages;
pub(crate) use pages::Place;
use sessions::{Session, Sessions};
use statements::{BYTES, Found, ROWS, Statements, is_full, split};
use tail::{Tail, TailEntry};

/// The most bytes of the tail.
const TAIL_BYTES: usize = 32 << 20;

/// Memory of an entry of the tail besides its event.
const OVERHEAD: usize = 256;

/// Gets entries one by one, until it breaks.
pub(crate) type Visit<'v> = &'v mut dyn FnMut(Owed<'_>) -> ControlFlow<()>;

/// Reads the entries of this process's slots.
#[derive(Debug)]
pub(crate) struct Reader {
    database: Arc<Database>,
    log: Arc<Log>,
    slots: Arc<Slots>,
    statements: Arc<Statements>,
    tail: Mutex<Tail<Found>>,
    /// For one read of the tail at a time.
    tail_connection: Mutex<Connection>,
    pages: Arc<Pages>,
    keys: Keys,
    sessions: Mutex<Sessions>,
    /// The last entry that this process has appended.
    appended: AtomicU64,
    /// Up to where the foremost target has read.
    read: AtomicU64,
    /// A thread waits until it is time to read the tail on.
    is_watched: AtomicBool,
}

/// What a read of the tail has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Polled {
    /// How many new entries there are.
    pub(crate) found: usize,
    /// There may be more.
    pub(crate) more: bool,
}

impl Reader {
    pub(crate) fn new(database: Arc<Database>, log: Arc<Log>, slots: Arc<Slots>) -> Reader {
        let statements = Arc::new(Statements::new(&database));
        let connections = Arc::new(Pool::new(database.clone()));
        let pages = Arc::new(Pages::new(
            log.clone(),
            statements.clone(),
            connections.clone(),
        ));
        let keys = Keys::new(
            database.clone(),
            log.clone(),
            slots.clone(),
            statements.clone(),
            connections,
            pages.clone(),
        );
        Reader {
            statements,
            pages,
            keys,
            tail: Mutex::new(Tail::new(TAIL_BYTES)),
            tail_connection: Mutex::new(database.connection()),
            sessions: Mutex::default(),
            appended: AtomicU64::new(0),
            read: AtomicU64::new(0),
            is_watched: AtomicBool::new(false),
            database,
            log,
            slots,
        }
    }

    /// Begins claims, whose settlements by earlier owners the log knows. `last` is an entry up to
    /// which all are committed.
    pub(crate) fn begin_claims(&self, claims: &[Claim], last: u64) {
        let mut tail = lock(&self.tail);
        for claim in claims {
            self.slots.begin(*claim);
        }
        tail.restart(last);
    }

    /// Entries that were settled are owed again: all targets are to begin at the first entry.
    pub(crate) fn reread(&self) {
        let mut tail = lock(&self.tail);
        if tail.is_in_use() {
            tail.restart(0);
        }
    }

    /// Forgets entries up to this one, whose segments were truncated, before the log does.
    pub(crate) fn forget(&self, truncated: u64) {
        lock(&self.tail).forget(truncated);
    }

    /// Forgets the targets that were removed.
    pub(crate) fn retain(&self, exists: impl Fn(TargetId) -> bool) {
        lock(&self.sessions).retain(&exists);
        self.keys.retain(&exists);
    }

    /// Notes that this process has appended an entry.
    pub(crate) fn note_appended(&self, entry: u64) {
        self.appended.fetch_max(entry, Ordering::AcqRel);
    }

    /// Whether a thread waits until it is time to read the tail on, so that the other threads need
    /// not.
    pub(crate) fn set_watched(&self, is_watched: bool) {
        self.is_watched.store(is_watched, Ordering::Release);
    }

    /// The last entry that any read of the tail has found.
    pub(crate) fn newest(&self) -> u64 {
        lock(&self.tail).newest()
    }

    /// How many entries of the tail no target has read yet.
    pub(crate) fn unread(&self) -> usize {
        lock(&self.tail).count_after(self.read.load(Ordering::Acquire))
    }

    /// The last entry, and all before it are committed.
    pub(crate) fn last_entry_statement(&self) -> &str {
        &self.statements.last
    }

    /// The generation, which grows when slots are claimed or entries owed again, all slots, and
    /// those with a claim.
    pub(crate) fn slots(&self) -> (u64, Vec<i16>, Vec<i16>) {
        let tail = lock(&self.tail);
        let all = 0..self.slots.count().cast_signed();
        (
            tail.generation(),
            all.collect(),
            claimed(&self.slots.fences(boot_time())),
        )
    }

    /// Finds the oldest entry that a target is owed in some slots, from where it was found before.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn oldest(
        &self,
        target: TargetId,
        slots: &[i16],
        place: Place,
    ) -> Result<Place, QueueError> {
        self.pages.oldest(target, slots, place)
    }

    /// Reads the tail on.
    ///
    /// # Errors
    /// The database cannot be read; the tail is unchanged.
    pub(crate) fn poll(&self) -> Result<Polled, QueueError> {
        let mut connection = lock(&self.tail_connection);
        let (mark, fences) = {
            let tail = lock(&self.tail);
            if !tail.is_in_use() {
                return Ok(Polled::default());
            }
            (tail.mark(), self.slots.fences(boot_time()))
        };
        let slots = claimed(&fences);
        if slots.is_empty() {
            return Ok(Polled::default());
        }
        let rows = connection.run("read", |session| {
            let after = mark.after().cast_signed();
            session.query(&self.statements.tail, &[&after, &slots, &ROWS, &BYTES])
        })?;
        let ([_, found], last) = split(rows);
        let more = is_full(&found, ROWS, BYTES);
        let horizon = match found.last() {
            Some(found) if more => found.entry,
            _ => last,
        };
        let found: Vec<_> = found
            .into_iter()
            .map(|it| tail_entry(it, &fences))
            .collect();
        let count = found.len();
        let counts = lock(&self.tail).extend(mark, found, horizon);
        Ok(Polled {
            found: if counts { count } else { 0 },
            more: more || !counts,
        })
    }

    /// Visits the entries of each of these keys that a target is owed, in order. A break ends the
    /// visit of that key alone.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn owed_of_keys(
        &self,
        target: TargetId,
        keys: &[Arc<[u8]>],
        visit: &mut dyn FnMut(usize, Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.keys.owed_of_keys(target, keys, visit)
    }

    /// Visits the entries after `after` that a target is owed, in order, until `visit` breaks.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn owed(
        &self,
        target: TargetId,
        after: Option<u64>,
        visit: Visit<'_>,
    ) -> Result<(), QueueError> {
        let session = {
            let tail = lock(&self.tail);
            let fences = || self.slots.fences(boot_time());
            lock(&self.sessions).session(target, after, tail.generation(), fences)
        };
        if session.slots().is_empty() {
            return Ok(());
        }
        let mut reading = Reading::new(self, target, session, after.unwrap_or(0));
        let read = reading.run(visit);
        self.read.fetch_max(reading.cursor, Ordering::AcqRel);
        lock(&self.sessions).note_gap(target, &reading.session, reading.gap());
        read
    }
}

/// One read of what a target is owed.
struct Reading<'r> {
    reader: &'r Reader,
    target: TargetId,
    session: Session,
    /// The last entry that was visited, or the one that the read began after.
    visited: u64,
    /// All entries up to this one were visited or are not owed.
    cursor: u64,
    /// Whether few entries of the last page were owed.
    sparse: bool,
}

impl<'r> Reading<'r> {
    fn new(reader: &'r Reader, target: TargetId, session: Session, after: u64) -> Reading<'r> {
        Reading {
            reader,
            target,
            visited: after,
            cursor: session.begin(after),
            session,
            sparse: false,
        }
    }

    /// No entry after the first, up to the second, is owed.
    fn gap(&self) -> (u64, u64) {
        (self.visited, self.cursor)
    }

    fn run(&mut self, visit: Visit<'_>) -> Result<(), QueueError> {
        loop {
            let flow = match self.run_tail(visit) {
                Some(flow) => flow?,
                None => self.run_page(visit)?,
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    /// Visits a part of the tail. `None` if the tail begins after the cursor.
    fn run_tail(&mut self, visit: Visit<'_>) -> Option<Result<ControlFlow<()>, QueueError>> {
        let reader = self.reader;
        let truncated = reader.log.read().truncated();
        let most = ROWS as usize;
        let (entries, end) = lock(&reader.tail).after(self.cursor, self.target, most)?;
        let is_last = entries.len() < most;
        let owed: Vec<_> = {
            let log = reader.log.read();
            if log.truncated() != truncated {
                return Some(Ok(ControlFlow::Continue(())));
            }
            let is_owed = |it: &Arc<TailEntry<Found>>| {
                self.sees(it.claim) && !log.is_settled(self.target, it.entry)
            };
            let owed = entries.into_iter().filter(is_owed);
            owed.map(|it| (log.attempt(self.target, it.entry), it))
                .collect()
        };
        for (attempt, entry) in owed {
            let owed = entry.content.owed(&reader.database, attempt, entry.claim);
            if self.visit(owed, visit).is_break() {
                return Some(Ok(ControlFlow::Break(())));
            }
        }
        self.cursor = self.cursor.max(end);
        if !is_last {
            return Some(Ok(ControlFlow::Continue(())));
        }
        let is_watched = reader.is_watched.load(Ordering::Acquire);
        if !is_watched && reader.appended.load(Ordering::Acquire) > end {
            // What this process appended is read, also if nothing waits for news.
            return Some(
                reader
                    .poll()
                    .map(|_| match lock(&reader.tail).horizon() > end {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }),
            );
        }
        Some(Ok(ControlFlow::Break(())))
    }

    /// Visits one page of the tables.
    fn run_page(&mut self, visit: Visit<'_>) -> Result<ControlFlow<()>, QueueError> {
        let reader = self.reader;
        let (in_use, horizon) = {
            let tail = lock(&reader.tail);
            (tail.is_in_use(), tail.horizon())
        };
        let page =
            reader
                .pages
                .page(self.target, &self.session.slots(), self.cursor, self.sparse)?;
        self.sparse = page.is_sparse;
        for (found, attempt) in &page.owed {
            let claim = self.session.claim(found.slot);
            if !self.sees(claim) {
                continue;
            }
            let owed = found.owed(&reader.database, *attempt, claim);
            if self.visit(owed, visit).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.cursor = self.cursor.max(page.end);
        if !page.is_last {
            return Ok(ControlFlow::Continue(()));
        }
        // All up to the horizon was committed before the page was read, so the tail goes on there.
        self.cursor = self.cursor.max(horizon);
        match in_use {
            true => Ok(ControlFlow::Continue(())),
            false => Ok(ControlFlow::Break(())),
        }
    }

    /// Whether the claim is one of the session, and has not ended.
    fn sees(&self, claim: Claim) -> bool {
        self.session.sees(claim) && self.reader.slots.is_current(claim)
    }

    fn visit(&mut self, owed: Owed<'_>, visit: Visit<'_>) -> ControlFlow<()> {
        let entry = owed.entry.0;
        // The gap before the entry is known whatever the visit says.
        self.cursor = entry - 1;
        let flow = visit(owed);
        if flow.is_continue() {
            self.visited = entry;
            self.cursor = entry;
        }
        flow
    }
}

fn tail_entry(found: Found, fences: &[u64]) -> TailEntry<Found> {
    let fence = fences.get(usize::from(found.slot)).copied().unwrap_or(0);
    TailEntry {
        entry: found.entry,
        claim: Claim {
            slot: found.slot,
            fence,
        },
        targets: found.targets().into(),
        bytes: usize::try_from(found.bytes).unwrap_or(0) + OVERHEAD,
        content: found,
    }
}

/// The slots with a claim, as a parameter.
fn claimed(fences: &[u64]) -> Vec<i16> {
    let all = (0..).zip(fences);
    all.filter(|(_, fence)| **fence > 0)
        .map(|(slot, _)| slot)
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
