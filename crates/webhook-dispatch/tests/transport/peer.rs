//! Peers that misbehave by script, and a client that talks to them.

use std::time::Duration;
use testkit::{Connection, Server};
use webhook_config::{Target, TargetBuilder, TargetUrl};
use webhook_dispatch::{
    Answer, Connector, HeaderLines, HttpConnector, Request, Transport, TransportError,
    TransportErrorKind,
};

/// The deadline of every wait.
pub(crate) const PATIENCE: Duration = testkit::DEADLINE;
/// An answer without a body that keeps the connection.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Answers every request with these bytes, and keeps the connection.
pub(crate) fn always(answer: impl Into<Vec<u8>>) -> Server {
    let answer = answer.into();
    Server::start(move |connection| {
        while connection.request().is_some() {
            connection.write(&answer);
        }
    })
}

/// Answers the first request with these bytes, and closes.
pub(crate) fn once(answer: impl Into<Vec<u8>>) -> Server {
    let answer = answer.into();
    Server::start(move |connection| {
        connection.request().unwrap();
        connection.write(&answer);
    })
}

/// Writes the first bytes, and then `drip` after each pause, until the client has closed.
pub(crate) fn drip(connection: &Connection, first: &[u8], drip: &[u8], pause: Duration) {
    let mut going = connection.write(first);
    while going {
        std::thread::sleep(pause);
        going = connection.write(drip);
    }
}

/// The URL of a peer under another scheme.
pub(crate) fn url(peer: &Server, scheme: &str) -> String {
    format!("{scheme}://{}/", peer.address())
}

/// A client with ample time-outs.
pub(crate) fn client(peer: &Server) -> Client {
    Client::of(Target::builder(TargetUrl::parse(&peer.url()).unwrap()))
}

/// Sends to one target.
pub(crate) struct Client(pub(crate) Box<dyn Transport>);

impl Client {
    pub(crate) fn of(target: TargetBuilder) -> Client {
        Client::with(&HttpConnector::new(), target)
    }

    pub(crate) fn with(connector: &HttpConnector, target: TargetBuilder) -> Client {
        let target = target.build().unwrap();
        Client(connector.transport(&target).unwrap())
    }

    pub(crate) fn post(&mut self, body: &[u8]) -> Result<Answer, TransportError> {
        let mut headers = HeaderLines::new();
        let name = http::HeaderName::from_static("x-one");
        headers.push(&name, &http::HeaderValue::from_static("1"));
        let headers = &headers;
        self.0.send(Request { headers, body })
    }

    /// The status of a complete answer.
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
