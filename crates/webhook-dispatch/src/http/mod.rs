//! Sending over HTTP/1.1: a connection that is kept, and made anew when it has to be.
//!
//! Each sender thread has a transport of its own with one connection. What is said on it is
//! [`http1`](crate::http::http1)'s; what makes it more than a plain socket, TLS and proxies, is
//! [`ureq_layers`](crate::http::ureq_layers)'. Names are resolved by [`Lookups`], and only where a
//! connection is to be made.

pub(crate) mod header_lines;
pub(crate) mod http1;
pub(crate) mod net;
pub(crate) mod resolver;
pub(crate) mod transport;
pub(crate) mod ureq_layers;

use crate::http::header_lines::decimal;
use crate::http::http1::{Connection, Fault, Stream};
use crate::http::net::{NEVER, Socket};
use crate::http::resolver::{Lookups, Resolving};
use crate::http::transport::{
    Answer, Connector, Request, Stopper, Transport, TransportError, TransportErrorKind,
};
use crate::http::ureq_layers::{Layered, Layers};
use std::io::{Error, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use webhook_config::Target;

/// How long a connection may be idle before it is not trusted any more.
const IDLE: Duration = Duration::from_secs(90);

/// Sends over HTTP/1.1 and TLS, with one kept connection for each transport.
#[derive(Debug, Default)]
pub struct HttpConnector {
    lookups: Arc<Lookups>,
}

impl HttpConnector {
    /// A connector with an empty cache of resolved names.
    #[must_use]
    pub fn new() -> HttpConnector {
        HttpConnector::default()
    }
}

impl Connector for HttpConnector {
    fn transport(&self, target: &Target) -> Result<Box<dyn Transport>, TransportError> {
        let stop = Arc::new(Stop::default());
        Ok(Box::new(HttpTransport {
            dialer: Dialer::new(target, Arc::clone(&self.lookups), Arc::clone(&stop))?,
            stop,
            request_line: request_line(target.url().as_uri()),
            head: Vec::new(),
            connection: None,
            respond: target.response_timeout().min(NEVER),
            max_response_bytes: target.max_response_bytes(),
        }))
    }
}

/// The first two lines of each request: what is asked for, and of whom. User information is not
/// part of either, nor is a port that the scheme has anyhow.
fn request_line(uri: &http::Uri) -> Vec<u8> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    let host = uri.host().unwrap_or_default();
    let usual = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = match uri.port_u16() {
        Some(port) if port != usual => format!(":{port}"),
        _ => String::new(),
    };
    format!("POST {slash}{path} HTTP/1.1\r\nhost: {host}{port}\r\n").into_bytes()
}

struct HttpTransport {
    dialer: Dialer,
    stop: Arc<Stop>,
    request_line: Vec<u8>,
    /// Where a request's head is written.
    head: Vec<u8>,
    connection: Option<Connection<Way>>,
    respond: Duration,
    max_response_bytes: u64,
}

impl Transport for HttpTransport {
    fn send(&mut self, request: Request<'_>) -> Result<Answer, TransportError> {
        self.exchange(request).map_err(|error| {
            if self.stop.is_called() {
                Stop::error()
            } else {
                error
            }
        })
    }

    fn stopper(&self) -> Stopper {
        let stop = Arc::clone(&self.stop);
        Box::new(move || stop.call())
    }
}

impl HttpTransport {
    fn exchange(&mut self, request: Request<'_>) -> Result<Answer, TransportError> {
        // One that is not fit is closed before another is made: the receiver may count them.
        let kept = self.connection.take();
        let mut connection = match kept.and_then(|kept| kept.if_fit(IDLE)) {
            Some(kept) => kept,
            None => Connection::new(self.dialer.dial()?),
        };
        self.head.clear();
        self.head.extend_from_slice(&self.request_line);
        self.head.extend_from_slice(request.headers.as_lines());
        self.head.extend_from_slice(b"content-length: ");
        let mut digits = [0; 20];
        let length = decimal(request.body.len() as u64, &mut digits);
        self.head.extend_from_slice(length);
        self.head.extend_from_slice(b"\r\n\r\n");
        let answer = connection
            .exchange(
                &self.head,
                request.body,
                self.respond,
                self.max_response_bytes,
            )
            .map_err(|fault| explain_fault(&fault))?;
        // Else it is closed now, and not when the next event comes.
        if connection.is_kept() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

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
    fn error() -> TransportError {
        TransportError {
            kind: TransportErrorKind::Stopped,
            message: "the dispatcher is stopping".to_owned(),
        }
    }

    fn is_called(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).called
    }

    fn call(&self) {
        let mut stopping = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stopping.called = true;
        if let Some(socket) = stopping.socket.upgrade() {
            // One that is closed already needs no shutting down.
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    /// Whatever waits on this socket ends with the transport; false if that has ended already.
    fn watch(&self, socket: &Arc<TcpStream>) -> bool {
        let mut stopping = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stopping.socket = Arc::downgrade(socket);
        !stopping.called
    }
}

/// Where bytes go: to the socket, or through what was built on it.
#[derive(Debug)]
enum Way {
    Direct(Socket),
    Layered(Layered),
}

impl Stream for Way {
    fn send(&mut self, head: &[u8], body: &[u8], until: Instant) -> std::io::Result<()> {
        match self {
            Way::Direct(socket) => socket.send(head, body, until),
            Way::Layered(layered) => layered.send(head, body, until),
        }
    }

    fn receive(&mut self, room: &mut [u8], until: Instant) -> std::io::Result<usize> {
        match self {
            Way::Direct(socket) => socket.receive(room, until),
            Way::Layered(layered) => layered.receive(room, until),
        }
    }

    fn is_quiet(&mut self) -> bool {
        match self {
            Way::Direct(socket) => socket.is_quiet(),
            Way::Layered(layered) => layered.is_quiet(),
        }
    }
}

/// Makes connections to a target.
struct Dialer {
    uri: http::Uri,
    within: Duration,
    resolving: Resolving,
    stop: Arc<Stop>,
    /// What makes it more than a plain socket.
    layers: Option<Layers>,
}

impl Dialer {
    fn new(
        target: &Target,
        lookups: Arc<Lookups>,
        stop: Arc<Stop>,
    ) -> Result<Dialer, TransportError> {
        let uri = target.url().as_uri().clone();
        let within = target.connect_timeout();
        let resolving = Resolving {
            lookups,
            patience: within.max(Duration::from_secs(5)),
        };
        let is_plain = target.proxy().is_none() && uri.scheme_str() == Some("http");
        let layers = if is_plain {
            None
        } else {
            Some(Layers::new(target, resolving.clone(), Arc::clone(&stop))?)
        };
        Ok(Dialer {
            uri,
            within,
            resolving,
            stop,
            layers,
        })
    }

    fn dial(&self) -> Result<Way, TransportError> {
        if self.stop.is_called() {
            return Err(Stop::error());
        }
        if let Some(layers) = &self.layers {
            return layers.dial(&self.uri, self.within).map(Way::Layered);
        }
        let addresses = self.resolving.resolve(&self.uri).map_err(explain_resolve)?;
        connect(&addresses, self.within, &self.stop)
            .map(Way::Direct)
            .map_err(|error| explain_io(&error, Phase::Connecting))
    }
}

/// Makes the socket that all else is built on, to be ended by `stop`.
///
/// # Errors
/// What the last address said; [`ErrorKind::TimedOut`] when the time has passed.
pub(crate) fn connect(
    addresses: &[SocketAddr],
    within: Duration,
    stop: &Stop,
) -> std::io::Result<Socket> {
    let socket = net::connect(addresses, within).map(Socket::new)?;
    if stop.watch(socket.stream()) {
        Ok(socket)
    } else {
        Err(Error::other("the dispatcher is stopping"))
    }
}

/// What was being done when the time had passed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Connecting,
    Sending,
    Answering,
}

impl Phase {
    fn too_long(self) -> &'static str {
        match self {
            Phase::Connecting => "no connection within timeoutMsec",
            Phase::Sending => "the request could not be sent within responseTimeoutMsec",
            Phase::Answering => "no answer within responseTimeoutMsec",
        }
    }
}

/// Says why a name has no addresses.
pub(crate) fn explain_resolve(error: Error) -> TransportError {
    let (kind, message) = match error.kind() {
        ErrorKind::TimedOut => (
            TransportErrorKind::Timeout,
            "the host's name was not resolved in time",
        ),
        _ => (
            TransportErrorKind::Connect,
            "the host's name cannot be resolved",
        ),
    };
    TransportError {
        kind,
        message: message.to_owned(),
    }
}

fn explain_fault(fault: &Fault) -> TransportError {
    let (kind, message) = match fault {
        Fault::Sending(error) => return explain_io(error, Phase::Sending),
        Fault::Receiving(error) => return explain_io(error, Phase::Answering),
        Fault::Closed => {
            return explain_io(&ErrorKind::UnexpectedEof.into(), Phase::Answering);
        }
        Fault::Malformed(what) => (
            TransportErrorKind::Io,
            format!("the answer is not HTTP/1.1: {what}"),
        ),
    };
    TransportError { kind, message }
}

pub(crate) fn explain_io(error: &std::io::Error, phase: Phase) -> TransportError {
    use TransportErrorKind::{Connect, Io, Timeout as TimedOut};
    let (kind, message) = match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AddrNotAvailable => (Connect, error.to_string()),
        ErrorKind::TimedOut => (TimedOut, phase.too_long().to_owned()),
        // A failed TLS handshake comes as an I/O error around rustls's.
        ErrorKind::InvalidData => (Connect, format!("TLS: {error}")),
        ErrorKind::UnexpectedEof => (
            Io,
            "the receiver closed the connection before it had answered".to_owned(),
        ),
        _ => (Io, error.to_string()),
    };
    TransportError { kind, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_it_asks_for_and_of_whom() {
        for (url, expected) in [
            ("http://host", "POST / HTTP/1.1\r\nhost: host\r\n"),
            (
                "https://host:443/a/b?c=%20d",
                "POST /a/b?c=%20d HTTP/1.1\r\nhost: host\r\n",
            ),
            ("https://host:80", "POST / HTTP/1.1\r\nhost: host:80\r\n"),
            (
                "http://user:secret@[::1]:80?q",
                "POST /?q HTTP/1.1\r\nhost: [::1]\r\n",
            ),
        ] {
            let line = request_line(&url.parse().unwrap());
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }
}
