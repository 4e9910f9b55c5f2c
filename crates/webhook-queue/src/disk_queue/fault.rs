//! What LMDB's errors mean.

use std::io;

use super::directory::Directory;
use crate::QueueError;

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum Fault {
    Storage(heed::Error),
    Refused(QueueError),
}

impl From<heed::Error> for Fault {
    fn from(error: heed::Error) -> Fault {
        Fault::Storage(error)
    }
}

/// Whether an error says that the disk is full, or what this user or process may write.
pub(super) fn lacks_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// What an error means when `action` was tried.
pub(super) fn storage(action: &'static str, error: heed::Error) -> QueueError {
    match error {
        heed::Error::Io(source) if lacks_room(&source) => QueueError::NoSpace { source },
        heed::Error::Io(source) => QueueError::Storage {
            action,
            source: source.into(),
        },
        error => QueueError::Storage {
            action,
            source: error.into(),
        },
    }
}

/// What an error means that shows the files to be damaged.
pub(super) fn corrupt(directory: &Directory, error: &heed::Error) -> QueueError {
    QueueError::Corrupt {
        path: directory.path().into(),
        detail: error.to_string(),
    }
}

/// The error of a value that is not as written.
pub(super) fn damage(what: &str) -> heed::Error {
    heed::Error::Decoding(format!("{what} is damaged").into())
}
