//! What is done with a queue that no program has open: giving back its free space, and reading
//! all of it.

use std::fs;
use std::path::Path;

use heed::CompactionOption;

use super::capacity::Capacity;
use super::directory::{self, COMPACTED, DATA, Directory};
use super::fault::storage;
use super::opening::{check_meta, open_tables};
use super::verification::read_all;
use crate::{QueueError, Verification};

/// What a compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Size of the data file before, bytes.
    pub before: u64,
    /// Size of the data file now, bytes.
    pub after: u64,
}

/// Writes the queue in `dir` anew, without the space that is free in it. The queue has to be
/// closed; there has to be room for the copy beside it. The copy takes the place of the data only
/// once it is on the disk, so that an end at any instant leaves the one or the other.
///
/// # Errors
/// Those of [`DiskQueue::open_existing`](crate::DiskQueue::open_existing), and
/// [`NoSpace`](QueueError::NoSpace). The queue is as it was.
pub fn compact(dir: impl AsRef<Path>) -> Result<Compaction, QueueError> {
    let directory = Directory::open(dir.as_ref(), false)?;
    let data = directory.path().join(DATA);
    let copy = directory.path().join(COMPACTED);
    let size = |path: &Path| {
        fs::metadata(path)
            .map(|found| found.len())
            .map_err(directory::io("look at", path))
    };
    let before = size(&data)?;
    let tables = open_tables(&directory, Capacity::new(before).map_size(before))?;
    check_meta(&tables, &directory)?;
    let env = tables.env.clone();
    drop(tables);
    let copied = env
        .copy_to_path(&copy, CompactionOption::Enabled)
        .and_then(|file| {
            file.sync_all()?;
            Ok(())
        });
    env.prepare_for_closing().wait();
    if let Err(error) = copied {
        directory::remove(&copy)?;
        return Err(storage("compact", error));
    }
    fs::rename(&copy, &data).map_err(directory::io("replace", &data))?;
    directory::sync_directory(directory.path())?;
    Ok(Compaction {
        before,
        after: size(&data)?,
    })
}

/// Reads all of the queue in `dir`, which has to be closed, and changes nothing in it. Takes as
/// long as the disk needs to read it once. [`Queue::verify`](crate::Queue::verify) does the same
/// with a queue that is open.
///
/// # Errors
/// Those of [`DiskQueue::open_existing`](crate::DiskQueue::open_existing), and
/// [`Storage`](QueueError::Storage) if it cannot be read to its end. A damaged record is no error,
/// but part of what is returned.
pub fn verify(dir: impl AsRef<Path>) -> Result<Verification, QueueError> {
    let directory = Directory::open(dir.as_ref(), false)?;
    let tables = open_tables(&directory, Capacity::new(0).map_size(0))?;
    check_meta(&tables, &directory)?;
    read_all(&tables, directory.identity())
}
