//! The queue's directory: whether it is a queue, its format, and the lock of the process that has
//! it open.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::process::geteuid;

use super::files::{
    create_directory, create_file, create_or_open, io, is_deleted, lacks_room, open_file, remove,
    sync_directory,
};
use crate::QueueError;

/// The format of a queue without events in pieces, which older versions read too.
pub(super) const FIRST_FORMAT: u32 = 1;

/// The format of a queue that may have events in pieces.
pub(super) const PIECES_FORMAT: u32 = 2;

/// The format of a queue that may have events with attributes, and last states.
pub(super) const ATTRIBUTES_FORMAT: u32 = 3;

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

/// Bytes of [`READERS`]: more than LMDB needs for its readers.
const READERS_BYTES: usize = 80 << 10;

/// A file that is written and removed to find out whether the disk has room.
const PROBE: &str = "probe";

/// The file that a compaction writes before it replaces the data.
pub(super) const COMPACTED: &str = "data.mdb.compacted";

/// The data that was deleted from under an open queue, if another file has its name.
pub(super) const SAVED: &str = "data.mdb.saved";

/// The content of [`LOCK`] while a program that changes the queue has it open, and after such a
/// program was ended by a signal.
const IN_USE: &str = "in use\n";

/// What the content of [`LOCK`] starts with after damage was found.
const DAMAGED: &str = "damaged: ";

/// Entries of a new volume or of its snapshots, which may be beside the queue's files.
const OF_VOLUMES: [&str; 2] = ["lost+found", ".snapshot"];

/// A directory of a queue, locked as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    identity: [u8; 16],
    /// The number in the mark.
    format: AtomicU32,
    /// Whether the queue in it is yet to be created.
    unfinished: bool,
    /// Holds the lock.
    lock: File,
    /// The content of the lock's file when it was opened.
    found: String,
    /// Whether the lock's file says that the queue is in use, and is to be changed back.
    in_use: AtomicBool,
    /// The open [`DATA`].
    data: File,
    /// The files that were opened, for [`check_files`](Directory::check_files).
    opened: Vec<Opened>,
}

/// A file of the queue and its identity. The file stays open, so that its inode is not reused.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// None for [`READERS`], which LMDB has open. Closing another descriptor of it would release
    /// LMDB's lock.
    file: Option<File>,
}

impl Directory {
    /// Checks that the queue's files are the ones that were opened: what is written to others does
    /// not exist for the next opening. Costs a look at each of the four.
    ///
    /// # Errors
    /// [`Deleted`](QueueError::Deleted), or [`Moved`](QueueError::Moved) while they can be put back.
    pub(super) fn check_files(&self) -> Result<(), QueueError> {
        for opened in &self.opened {
            match fs::symlink_metadata(&opened.path) {
                Ok(found) if opened.is(&found) => {}
                Ok(_) => return Err(opened.displaced()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(opened.displaced());
                }
                Err(error) => return Err(io("look at", &opened.path)(error)),
            }
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
        refuse_unsafe(path, create)?;
        let marked = read_mark(path)?;
        if marked.is_none() {
            refuse_foreign(path)?;
            if !create {
                return Err(QueueError::Missing { path: path.into() });
            }
        }
        let lock = lock(path)?;
        let found = read_state(&lock);
        // Under the lock, no other process can be creating it.
        let marked = read_mark(path)?;
        remove(&path.join(COMPACTED))?;
        let (unfinished, (format, identity)) = match marked {
            Some(marked) => (false, marked),
            None => (true, (FIRST_FORMAT, begin(path)?)),
        };
        let name = path.join(DATA);
        let data = match open_file(&name, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !unfinished => {
                return Err(corrupt(path, format!("{DATA} is missing")));
            }
            opened => opened.map_err(io("open", &name))?,
        };
        allocate_readers(path)?;
        Ok(Directory {
            path: path.into(),
            identity,
            format: format.into(),
            unfinished,
            lock,
            found,
            in_use: false.into(),
            data,
            opened: Vec::new(),
        })
    }

    /// Completes the creation of the queue, once its tables are on the disk. From here on,
    /// [`check_files`](Directory::check_files) knows the queue's files.
    pub(super) fn finish(&mut self) -> Result<(), QueueError> {
        let mark = self.path.join(MARK);
        if self.unfinished {
            fs::rename(self.path.join(UNFINISHED_MARK), &mark).map_err(io("create", &mark))?;
            sync_directory(&self.path)?;
            self.unfinished = false;
        }
        let opened = || {
            Ok([
                Opened::new(self.path.join(DATA), Some(self.data.try_clone()?))?,
                Opened::new(mark.clone(), Some(open_file(&mark, false)?))?,
                Opened::new(self.path.join(LOCK), Some(self.lock.try_clone()?))?,
                Opened::new(self.path.join(READERS), None)?,
            ])
        };
        self.opened = opened().map_err(io("look at", &self.path))?.into();
        // LMDB opened its files by their names.
        self.check_files()
    }

    /// Notes in the lock's file that a program that changes the queue has it open.
    ///
    /// # Errors
    /// [`Corrupt`](QueueError::Corrupt) if damage was found earlier.
    pub(super) fn begin_use(&mut self) -> Result<(), QueueError> {
        if let Some(detail) = self.found.strip_prefix(DAMAGED) {
            return Err(corrupt(&self.path, detail.trim_end().into()));
        }
        self.write_state(IN_USE);
        self.in_use = true.into();
        Ok(())
    }

    /// Notes that the program no longer changes the queue. If the one before it did not, the queue is
    /// still to be verified.
    pub(super) fn end_use(&self) {
        if self.in_use.swap(false, Ordering::SeqCst) {
            self.write_state(&self.found);
        }
    }

    /// Whether the lock's file says that the queue is in use, and is to be changed back.
    pub(super) fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::SeqCst)
    }

    /// Leaves the note of [`begin_use`](Directory::begin_use): it is unknown what the file holds.
    pub(super) fn abandon(&self) {
        self.in_use.store(false, Ordering::SeqCst);
    }

    /// Notes that the queue was found whole.
    pub(super) fn mark_whole(&mut self) {
        self.found.clear();
        self.write_state("");
    }

    /// Whether a program that changed the queue was ended by a signal, and the queue was not
    /// verified since.
    pub(super) fn was_left_in_use(&self) -> bool {
        self.found == IN_USE
    }

    /// Notes that the queue is damaged: it is not opened again until a compaction has read it whole.
    pub(super) fn mark_damaged(&self, detail: &str) {
        self.abandon();
        self.write_state(&format!("{DAMAGED}{}\n", detail.replace('\n', " ")));
    }

    fn write_state(&self, state: &str) {
        let written = self
            .lock
            .set_len(0)
            .and_then(|()| self.lock.write_all_at(state.as_bytes(), 0));
        // A full disk has no room for it: the next opening skips the verification.
        written.ok();
    }

    /// Whether the open data has no name any more.
    pub(super) fn is_data_deleted(&self) -> bool {
        is_deleted(&self.data)
    }

    /// Writes the mark again, if it was deleted and no other has its place.
    pub(super) fn write_back_mark(&self) -> Result<(), QueueError> {
        let mark = self.path.join(MARK);
        let mut opened = self.opened.iter().filter(|opened| opened.path == mark);
        if !opened.any(|opened| opened.file.as_ref().is_some_and(is_deleted)) {
            return Ok(());
        }
        let format = self.format.load(Ordering::SeqCst);
        match write_mark(&mark, format, self.identity) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(io("create", &mark)(error))
            }
            _ => sync_directory(&self.path),
        }
    }

    /// Changes the number in the mark to `format`, if it is less, before something is stored that a
    /// version which knows only the former format would misread. It is one byte, so a crash leaves
    /// the old or the new number.
    pub(super) fn raise_format(&self, format: u32) -> Result<(), QueueError> {
        if self.format.load(Ordering::SeqCst) >= format {
            return Ok(());
        }
        let mark = self.path.join(MARK);
        let raise = || {
            let file = open_file(&mark, true)?;
            file.write_all_at(format.to_string().as_bytes(), MAGIC.len() as u64)?;
            file.sync_all()
        };
        raise().map_err(io("write", &mark))?;
        self.format.store(format, Ordering::SeqCst);
        Ok(())
    }

    /// Sets the length of the data file. No page in use is added or removed.
    pub(super) fn lengthen(&self, bytes: u64) -> Result<(), QueueError> {
        let lengthened = self.data.set_len(bytes);
        lengthened.map_err(io("lengthen", &self.path.join(DATA)))
    }

    /// Cuts the data file to `bytes`; returns what was behind them.
    pub(super) fn cut_data(&self, bytes: u64) -> Result<Vec<u8>, QueueError> {
        let length = self.data_len()?.saturating_sub(bytes);
        let mut cut = vec![0; length as usize];
        let read = self.data.read_exact_at(&mut cut, bytes);
        let shortened = read.and_then(|()| self.data.set_len(bytes));
        shortened.map_err(io("shorten", &self.path.join(DATA)))?;
        Ok(cut)
    }

    /// Makes the data file of `bytes` end with `cut` again.
    pub(super) fn restore_data(&self, bytes: u64, cut: &[u8]) -> io::Result<()> {
        self.data.set_len(bytes)?;
        self.data.write_all_at(cut, bytes - cut.len() as u64)
    }

    /// Size of the data file.
    pub(super) fn data_len(&self) -> Result<u64, QueueError> {
        let found = self.data.metadata();
        let found = found.map_err(io("look at", &self.path.join(DATA)))?;
        Ok(found.len())
    }

    /// Creates an empty file to replace the data, with the same owner and mode.
    pub(super) fn create_copy(&self, path: &Path) -> Result<File, QueueError> {
        remove(path)?;
        let create = || {
            let (file, like) = (create_file(path)?, self.data.metadata()?);
            if geteuid().is_root() {
                fchown(&file, Some(like.uid()), Some(like.gid()))?;
            }
            file.set_permissions(like.permissions())?;
            Ok(file)
        };
        create().map_err(io("create", path))
    }

    /// The disk's error if it has no room for 64 KiB more.
    pub(super) fn lack_of_room(&self) -> Option<io::Error> {
        let probe = self.path.join(PROBE);
        // A crash may have left one.
        remove(&probe).ok();
        let written = create_file(&probe)
            .and_then(|mut file| file.write_all(&[0; 1 << 16]).and_then(|()| file.sync_all()));
        remove(&probe).ok();
        written.err().filter(lacks_room)
    }

    /// Whether the queue may have last states.
    pub(super) fn has_states(&self) -> bool {
        self.format.load(Ordering::SeqCst) >= ATTRIBUTES_FORMAT
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

impl Drop for Directory {
    fn drop(&mut self) {
        self.end_use();
    }
}

impl Opened {
    fn new(path: PathBuf, file: Option<File>) -> io::Result<Opened> {
        let found = match &file {
            Some(file) => file.metadata()?,
            None => fs::symlink_metadata(&path)?,
        };
        Ok(Opened {
            path,
            device: found.dev(),
            inode: found.ino(),
            file,
        })
    }

    fn is(&self, found: &Metadata) -> bool {
        (found.dev(), found.ino()) == (self.device, self.inode)
    }

    /// The error if another file, or none, has its name.
    fn displaced(&self) -> QueueError {
        let path = self.path.clone();
        // LMDB's table of readers has no content to put back.
        match self.file.as_ref().is_none_or(is_deleted) {
            true => QueueError::Deleted { path },
            false => QueueError::Moved { path },
        }
    }
}

/// The error of files that contradict each other.
pub(super) fn corrupt(path: &Path, detail: String) -> QueueError {
    let path = path.into();
    QueueError::Corrupt { path, detail }
}

/// Refuses a directory whose files another user can replace. A tool that root runs may use the
/// queue of any user.
fn refuse_unsafe(path: &Path, create: bool) -> Result<(), QueueError> {
    let found = fs::metadata(path).map_err(io("look at", path))?;
    let unsafe_directory = |detail| QueueError::UnsafeDirectory {
        path: path.into(),
        detail,
    };
    let (owner, user) = (found.uid(), geteuid());
    let any_owner = user.is_root() && !create;
    if !any_owner && ![0, user.as_raw()].contains(&owner) {
        return Err(unsafe_directory(format!(
            "it belongs to user {owner}, and this program runs as user {}: run it as user {owner}, \
             or give the directory to its user with chown -R",
            user.as_raw()
        )));
    }
    let mode = found.mode();
    // Kubernetes makes the directories of a volume with an fsGroup writable for that group, and
    // sets the set-group-ID bit.
    let by_group = mode & 0o2020 == 0o0020;
    if by_group || mode & 0o0002 != 0 {
        return Err(unsafe_directory(format!(
            "its mode is {:o}, so other users can replace the queue's files: run chmod go-w",
            mode & 0o7777
        )));
    }
    Ok(())
}

/// Writes LMDB's table of readers whole. LMDB would make a file with holes, and a page of it that
/// finds no room on a full disk ends the process with SIGBUS.
fn allocate_readers(path: &Path) -> Result<(), QueueError> {
    let name = path.join(READERS);
    let allocate = || {
        let file = create_or_open(&name)?;
        let found = file.metadata()?;
        let is_whole = found.len() >= READERS_BYTES as u64 && found.blocks() * 512 >= found.len();
        if !is_whole {
            file.write_all_at(&[0; READERS_BYTES], 0)?;
            file.set_len(READERS_BYTES as u64)?;
        }
        Ok(())
    };
    allocate().map_err(io("write", &name))
}

fn lock(path: &Path) -> Result<File, QueueError> {
    let name = path.join(LOCK);
    let file = create_or_open(&name).map_err(io("open", &name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(QueueError::Locked { path: path.into() }),
        Err(TryLockError::Error(error)) => Err(io("lock", &name)(error)),
    }
}

/// The content of the lock's file.
fn read_state(lock: &File) -> String {
    let mut state = String::new();
    // A file that is no text has no meaning.
    lock.take(4096).read_to_string(&mut state).ok();
    state
}

/// Whether the last program that changed the queue in `dir` was ended by a signal, or changes it now.
pub(super) fn is_in_use(dir: &Path) -> bool {
    open_file(&dir.join(LOCK), false).is_ok_and(|lock| read_state(&lock) == IN_USE)
}

/// The format and the identity of the queue in `path`, if there is one.
fn read_mark(path: &Path) -> Result<Option<(u32, [u8; 16])>, QueueError> {
    let name = path.join(MARK);
    let mut text = String::new();
    // A mark is short. A longer file is not a mark, and is not read to its end.
    let file = match open_file(&name, false) {
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
    let known = [FIRST_FORMAT, PIECES_FORMAT, ATTRIBUTES_FORMAT];
    let Some(format) = known.into_iter().find(|known| found == known.to_string()) else {
        let (path, found) = (path.into(), found.chars().take(32).collect());
        return Err(QueueError::UnknownVersion {
            path,
            found,
            known: ATTRIBUTES_FORMAT,
        });
    };
    let identity = lines.next().and_then(parse_identity).ok_or_else(|| {
        let detail = format!(
            "the second line of the file {MARK} is not 32 hexadecimal digits; restore it from a \
                 copy, if you have one"
        );
        corrupt(path, detail)
    })?;
    Ok(Some((format, identity)))
}

/// The error of an unreadable mark: beside a data file it is damaged, else the directory is not a
/// queue.
fn unreadable_mark(path: &Path) -> QueueError {
    if path.join(DATA).exists() {
        let detail = format!(
            "the file {MARK} does not begin with \"{MAGIC}{FIRST_FORMAT}\", so it was overwritten or \
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
    remove(&name)?;
    write_mark(&name, FIRST_FORMAT, identity).map_err(io("create", &name))?;
    // After a power loss, data without either mark would look like a foreign directory.
    sync_directory(path)?;
    let data = path.join(DATA);
    remove(&data)?;
    remove(&path.join(READERS))?;
    create_file(&data).map_err(io("create", &data))?;
    Ok(identity)
}

/// Creates a mark.
fn write_mark(path: &Path, format: u32, identity: [u8; 16]) -> io::Result<()> {
    let text = format!("{MAGIC}{format}\n{:032x}\n", u128::from_be_bytes(identity));
    let mut file = create_file(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Refuses a directory without a mark that holds anything but an unfinished queue.
fn refuse_foreign(path: &Path) -> Result<(), QueueError> {
    let unfinished = path.join(UNFINISHED_MARK).exists();
    for entry in fs::read_dir(path).map_err(io("list", path))? {
        let name = entry.map_err(io("list", path))?.file_name();
        let ours = match name.to_str() {
            Some(LOCK | UNFINISHED_MARK) => true,
            Some(DATA | READERS) => unfinished,
            Some(name) if OF_VOLUMES.contains(&name) => true,
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
