//! A port of its own, and a thread for each connection, which runs a script.

use super::messages::{Message, Messages};
use crate::DEADLINE;
use crate::client::is_closed_by_peer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::net;
use std::fmt;
use std::io::{Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// More than the standard library's: a thousand connections may come at once.
const BACKLOG: i32 = 4_096;
/// Enough for a script; a thousand threads must fit.
const STACK: usize = 512 << 10;

/// A port of 127.0.0.1 that refuses every connection for as long as nothing listens on it.
#[derive(Debug)]
pub struct Port {
    /// Bound, so that no other process gets the port.
    socket: OwnedFd,
    address: SocketAddr,
}

impl Port {
    /// Takes a free port.
    pub fn take() -> Port {
        let (family, flags) = (net::AddressFamily::INET, net::SocketFlags::CLOEXEC);
        let socket = net::socket_with(family, net::SocketType::STREAM, flags, None)
            .expect("a socket is to be had");
        net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
        let address = net::getsockname(&socket).expect("a bound socket has an address");
        let address = address.try_into().expect("it is an IPv4 address");
        Port { socket, address }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Listens, and runs the script on a thread for each connection, which it closes at its end.
    pub fn listen(self, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Server {
        self.listen_during(Hours::default(), script)
    }

    /// Listens for a part of the time.
    pub fn listen_during(
        self,
        hours: Hours,
        script: impl Fn(&mut Connection) + Send + Sync + 'static,
    ) -> Server {
        let address = self.address;
        let shared = Arc::new(Shared {
            script: Box::new(script),
            state: Mutex::default(),
            closing: Condvar::new(),
        });
        if hours.opens_after.is_zero() {
            listen(&self.socket);
        }
        let acceptor = spawn("acceptor", {
            let shared = Arc::clone(&shared);
            move || accept(&shared, self.socket, hours)
        });
        Server {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }
}

/// A port that neither accepts nor refuses a connection: its backlog is full.
#[derive(Debug)]
pub struct BlackHole {
    _listener: OwnedFd,
    _backlog: Vec<TcpStream>,
    address: SocketAddr,
}

impl BlackHole {
    /// Fills the backlog of a free port.
    pub fn start() -> BlackHole {
        let Port { socket, address } = Port::take();
        net::listen(&socket, 0).expect("a bound socket listens");
        let mut backlog = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            backlog.push(stream);
        }
        BlackHole {
            _listener: socket,
            _backlog: backlog,
            address,
        }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits until this many sockets try to connect.
    pub fn wait_for_connecting(&self, count: usize) {
        // The remote port in hexadecimal, and the state SYN_SENT.
        let peer = format!(":{:04X} 02", self.address.port());
        let ends = Instant::now() + DEADLINE;
        loop {
            let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux lists sockets");
            let connecting = sockets.matches(&peer).count();
            if connecting >= count {
                return;
            }
            assert!(Instant::now() < ends, "{connecting} sockets connect");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// When a port is open, from the start of its [`Server`].
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "made by its users")]
pub struct Hours {
    /// It refuses connections before.
    pub opens_after: Duration,
    /// It refuses connections again after this; its connections stay.
    pub closes_after: Option<Duration>,
}

/// A listening port. Dropping it closes the port and all its connections, and joins its threads.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    script: Box<dyn Fn(&mut Connection) + Send + Sync>,
    state: Mutex<State>,
    closing: Condvar,
}

#[derive(Default)]
struct State {
    accepted: usize,
    open: Vec<(Weak<TcpStream>, JoinHandle<()>)>,
    closed: bool,
    /// Whether a script panicked.
    failed: bool,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on a free port.
    pub fn start(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Server {
        Port::take().listen(script)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// How many connections have been made so far, those without a request too.
    pub fn connections(&self) -> usize {
        self.shared.state().accepted
    }

    /// How many connections have not ended yet.
    pub fn open_connections(&self) -> usize {
        let mut state = self.shared.state();
        state.join_ended();
        state.open.len()
    }

    /// Closes the port and waits until every script has ended: the peers end the connections.
    pub fn finish(mut self) {
        self.end(false);
    }

    fn end(&mut self, hangs_up: bool) {
        self.shared.close();
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        // Wakes the acceptor; if it cannot be reached, it has ended or is about to.
        drop(TcpStream::connect_timeout(
            &self.address,
            Duration::from_secs(5),
        ));
        let mut failed = acceptor.join().is_err();
        let open = std::mem::take(&mut self.shared.state().open);
        for (stream, thread) in open {
            if let Some(stream) = stream.upgrade().filter(|_| hangs_up) {
                // An error means that the peer has closed it.
                drop(stream.shutdown(Shutdown::Both));
            }
            failed |= thread.join().is_err();
        }
        failed |= self.shared.state().failed;
        assert!(
            !failed || std::thread::panicking(),
            "a receiver's script has panicked"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(true);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.state().closed = true;
        self.closing.notify_all();
    }

    /// Waits for this time, or until the port is closed; false if it is.
    fn sleep(&self, time: Duration) -> bool {
        let waited = self
            .closing
            .wait_timeout_while(self.state(), time, |state| !state.closed);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }
}

impl State {
    fn join_ended(&mut self) {
        for (_, thread) in self.open.extract_if(.., |(_, thread)| thread.is_finished()) {
            self.failed |= thread.join().is_err();
        }
    }
}

fn listen(socket: &OwnedFd) {
    net::listen(socket, BACKLOG).expect("a bound socket can listen");
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .stack_size(STACK)
        .spawn(run)
        .expect("a thread can be started")
}

fn accept(shared: &Arc<Shared>, socket: OwnedFd, hours: Hours) {
    let began = Instant::now();
    if !hours.opens_after.is_zero() {
        if !shared.sleep(hours.opens_after) {
            return;
        }
        listen(&socket);
    }
    let listener = TcpListener::from(socket);
    loop {
        if let Some(after) = hours.closes_after
            && !has_connection(&listener, after.saturating_sub(began.elapsed()))
        {
            return shared.close();
        }
        let stream = listener.accept();
        let mut state = shared.state();
        if state.closed {
            return;
        }
        // A connection that is gone before it is accepted was none.
        let Ok((stream, _)) = stream else { continue };
        let stream = Arc::new(stream);
        let mut connection = Connection {
            stream: Arc::clone(&stream),
            messages: Messages::new(Shares(Arc::clone(&stream))),
            number: state.accepted,
            server: Arc::clone(shared),
        };
        let thread = spawn("connection", move || {
            // Without it the peer would only be answered later.
            drop(connection.stream.set_nodelay(true));
            let server = Arc::clone(&connection.server);
            (server.script)(&mut connection);
        });
        state.accepted += 1;
        state.join_ended();
        state.open.push((Arc::downgrade(&stream), thread));
    }
}

/// Waits for a connection to be accepted, at most this long.
fn has_connection(listener: &TcpListener, longest: Duration) -> bool {
    let longest = Timespec::try_from(longest).expect("a time-out is short");
    let mut watched = [PollFd::new(listener, PollFlags::IN)];
    // Interrupted, it looks again.
    !matches!(poll(&mut watched, Some(&longest)), Ok(0))
}

/// A stream that several own.
#[derive(Debug)]
struct Shares(Arc<TcpStream>);

impl Read for Shares {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        (&*self.0).read(buffer)
    }
}

/// The server's end of a connection, which closes when the script ends.
pub struct Connection {
    stream: Arc<TcpStream>,
    messages: Messages<Shares>,
    /// How many connections the server had accepted before.
    pub number: usize,
    server: Arc<Shared>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// The head of the next request; the body may be unread. `None` at the connection's end.
    pub fn head(&mut self) -> Option<&[u8]> {
        self.messages.head().ok().flatten()
    }

    /// The next request, whole; `None` when the connection has ended, by an error too.
    pub fn request(&mut self) -> Option<Message<'_>> {
        self.messages.next().ok().flatten()
    }

    /// The bytes of one read, which may be none.
    pub fn read(&mut self) -> Vec<u8> {
        let mut piece = vec![0; 64 << 10];
        let length = self
            .messages
            .stream()
            .read(&mut piece)
            .expect("it can be read");
        piece.truncate(length);
        piece
    }

    /// Writes; false if the peer takes no more.
    pub fn write(&self, bytes: &[u8]) -> bool {
        (&*self.stream).write_all(bytes).is_ok()
    }

    /// Ends its own direction, and can go on reading.
    pub fn half_close(&self) {
        // An error means that the peer has closed it.
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Waits until the peer closes its side, or the server is dropped.
    pub fn wait_for_end(&mut self) {
        // Any error ends the connection just as well.
        drop(std::io::copy(self.messages.stream(), &mut std::io::sink()));
    }

    /// Makes the close a reset, by which written bytes may be lost as well.
    pub fn reset(&self) {
        // If that cannot be set, the connection ends in good order.
        net::sockopt::set_socket_linger(&*self.stream, Some(Duration::ZERO)).unwrap_or(());
    }

    /// Whether the peer has closed the connection, without waiting.
    pub fn is_closed_by_peer(&self) -> bool {
        is_closed_by_peer(&self.stream)
    }

    /// Whether the port is closed.
    pub fn is_port_closed(&self) -> bool {
        self.server.state().closed
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}
