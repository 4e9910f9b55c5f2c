//! What a queue stores, settles and shows.

use std::sync::Arc;

/// The name of an event, chosen by the caller: the same over retries, restarts and replays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub [u8; 16]);

/// The queue's own handle of a stored event. Handles compare in the order in which the events
/// of one key were accepted; they need not be dense, and mean nothing to another queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub u64);

/// An event to be stored, once, for all targets that are owed it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name.
    pub id: EventId,
    /// What orders it: events of one key are read in the order accepted.
    pub key: Arc<[u8]>,
    /// What is delivered.
    pub body: Arc<[u8]>,
    /// When it was accepted, epoch milliseconds.
    pub accepted_at: u64,
    /// Names of the targets that are owed it; a name given twice counts once, and an event
    /// without targets gets a handle but is not kept.
    pub targets: Arc<[Arc<str>]>,
    /// What makes a second submission of it known, if there is such a thing: opaque bytes of any
    /// length. An event whose key the queue knows is not stored; see [`DuplicateWindow`].
    pub idempotency_key: Option<Arc<[u8]>>,
}

/// What became of an event that was given to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// It is stored under this handle.
    Stored(EntryId),
    /// Nothing was stored, since an event of the same idempotency key was accepted before, under
    /// this name.
    Duplicate(EventId),
}

impl Accepted {
    /// Its handle, unless it is a duplicate.
    #[must_use]
    pub fn entry(&self) -> Option<EntryId> {
        match *self {
            Accepted::Stored(entry) => Some(entry),
            Accepted::Duplicate(_) => None,
        }
    }

    /// The name of the event that it repeats, if it is a duplicate.
    #[must_use]
    pub fn duplicate_of(&self) -> Option<EventId> {
        match *self {
            Accepted::Stored(_) => None,
            Accepted::Duplicate(first) => Some(first),
        }
    }
}

/// What became of an entry at one target. Settling what a target is not owed (any longer) has no
/// effect, so that a settlement can be repeated.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The target.
    pub target: Arc<str>,
    /// The entry.
    pub entry: EntryId,
    /// What became of it.
    pub outcome: Settled,
}

/// What became of an entry at one target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Settled {
    /// The target has it: owed no longer.
    Delivered,
    /// It will not be tried again, and is kept as a dead letter.
    Dead {
        /// Attempts made.
        attempts: u32,
        /// When it was given up, epoch milliseconds.
        died_at: u64,
        /// Why, in the caller's own encoding.
        note: Vec<u8>,
    },
    /// It failed and is still owed: how often it was tried, and when it may be tried again.
    Attempted {
        /// Attempts made so far.
        attempts: u32,
        /// Not to be tried before this time, epoch milliseconds.
        not_before: u64,
    },
    /// Owed no longer, by an operator's decision.
    Dropped,
}

/// An entry that a target is owed, as it lies in the queue.
#[derive(Clone, Copy, Debug)]
pub struct Owed<'a> {
    /// Its handle.
    pub entry: EntryId,
    /// Its name.
    pub id: EventId,
    /// What orders it.
    pub key: &'a [u8],
    /// What is delivered.
    pub body: &'a [u8],
    /// When it was accepted, epoch milliseconds.
    pub accepted_at: u64,
    /// Attempts made so far at this target.
    pub attempts: u32,
    /// Not to be tried before this time, epoch milliseconds; 0 if it never failed.
    pub not_before: u64,
}

/// A dead letter, as it lies in the queue.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// The target that it was for.
    pub target: &'a str,
    /// The event; its attempts are those that were made.
    pub owed: Owed<'a>,
    /// When it was given up, epoch milliseconds.
    pub died_at: u64,
    /// Why, in the caller's own encoding.
    pub note: &'a [u8],
}

/// An entry that was quarantined since its stored record is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined<'a> {
    /// Its handle.
    pub entry: EntryId,
    /// The targets that were owed it, or had it as a dead letter.
    pub targets: Vec<&'a str>,
    /// What is wrong with it.
    pub reason: &'a str,
    /// The record as found, empty if there was none, in the storage's own encoding.
    pub record: &'a [u8],
}
