//! An event that waits for the writer, or for room in the queue.

use std::sync::Arc;
use std::time::Instant;

use super::sequence::Sequence;
use crate::{Event, QueueError};

/// An event that waits.
pub(super) struct Waiting<T> {
    pub(super) event: Event,
    ticket: T,
    pub(super) wait: Wait,
}

/// How an event waits for the queue.
pub(super) struct Wait {
    /// Until when.
    pub(super) until: Option<Instant>,
    /// The events that it must not overtake.
    pub(super) sequence: Option<Sequence>,
    /// Since when it waits for room in the queue.
    pub(super) since: Option<Instant>,
    /// Whether the queue had no room for it alone.
    pub(super) does_not_fit: bool,
    /// The error of a commit of it that may have taken effect.
    pub(super) unknown: Option<Arc<QueueError>>,
}

impl Wait {
    pub(super) fn new(until: Option<Instant>, sequence: Option<Sequence>) -> Wait {
        Wait {
            until,
            sequence,
            since: None,
            does_not_fit: false,
            unknown: None,
        }
    }

    /// The error by which an earlier event of the sequence was refused.
    pub(super) fn error(&self) -> Option<Arc<QueueError>> {
        self.sequence.as_ref().and_then(Sequence::error)
    }

    /// The event is refused. Returns what its caller is told: that it was not stored, or may be.
    pub(super) fn refuse(&self, error: &Arc<QueueError>) -> Arc<QueueError> {
        if let Some(sequence) = &self.sequence {
            sequence.refused(error);
        }
        self.unknown.as_ref().unwrap_or(error).clone()
    }
}

impl<T> Waiting<T> {
    pub(super) fn new(event: Event, ticket: T, wait: Wait) -> Waiting<T> {
        Waiting {
            event,
            ticket,
            wait,
        }
    }

    /// Its bytes, as the limits count them.
    pub(super) fn size(&self) -> usize {
        self.event.key.len() + self.event.body.len() + self.event.attributes.len()
    }

    pub(super) fn error(&self) -> Option<Arc<QueueError>> {
        self.wait.error()
    }

    /// Whether `other`, which came later, has to wait as long as this waits for room: it may not
    /// overtake this, or needs as much room.
    pub(super) fn holds_up(&self, other: &Waiting<T>) -> bool {
        let sequences = self
            .wait
            .sequence
            .as_ref()
            .zip(other.wait.sequence.as_ref());
        self.event.key == other.event.key
            || sequences.is_some_and(|(this, other)| this.is(other))
            || (self.wait.does_not_fit
                && self.size() <= other.size()
                && self.event.targets.len() <= other.event.targets.len())
    }

    /// The event and its ticket, for a caller that is refused.
    pub(super) fn give_back(self) -> (Event, T) {
        (self.event, self.ticket)
    }

    pub(super) fn into_parts(self) -> (Event, (T, Wait)) {
        (self.event, (self.ticket, self.wait))
    }
}
