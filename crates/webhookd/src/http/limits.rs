//! Limits of connections.

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;

/// Descriptors reserved for other uses: senders, the queue, files.
const RESERVED_DESCRIPTORS: u64 = 256;

/// Limits of one connection, and of all connections of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections open at once. One more waits until one of them ends, and closes the one that has
    /// waited longest for its peer.
    pub(crate) connections: usize,
    /// Connections beyond them, for a few requests.
    pub(crate) reserve: Reserve,
    /// How long a peer may take to send a request's head, from its first byte.
    pub(crate) head_timeout: Duration,
    /// How long a connection may be idle, before its first request and between two.
    pub(crate) idle_timeout: Duration,
    /// Bytes of a request's head.
    pub(crate) head_bytes: usize,
    /// Header fields of a request.
    pub(crate) headers: usize,
    /// The rate, in bytes per second, below which a body or the reading of a response gives way to
    /// others.
    pub(crate) least_rate: usize,
}

/// Connections that only some paths may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserve {
    pub(crate) connections: usize,
    pub(crate) paths: &'static [&'static str],
}

impl Reserve {
    /// Without a reserve.
    pub(crate) const NONE: Reserve = Reserve {
        connections: 0,
        paths: &[],
    };
}

/// In the extensions of a request that came on a connection of the reserve and is not for it: it is
/// to be answered 503.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfReserve;

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
