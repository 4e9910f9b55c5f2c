//! Sockets: a TCP port or a Unix socket, to listen on and to connect to.

use super::peer::Peer;
use super::tls::ServerTls;
use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags, open};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;

/// Connections that may wait to be accepted, if the system allows as many. A peer beyond them tries
/// again after a second.
const BACKLOG: i32 = 4096;

/// Accepts connections.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// Listens on `HOST:PORT`; port 0 picks a free one. `option` is the option that the address
    /// comes from, for errors.
    ///
    /// # Errors
    /// The address is not valid, or is in use.
    pub(crate) fn bind(address: &str, option: &str) -> Result<Listener> {
        let listener = std::net::TcpListener::bind(address).with_context(|| {
            format!("cannot listen on {address}; {option} takes HOST:PORT, port 0 picks a free one")
        })?;
        rustix::net::listen(&listener, BACKLOG)
            .with_context(|| format!("cannot listen on {address}"))?;
        Ok(Listener::Tcp(listener))
    }

    /// Listens on the socket of this name in a directory, for this user alone. Another process must
    /// not listen there: a socket that is left from before is replaced.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub(crate) fn bind_in(directory: &Path, name: &str) -> Result<Listener> {
        let shown = directory.join(name);
        let failed = || format!("cannot make the socket {}", shown.display());
        let opened = open_directory(directory).with_context(failed)?;
        let path = short_path(directory, &opened, name);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error).with_context(failed);
        }
        let listener = std::os::unix::net::UnixListener::bind(&path).with_context(failed)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(failed)?;
        Ok(Listener::Unix(listener))
    }

    /// Listens on a socket at a path, for this user alone. A socket that is left from before is
    /// replaced.
    ///
    /// # Errors
    /// Another process listens there, there is something else than a socket, or the socket cannot
    /// be made.
    pub(crate) fn bind_path(path: &Path) -> Result<Listener> {
        let (directory, name) = split_path(path)?;
        let shown = path.display();
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                bail!("{shown} is not a socket: remove it, or name another path");
            }
            Ok(_) if !is_left_over(directory, name) => {
                let error = io::Error::from(io::ErrorKind::AddrInUse);
                Err(error).with_context(|| format!("another process listens on {shown}"))
            }
            _ => Listener::bind_in(directory, name),
        }
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

/// Connects to the socket of this name in a directory.
///
/// # Errors
/// No process listens there, or that of another user does.
pub(crate) fn connect_in(directory: &Path, name: &str) -> Result<UnixStream> {
    Ok(UnixStream::from_std(connect(directory, name)?.into())?)
}

/// Whether no process listens on a socket that exists. One that this user may not connect to, or whose
/// backlog is full, has a listener.
fn is_left_over(directory: &Path, name: &str) -> bool {
    connect(directory, name).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Connects, and does not wait for a listener whose backlog is full.
fn connect(directory: &Path, name: &str) -> io::Result<OwnedFd> {
    let opened = open_directory(directory)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = SocketAddrUnix::new(short_path(directory, &opened, name))?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

/// The directory and the name of a socket.
///
/// # Errors
/// The path names no file.
pub(crate) fn split_path(path: &Path) -> Result<(&Path, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name =
        name.with_context(|| format!("{path:?} names no socket: write unix:DIRECTORY/NAME"))?;
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    Ok((directory.unwrap_or(Path::new(".")), name))
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The socket's path through the open directory, so that the system's bound of 108 bytes does not
/// depend on where the directory is. Where /proc is not mounted, its own path.
fn short_path(directory: &Path, opened: &OwnedFd, name: &str) -> PathBuf {
    let short = Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string());
    let directory = if short.exists() { &short } else { directory };
    directory.join(name)
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
                // Otherwise a response may wait for the peer's delayed acknowledgement.
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
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Secures a TCP connection: waits for the peer's part of the handshake.
    ///
    /// # Errors
    /// The handshake failed, or it is no TCP connection.
    pub(super) async fn into_tls(self, tls: &ServerTls) -> io::Result<Stream> {
        match self {
            Stream::Tcp(stream) => {
                let stream = tls.acceptor().accept(stream).await?;
                Ok(Stream::Tls(Box::new(stream)))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Waits until there is something to read, or the peer has closed its side.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.readable().await,
            Stream::Unix(stream) => stream.readable().await,
            Stream::Tls(stream) => stream.get_ref().0.readable().await,
        }
    }

    pub(super) fn peer(&self) -> Peer {
        match self {
            Stream::Tcp(stream) => stream.peer_addr().map_or(Peer::Unknown, Peer::Tcp),
            Stream::Tls(stream) => {
                let address = stream.get_ref().0.peer_addr();
                address.map_or(Peer::Unknown, Peer::Tcp)
            }
            Stream::Unix(stream) => stream
                .peer_cred()
                .map_or(Peer::Unknown, |peer| Peer::Local {
                    process: peer.pid(),
                    user: peer.uid(),
                }),
        }
    }
}

macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Tcp($inner) => $call,
            Stream::Unix($inner) => $call,
            Stream::Tls($inner) => $call,
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
            Stream::Tls(stream) => stream.is_write_vectored(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_with_a_full_backlog_keeps_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let Listener::Unix(listener) = Listener::bind_path(&path).unwrap() else {
            panic!("it is a Unix socket");
        };
        rustix::net::listen(&listener, 0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(connection) = connect(folder.path(), "api.sock") {
            waiting.push(connection);
            assert!(waiting.len() < 100, "the backlog is not bounded");
        }
        let error = Listener::bind_path(&path).unwrap_err();
        assert!(error.to_string().contains("another process listens on"));
        drop(listener);
        assert!(Listener::bind_path(&path).is_ok(), "it is left over");
    }

    #[test]
    fn a_path_without_a_name_is_rejected_with_what_to_write() {
        for path in ["", "..", "/"] {
            let error = split_path(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains("write unix:DIRECTORY/NAME"), "{error}");
        }
    }
}
