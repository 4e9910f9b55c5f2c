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
pub(crate) enum OpenError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it is a {0}, not a regular file")]
    Irregular(&'static str),
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
}

/// Reads a regular file of at most `max` bytes. A directory, FIFO or device is not opened, since
/// that may block forever.
pub(crate) fn read(path: &Path, max: u64) -> Result<Opened, OpenError> {
    check_regular(&fs::metadata(path)?)?;
    let file = File::open(path)?;
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
