//! The other end of a connection, for log lines.

use std::fmt;
use std::net::SocketAddr;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    /// A process of this machine, by a Unix socket.
    Local {
        process: Option<i32>,
        user: u32,
    },
    /// The system does not tell.
    Unknown,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Local {
                process: Some(process),
                user,
            } => write!(f, "process {process} of user {user}"),
            Peer::Local { user, .. } => write!(f, "a process of user {user}"),
            Peer::Unknown => f.write_str("an unknown peer"),
        }
    }
}
