//! The queue's directory: whether it is a queue, its format, and the lock of the process that has
//! it open.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::QueueError;

/// The format that this version reads and writes.
pub(super) const FORMAT: u32 = 1;

/// The file that makes a directory a queue: the format and the queue's identity, as text.
const MARK: &str = "FORMAT";

/// The mark of a queue that is being created and holds nothing yet.
const UNFINISHED_MARK: &str = "FORMAT.new";

/// What the first line of the mark starts with.
const MAGIC: &str = "webhook-queue ";

/// The file that a process locks while it has the queue open.
const LOCK: &str = "lock";

/// LMDB's data.
pub(super) const DATA: &str = "data.mdb";

/// LMDB's table of readers.
const READERS: &str = "lock.mdb";

/// A file that is written and removed to find out whether the disk has room.
const PROBE: &str = "probe";

/// The file that a compaction writes before it replaces the data.
pub(super) const COMPACTED: &str = "data.mdb.compacted";

/// A directory of a queue, locked as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    identity: [u8; 16],
    /// Whether the queue in it is yet to be created.
    unfinished: bool,
    /// Holds the lock.
    lock: File,
}

impl Directory {
    /// Checks that the queue's files still exist: anything written to deleted files is lost when
    /// the process ends.
    ///
    /// # Errors
    /// [`Deleted`](QueueError::Deleted) if they were.
    pub(super) fn check_exists(&self) -> Result<(), QueueError> {
        let held = self.lock.metadata().map_err(io("look at", &self.path))?;
        if held.nlink() == 0 {
            return Err(QueueError::Deleted {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    /// Locks the queue in `path`. If there is none, `create` prepares one without tables, which
    /// [`finish`](Directory::finish) completes.
    pub(super) fn open(path: &Path, create: bool) -> Result<Directory, QueueError> {
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => {
                return Err(QueueError::NotADirectory { path: path.into() });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !create {
                    return Err(QueueError::Missing { path: path.into() });
                }
                create_directory(path)?;
            }
            Err(error) => return Err(io("look at", path)(error)),
        }
        let marked = read_mark(path)?;
        if marked.is_none() {
            refuse_foreign(path)?;
            if !create {
                return Err(QueueError::Missing { path: path.into() });
            }
        }
        let lock = lock(path)?;
        // Under the lock, no other process can be creating it.
        let marked = read_mark(path)?;
        remove(&path.join(COMPACTED))?;
        let (unfinished, identity) = match marked {
            Some(identity) => (false, identity),
            None => (true, begin(path)?),
        };
        if !unfinished && !path.join(DATA).exists() {
            return Err(corrupt(path, format!("{DATA} is missing")));
        }
        Ok(Directory {
            path: path.into(),
            identity,
            unfinished,
            lock,
        })
    }

    /// Completes the creation of the queue, once its tables are on the disk.
    pub(super) fn finish(&mut self) -> Result<(), QueueError> {
        if self.unfinished {
            let mark = self.path.join(MARK);
            fs::rename(self.path.join(UNFINISHED_MARK), &mark).map_err(io("create", &mark))?;
            sync_directory(&self.path)?;
            self.unfinished = false;
        }
        Ok(())
    }

    /// The disk's error if it has no room for 64 KiB more.
    pub(super) fn lack_of_room(&self) -> Option<io::Error> {
        let probe = self.path.join(PROBE);
        let written = File::create(&probe)
            .and_then(|mut file| file.write_all(&[0; 1 << 16]).and_then(|()| file.sync_all()));
        // If it cannot be removed, the next probe overwrites it.
        remove(&probe).ok();
        written.err().filter(lacks_room)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the queue is yet to be created.
    pub(super) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Sixteen random bytes that no other queue has.
    pub(super) fn identity(&self) -> [u8; 16] {
        self.identity
    }
}

/// Whether an error means that the disk, a quota or a limit on the size of files is full.
pub(super) fn lacks_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Adds the action and the path to an I/O error, for `map_err`.
pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> QueueError {
    move |source| QueueError::Io {
        action,
        path: path.into(),
        source,
    }
}

/// The error of files that contradict each other.
pub(super) fn corrupt(path: &Path, detail: String) -> QueueError {
    let path = path.into();
    QueueError::Corrupt { path, detail }
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

/// Creates a directory and its missing parents, and syncs each.
fn create_directory(path: &Path) -> Result<(), QueueError> {
    let above = path.ancestors().skip(1);
    let missing = above.clone().take_while(|above| !above.exists()).count();
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io("create", path))?;
    for parent in above.take(missing + 1) {
        // The parent of a relative path is empty.
        let is_here = parent.as_os_str().is_empty();
        sync_directory(if is_here { Path::new(".") } else { parent })?;
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, QueueError> {
    let name = path.join(LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(io("open", &name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(QueueError::Locked { path: path.into() }),
        Err(TryLockError::Error(error)) => Err(io("lock", &name)(error)),
    }
}

/// The identity of the queue in `path`, if there is one.
fn read_mark(path: &Path) -> Result<Option<[u8; 16]>, QueueError> {
    let name = path.join(MARK);
    let mut text = String::new();
    // A mark is short. A longer file is not a mark, and is not read to its end.
    let file = match File::open(&name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("open", &name)(error)),
    };
    let unreadable = || unreadable_mark(path);
    match file.take(256).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(unreadable()),
        Err(error) => return Err(io("read", &name)(error)),
    }
    let mut lines = text.lines();
    let found = lines
        .next()
        .and_then(|line| line.strip_prefix(MAGIC))
        .ok_or_else(unreadable)?;
    if found.is_empty() || !found.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unreadable());
    }
    if found != FORMAT.to_string() {
        let (path, found) = (path.into(), found.chars().take(32).collect());
        return Err(QueueError::UnknownVersion {
            path,
            found,
            known: FORMAT,
        });
    }
    let identity = lines.next().and_then(parse_identity).ok_or_else(|| {
        let detail = format!(
            "the second line of the file {MARK} is not 32 hexadecimal digits; restore it from a \
                 copy, if you have one"
        );
        corrupt(path, detail)
    })?;
    Ok(Some(identity))
}

/// The error of an unreadable mark: beside a data file it is damaged, else the directory is not a
/// queue.
fn unreadable_mark(path: &Path) -> QueueError {
    if path.join(DATA).exists() {
        let detail = format!(
            "the file {MARK} does not begin with \"{MAGIC}{FORMAT}\", so it was overwritten or \
             damaged; restore it from a copy, if you have one"
        );
        return corrupt(path, detail);
    }
    QueueError::ForeignDirectory {
        path: path.into(),
        found: MARK.into(),
    }
}

fn parse_identity(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// Starts the creation of a queue in a directory that holds at most an unfinished one.
fn begin(path: &Path) -> Result<[u8; 16], QueueError> {
    let mut identity = [0; 16];
    getrandom::fill(&mut identity)
        .map_err(|error| io("generate a random identity for", path)(io::Error::other(error)))?;
    let name = path.join(UNFINISHED_MARK);
    let text = format!("{MAGIC}{FORMAT}\n{:032x}\n", u128::from_be_bytes(identity));
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&name)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .map_err(io("create", &name))?;
    // After a power loss, data without either mark would look like a foreign directory.
    sync_directory(path)?;
    remove(&path.join(DATA))?;
    remove(&path.join(READERS))?;
    Ok(identity)
}

/// Refuses a directory without a mark that holds anything but an unfinished queue.
fn refuse_foreign(path: &Path) -> Result<(), QueueError> {
    let unfinished = path.join(UNFINISHED_MARK).exists();
    for entry in fs::read_dir(path).map_err(io("list", path))? {
        let name = entry.map_err(io("list", path))?.file_name();
        let ours = match name.to_str() {
            Some(LOCK | UNFINISHED_MARK) => true,
            Some(DATA | READERS) => unfinished,
            _ => false,
        };
        // The mark exists if another process has just created the queue.
        if !ours && !path.join(MARK).exists() {
            let found = name.to_string_lossy().into_owned();
            return Err(QueueError::ForeignDirectory {
                path: path.into(),
                found,
            });
        }
    }
    Ok(())
}
