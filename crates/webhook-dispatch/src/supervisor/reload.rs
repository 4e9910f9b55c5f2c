//! What a reload did, or why it failed.

use webhook_queue::QueueError;

/// What a reload did. Targets are known by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Targets that are new. What the queue holds for one from an earlier time is delivered first.
    pub added: Vec<String>,
    /// Targets that go on under other settings.
    pub changed: Vec<String>,
    /// Removed targets. A target whose `delivery` changed counts as removed and added.
    pub removed: Vec<String>,
    /// Targets that go on as they were.
    pub unchanged: Vec<String>,
    /// What stays as it was until the program is started again, in words.
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
    /// A target's `delivery` was changed, and is to be changed back while attempts of the first
    /// kind are still under way.
    #[error(
        "target {target}: what was under way before its `delivery` was changed has not ended yet; \
         try again in a while"
    )]
    StillEnding {
        /// The target's name.
        target: String,
    },
    /// The system refused a thread.
    #[error("the system refused what a dispatcher needs")]
    System(#[source] std::io::Error),
    /// The dispatcher is shutting down.
    #[error("the dispatcher is shutting down")]
    ShuttingDown,
}
