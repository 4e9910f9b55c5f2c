//! Operations on a queue that no program has open: compaction and verification.

use std::fs;
use std::path::Path;

use heed::CompactionOption;

use super::capacity::Capacity;
use super::directory::{self, COMPACTED, DATA, Directory};
use super::fault::storage;
use super::files;
use super::opening::{check_meta, open_tables};
use super::verification::{Depth, read_all};
use crate::{QueueError, Verification};

/// The result of a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Size of the data file before, bytes.
    pub before: u64,
    /// Size of the data file now, bytes.
    pub after: u64,
}

/// Rewrites the queue in `dir` without its free space, after a check of its tables. The queue must be
/// closed, and the disk must have room for a copy. The copy replaces the data once it is synced, so an interruption leaves
/// either the old data or the new.
///
/// # Errors
/// Those of [`DiskQueue::open_existing`](crate::DiskQueue::open_existing), and
/// [`NoSpace`](QueueError::NoSpace). The queue is unchanged. A queue that was found damaged, but can be
/// read, is rewritten.
///
/// ```
/// use webhook_queue::{DiskQueue, Options, compact};
///
/// let dir = tempfile::tempdir()?;
/// drop(DiskQueue::open(dir.path(), &Options::default())?);
/// let compaction = compact(dir.path())?;
/// println!("{} bytes before, {} now", compaction.before, compaction.after);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compact(dir: impl AsRef<Path>) -> Result<Compaction, QueueError> {
    let mut directory = Directory::open(dir.as_ref(), false)?;
    let data = directory.path().join(DATA);
    let copy = directory.path().join(COMPACTED);
    let before = directory.data_len()?;
    let tables = open_tables(&directory, Capacity::new(before).map_size(before))?;
    check_meta(&tables, &directory)?;
    // A copy of damaged tables can be shorter than they are, without an error.
    let found = read_all(&tables, directory.identity(), Depth::Tables)?;
    if let Some(what) = found.table_damage.first() {
        return Err(directory::corrupt(directory.path(), what.clone()));
    }
    let env = tables.env.clone();
    drop(tables);
    let mut file = directory.create_copy(&copy)?;
    let copied = env
        .copy_to_file(&mut file, CompactionOption::Enabled)
        .and_then(|()| Ok(file.sync_all()?))
        .and_then(|()| Ok(file.metadata()?.len()));
    env.prepare_for_closing().wait();
    let after = match copied {
        Ok(after) => after,
        Err(error) => {
            files::remove(&copy)?;
            return Err(storage("compact", error));
        }
    };
    fs::rename(&copy, &data).map_err(files::io("replace", &data))?;
    files::sync_directory(directory.path())?;
    directory.mark_whole();
    Ok(Compaction { before, after })
}

/// Checks every record of the queue in `dir`, which must be closed, and changes nothing. It takes
/// as long as reading the queue once. [`Verify::verify`](crate::Verify::verify) does the same with an
/// open queue.
///
/// # Errors
/// Those of [`DiskQueue::open_existing`](crate::DiskQueue::open_existing), and
/// [`Storage`](QueueError::Storage) if it cannot be read to its end. A damaged record is not an
/// error: the result lists it.
///
/// ```
/// use webhook_queue::{DiskQueue, Options, verify};
///
/// let dir = tempfile::tempdir()?;
/// drop(DiskQueue::open(dir.path(), &Options::default())?);
/// assert!(verify(dir.path())?.corrupt.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(dir: impl AsRef<Path>) -> Result<Verification, QueueError> {
    verify_to(dir.as_ref(), Depth::Events)
}

/// As [`verify`], without the content of the events: it takes a second for a million of them. A queue
/// with [`table_damage`](Verification::table_damage) should not be opened.
///
/// # Errors
/// As there.
pub fn verify_tables(dir: impl AsRef<Path>) -> Result<Verification, QueueError> {
    verify_to(dir.as_ref(), Depth::Tables)
}

fn verify_to(dir: &Path, depth: Depth) -> Result<Verification, QueueError> {
    let mut directory = Directory::open(dir, false)?;
    let tables = open_tables(&directory, Capacity::new(0).map_size(0))?;
    check_meta(&tables, &directory)?;
    let found = read_all(&tables, directory.identity(), depth)?;
    if found.table_damage.is_empty() && directory.was_left_in_use() {
        directory.mark_whole();
    }
    Ok(found)
}

/// Whether the last program that had the queue in `dir` open for changes did not close it, so that
/// its tables should be [verified](verify_tables) before it is opened. In a process of its own: damage
/// to the tables can end the one that reads them. Also true while a program has the queue open.
pub fn was_left_open(dir: impl AsRef<Path>) -> bool {
    directory::is_in_use(dir.as_ref())
}
