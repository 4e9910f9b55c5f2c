//! What a submission gets: a receipt, or the event back.

use crate::shared::Refusal;
use std::sync::Arc;
use webhook_queue::EventId;

/// The receipt of an accepted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its id, which every receiver sees as `webhook-id`.
    pub id: EventId,
    /// How many targets it is for. 0: every target's filters leave it out.
    pub targets: usize,
    /// How many of them are reliable: to these it will be delivered, or kept as a dead letter.
    pub reliable: usize,
    /// Whether an event of the same key was accepted before, so that this one was not: `id` is the
    /// id of that first one. See [`Submission`].
    pub duplicate: bool,
}

impl Receipt {
    /// Whether the event need not be submitted again whatever happens: a reliable target is owed
    /// it (or has had it, if it is a duplicate), or no target wants it.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.reliable > 0 || self.targets == 0
    }
}

/// An event that was not accepted, given back.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct SubmitError {
    /// The event.
    pub event: Arc<[u8]>,
    /// Why it was not accepted.
    #[source]
    pub refusal: Refusal,
}
