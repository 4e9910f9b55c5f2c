//! Translates LMDB's errors.

use super::files::lacks_room;
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

/// Whether an error means that the storage contradicts itself.
pub(super) fn is_damage(error: &heed::Error) -> bool {
    use heed::MdbError::{
        BadTxn, Corrupted, CursorFull, Invalid, KeyExist, PageFull, PageNotFound, Problem,
    };
    match error {
        // A page of the wrong kind, a reference to none, a tree without an end.
        heed::Error::Mdb(Corrupted | CursorFull | Invalid | PageFull | PageNotFound | Problem)
        // A change goes on only while each step succeeds, so LMDB has met damage on the side.
        | heed::Error::Mdb(BadTxn)
        // The number of the next entry is taken.
        | heed::Error::Mdb(KeyExist)
        | heed::Error::Decoding(_) => true,
        _ => false,
    }
}

/// LMDB's range deletion stops without an error at a page that it cannot read.
pub(super) fn check_all_deleted(found: usize, deleted: usize) -> heed::Result<()> {
    if found == deleted {
        Ok(())
    } else {
        Err(heed::Error::Mdb(heed::MdbError::Corrupted))
    }
}

/// The error of a damaged value.
pub(super) fn damage(what: &str) -> heed::Error {
    heed::Error::Decoding(format!("{what} is damaged").into())
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::*;

    #[test]
    fn lack_of_room_damage_and_other_errors_are_told_apart() {
        let of = |error| storage("commit to", error);
        let io = |kind: ErrorKind| of(heed::Error::Io(io::Error::from(kind)));
        assert!(matches!(
            io(ErrorKind::StorageFull),
            QueueError::NoSpace { .. }
        ));
        // Only damage makes a range of entries smaller than it was counted.
        let deleted = check_all_deleted(3, 2).unwrap_err();
        assert!(is_damage(&deleted) && check_all_deleted(3, 3).is_ok());
        for error in [io(ErrorKind::NotFound), of(damage("a row"))] {
            assert!(matches!(&error, QueueError::Storage { .. }), "{error:?}");
            assert_eq!(error.to_string(), "cannot commit to the queue");
        }
    }
}
