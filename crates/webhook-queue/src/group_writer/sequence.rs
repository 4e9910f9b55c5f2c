//! Events that must not overtake each other.

use std::sync::{Arc, OnceLock};

use crate::QueueError;

/// A sequence of events whose sender repeats what was refused: once one of them is refused with an
/// error that [`is_retryable`](QueueError::is_retryable), so is each later one. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Sequence(Arc<OnceLock<Arc<QueueError>>>);

impl Sequence {
    /// Refuses all later events if this one may be repeated.
    pub(super) fn refused(&self, error: &Arc<QueueError>) {
        if error.is_retryable() {
            // The first error stays.
            drop(self.0.set(error.clone()));
        }
    }

    /// Whether both are the same sequence.
    pub(super) fn is(&self, other: &Sequence) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The error by which an earlier event was refused.
    pub(super) fn error(&self) -> Option<Arc<QueueError>> {
        self.0.get().cloned()
    }
}
