//! The settings of the queue of undelivered events.

use std::path::{Path, PathBuf};

/// What happens to a new event when the queue is full or its disk fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The source waits.
    #[default]
    Block,
    /// The source gets an error at once, and keeps the event.
    Reject,
}

impl WhenFull {
    /// All values.
    pub const ALL: &'static [WhenFull] = &[WhenFull::Block, WhenFull::Reject];

    /// The name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            WhenFull::Block => "block",
            WhenFull::Reject => "reject",
        }
    }
}

/// The settings of the queue of undelivered events: its directory and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    pub(crate) dir: PathBuf,
    pub(crate) max_bytes: u64,
    pub(crate) when_full: WhenFull,
}

impl QueueSettings {
    /// A queue of 16 GiB in this directory, which blocks when full.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        QueueSettings {
            dir: dir.into(),
            ..QueueSettings::default()
        }
    }

    /// Sets the bound in bytes, 1 MiB to 16 TiB; a [`ConfigBuilder`](crate::ConfigBuilder) refuses
    /// others.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets what happens to a new event when the queue is full.
    #[must_use]
    pub fn with_when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// The default of [`Self::max_bytes`]: 16 GiB.
    pub const DEFAULT_MAX_BYTES: u64 = 16 << 30;

    /// The directory of the queue's files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The largest size of the queue's files in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// What happens to a new event when the queue is full or its disk fails.
    #[must_use]
    pub fn when_full(&self) -> WhenFull {
        self.when_full
    }
}

impl Default for QueueSettings {
    /// The directory `webhook-queue`, 16 GiB, blocking when full.
    fn default() -> Self {
        QueueSettings {
            dir: PathBuf::from("webhook-queue"),
            max_bytes: Self::DEFAULT_MAX_BYTES,
            when_full: WhenFull::Block,
        }
    }
}
