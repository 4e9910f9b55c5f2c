//! The socket in the queue's directory: how a command that is given the directory finds the
//! program that has it open.

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags, open};
use std::fs::Permissions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Its name in the directory.
const NAME: &str = "admin.sock";

/// Listens in a queue's directory, which this process has locked.
///
/// # Errors
/// The socket cannot be made.
pub(super) fn bind(queue: &Path) -> Result<UnixListener> {
    let shown = queue.join(NAME);
    let failed = || format!("cannot make the socket {}", shown.display());
    let directory = directory(queue).with_context(failed)?;
    let path = short(&directory);
    // Whoever left it there has ended: the directory is locked.
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error).with_context(failed);
    }
    let listener = UnixListener::bind(&path).with_context(failed)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(failed)?;
    Ok(listener)
}

fn directory(queue: &Path) -> rustix::io::Result<OwnedFd> {
    open(queue, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The socket's path, through the open directory: the system's bound of 108 bytes must not hang on
/// where the queue is.
fn short(directory: &OwnedFd) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(NAME)
}
