//! The scripted HTTP receiver. A [`Server`] runs a script for each connection, at the rate of the
//! socket; a [`Receiver`] is a server that answers each request with a [`Reply`] and remembers
//! what came.

mod messages;
mod reply;
mod request;
mod server;

pub use messages::{Message, Messages};
pub use reply::{Reply, Waits};
pub use request::Request;
pub use server::{BlackHole, Connection, Hours, Port, Server};

use crate::DEADLINE;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// A receiver on a port of its own. Dropping it closes all its connections.
pub struct Receiver {
    memory: Arc<Memory>,
    server: Server,
}

#[derive(Default)]
struct Memory {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    /// Requests that have been answered or given up by either side.
    done: usize,
    released: bool,
    stopping: bool,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

impl Receiver {
    /// Listens on a free port of 127.0.0.1, and does with each request what `respond` says.
    pub fn start(respond: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Receiver {
        let memory = Arc::new(Memory::default());
        let server = Server::start({
            let memory = Arc::clone(&memory);
            move |connection| memory.serve(connection, &respond)
        });
        Receiver { memory, server }
    }

    /// Answers every request alike.
    pub fn always(reply: Reply) -> Receiver {
        Receiver::start(move |_| reply.clone())
    }

    /// Where it listens: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The requests that have come so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.memory.state().requests.clone()
    }

    /// The bodies that have come so far.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        let state = self.memory.state();
        let bodies = state.requests.iter().map(|request| request.body.clone());
        bodies.collect()
    }

    /// How many connections have been made so far, those without a request too.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Waits until this many requests have come.
    pub fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        self.memory
            .wait(DEADLINE, |state| state.requests.len() >= count);
        let requests = self.requests();
        let came = requests.len();
        assert!(came >= count, "{came} of {count} requests came");
        requests
    }

    /// Waits until this many requests are answered, or given up by either side.
    pub fn wait_for_done(&self, count: usize) {
        self.memory.wait(DEADLINE, |state| state.done >= count);
        let done = self.memory.state().done;
        assert!(done >= count, "{done} of {count} requests are done");
    }

    /// Lets every held answer go, now and from now on.
    pub fn release(&self) {
        self.memory.change(|state| state.released = true);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.memory.change(|state| state.stopping = true);
    }
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait(&self, longest: Duration, done: impl Fn(&State) -> bool) {
        let waited = self
            .changed
            .wait_timeout_while(self.state(), longest, |state| !done(state));
        drop(waited);
    }

    /// Serves a connection to its end. A peer that misbehaves ends it.
    fn serve(&self, connection: &mut Connection, respond: &dyn Fn(&Request) -> Reply) {
        for on_connection in 0.. {
            let number = connection.number;
            let Some(message) = connection.request() else {
                return;
            };
            let mut request = Request {
                number: 0,
                connection: number,
                on_connection,
                head: message.head.to_vec(),
                body: message.body.to_vec(),
            };
            self.change(|state| {
                request.number = state.requests.len();
                state.requests.push(request.clone());
            });
            let goes_on = respond(&request).send(connection, self);
            self.change(|state| state.done += 1);
            if !goes_on {
                return;
            }
        }
    }
}

impl reply::Waits for Memory {
    fn sleep(&self, time: Duration) {
        self.wait(time, |state| state.stopping);
    }

    fn wait_for_release(&self) {
        self.wait(DEADLINE, |state| state.released || state.stopping);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Result, Write};
    use std::net::TcpStream;

    const POST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";

    fn connect(receiver: &Receiver) -> TcpStream {
        let mut stream = TcpStream::connect(receiver.server.address()).expect("it listens");
        stream.write_all(POST).expect("it reads");
        stream
    }

    fn exchange(receiver: &Receiver) -> Result<Vec<u8>> {
        let mut answer = Vec::new();
        connect(receiver).read_to_end(&mut answer).map(|_| answer)
    }

    #[test]
    fn an_answer_has_its_framing() {
        let check = |reply: Reply, expected: &str| {
            let answer = exchange(&Receiver::always(reply)).expect("it is answered");
            assert_eq!(String::from_utf8_lossy(&answer), expected);
        };
        let ok = || Reply::status(200).body("abc").then_close();
        let plain = "HTTP/1.1 200 Status\r\nContent-Length: 3\r\n\r\nabc";
        check(ok(), plain);
        check(ok().in_pieces(2, Duration::ZERO), plain);
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
        let error = exchange(&Receiver::always(Reply::reset())).expect_err("it is reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_held_answer_goes_when_released() {
        let receiver = Receiver::always(Reply::status(200).held().then_close());
        std::thread::scope(|scope| {
            let peer = scope.spawn(|| exchange(&receiver));
            let request = &receiver.wait_for_requests(1)[0];
            assert_eq!(
                (request.line(), &*request.body),
                ("POST / HTTP/1.1".to_owned(), &b"hi"[..])
            );
            assert!(!peer.is_finished());
            receiver.release();
            let answer = peer.join().expect("no panic").expect("it is answered");
            assert!(!answer.is_empty());
        });
    }

    #[test]
    fn a_dropped_receiver_leaves_no_peer_hanging() {
        let receiver = Receiver::always(Reply::silence());
        let mut stream = connect(&receiver);
        receiver.wait_for_requests(1);
        drop(receiver);
        let mut answer = Vec::new();
        assert!(matches!(stream.read_to_end(&mut answer), Ok(0)));
    }

    #[test]
    fn a_port_refuses_before_it_opens_and_after_it_closes() {
        let connect = |address| TcpStream::connect(address).map(drop);
        let refused = |address| {
            connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        };
        let port = Port::take();
        let address = port.address();
        assert!(refused(address));
        let server = port.listen_during(
            Hours {
                opens_after: Duration::from_millis(20),
                closes_after: None,
            },
            |_| {},
        );
        let until = std::time::Instant::now() + DEADLINE;
        while server.connections() == 0 && std::time::Instant::now() < until {
            drop(connect(address));
        }
        assert!(server.connections() > 0, "it never opened");
        server.finish();
        let mut closed = false;
        while !closed && std::time::Instant::now() < until {
            closed = refused(address);
        }
        assert!(closed);
    }
}
