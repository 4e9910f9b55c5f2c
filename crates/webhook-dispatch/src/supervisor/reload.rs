//! The result of a reload.

use webhook_queue::QueueError;

/// What a reload did, by the targets' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// New targets. Events that the queue holds for one from before are delivered first.
    pub added: Vec<String>,
    /// Targets that continue under other settings.
    pub changed: Vec<String>,
    /// Removed targets. A target whose `delivery` changed counts as removed and added.
    pub removed: Vec<String>,
    /// Targets whose settings did not change.
    pub unchanged: Vec<String>,
    /// Inputs that are new, removed or read by another schema; `default` is the default one. New
    /// events of theirs are read anew, and those in the queue keep their fields.
    pub inputs: Vec<String>,
    /// Settings that differ but stay in force until the program is restarted, one sentence each.
    pub kept: Vec<String>,
}

/// Why a reload failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The queue that the first reliable target needs cannot be opened or read.
    #[error("the queue cannot be used")]
    Queue(#[source] QueueError),
    /// A target's settings cannot be used.
    #[error("target {target}: {detail}")]
    Target {
        /// The target's name.
        target: String,
        /// What is wrong.
        detail: String,
    },
    /// A target's `delivery` was changed and is changed back while attempts from before the first
    /// change are still under way.
    #[error(
        "target {target}: attempts from before its `delivery` was changed are still under way; \
         try again later"
    )]
    StillEnding {
        /// The target's name.
        target: String,
    },
    /// The system provided no thread.
    #[error("the system provided no thread")]
    System(#[source] std::io::Error),
    /// The dispatcher is shutting down.
    #[error("the dispatcher is shutting down")]
    ShuttingDown,
}
