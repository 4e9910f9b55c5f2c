//! A peer that does with each connection what a script says, and a client that talks to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use webhook_config::{Target, TargetBuilder, TargetUrl};
use webhook_dispatch::{
    Answer, Connector, HeaderLines, HttpConnector, Request, Transport, TransportError,
    TransportErrorKind,
};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// An answer without a body, after which the connection is kept.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Listens on a free port, with a thread for each connection.
pub(crate) struct Peer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Peer {
    /// Does with each connection, counted from 0, what the script says; then closes it.
    pub(crate) fn start(script: impl Fn(usize, &mut Connection) + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let ending = Arc::new(AtomicBool::new(false));
        let acceptor = std::thread::spawn({
            let (connections, ending) = (Arc::clone(&connections), Arc::clone(&ending));
            move || {
                std::thread::scope(|scope| {
                    for stream in listener.incoming() {
                        let stream = stream.unwrap();
                        if ending.load(Ordering::SeqCst) {
                            return;
                        }
                        let number = connections.fetch_add(1, Ordering::SeqCst);
                        let script = &script;
                        scope.spawn(move || {
                            stream.set_nodelay(true).unwrap();
                            script(number, &mut Connection(BufReader::new(stream)));
                        });
                    }
                });
            }
        });
        Peer {
            address,
            connections,
            ending,
            acceptor: Some(acceptor),
        }
    }

    /// Answers every request with these bytes, and keeps the connection.
    pub(crate) fn always(answer: impl Into<Vec<u8>>) -> Peer {
        let answer = answer.into();
        Peer::start(move |_, connection| {
            while connection.request().is_some() {
                connection.write(&answer);
            }
        })
    }

    /// Answers the first request with these bytes, and closes.
    pub(crate) fn once(answer: impl Into<Vec<u8>>) -> Peer {
        let answer = answer.into();
        Peer::start(move |_, connection| {
            connection.request().unwrap();
            connection.write(&answer);
        })
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/", self.address)
    }

    /// A client with ample time-outs.
    pub(crate) fn client(&self) -> Client {
        Client::of(Target::builder(
            TargetUrl::parse(&self.url("http")).unwrap(),
        ))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        drop(TcpStream::connect(self.address));
        let ended = self.acceptor.take().unwrap().join();
        assert!(
            ended.is_ok() || std::thread::panicking(),
            "the script panicked"
        );
    }
}

/// The peer's end of a connection.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// The next request's head, with the blank line; `None` at the end of the connection.
    pub(crate) fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.0.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
                return None;
            }
        }
        Some(String::from_utf8(head).unwrap())
    }

    /// The next request: head and body.
    pub(crate) fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.head()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.unwrap()];
        self.0.read_exact(&mut body).ok()?;
        Some((head, body))
    }

    /// What one read gives.
    pub(crate) fn piece(&mut self) -> Vec<u8> {
        let mut piece = vec![0; 64 * 1024];
        let length = self.0.get_mut().read(&mut piece).unwrap();
        piece.truncate(length);
        piece
    }

    /// Writes; a client that does not read is no failure.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).is_ok()
    }

    /// Ends its own direction, and goes on reading.
    pub(crate) fn half_close(&mut self) {
        self.0.get_mut().shutdown(Shutdown::Write).unwrap();
    }

    /// Waits until the client closes.
    pub(crate) fn wait_for_the_end(&mut self) {
        drop(std::io::copy(&mut self.0, &mut std::io::sink()));
    }

    /// Has the close be a reset.
    pub(crate) fn reset(&mut self) {
        rustix::net::sockopt::set_socket_linger(self.0.get_ref(), Some(Duration::ZERO)).unwrap();
    }
}

/// Sends to one target.
pub(crate) struct Client(pub(crate) Box<dyn Transport>);

impl Client {
    pub(crate) fn of(target: TargetBuilder) -> Client {
        let target = target.build().unwrap();
        Client(HttpConnector::new().transport(&target).unwrap())
    }

    pub(crate) fn post(&mut self, body: &[u8]) -> Result<Answer, TransportError> {
        let mut headers = HeaderLines::new();
        let name = http::HeaderName::from_static("x-one");
        headers.push(&name, &http::HeaderValue::from_static("1"));
        let headers = &headers;
        self.0.send(Request { headers, body })
    }

    /// The status of an answer that is whole.
    pub(crate) fn status(&mut self) -> u16 {
        let answer = self.post(b"body").unwrap();
        assert!(answer.complete);
        answer.status
    }

    /// The kind of an error and its text.
    pub(crate) fn error(&mut self) -> (TransportErrorKind, String) {
        let error = self.post(b"body").unwrap_err();
        (error.kind, error.message)
    }
}
