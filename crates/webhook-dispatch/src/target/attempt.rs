//! An attempt that was made.

use crate::delivery::{AttemptResult, Verdict};
use crate::shared::{BatchId, Outcome};
use crate::target::breaker::Health;
use crate::target::gate::Permit;
use crate::target::lanes::{Batch, Delivery, Due};
use std::time::Duration;

/// An attempt that was made, and its result.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) batch: Batch,
    /// The id of its request, if it has several events.
    pub(crate) batch_id: Option<BatchId>,
    pub(crate) permit: Permit,
    pub(crate) result: AttemptResult,
    /// Epoch milliseconds.
    pub(crate) started_at: u64,
    pub(crate) took: Duration,
}

impl Attempt {
    /// What the result says about the receiver.
    pub(crate) fn health(&self) -> Health {
        match (self.result.verdict, self.result.outcome) {
            (Verdict::Delivered, _) => Health::Delivered,
            (Verdict::Refused, _) if self.batch.len() == 1 => Health::Refused,
            // It took some of the events.
            _ if self.result.taken.contains(&true) => Health::Delivered,
            _ if matches!(self.result.status, Some(408 | 429 | 503)) => Health::Unreachable,
            (_, Outcome::Timeout | Outcome::Connect | Outcome::Io | Outcome::Token) => {
                Health::Unreachable
            }
            // A panic is a fault of this software, by the event perhaps; a record's error is one
            // of the server behind the receiver.
            (_, Outcome::ServerError | Outcome::RecordError | Outcome::Panic) => {
                Health::ServerError
            }
            // One event is the likely reason; of a refused batch, it is refused alone later.
            _ => Health::Answered,
        }
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The delivery of an event after an attempt.
pub(crate) fn tried(due: &Due, attempt: &Attempt) -> Delivery {
    let mut delivery = due.delivery;
    if delivery.attempts == 0 {
        delivery.first_attempt_at = Some(attempt.started_at);
    }
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery
}
