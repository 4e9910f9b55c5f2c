//! Creates, opens and syncs the queue's files.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::QueueError;

/// Whether an open file has no name any more.
pub(super) fn is_deleted(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.nlink() == 0)
}

/// Whether an error means that the disk, a quota or a limit on the size of files is full.
pub(super) fn lacks_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// The queue's error for an I/O error of an action on a file, for `map_err`.
pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> QueueError {
    move |source| match lacks_room(&source) {
        true => QueueError::NoSpace { source },
        false => QueueError::Io {
            action,
            path: path.into(),
            source,
        },
    }
}

/// Syncs a directory, so that files renamed or created in it survive a power loss.
pub(super) fn sync_directory(path: &Path) -> Result<(), QueueError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(io("sync", path))
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), QueueError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Creates a directory and its missing parents, and syncs the parent of each.
pub(super) fn create_directory(path: &Path) -> Result<(), QueueError> {
    let path = std::path::absolute(path).map_err(io("create", path))?;
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    for missing in missing.into_iter().rev() {
        // Another process may have just created it.
        let mut builder = DirBuilder::new();
        let created = builder.recursive(true).mode(0o700).create(missing);
        created.map_err(io("create", missing))?;
        if let Some(parent) = missing.parent() {
            sync_directory(parent)?;
        }
    }
    Ok(())
}

/// Opens a file to read it, and to write it if `write` says so. Neither follows a symbolic link nor
/// waits for a FIFO.
pub(super) fn open_file(path: &Path, write: bool) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    File::options()
        .read(true)
        .write(write)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Creates a file that does not exist, for the owner of its directory alone. Does not follow a
/// symbolic link.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    if let Some(directory) = path.parent().filter(|_| geteuid().is_root()) {
        let owner = fs::metadata(directory)?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(file)
}

/// Creates a file, or opens the one that exists.
pub(super) fn create_or_open(path: &Path) -> io::Result<File> {
    match create_file(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_file(path, true),
        created => created,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_full_disk_quota_or_limit_is_a_lack_of_room_and_any_other_error_names_its_file() {
        use io::ErrorKind::{FileTooLarge, NotFound, QuotaExceeded, StorageFull};
        let of = |kind: io::ErrorKind| io("write", Path::new("queue/lock"))(kind.into());
        for kind in [StorageFull, QuotaExceeded, FileTooLarge] {
            assert!(matches!(of(kind), QueueError::NoSpace { .. }), "{kind:?}");
        }
        assert_eq!(of(NotFound).to_string(), "cannot write queue/lock");
    }

    #[test]
    fn a_directory_is_created_with_its_parents_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/../c");
        for _ in 0..2 {
            create_directory(&path).unwrap();
        }
        for name in ["a", "a/b", "a/c"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o700, "{name}");
        }
        fs::write(dir.path().join("file"), "").unwrap();
        let error = create_directory(&dir.path().join("file/below")).unwrap_err();
        assert!(error.to_string().starts_with("cannot create "), "{error}");
    }

    #[test]
    fn what_cannot_be_removed_or_synced_is_an_error_and_what_is_gone_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        remove(&gone).unwrap();
        let error = sync_directory(&gone).unwrap_err();
        assert!(error.to_string().starts_with("cannot sync "), "{error}");
        let error = remove(dir.path()).unwrap_err();
        assert!(error.to_string().starts_with("cannot remove "), "{error}");
    }

    #[test]
    fn a_file_is_created_once_and_the_error_of_its_creation_is_told() {
        use std::os::unix::fs::FileExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        create_or_open(&path)
            .unwrap()
            .write_all_at(b"it", 0)
            .unwrap();
        create_or_open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"it");
        // No file is created there, not even by root.
        let error = create_or_open(Path::new("/sys/webhook-queue")).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }
}
