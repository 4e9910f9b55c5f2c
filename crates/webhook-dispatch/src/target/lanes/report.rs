//! What operators are shown of a lane.

use std::sync::Arc;

/// A task's lane at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaneReport {
    /// The key in the queue.
    pub(crate) key: Arc<[u8]>,
    /// When the lane's first event was accepted, epoch milliseconds.
    pub(crate) accepted_at: u64,
    /// Attempts made at it.
    pub(crate) attempts: u32,
    /// Whether an attempt at it is under way.
    pub(crate) in_flight: bool,
    /// When it is attempted again, epoch milliseconds, if the lane waits.
    pub(crate) next_try_at: Option<u64>,
}
