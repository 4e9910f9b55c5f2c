//! An attempt that was made.

use crate::delivery::AttemptResult;
use crate::target::gate::Permit;
use crate::target::lanes::Due;
use std::time::Duration;

/// An attempt that was made, and its result.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) due: Due,
    pub(crate) permit: Permit,
    pub(crate) result: AttemptResult,
    /// Epoch milliseconds.
    pub(crate) started_at: u64,
    pub(crate) took: Duration,
}
