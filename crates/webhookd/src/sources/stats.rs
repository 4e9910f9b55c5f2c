//! Statistics of the input of all sources together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// Counts the input; shared by all sources.
#[derive(Debug, Default)]
pub(crate) struct InputStats {
    events: AtomicU64,
    rejected: AtomicU64,
    rejected_http: AtomicU64,
    unauthorized: AtomicU64,
    refused: AtomicU64,
    bytes: AtomicU64,
    gaps: AtomicU64,
    /// Epoch seconds; 0 if there was none.
    last_gap: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InputCounts {
    /// Events submitted to the dispatcher.
    pub(crate) events: u64,
    /// Lines that are not events.
    pub(crate) rejected: u64,
    /// Requests over HTTP, and lines of them, that got an error.
    pub(crate) rejected_http: u64,
    /// Requests over HTTP without a valid token or signature.
    pub(crate) unauthorized: u64,
    /// Events that were submitted, and that the queue did not accept.
    pub(crate) refused: u64,
}

impl InputStats {
    pub(crate) fn event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an error over HTTP. Its sender is at fault and has been told, so it does not count
    /// against this run.
    pub(crate) fn reject_http(&self) {
        self.rejected_http.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request over HTTP without a valid token or signature. Anyone can send one, so it is
    /// no rejected input.
    pub(crate) fn deny(&self) {
        self.unauthorized.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn read_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes read from standard input and files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts lines of a followed file that could not be read.
    pub(crate) fn gap(&self) {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        self.last_gap.store(now, Ordering::SeqCst);
        self.gaps.fetch_add(1, Ordering::SeqCst);
    }

    /// How often lines of a followed file could not be read, and when that was last found, in epoch
    /// seconds; 0 if it never was.
    pub(crate) fn gaps(&self) -> (u64, u64) {
        (
            self.gaps.load(Ordering::SeqCst),
            self.last_gap.load(Ordering::SeqCst),
        )
    }

    pub(crate) fn counts(&self) -> InputCounts {
        InputCounts {
            events: self.events.load(Ordering::SeqCst),
            rejected: self.rejected.load(Ordering::SeqCst),
            rejected_http: self.rejected_http.load(Ordering::SeqCst),
            unauthorized: self.unauthorized.load(Ordering::SeqCst),
            refused: self.refused.load(Ordering::SeqCst),
        }
    }
}
