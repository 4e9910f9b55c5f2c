//! The lanes whose first event may be attempted, and queues of lanes by the kind of that event.

use super::delivery::{Kind, LaneId};
use super::lane::Lane;
use super::window::Bounds;
use std::collections::VecDeque;

/// A queue of lanes of each kind.
#[derive(Debug, Default)]
pub(super) struct ByKind {
    pub(super) first: VecDeque<LaneId>,
    pub(super) retry: VecDeque<LaneId>,
}

impl ByKind {
    pub(super) fn of(&self, kind: Kind) -> &VecDeque<LaneId> {
        match kind {
            Kind::First => &self.first,
            Kind::Retry => &self.retry,
        }
    }

    pub(super) fn of_mut(&mut self, kind: Kind) -> &mut VecDeque<LaneId> {
        match kind {
            Kind::First => &mut self.first,
            Kind::Retry => &mut self.retry,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.retry.is_empty()
    }
}

/// The ready lanes, and what they hold.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) lanes: ByKind,
    /// Events, and bytes of their bodies, in the lanes that are ready for a first attempt.
    pub(super) first: (usize, usize),
    /// Bytes of the bodies of ready retries.
    pub(super) retry_bytes: usize,
}

impl Ready {
    /// Adds a lane that becomes ready, at one end.
    pub(super) fn add(
        &mut self,
        id: LaneId,
        lane: &Lane,
        kind: Kind,
        add: fn(&mut VecDeque<LaneId>, LaneId),
    ) {
        match kind {
            Kind::First => self.grow(lane.events.len(), lane.bytes),
            Kind::Retry => self.retry_bytes += lane.first_bytes(),
        }
        add(self.lanes.of_mut(kind), id);
    }

    /// Counts events that a lane gets while it is ready for a first attempt.
    pub(super) fn grow(&mut self, events: usize, bytes: usize) {
        self.first.0 += events;
        self.first.1 += bytes;
    }

    /// Counts a lane that was taken out of `lanes`.
    pub(super) fn taken(&mut self, lane: &Lane, kind: Kind) {
        match kind {
            Kind::First => {
                self.first.0 -= lane.events.len();
                self.first.1 -= lane.bytes;
            }
            Kind::Retry => self.retry_bytes -= lane.first_bytes(),
        }
    }

    /// Whether ready retries, and so many more, take less than a quarter of the memory.
    pub(super) fn has_room_for_retry(&self, more: usize, bounds: &Bounds) -> bool {
        let ready = self.lanes.retry.len() + more;
        ready == 0 || (ready < bounds.window / 4 && self.retry_bytes < bounds.window_bytes / 4)
    }
}
