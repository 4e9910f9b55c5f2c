//! An input's counters and their snapshots.

use std::sync::atomic::{AtomicU64, Ordering};

/// An input's figures since the dispatcher was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputStats {
    /// The input's name; empty for the default one.
    pub name: String,
    /// Events that its `ignore` dropped.
    pub ignored: u64,
    /// Events that its `onlyChanges` dropped: their state was their key's last one.
    pub unchanged: u64,
}

/// An input's counters.
#[derive(Debug, Default)]
pub(crate) struct InputCounters {
    pub(crate) ignored: AtomicU64,
    pub(crate) unchanged: AtomicU64,
}

impl InputCounters {
    pub(crate) fn snapshot(&self, name: &str) -> InputStats {
        InputStats {
            name: name.to_owned(),
            ignored: self.ignored.load(Ordering::Relaxed),
            unchanged: self.unchanged.load(Ordering::Relaxed),
        }
    }
}
