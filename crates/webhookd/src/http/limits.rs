//! Limits of connections.

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;

/// Descriptors reserved for other uses: senders, the queue, files.
const RESERVED_DESCRIPTORS: u64 = 256;

/// Limits of one connection, and of all connections of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections open at once. One more closes the connection that has waited longest for its
    /// peer; while all of them wait for our responses, it is not accepted.
    pub(crate) connections: usize,
    /// How long a peer may take to send a request's head, from its first byte.
    pub(crate) head_timeout: Duration,
    /// How long a connection may be idle, before its first request and between two.
    pub(crate) idle_timeout: Duration,
    /// Bytes of a request's head.
    pub(crate) head_bytes: usize,
    /// Header fields of a request.
    pub(crate) headers: usize,
}

/// Raises this process's limit of descriptors to the maximum, and returns it; `None` is no limit.
///
/// # Errors
/// The system refuses.
pub(crate) fn raise_descriptors() -> Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")?;
    }
    Ok(limit.maximum)
}

/// The number of connections that the limit of descriptors allows, up to `asked`.
///
/// # Errors
/// It allows none.
pub(crate) fn affordable(asked: usize, descriptors: Option<u64>) -> Result<usize> {
    let Some(descriptors) = descriptors else {
        return Ok(asked);
    };
    let free = descriptors.saturating_sub(RESERVED_DESCRIPTORS);
    if free == 0 {
        bail!(
            "this process may open {descriptors} files, which leaves none for connections; raise \
             LimitNOFILE= or `ulimit -Hn` above {RESERVED_DESCRIPTORS}"
        );
    }
    Ok(asked.min(usize::try_from(free).unwrap_or(usize::MAX)))
}
