//! Ends a transport from another thread.

use crate::http::transport::{TransportError, TransportErrorKind};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Ends a transport from another thread.
#[derive(Debug, Default)]
pub(crate) struct Stop(Mutex<Stopping>);

#[derive(Debug, Default)]
struct Stopping {
    called: bool,
    /// The socket in use.
    socket: Weak<TcpStream>,
}

impl Stop {
    pub(crate) fn error() -> TransportError {
        TransportError {
            kind: TransportErrorKind::Stopped,
            message: "the dispatcher is stopping".to_owned(),
        }
    }

    pub(crate) fn is_called(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).called
    }

    pub(crate) fn call(&self) {
        let mut stopping = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stopping.called = true;
        if let Some(socket) = stopping.socket.upgrade() {
            // A closed socket needs no shutdown.
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    /// Has this socket shut down when the transport is stopped; false if it was stopped already.
    pub(crate) fn watch(&self, socket: &Arc<TcpStream>) -> bool {
        let mut stopping = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stopping.socket = Arc::downgrade(socket);
        !stopping.called
    }
}
