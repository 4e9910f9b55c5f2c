//! Writes back what was deleted from under an open queue.

use std::fs;
use std::io;

use heed::CompactionOption;

use super::directory::{DATA, Directory, SAVED};
use super::fault::storage;
use super::files;
use super::tables::Tables;
use crate::QueueError;

/// Writes the data and the mark back to where the next opening looks for them, if they were deleted:
/// LMDB still has the data open. If another file has the data's name now, the copy is called
/// [`SAVED`].
///
/// # Errors
/// [`NoSpace`](QueueError::NoSpace), or the disk fails. The data is lost when the process ends.
pub(super) fn write_back(tables: &Tables, directory: &Directory) -> Result<(), QueueError> {
    if directory.is_data_deleted() {
        copy_data(tables, directory)?;
    }
    directory.write_back_mark()
}

fn copy_data(tables: &Tables, directory: &Directory) -> Result<(), QueueError> {
    files::create_directory(directory.path())?;
    let (data, saved) = (directory.path().join(DATA), directory.path().join(SAVED));
    let mut file = directory.create_copy(&saved)?;
    let copied = tables
        .env
        .copy_to_file(&mut file, CompactionOption::Enabled)
        .and_then(|()| Ok(file.sync_all()?));
    if let Err(error) = copied {
        files::remove(&saved)?;
        return Err(storage("write back", error));
    }
    match fs::hard_link(&saved, &data) {
        Ok(()) => files::remove(&saved)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(files::io("create", &data)(error)),
    }
    files::sync_directory(directory.path())
}
