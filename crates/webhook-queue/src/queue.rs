//! The contract between a dispatcher and what keeps its events.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::{QueueError, Verification};

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

/// How long idempotency keys are known. Both bounds hold: a key is forgotten by whichever is
/// reached first. Age is told by the events' own `accepted_at`; a clock that was set back makes
/// keys live longer, never shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by callers, `..Default::default()`"
)]
pub struct DuplicateWindow {
    /// Milliseconds for which a key is known after its event was accepted.
    pub age_ms: u64,
    /// Keys that are known at most; a new one takes the place of the oldest. 0: none is.
    pub keys: u64,
}

impl DuplicateWindow {
    /// 24 hours and 1,000,000 keys.
    pub const DEFAULT: DuplicateWindow = DuplicateWindow {
        age_ms: 24 * 3_600_000,
        keys: 1_000_000,
    };
}

impl Default for DuplicateWindow {
    /// [`DEFAULT`](DuplicateWindow::DEFAULT).
    fn default() -> DuplicateWindow {
        DuplicateWindow::DEFAULT
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

/// What a queue holds of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetStatistics {
    /// Its name.
    pub target: String,
    /// Entries owed.
    pub pending: u64,
    /// When the oldest of them was accepted, epoch milliseconds.
    pub oldest_accepted_at: Option<u64>,
    /// Dead letters.
    pub dead: u64,
}

/// What a queue holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Of each target that it has heard of.
    pub targets: Vec<TargetStatistics>,
    /// Events stored.
    pub events: u64,
    /// Bytes in use.
    pub bytes: u64,
    /// Bytes that it may use.
    pub max_bytes: u64,
    /// Entries quarantined because their stored record does not match its checksum: no target is
    /// owed them any longer, and they are counted nowhere else.
    pub corrupt: u64,
}

/// Keeps what is owed. See each method for what is promised when it returns.
pub trait Queue: Send + Sync + 'static {
    /// Stores `appends` and applies `settlements`, all or nothing, and tells what became of each
    /// event, in order, once all of it will survive a crash and a power loss.
    ///
    /// An event whose idempotency key is known is a duplicate: it is not stored, and needs no
    /// room. A key is known from the commit of its event on (to the events behind it in the same
    /// commit as well) for as long as the queue's [`DuplicateWindow`] says, over crashes, and
    /// whatever became of its event meanwhile. A commit that fails leaves none of its keys known.
    ///
    /// # Errors
    /// Nothing was stored nor applied, unless [`QueueError::Refusing`] says that the storage
    /// itself cannot tell: then the appended events may turn up when the queue is opened again.
    fn commit(
        &self,
        appends: &[Event],
        settlements: &[Settlement],
    ) -> Result<Vec<Accepted>, QueueError>;

    /// Shows what `target` is owed after `after`, in order, until `visit` breaks.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn owed(
        &self,
        target: &str,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError>;

    /// Shows what `target` is owed of one key after `after`, in order, until `visit` breaks.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn owed_of_key(
        &self,
        target: &str,
        key: &[u8],
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError>;

    /// Shows dead letters (of one target, or of all) after `after`, by the target's name and then
    /// in the order accepted, until `visit` breaks. Asked for all targets, it leaves out those of
    /// each target that are not after `after`.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn dead_letters(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError>;

    /// Makes dead letters owed again, under their old ids and handles, as if never attempted; how
    /// many were found. Once it returns, this will survive a crash and a power loss.
    ///
    /// # Errors
    /// Nothing was changed.
    fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError>;

    /// Forgets dead letters; how many were found. Once it returns, this will survive a crash and
    /// a power loss.
    ///
    /// # Errors
    /// Nothing was changed.
    fn drop_dead(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError>;

    /// Forgets a target: what it is owed, its dead letters and its name; how many entries that
    /// were. May be done in steps, each durable. What is appended for the target meanwhile may stay.
    ///
    /// # Errors
    /// Some entries may be forgotten already, the others are as they were; it can be repeated.
    fn drop_target(&self, target: &str) -> Result<u64, QueueError>;

    /// Shows the entries after `after` that were quarantined since their stored record is damaged,
    /// in the order accepted, until `visit` breaks. No target is owed them any longer.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn quarantined(
        &self,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Quarantined<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError>;

    /// Reads all that was stored when it was called and checks each record; changes nothing, and
    /// holds up neither commits nor readers. Takes as long as the storage needs to be read once.
    ///
    /// # Errors
    /// When the storage cannot be read to its end. A damaged record is no error, but part of what
    /// is returned.
    fn verify(&self) -> Result<Verification, QueueError>;

    /// What it holds.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn statistics(&self) -> Result<Statistics, QueueError>;
}
