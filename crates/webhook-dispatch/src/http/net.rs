//! Sockets: connects to the first address that accepts, sends and receives with time-outs and
//! few system calls. Knows nothing of HTTP.

mod connect;
mod socket;

pub(crate) use connect::{STOP_INTERVAL, connect};
pub(crate) use socket::{NEVER, Socket};
