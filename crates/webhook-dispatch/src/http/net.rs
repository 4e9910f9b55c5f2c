//! Connections as the system has them: to the first address that takes one, and with as few
//! system calls as there can be. Knows sockets and time-outs, and nothing of what is said there.

mod connect;
mod socket;

pub(crate) use connect::connect;
pub(crate) use socket::{NEVER, Socket};
