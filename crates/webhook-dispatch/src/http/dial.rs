//! Connects the socket of a connection, be it plain or below TLS or a proxy.

use crate::http::net::{self, Socket};
use crate::http::stop::Stop;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

/// Connects to the first address that accepts. `stop` can shut the socket down.
///
/// # Errors
/// As [`net::connect`]; [`ErrorKind::Interrupted`] if the transport was stopped.
pub(crate) fn dial(
    addresses: &[SocketAddr],
    within: Duration,
    stop: &Stop,
) -> std::io::Result<Socket> {
    let socket = net::connect(addresses, within, &|| stop.is_stopped()).map(Socket::new)?;
    if stop.watch(socket.stream()) {
        Ok(socket)
    } else {
        Err(ErrorKind::Interrupted.into())
    }
}
