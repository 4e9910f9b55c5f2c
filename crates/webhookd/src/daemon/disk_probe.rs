//! Whether the queue's disk takes writes again after a failed commit.

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that the disk must have room for.
const ROOM: usize = 1 << 20;

/// Writes to an unnamed file in the queue's directory, and syncs it. It is as long as the queue's data
/// file would become, since there may be a limit on the size of files. On a file system without
/// unnamed files, only the next commit can tell.
///
/// # Errors
/// The disk does not take the write.
pub(super) fn probe(queue: &Path) -> io::Result<()> {
    let length = std::fs::metadata(queue.join("data.mdb")).map_or(0, |data| data.len());
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = match open(queue, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    file.write_all_at(&vec![0; ROOM], length)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing_in_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        probe(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(probe(&directory.path().join("missing")).is_err());
    }
}
