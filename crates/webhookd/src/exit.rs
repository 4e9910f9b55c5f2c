//! Exit statuses besides 0 and 1.

use std::error::Error;
use std::io::{self, ErrorKind};
use webhook_queue::QueueError;

/// Bad usage, an unusable configuration or unreadable input.
pub(crate) const UNUSABLE: u8 = 2;
/// Events are left in the queue, to be delivered by the next run.
pub(crate) const OWED: u8 = 3;
/// EX_TEMPFAIL of sysexits.h: the same command may succeed later.
pub(crate) const TEMPORARY: u8 = 75;

/// EX_DATAERR of sysexits.h: the queue is damaged.
pub(crate) const DAMAGED: u8 = 65;

/// The status of `webhookd run` for an error: [`DAMAGED`], [`TEMPORARY`] if another program, the
/// disk or the system is at fault, so that a retry may succeed, else [`UNUSABLE`].
pub(crate) fn status(error: &anyhow::Error) -> u8 {
    let is_damage = |cause: &(dyn Error + 'static)| {
        matches!(cause.downcast_ref(), Some(QueueError::Corrupt { .. }))
    };
    if error.chain().any(is_damage) {
        DAMAGED
    } else if error.chain().any(is_temporary) {
        TEMPORARY
    } else {
        UNUSABLE
    }
}

fn is_temporary(cause: &(dyn Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<QueueError>() {
        return matches!(
            error,
            QueueError::Locked { .. }
                | QueueError::NoSpace { .. }
                | QueueError::Deleted { .. }
                | QueueError::Refusing { .. }
                | QueueError::Replaced { .. }
                | QueueError::Unavailable { .. }
                | QueueError::Unknown { .. }
        );
    }
    let Some(error) = cause.downcast_ref::<io::Error>() else {
        return false;
    };
    let kind = matches!(
        error.kind(),
        ErrorKind::AddrInUse
            | ErrorKind::AddrNotAvailable
            | ErrorKind::FileTooLarge
            | ErrorKind::Interrupted
            | ErrorKind::QuotaExceeded
            | ErrorKind::ResourceBusy
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::StorageFull
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock
    );
    // These have no kind: the disk fails, or there are too many open files.
    let code = error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error);
    kind || matches!(
        code,
        Some(rustix::io::Errno::IO | rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};
    use rustix::io::Errno;

    fn check(error: impl Into<anyhow::Error>, expected: u8) {
        let error = error.into();
        assert_eq!(status(&error), expected, "{error:#}");
    }

    #[test]
    fn what_a_retry_may_mend_is_temporary() {
        let path = || "queue".into();
        check(anyhow!("bad usage"), UNUSABLE);
        check(QueueError::Locked { path: path() }, TEMPORARY);
        check(QueueError::Deleted { path: path() }, TEMPORARY);
        let detail = "a page".into();
        check(
            QueueError::Corrupt {
                path: path(),
                detail,
            },
            DAMAGED,
        );
        check(QueueError::NotADirectory { path: path() }, UNUSABLE);
        let storage = || "the database w at db".to_owned();
        let source = io::Error::from(Errno::CONNREFUSED).into();
        let storage_away = QueueError::Unavailable {
            storage: storage(),
            source,
        };
        check(storage_away, TEMPORARY);
        let detail = "the password is wrong".into();
        check(
            QueueError::Unusable {
                storage: storage(),
                detail,
            },
            UNUSABLE,
        );
        for (errno, expected) in [
            (Errno::NOENT, UNUSABLE),
            // A limit of the address space, which stays until it is raised.
            (Errno::NOMEM, UNUSABLE),
            (Errno::ACCESS, UNUSABLE),
            (Errno::ADDRINUSE, TEMPORARY),
            (Errno::AGAIN, TEMPORARY),
            (Errno::DQUOT, TEMPORARY),
            (Errno::FBIG, TEMPORARY),
            (Errno::IO, TEMPORARY),
            (Errno::MFILE, TEMPORARY),
            (Errno::NOSPC, TEMPORARY),
        ] {
            let system = || io::Error::from(errno);
            check(system(), expected);
            let wrapped = Err::<(), _>(system()).context("cannot start");
            check(wrapped.unwrap_err(), expected);
            let queue = QueueError::Io {
                action: "create",
                path: path(),
                source: system(),
            };
            check(queue, expected);
        }
    }
}
