//! The contract between a dispatcher and what keeps its events.

use std::ops::ControlFlow;

use crate::{
    Accepted, DeadLetter, EntryId, Event, Owed, Quarantined, QueueError, Settlement, Verification,
};

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
