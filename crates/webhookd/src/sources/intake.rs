//! What came in, over all sources.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what comes in; shared by all sources.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    events: AtomicU64,
    rejected: AtomicU64,
    turned_away: AtomicU64,
    refused: AtomicU64,
    bytes: AtomicU64,
}

/// What came in so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Read {
    /// Events handed to the dispatcher.
    pub(crate) events: u64,
    /// What was no event.
    pub(crate) rejected: u64,
    /// Requests, and lines of them, that were not taken over HTTP.
    pub(crate) turned_away: u64,
    /// Events that the queue did not take after all.
    pub(crate) refused: u64,
}

impl Intake {
    pub(crate) fn event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// What a sender was told over HTTP that it is not taken: its fault, and not this run's.
    pub(crate) fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn read_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes read, by sources of lines.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn so_far(&self) -> Read {
        Read {
            events: self.events.load(Ordering::SeqCst),
            rejected: self.rejected.load(Ordering::SeqCst),
            turned_away: self.turned_away.load(Ordering::SeqCst),
            refused: self.refused.load(Ordering::SeqCst),
        }
    }
}
