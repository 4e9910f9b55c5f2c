//! Statistics of the input of all sources together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// By the name of the input; the default input has an empty one.
    inputs: Mutex<BTreeMap<Arc<str>, Arc<InputCounters>>>,
}

/// Counts what comes in by one input.
#[derive(Debug, Default)]
pub(crate) struct InputCounters {
    events: AtomicU64,
    rejected: AtomicU64,
    unknown: AtomicU64,
}

impl InputCounters {
    /// Counts an event that was submitted.
    pub(crate) fn event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a line or a request that got an error.
    pub(crate) fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what was accepted though it was not understood.
    pub(crate) fn unknown(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> PerInput {
        PerInput {
            events: self.events.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
        }
    }
}

/// The counts of one input at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PerInput {
    /// Events submitted to the dispatcher.
    pub(crate) events: u64,
    /// Lines and requests that got an error.
    pub(crate) rejected: u64,
    /// What was accepted though it was not understood.
    pub(crate) unknown: u64,
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
    /// The counters of an input.
    pub(crate) fn input(&self, name: &Arc<str>) -> Arc<InputCounters> {
        let mut inputs = self.inputs();
        if let Some(counters) = inputs.get(name) {
            return Arc::clone(counters);
        }
        Arc::clone(inputs.entry(Arc::clone(name)).or_default())
    }

    /// The counts of each input that something came in by, by name.
    pub(crate) fn by_input(&self) -> Vec<(Arc<str>, PerInput)> {
        let inputs = self.inputs();
        let counts = inputs
            .iter()
            .map(|(name, it)| (Arc::clone(name), it.counts()));
        counts.collect()
    }

    fn inputs(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<InputCounters>>> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
