//! The errors of a queue.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a queue operation failed. Each variant says what state remains;
/// [`is_retryable`](QueueError::is_retryable) says whether to try again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// No room for the appended events; settlements alone may still be committed.
    #[error("the queue is full: {used} of {max} bytes are in use; nothing was accepted")]
    Full {
        /// Bytes in use.
        used: u64,
        /// Bytes that it may use.
        max: u64,
    },

    /// The event does not fit even an empty queue.
    #[error(
        "an event of {size} bytes does not fit a queue of {max} bytes; nothing was accepted, and \
         only a larger queue can take it"
    )]
    TooLarge {
        /// Bytes that the event would take.
        size: u64,
        /// Bytes that the queue may use.
        max: u64,
    },

    /// The disk (or a quota, or a limit on the size of files) has no room for a commit. Nothing of
    /// it was stored or applied, and everything acknowledged before remains. The next commit is
    /// tried as usual.
    #[error("there is no room on the disk for the queue; nothing was accepted")]
    NoSpace {
        /// The error of the system.
        #[source]
        source: io::Error,
    },

    /// A read or a commit failed for another reason than lack of room. Of a commit nothing was
    /// stored or applied, and everything acknowledged before remains. The next commit is tried as
    /// usual: it writes and syncs all of its own pages.
    #[error("cannot {action} the queue")]
    Storage {
        /// The action that failed, for example `"commit to"`.
        action: &'static str,
        /// The error of the storage.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },

    /// A commit failed at its last step, so the storage cannot tell whether it took effect. The
    /// queue refuses everything until it is closed and opened again. Everything acknowledged before
    /// remains; the events of the failed commit may or may not be in the queue.
    #[error(
        "the queue refuses everything until it is reopened, since a commit failed at its last step"
    )]
    Refusing {
        /// The error of that commit.
        #[source]
        source: Arc<QueueError>,
    },

    /// The connection to a shared queue was lost during a commit, so its events may be stored or
    /// not. Committing an event again under the same id finds out, and stores it once.
    #[error("the connection to the queue was lost during a commit, which may have taken effect")]
    Unknown {
        /// The error of the connection.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },

    /// The storage of a shared queue cannot be reached. Nothing was stored or applied.
    #[error("{storage} cannot be reached")]
    Unavailable {
        /// The storage, without secrets, for example its host and database.
        storage: String,
        /// The error of the connection.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },

    /// The storage of a shared queue can be reached and not be used. Nothing was changed.
    #[error("{storage} cannot be used for the queue: {detail}")]
    Unusable {
        /// The storage, without secrets.
        storage: String,
        /// Why, and what to do.
        detail: String,
    },

    /// The storage of a shared queue has another history than it had when the queue was opened, so
    /// what this process remembers of it may be wrong. The queue refuses everything until it is
    /// closed and opened again.
    #[error(
        "{storage} went on from another state (a standby was promoted, or a backup restored): the \
         queue refuses everything until it is reopened"
    )]
    Replaced {
        /// The storage, without secrets.
        storage: String,
    },

    /// A file or directory of the queue cannot be used. Nothing was changed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The action that failed, for example `"create"`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },

    /// There is no queue, and the caller asked not to create one.
    #[error("there is no queue in {}", path.display())]
    Missing {
        /// Where one was expected.
        path: PathBuf,
    },

    /// The path is not a directory.
    #[error("{} is not a directory: a queue needs one of its own", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },

    /// The directory holds other files and no queue. Nothing was changed.
    #[error(
        "{} holds {found:?} and is not a queue: name a directory that is empty or does not exist",
        path.display()
    )]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// One of the files that it holds.
        found: String,
    },

    /// The queue was written by another version of this software. Nothing was changed.
    #[error(
        "the queue in {} has format {found:?}, and this program knows only format {known}: open \
         it with the version that wrote it, or name another directory",
        path.display()
    )]
    UnknownVersion {
        /// The directory.
        path: PathBuf,
        /// The version in its mark.
        found: String,
        /// The format that this version reads and writes.
        known: u32,
    },

    /// The system has not enough address space for the data file, which is mapped. Nothing was
    /// changed.
    #[error(
        "the system refuses {bytes} bytes of address space, which the queue needs for its maxBytes: \
         lower maxBytes, or raise the limit (ulimit -v, LimitAS)"
    )]
    AddressSpace {
        /// Bytes of the map.
        bytes: usize,
        /// The error of the system.
        #[source]
        source: io::Error,
    },

    /// Another user could replace the queue's files. Nothing was changed.
    #[error("{} is not safe for a queue: {detail}", path.display())]
    UnsafeDirectory {
        /// The directory.
        path: PathBuf,
        /// The owner or the mode, and what to do.
        detail: String,
    },

    /// A file of the queue was deleted while the queue was open. New events are refused. Events
    /// accepted before can still be delivered by this process.
    #[error(
        "{} was deleted while the queue was open: new events are refused until the queue is \
         reopened",
        path.display()
    )]
    Deleted {
        /// The file.
        path: PathBuf,
    },

    /// A file of the queue, or its directory, was moved or replaced while the queue was open. New
    /// events are refused, and accepted again once it is back.
    #[error(
        "{} was moved or replaced while the queue was open: new events are refused until it is \
         put back, or the queue is reopened",
        path.display()
    )]
    Moved {
        /// The file.
        path: PathBuf,
    },

    /// The queue is open already, in another process or in this one.
    #[error("the queue in {} is in use: close the program that holds it first", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },

    /// The queue's files contradict each other. Nothing was changed. A single damaged record
    /// does not cause this: it is quarantined and counted.
    #[error(
        "the queue in {} is damaged: {detail}; move the directory away to start an empty one, and \
         keep it for recovery",
        path.display()
    )]
    Corrupt {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

impl QueueError {
    /// Whether the storage of a shared queue is away. The next call may take as long to fail.
    pub(crate) fn is_away(&self) -> bool {
        matches!(
            self,
            QueueError::Unknown { .. } | QueueError::Unavailable { .. }
        )
    }

    /// Whether the same call may succeed later on the same open queue, once there is room or the
    /// other program is gone. False if the queue has to be reopened or its directory repaired.
    ///
    /// ```
    /// use webhook_queue::QueueError;
    ///
    /// assert!(QueueError::Full { used: 2, max: 1 }.is_retryable());
    /// assert!(!QueueError::TooLarge { size: 2, max: 1 }.is_retryable());
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            QueueError::Full { .. }
                | QueueError::NoSpace { .. }
                | QueueError::Storage { .. }
                | QueueError::Unknown { .. }
                | QueueError::Unavailable { .. }
                | QueueError::Moved { .. }
                | QueueError::Locked { .. }
        )
    }
}
