//! The memory of a target's events, and its bounds.

/// The bounds of a target's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Events with their bodies, over all lanes.
    pub(crate) window: usize,
    /// Bytes of these bodies. One event is always admitted, however large, and one lane's read may
    /// exceed the bound.
    pub(crate) window_bytes: usize,
    /// Events with their bodies in one lane.
    pub(crate) per_lane: usize,
    /// Lanes.
    pub(crate) lanes: usize,
}

/// The events in memory, over all lanes.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) bounds: Bounds,
    events: usize,
    /// Bytes of their bodies.
    bytes: usize,
}

impl Window {
    pub(super) fn new(bounds: Bounds) -> Window {
        Window {
            bounds,
            events: 0,
            bytes: 0,
        }
    }

    /// Events, and bytes of their bodies.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.events, self.bytes)
    }

    pub(super) fn add(&mut self, events: usize, bytes: usize) {
        self.events += events;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, events: usize, bytes: usize) {
        self.events -= events;
        self.bytes -= bytes;
    }

    /// Whether there is room for another event.
    pub(super) fn has_room(&self) -> bool {
        self.events == 0
            || (self.events < self.bounds.window && self.bytes < self.bounds.window_bytes)
    }

    /// Whether there is enough room to make a read of the queue worth its cost.
    pub(super) fn has_ample_room(&self) -> bool {
        self.events <= self.bounds.window / 4 * 3 && self.bytes <= self.bounds.window_bytes / 4 * 3
    }

    /// How many more events it has room for, whatever their bytes.
    pub(super) fn left(&self) -> usize {
        self.bounds.window.saturating_sub(self.events)
    }
}
