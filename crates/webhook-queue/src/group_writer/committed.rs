//! What a commit did.

use std::sync::Arc;

use crate::{Accepted, Event, QueueError, Settlement, SettlementResult};

/// What one commit did, in the order in which it was done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Committed<T> {
    /// Events that were accepted or refused.
    pub appended: Vec<Appended<T>>,
    /// Settlements that are durable now.
    pub settled: Vec<Settlement>,
    /// What became of each of them.
    pub results: Vec<SettlementResult>,
}

/// The result of an event that was given to [`append`](crate::GroupWriter::append).
#[derive(Debug)]
#[non_exhaustive]
pub struct Appended<T> {
    /// The event.
    pub event: Event,
    /// What was given with it.
    pub ticket: T,
    /// Its handle if it is durable now, or the id of the event that it repeats; else why it was not
    /// accepted.
    pub result: Result<Accepted, Arc<QueueError>>,
}
