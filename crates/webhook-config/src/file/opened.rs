//! Opens files that the operator named, up to a size limit.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

/// The content of a file.
pub(crate) struct Opened {
    pub(crate) bytes: Vec<u8>,
    /// Whether every user on this machine can read it.
    pub(crate) world_readable: bool,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system refuses it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is a directory, FIFO, socket or device.
    #[error("it is a {0}, not a regular file")]
    Irregular(&'static str),
    /// It is larger than this many bytes.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
}

/// Reads a regular file of at most `max` bytes. A directory, FIFO or device is refused without
/// being read, so that the call does not wait for another program.
///
/// # Errors
/// When it is not such a file, or cannot be read.
pub fn read_file(path: &Path, max: u64) -> Result<Vec<u8>, OpenError> {
    read(path, max).map(|opened| opened.bytes)
}

/// As [`read_file`]. A directory, FIFO or device is not even opened, since opening may have effects.
/// If one takes the file's place meanwhile, opening it does not block.
pub(crate) fn read(path: &Path, max: u64) -> Result<Opened, OpenError> {
    check_regular(&fs::metadata(path)?)?;
    let file = open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(OpenError::TooLarge(max));
    }
    Ok(Opened {
        bytes,
        world_readable: is_world_readable(&metadata),
    })
}

#[cfg(unix)]
fn open(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

fn check_regular(metadata: &fs::Metadata) -> Result<(), OpenError> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(OpenError::Irregular(if kind.is_dir() {
        "directory"
    } else {
        special_kind(kind)
    }))
}

#[cfg(unix)]
fn special_kind(kind: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_fifo() {
        "FIFO"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

#[cfg(not(unix))]
fn special_kind(_: fs::FileType) -> &'static str {
    "special file"
}

#[cfg(unix)]
fn is_world_readable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_world_readable(_: &fs::Metadata) -> bool {
    false
}
