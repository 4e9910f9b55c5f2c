//! Batches: the events of several lanes that go into one attempt.

use super::delivery::{Due, Kind};

/// The events of one attempt, in the order of their entries: one, or several for a target with
/// batches.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) first: Due,
    pub(crate) rest: Vec<Due>,
}

impl Batch {
    /// The events, in their order.
    pub(crate) fn new(first: Due, mut rest: Vec<Due>) -> Batch {
        if rest.is_empty() {
            return Batch { first, rest };
        }
        rest.push(first);
        // The same events always make the same request.
        rest.sort_by_key(|due| due.delivery.entry);
        let first = rest.remove(0);
        Batch { first, rest }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Due> + Clone {
        std::iter::once(&self.first).chain(&self.rest)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Due> {
        std::iter::once(&mut self.first).chain(&mut self.rest)
    }

    pub(crate) fn len(&self) -> usize {
        1 + self.rest.len()
    }

    /// The number of its events, as it is shown.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// Whether its events were attempted before.
    pub(crate) fn kind(&self) -> Kind {
        self.first.kind
    }
}

/// The room that is left in a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchRoom {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl BatchRoom {
    /// For a target without batches.
    pub(crate) const ONE: BatchRoom = BatchRoom {
        events: 1,
        bytes: usize::MAX,
    };

    /// Takes room for an event of so many bytes, if there is room.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.events > 0 && self.bytes >= bytes;
        if fits {
            self.events -= 1;
            self.bytes -= bytes;
        }
        fits
    }
}
