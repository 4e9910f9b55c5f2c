//! A receiver that costs little: blocking sockets, a thread for each connection.

use super::arrivals::Arrivals;
use super::load::{Label, Load};
use anyhow::{Context, Result};
use rustix::fd::OwnedFd;
use rustix::net;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const FAILED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// What a receiver does with an event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behaviour {
    /// Answers 200.
    Takes,
    /// Answers 503 to this task, without counting its events, and 200 to the others.
    Fails(u32),
    /// Reads, and never answers.
    NeverAnswers,
}

/// A port that refuses connections until a receiver listens on it.
#[derive(Debug)]
pub(crate) struct Port {
    socket: OwnedFd,
    address: SocketAddr,
}

impl Port {
    /// Takes a free one.
    pub(crate) fn take() -> Result<Port> {
        let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None)
            .context("no socket")?;
        net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).context("no port")?;
        let address = net::getsockname(&socket)
            .context("the port's number")?
            .try_into()
            .context("the port's address")?;
        Ok(Port { socket, address })
    }

    /// `http://127.0.0.1:PORT/`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// A receiver; dropping it closes its connections and joins its threads.
#[derive(Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    load: Arc<Load>,
    behaviour: Behaviour,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    arrivals: Arrivals,
    /// First arrivals that somebody waits for.
    goal: u64,
    connections: Vec<(TcpStream, JoinHandle<()>)>,
    stopping: bool,
}

impl Receiver {
    /// Listens on a port, and expects so many events.
    pub(super) fn start(
        port: Port,
        load: &Arc<Load>,
        behaviour: Behaviour,
        expected: u64,
    ) -> Result<Receiver> {
        net::listen(&port.socket, 1024).context("cannot listen")?;
        let listener = TcpListener::from(port.socket);
        let shared = Arc::new(Shared {
            load: Arc::clone(load),
            behaviour,
            state: Mutex::new(State {
                arrivals: Arrivals::expecting(expected),
                goal: u64::MAX,
                connections: Vec::new(),
                stopping: false,
            }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = std::thread::Builder::new()
            .name("acceptor".to_owned())
            .spawn(move || accepting.accept(&listener))
            .context("cannot start a thread")?;
        Ok(Receiver {
            address: port.address,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// What has arrived so far.
    pub(super) fn arrivals<T>(&self, look: impl FnOnce(&Arrivals) -> T) -> T {
        look(&self.shared.state().arrivals)
    }

    /// Forgets when what came so far came.
    pub(super) fn restart_clock(&self) {
        let mut state = self.shared.state();
        state.arrivals.started_at = None;
        state.arrivals.ended_at = None;
    }

    /// Waits until so many events have arrived; false if they have not at the deadline.
    pub(super) fn wait_for(&self, first: u64, longest: Duration) -> bool {
        let mut state = self.shared.state();
        state.goal = first;
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, longest, |state| state.arrivals.first < first)
            .unwrap_or_else(PoisonError::into_inner);
        state.arrivals.first >= first
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.state().stopping = true;
        // Wakes the acceptor; if it cannot be reached it has ended.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
        let connections = std::mem::take(&mut self.shared.state().connections);
        for (stream, thread) in connections {
            // An error means that the peer has closed it.
            drop(stream.shutdown(Shutdown::Both));
            drop(thread.join());
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let mut state = self.state();
            if state.stopping {
                return;
            }
            let Ok(stream) = stream else { continue };
            let Ok(kept) = stream.try_clone() else {
                continue;
            };
            let serving = Arc::clone(self);
            let thread = std::thread::spawn(move || {
                // The peer may end the connection as it likes.
                drop(serving.serve(&stream));
            });
            state.connections.push((kept, thread));
        }
    }

    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::with_capacity(16 << 10, stream);
        let (mut line, mut body) = (Vec::new(), Vec::new());
        loop {
            let Some(length) = read_head(&mut reader, &mut line)? else {
                return Ok(());
            };
            body.resize(length, 0);
            reader.read_exact(&mut body)?;
            let answer = self.take(self.load.read(&body));
            if let Some(answer) = answer {
                stream.write_all(answer)?;
            }
        }
    }

    fn take(&self, label: Option<Label>) -> Option<&'static [u8]> {
        match (self.behaviour, label) {
            (Behaviour::NeverAnswers, _) => return None,
            (Behaviour::Fails(task), Some(label)) if task == label.task => return Some(FAILED),
            _ => {}
        }
        let mut state = self.state();
        state.arrivals.note(label, Instant::now());
        if state.arrivals.first == state.goal {
            self.changed.notify_all();
        }
        Some(TAKEN)
    }
}

/// Reads a request's head and returns the length of its body; `None` at the connection's end.
fn read_head(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<usize>> {
    const NAME: &str = "content-length:";
    let mut length = None;
    let mut first = true;
    loop {
        line.clear();
        if reader.read_until(b'\n', line)? == 0 {
            return Ok(None);
        }
        if line == b"\r\n" && !first {
            break;
        }
        first = false;
        if line
            .get(..NAME.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(NAME.as_bytes()))
        {
            let value = String::from_utf8_lossy(&line[NAME.len()..]);
            length = value.trim().parse().ok();
        }
    }
    length
        .map(Some)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no Content-Length"))
}
