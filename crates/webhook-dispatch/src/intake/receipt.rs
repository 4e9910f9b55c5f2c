//! The answer to a submission: a receipt, or an error that gives the event back.

use crate::intake::submission::Submission;
use crate::shared::Refusal;
use std::sync::Arc;
use webhook_queue::EventId;

/// The receipt of an accepted event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its id, which every receiver sees as `webhook-id`.
    pub id: EventId,
    /// The number of targets whose filters accept it; it may be 0.
    pub targets: usize,
    /// The reliable ones of them that it was stored for: it will be delivered to each, or kept as a
    /// dead letter.
    pub reliable: usize,
    /// The other reliable ones, by name: they are over their quotas (`maxOwedBytes`), and will not
    /// get it. Later events of its task reach them once they have room again.
    pub over_quota: Arc<[Arc<str>]>,
    /// Whether an event with the same key was accepted before, and this one was not. `id` is the
    /// first event's. See [`Submission`](crate::Submission).
    pub duplicate: bool,
    /// Whether its input drops such events (`ignore`): no target gets it.
    pub ignored: bool,
    /// Whether its input drops it (`onlyChanges`), since its state is its key's last one: no target
    /// gets it.
    pub unchanged: bool,
}

impl Receipt {
    /// That of an event that was dropped without a change.
    pub(crate) fn unchanged(self) -> Receipt {
        Receipt {
            targets: 0,
            reliable: 0,
            unchanged: true,
            ..self
        }
    }
}

impl Receipt {
    /// Whether the event never needs to be submitted again: a reliable target will get it (or got
    /// it already, if it is a duplicate), or every target's filters exclude it.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.reliable > 0 || self.targets == 0
    }
}

/// A submission that was not accepted, given back.
///
/// ```
/// use std::time::{Duration, Instant};
/// use webhook_dispatch::{Submission, SubmitError, Submitter};
///
/// /// Submits an event again until it is accepted, or never can be.
/// fn submit(submitter: &Submitter, mut event: Submission) -> Result<(), SubmitError> {
///     loop {
///         match submitter.submit(event, Instant::now() + Duration::from_secs(1)) {
///             Ok(_) => return Ok(()),
///             Err(error) if error.refusal.may_retry() => event = *error.submission,
///             Err(error) => return Err(error),
///         }
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct SubmitError {
    /// What was submitted: the event, its key, and all else that was set.
    pub submission: Box<Submission>,
    /// Why it was not accepted.
    #[source]
    pub refusal: Refusal,
}

impl SubmitError {
    pub(crate) fn new(submission: Submission, refusal: Refusal) -> SubmitError {
        SubmitError {
            submission: Box::new(submission),
            refusal,
        }
    }
}
