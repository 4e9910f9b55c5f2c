//! Stops a transport from another thread.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Stops a transport from another thread.
#[derive(Debug, Default)]
pub(crate) struct Stop(Mutex<Stopping>);

#[derive(Debug, Default)]
struct Stopping {
    stopped: bool,
    /// The socket in use.
    socket: Weak<TcpStream>,
}

impl Stop {
    pub(crate) fn is_stopped(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopped
    }

    pub(crate) fn stop(&self) {
        let mut stopping = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stopping.stopped = true;
        if let Some(socket) = stopping.socket.upgrade() {
            // The error that the socket is closed already is ignored.
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    /// The address that the socket in use is connected to.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        let stopping = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stopping.socket.upgrade()?.peer_addr().ok()
    }

    /// Makes a stop shut this socket down. False if the transport was stopped already.
    pub(crate) fn watch(&self, socket: &Arc<TcpStream>) -> bool {
        let mut stopping = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stopping.socket = Arc::downgrade(socket);
        !stopping.stopped
    }
}
