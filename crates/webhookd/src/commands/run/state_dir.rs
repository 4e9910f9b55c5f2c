//! The directory of the files that a worker of a database keeps on its machine.

use anyhow::{Context, Result};
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The name of the file that is locked. It is another than that of a queue, so that
/// `webhookd queue copy` can open a queue that was in the directory before.
const LOCK: &str = "worker.lock";
/// The file of a queue in a directory.
const QUEUE: &str = "data.mdb";

/// A locked directory. It is unlocked when this is dropped.
#[derive(Debug)]
pub(super) struct StateDir {
    _lock: File,
}

impl StateDir {
    /// Creates the directory if it is missing, and locks it.
    ///
    /// # Errors
    /// Another process has it, or it cannot be created.
    pub(super) fn lock(path: &Path) -> Result<StateDir> {
        let shown = path.display();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("cannot create the state directory {shown}"))?;
        if path.join(QUEUE).exists() {
            tracing::warn!(
                "{shown} has a queue of its own, which is not used beside a database: \
                 `webhookd queue copy --from {shown}` moves its events"
            );
        }
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join(LOCK));
        let lock = lock.with_context(|| format!("cannot open {LOCK} in {shown}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(StateDir { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(io::Error::from(ErrorKind::ResourceBusy))
                .with_context(|| {
                    format!(
                        "another webhookd has the state directory {shown}: give each worker of \
                         this machine one of its own, with --state-dir"
                    )
                }),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {LOCK} in {shown}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{TEMPORARY, status};

    #[test]
    fn one_process_has_a_state_directory() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = StateDir::lock(&path).unwrap();
        let error = StateDir::lock(&path).unwrap_err();
        assert_eq!(status(&error), TEMPORARY, "{error:#}");
        assert!(error.to_string().contains("--state-dir"), "{error:#}");
        drop(first);
        assert!(StateDir::lock(&path).is_ok());
    }
}
