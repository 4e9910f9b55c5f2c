//! A receiver on a real socket that misbehaves on demand and remembers all that came.

mod reply;
mod request;

pub use reply::Reply;
pub use request::Request;

use crate::DEADLINE;
use reply::{After, Wait};
use rustix::fd::OwnedFd;
use rustix::net;
use std::fmt;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A receiver on a port of its own. Dropping it closes all its connections.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    respond: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    /// Every connection accepted so far, the ended ones too.
    connections: Vec<Connection>,
    /// Requests that have been answered or given up by either side.
    done: usize,
    released: bool,
    stopping: bool,
}

struct Connection {
    /// To end it from outside; `None` once it is reset.
    stream: Option<TcpStream>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// Listens on a free port of 127.0.0.1, and does with each request what `respond` says.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start(respond: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Receiver {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            respond: Box::new(respond),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Receiver {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Answers every request alike.
    pub fn always(reply: Reply) -> Receiver {
        Receiver::start(move |_| reply.clone())
    }

    /// Where it listens: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What has come so far, in the order in which it came.
    ///
    /// # Panics
    ///
    /// When the receiver has failed.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// The bodies that have come so far.
    ///
    /// # Panics
    ///
    /// When the receiver has failed.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.shared
            .state()
            .requests
            .iter()
            .map(|request| request.body.clone())
            .collect()
    }

    /// How many connections have been made so far, those without a request too.
    ///
    /// # Panics
    ///
    /// When the receiver has failed.
    pub fn connections(&self) -> usize {
        self.shared.state().connections.len()
    }

    /// Waits until this many requests have come.
    ///
    /// # Panics
    ///
    /// When they have not at the deadline.
    pub fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        self.shared
            .wait(DEADLINE, |state| state.requests.len() >= count);
        let requests = self.requests();
        assert!(
            requests.len() >= count,
            "{} of {count} requests came",
            requests.len()
        );
        requests
    }

    /// Waits until this many requests are answered, or given up by either side.
    ///
    /// # Panics
    ///
    /// When they are not at the deadline.
    pub fn wait_for_done(&self, count: usize) {
        self.shared.wait(DEADLINE, |state| state.done >= count);
        let done = self.shared.state().done;
        assert!(done >= count, "{done} of {count} requests are done");
    }

    /// Lets every held answer go, now and from now on.
    ///
    /// # Panics
    ///
    /// When the receiver has failed.
    pub fn release(&self) {
        self.shared.change(|state| state.released = true);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.change(|state| state.stopping = true);
        // Wakes the acceptor. If it cannot be reached it has ended.
        drop(TcpStream::connect(self.address));
        let mut failed = self
            .acceptor
            .take()
            .is_some_and(|acceptor| acceptor.join().is_err());
        let ended: Vec<_> = self.shared.change(|state| {
            let end = |connection: &mut Connection| {
                // An error means that the peer has closed it.
                drop(
                    connection
                        .stream
                        .take()
                        .map(|stream| stream.shutdown(Shutdown::Both)),
                );
                connection.thread.take()
            };
            state.connections.iter_mut().filter_map(end).collect()
        });
        for thread in ended {
            failed |= thread.join().is_err();
        }
        assert!(
            !failed || std::thread::panicking(),
            "the receiver's script has panicked"
        );
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    fn wait(&self, longest: Duration, done: impl Fn(&State) -> bool) {
        drop(
            self.changed
                .wait_timeout_while(self.state(), longest, |state| !done(state)),
        );
    }

    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        for stream in listener.incoming() {
            // A connection that is gone before it is accepted was none.
            let Ok(stream) = stream else { continue };
            if self.state().stopping {
                return;
            }
            let Ok(kept) = stream.try_clone() else {
                continue;
            };
            self.change(|state| {
                let connection = state.connections.len();
                let shared = Arc::clone(self);
                let thread = std::thread::spawn(move || shared.serve(&stream, connection));
                state.connections.push(Connection {
                    stream: Some(kept),
                    thread: Some(thread),
                });
            });
        }
    }

    /// Serves a connection to its end. A peer that misbehaves ends it.
    fn serve(&self, stream: &TcpStream, connection: usize) {
        drop(stream.set_nodelay(true));
        let mut reader = BufReader::new(stream);
        for on_connection in 0.. {
            let Ok(Some(mut request)) = Request::read(&mut reader) else {
                break;
            };
            if request.expects_continue()
                && (&*stream)
                    .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                    .is_err()
            {
                break;
            }
            if request.read_body(&mut reader).is_err() {
                break;
            }
            request.connection = connection;
            request.on_connection = on_connection;
            self.change(|state| {
                request.number = state.requests.len();
                state.requests.push(request.clone());
            });
            let reply = (self.respond)(&request);
            let written = self.write(stream, &mut reader, &reply);
            match reply.after {
                After::Keep | After::Close => {}
                After::Stall => hang_up(&mut reader),
                After::Reset => self.arm_reset(stream, connection),
            }
            self.change(|state| state.done += 1);
            match reply.after {
                After::Keep if written => {}
                // Dropping the socket resets it, where shutting down would end it politely.
                After::Reset => return,
                _ => break,
            }
        }
        // An error means that the peer has closed it.
        drop(stream.shutdown(Shutdown::Both));
    }

    /// Waits as the reply says, and writes it. Returns whether it could be written.
    fn write(&self, mut stream: &TcpStream, reader: &mut impl Read, reply: &Reply) -> bool {
        match reply.wait {
            Wait::No => {}
            Wait::For(time) => self.wait(time, |state| state.stopping),
            Wait::UntilReleased => {
                self.wait(DEADLINE, |state| state.released || state.stopping);
            }
            Wait::UntilHangUp => hang_up(reader),
        }
        stream.write_all(&reply.bytes()).is_ok()
    }

    /// Makes closing the last handle of the socket a reset.
    fn arm_reset(&self, stream: &TcpStream, connection: usize) {
        net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))
            .expect("a socket takes its options");
        self.change(|state| {
            if let Some(connection) = state.connections.get_mut(connection) {
                connection.stream = None;
            }
        });
    }
}

/// Waits until the peer closes its side, or the receiver is dropped.
fn hang_up(reader: &mut impl Read) {
    // Any error ends the connection just as well.
    drop(std::io::copy(reader, &mut std::io::sink()));
}

/// A port of 127.0.0.1 that refuses every connection for as long as this lives.
#[derive(Debug)]
pub struct ClosedPort {
    /// Bound, so that nobody else gets the port, but not listening.
    socket: OwnedFd,
}

impl ClosedPort {
    /// Takes a free port.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn take() -> ClosedPort {
        let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None)
            .expect("a socket is to be had");
        net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
        ClosedPort { socket }
    }

    /// Its URL: `http://127.0.0.1:PORT/`.
    ///
    /// # Panics
    ///
    /// When the system does not know the port.
    pub fn url(&self) -> String {
        let address = net::getsockname(&self.socket).expect("a bound socket has an address");
        let address = SocketAddr::try_from(address).expect("it is an IPv4 address");
        format!("http://{address}/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(receiver: &Receiver, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(receiver.address)?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map(|_| answer)
    }

    const POST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";

    #[test]
    fn an_answer_has_its_framing() {
        let check = |reply: Reply, expected: &str| {
            let answer = exchange(&Receiver::always(reply), POST).expect("it is answered");
            assert_eq!(String::from_utf8_lossy(&answer), expected);
        };
        let ok = || Reply::status(200).body("abc").then_close();
        check(ok(), "HTTP/1.1 200 Status\r\nContent-Length: 3\r\n\r\nabc");
        check(ok().close_delimited(), "HTTP/1.1 200 Status\r\n\r\nabc");
        check(
            ok().chunked().interim(103),
            "HTTP/1.1 103 Interim\r\n\r\nHTTP/1.1 200 Status\r\n\
             Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        );
        check(ok().cut_to(10), "HTTP/1.1 2");
        check(Reply::raw("garbage"), "garbage");
        check(Reply::close(), "");
    }

    #[test]
    fn a_reset_is_an_error_to_the_peer() {
        let error = exchange(&Receiver::always(Reply::reset()), POST).expect_err("it is reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_held_answer_goes_when_released() {
        let receiver = Receiver::always(Reply::status(200).held().then_close());
        std::thread::scope(|scope| {
            let peer = scope.spawn(|| exchange(&receiver, POST));
            assert_eq!(receiver.wait_for_requests(1)[0].body, b"hi");
            assert!(!peer.is_finished());
            receiver.release();
            assert!(
                !peer
                    .join()
                    .expect("no panic")
                    .expect("it is answered")
                    .is_empty()
            );
        });
    }

    #[test]
    fn a_dropped_receiver_leaves_no_peer_hanging() {
        let receiver = Receiver::always(Reply::silence());
        let mut stream = TcpStream::connect(receiver.address).expect("it listens");
        stream.write_all(POST).expect("it reads");
        receiver.wait_for_requests(1);
        drop(receiver);
        let mut answer = Vec::new();
        assert!(matches!(stream.read_to_end(&mut answer), Ok(0)));
    }

    #[test]
    fn a_closed_port_refuses() {
        let port = ClosedPort::take();
        let address = port.url().replace("http://", "").replace('/', "");
        let error = TcpStream::connect(address).expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
