//! Translates LMDB's errors.

use super::directory::lacks_room;
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

/// The queue's error for an LMDB error during `action`.
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

/// The error of a damaged value.
pub(super) fn damage(what: &str) -> heed::Error {
    heed::Error::Decoding(format!("{what} is damaged").into())
}
