//! An attempt that was made.

use crate::delivery::{AttemptResult, Verdict};
use crate::shared::Outcome;
use crate::target::breaker::Health;
use crate::target::gate::Permit;
use crate::target::lanes::Due;
use std::time::Duration;
use webhook_queue::SlotGuard;

/// An attempt that was made, and its result.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) due: Due,
    pub(crate) permit: Permit,
    pub(crate) guard: SlotGuard,
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
            (Verdict::Refused, _) => Health::Refused,
            _ if matches!(self.result.status, Some(408 | 429 | 503)) => Health::Unreachable,
            (_, Outcome::Timeout | Outcome::Connect | Outcome::Io) => Health::Unreachable,
            // A panic is a fault of this software, by the event perhaps; a record's error is one
            // of the server behind the receiver.
            (_, Outcome::ServerError | Outcome::RecordError | Outcome::Panic) => {
                Health::ServerError
            }
            _ => Health::Answered,
        }
    }
}
