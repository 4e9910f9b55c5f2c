//! Sockets: connects to the first address that accepts, and sends and receives with time-outs and
//! few system calls. Knows nothing of HTTP.

mod connect;
mod socket;

pub(crate) use connect::connect;
pub(crate) use socket::{NEVER, Socket};
