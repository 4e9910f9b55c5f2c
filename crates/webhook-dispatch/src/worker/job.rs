//! What goes from a target's worker to its senders, and back.

use crate::delivery::Verdict;
use crate::target::attempt::Attempt;
use crate::target::gate::Permit;
use crate::target::lanes::Batch;

/// An attempt to be made.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) batch: Batch,
    pub(crate) permit: Permit,
    /// The endpoint's number of recalls when the job was handed out.
    pub(crate) recalls: u64,
}

/// What a sender reports to the worker.
#[derive(Debug)]
pub(crate) enum Report {
    /// An attempt was made.
    Attempted(Box<Attempt>),
    /// An attempt was made over a stale connection, and the next one follows at once.
    MadeAgain(Box<Attempt>),
    /// The job was not attempted.
    Untried(Box<Batch>, Permit),
    /// The sender of this number has ended.
    Ended(usize),
}

impl Report {
    pub(super) fn is_delivery(&self) -> bool {
        matches!(self, Report::Attempted(attempt) if attempt.result.verdict == Verdict::Delivered)
    }
}
