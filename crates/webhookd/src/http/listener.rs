//! Where connections come from: a TCP port or a socket in the file system.

use super::activation;
use anyhow::{Context, Result};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that may wait to be accepted, if the system allows as many. Those beyond try again
/// after a second.
const BACKLOG: i32 = 4096;

/// Accepts connections.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// Listens on `HOST:PORT`; port 0 picks a free one. `option` names what the address was
    /// given with.
    ///
    /// # Errors
    /// The address is none, or is taken.
    pub(crate) fn bind(address: &str, option: &str) -> Result<Listener> {
        let listener = std::net::TcpListener::bind(address).with_context(|| {
            format!("cannot listen on {address}; {option} takes HOST:PORT, port 0 picks a free one")
        })?;
        rustix::net::listen(&listener, BACKLOG)
            .with_context(|| format!("cannot listen on {address}"))?;
        Ok(Listener::Tcp(listener))
    }

    /// As [`bind`](Self::bind); but `systemd` is every socket that systemd passes as `passed`, and
    /// `fd:NAME` those under another name.
    ///
    /// # Errors
    /// The address is none, is taken, or nothing of this name was passed.
    pub(crate) fn open(address: &str, option: &str, passed: &str) -> Result<Vec<Listener>> {
        let name = match address.strip_prefix("fd:") {
            Some(name) => name,
            None if address == "systemd" => passed,
            None => return Ok(vec![Listener::bind(address, option)?]),
        };
        activation::take(name).with_context(|| format!("cannot use {option} {address}"))
    }

    pub(super) fn into_async(self) -> io::Result<AsyncListener> {
        Ok(match self {
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                AsyncListener::Tcp(TcpListener::from_std(listener)?)
            }
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                AsyncListener::Unix(UnixListener::from_std(listener)?)
            }
        })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "http://{address}/"),
                Err(_) => f.write_str("an unknown address"),
            },
            Listener::Unix(_) => f.write_str("a local socket"),
        }
    }
}

pub(super) enum AsyncListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsyncListener {
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            AsyncListener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Without it an answer may wait for the peer's delayed acknowledgement.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            AsyncListener::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Waits until there is something to read, or an end.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.readable().await,
            Stream::Unix(stream) => stream.readable().await,
        }
    }
}

macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Tcp($inner) => $call,
            Stream::Unix($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> task::Poll<io::Result<()>> {
        either!(self, inner => Pin::new(inner).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> task::Poll<io::Result<usize>> {
        either!(self, inner => Pin::new(inner).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> task::Poll<io::Result<usize>> {
        either!(self, inner => Pin::new(inner).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<io::Result<()>> {
        either!(self, inner => Pin::new(inner).poll_flush(context))
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<io::Result<()>> {
        either!(self, inner => Pin::new(inner).poll_shutdown(context))
    }
}
