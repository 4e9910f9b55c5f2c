//! A socket whose waits end when a signal arrives, and a name resolver of the same kind.

use crate::signals::{Ready, Signals};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::fmt;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a look-up checks for a signal.
const STEP: Duration = Duration::from_millis(50);

/// A connected socket.
pub(super) struct Socket {
    stream: TcpStream,
    signals: Arc<Signals>,
}

impl Socket {
    /// Connects to the first address that accepts. Each gets an equal part of the time that is left.
    ///
    /// # Errors
    /// The last address's error, [`ErrorKind::TimedOut`] among them, or that a signal has arrived.
    pub(super) fn connect(
        addresses: &[SocketAddr],
        within: Duration,
        signals: &Arc<Signals>,
    ) -> Result<Socket> {
        let ends = Instant::now() + within;
        let mut failed = Error::from(ErrorKind::NotFound);
        for (index, address) in addresses.iter().enumerate() {
            let left = ends.saturating_duration_since(Instant::now());
            let share = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match connect_to(address, left / share, signals) {
                Ok(stream) => {
                    return Ok(Socket {
                        stream,
                        signals: Arc::clone(signals),
                    });
                }
                Err(error) if signals.end_requested() => return Err(error),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// As [`Socket::receive`].
    pub(super) fn send(&mut self, mut bytes: &[u8], within: Duration) -> Result<()> {
        let ends = Instant::now() + within;
        while !bytes.is_empty() {
            match (&self.stream).write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) => self.wait_after(error, PollFlags::OUT, ends)?,
            }
        }
        Ok(())
    }

    /// Waits for input. Zero bytes are its end.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if there was none in time, that a signal has arrived, and what the
    /// system says.
    pub(super) fn receive(&mut self, room: &mut [u8], within: Duration) -> Result<usize> {
        let ends = Instant::now() + within;
        loop {
            match (&self.stream).read(room) {
                Ok(read) => return Ok(read),
                Err(error) => self.wait_after(error, PollFlags::IN, ends)?,
            }
        }
    }

    /// Waits for the socket if `error` says that it is not ready.
    fn wait_after(&self, error: Error, flags: PollFlags, ends: Instant) -> Result<()> {
        match error.kind() {
            ErrorKind::WouldBlock => wait(&self.stream, flags, ends, &self.signals),
            ErrorKind::Interrupted => Ok(()),
            _ => Err(error),
        }
    }

    /// A second handle of the socket, to wait for input.
    pub(super) fn input(&self) -> Result<Input> {
        Ok(Input {
            stream: self.stream.try_clone()?,
            signals: Arc::clone(&self.signals),
        })
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

/// Tells whether a socket has input.
pub(super) struct Input {
    stream: TcpStream,
    signals: Arc<Signals>,
}

impl Input {
    /// Waits for input or the connection's end, at most this long. Also true after a signal.
    pub(super) fn is_ready_within(&self, longest: Duration) -> bool {
        let ready = self
            .signals
            .wait_ready(self.stream.as_fd(), PollFlags::IN, longest);
        !matches!(ready, Ok(Ready::TimedOut))
    }
}

fn wait(socket: impl AsFd, flags: PollFlags, ends: Instant, signals: &Signals) -> Result<()> {
    let left = ends.saturating_duration_since(Instant::now());
    match signals.wait_ready(socket.as_fd(), flags, left)? {
        Ready::Yes => Ok(()),
        Ready::TimedOut => Err(ErrorKind::TimedOut.into()),
        Ready::EndRequested => Err(ending()),
    }
}

/// What ends a wait when a signal has arrived.
fn ending() -> Error {
    // Readers try again after `Interrupted`.
    Error::other("webhookd is ending")
}

fn connect_to(address: &SocketAddr, within: Duration, signals: &Signals) -> Result<TcpStream> {
    let ends = Instant::now() + within;
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    match net::connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    wait(&socket, PollFlags::OUT, ends, signals)?;
    sockopt::socket_error(&socket)??;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Looks names up, on a thread of its own, at most one at a time: a look-up cannot be ended, and the
/// program does not wait for it.
pub(super) struct NameResolver {
    signals: Arc<Signals>,
    pending: Mutex<Option<Pending>>,
}

struct Pending {
    host: String,
    found: Receiver<Result<Vec<SocketAddr>>>,
}

impl NameResolver {
    pub(super) fn new(signals: Arc<Signals>) -> NameResolver {
        NameResolver {
            signals,
            pending: Mutex::default(),
        }
    }

    /// The addresses of `host:port`.
    ///
    /// # Errors
    /// As [`Socket::receive`].
    pub(super) fn look_up(&self, host: &str, within: Duration) -> Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let ends = Instant::now() + within;
        // One thread uses it, so the lock is never waited for.
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.as_ref().is_none_or(|pending| pending.host != host) {
            *pending = Some(start(host)?);
        }
        let Some(Pending { found, .. }) = &*pending else {
            return Err(ErrorKind::NotFound.into());
        };
        let result = loop {
            match found.recv_timeout(STEP) {
                Ok(result) => break result,
                Err(RecvTimeoutError::Disconnected) => break Err(ErrorKind::NotFound.into()),
                Err(RecvTimeoutError::Timeout) if self.signals.end_requested() => {
                    return Err(ending());
                }
                // It is waited for again by the next connection.
                Err(RecvTimeoutError::Timeout) if Instant::now() >= ends => {
                    return Err(ErrorKind::TimedOut.into());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        *pending = None;
        result
    }
}

fn start(host: &str) -> Result<Pending> {
    let (sender, found) = crossbeam_channel::bounded(1);
    let name = host.to_owned();
    std::thread::Builder::new()
        .name("stream-resolve".to_owned())
        .spawn(move || {
            let addresses = name.to_socket_addrs().map(Iterator::collect);
            // Without a receiver, the program ends.
            drop(sender.send(addresses));
        })?;
    Ok(Pending {
        host: host.to_owned(),
        found,
    })
}

impl fmt::Debug for NameResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameResolver").finish_non_exhaustive()
    }
}
