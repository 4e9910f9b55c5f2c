//! Statistics of a stream, for the metrics and the admin API.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

/// Counts what one stream does.
#[derive(Debug)]
pub(crate) struct StreamStats {
    name: String,
    connected: AtomicBool,
    connections: AtomicU64,
    errors: AtomicU64,
    documents: AtomicU64,
    gaps: AtomicU64,
    /// Epoch seconds; 0 if there was none. So is `last_gap`.
    last_document: AtomicU64,
    last_gap: AtomicU64,
    /// What changes together.
    texts: Mutex<Texts>,
}

#[derive(Clone, Debug, Default)]
struct Texts {
    error: Option<String>,
    cursor: Option<String>,
}

/// The figures at one moment.
#[derive(Clone, Debug)]
pub(crate) struct StreamFigures {
    /// The source's name; with a resource type of Kubernetes after a slash.
    pub(crate) name: String,
    /// Whether a response is being read.
    pub(crate) connected: bool,
    /// Responses that were read.
    pub(crate) connections: u64,
    /// Requests and responses that failed.
    pub(crate) errors: u64,
    /// Documents read, heartbeats and repeats among them.
    pub(crate) documents: u64,
    /// How often documents may have been missed.
    pub(crate) gaps: u64,
    /// When the last document came, in epoch seconds; 0 if none did.
    pub(crate) last_document: u64,
    /// When the last gap was found, in epoch seconds; 0 if none was.
    pub(crate) last_gap: u64,
    /// Why the last request or response failed; `None` while connected.
    pub(crate) error: Option<String>,
    /// The cursor up to which all events are accepted, as it was saved last.
    pub(crate) cursor: Option<String>,
}

impl StreamStats {
    pub(super) fn new(name: String) -> StreamStats {
        StreamStats {
            name,
            connected: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            documents: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            last_document: AtomicU64::new(0),
            last_gap: AtomicU64::new(0),
            texts: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A response is read from now on. Returns whether it is the first, or the first after an error.
    pub(super) fn connect(&self) -> bool {
        let is_first = self.connections.fetch_add(1, Ordering::SeqCst) == 0;
        self.connected.store(true, Ordering::SeqCst);
        self.texts().error.take().is_some() || is_first
    }

    pub(super) fn disconnect(&self) {
        self.connected.store(false, Ordering::SeqCst);
    }

    pub(super) fn fail(&self, why: &str) {
        self.errors.fetch_add(1, Ordering::SeqCst);
        self.texts().error = Some(why.to_owned());
    }

    pub(super) fn document(&self) {
        self.documents.fetch_add(1, Ordering::Relaxed);
        self.last_document.store(now(), Ordering::Relaxed);
    }

    pub(super) fn documents(&self) -> u64 {
        self.documents.load(Ordering::Relaxed)
    }

    pub(super) fn gap(&self) {
        self.last_gap.store(now(), Ordering::SeqCst);
        self.gaps.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn saved(&self, cursor: Option<&str>) {
        self.texts().cursor = cursor.map(str::to_owned);
    }

    pub(crate) fn figures(&self) -> StreamFigures {
        let Texts { error, cursor } = self.texts().clone();
        StreamFigures {
            name: self.name.clone(),
            connected: self.connected.load(Ordering::SeqCst),
            connections: self.connections.load(Ordering::SeqCst),
            errors: self.errors.load(Ordering::SeqCst),
            documents: self.documents.load(Ordering::Relaxed),
            gaps: self.gaps.load(Ordering::SeqCst),
            last_document: self.last_document.load(Ordering::Relaxed),
            last_gap: self.last_gap.load(Ordering::SeqCst),
            error,
            cursor,
        }
    }

    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}
