//! Connections as the system has them: to the first address that takes one, and with as few
//! system calls as there can be. Knows sockets and time-outs, and nothing of what is said there.

mod connect;
mod socket;

pub(crate) use connect::connect;
pub(crate) use socket::Socket;

use std::time::Duration;

/// Longer than any time-out, and short enough to be added to a time.
pub(crate) const NEVER: Duration = Duration::from_secs(60 * 24 * 60 * 60);
