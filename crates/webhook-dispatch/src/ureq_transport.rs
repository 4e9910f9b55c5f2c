//! Sending over HTTP: the connections, and what a target's settings say of them. The only file
//! that names ureq.
//!
//! Each sender thread has a transport of its own with one kept connection. ureq makes what is not
//! a plain socket: it leads a connection through a proxy, and wraps it in TLS. What is said on a
//! connection is ours, in [`http1`](crate::http1): ureq's own run of a request, though it was given
//! our socket, took more of the processor than everything else that is done for an event. Names
//! are resolved by [`Lookups`], since ureq's own resolver starts a thread for every look-up that
//! has a time-out.

use crate::fields::decimal;
use crate::headers::OUR_NAME;
use crate::http1::{Connection, Fault, Stream};
use crate::resolve::Lookups;
use crate::transport::{
    Answer, Connector, Request, Stopper, Transport, TransportError, TransportErrorKind,
};
use crate::wire::{self, NEVER, Socket};
use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport as layer;
use ureq::unversioned::transport::Connector as _;
use ureq::unversioned::transport::time::Instant as LayerInstant;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Either, LazyBuffers, NextTimeout,
    RustlsConnector,
};
use ureq::{Error, Timeout};
use webhook_config::Target;

/// Buffers of what lies between us and the socket, TLS: a payload's usual size and some.
const BUFFER: usize = 16 * 1024;
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
/// part of either.
fn request_line(uri: &http::Uri) -> Vec<u8> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    let host = uri.host().unwrap_or_default();
    let port = uri
        .port()
        .map_or_else(String::new, |port| format!(":{}", port.as_str()));
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
            None => Connection::new(self.dialer.dial().map_err(|error| explain(&error))?),
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
struct Stop(Mutex<Stopping>);

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

/// Where bytes go: to the socket, or through what ureq built on it.
#[derive(Debug)]
enum Way {
    Direct(Socket),
    Layered(Box<dyn layer::Transport>),
}

impl Stream for Way {
    fn send(&mut self, head: &[u8], body: &[u8], until: Instant) -> std::io::Result<()> {
        match self {
            Way::Direct(socket) => socket.send(head, body, until),
            Way::Layered(transport) => send_through(&mut **transport, [head, body], until),
        }
    }

    fn receive(&mut self, room: &mut [u8], until: Instant) -> std::io::Result<usize> {
        match self {
            Way::Direct(socket) => socket.receive(room, until),
            Way::Layered(transport) => {
                let timeout = until_then(until, Timeout::RecvResponse);
                transport.maybe_await_input(timeout).map_err(into_io)?;
                let buffers = transport.buffers();
                let input = buffers.input();
                let length = input.len().min(room.len());
                if let (Some(room), Some(input)) = (room.get_mut(..length), input.get(..length)) {
                    room.copy_from_slice(input);
                }
                buffers.input_consume(length);
                Ok(length)
            }
        }
    }

    fn is_quiet(&mut self) -> bool {
        match self {
            Way::Direct(socket) => socket.is_quiet(),
            Way::Layered(transport) => {
                transport.buffers().input().is_empty() && transport.is_open()
            }
        }
    }
}

/// Sends what follows on each other in as few pieces as the buffer allows.
fn send_through(
    transport: &mut dyn layer::Transport,
    parts: [&[u8]; 2],
    until: Instant,
) -> std::io::Result<()> {
    let mut filled = 0;
    for mut part in parts {
        while !part.is_empty() {
            let room = transport.buffers().output();
            let room = room.get_mut(filled..).unwrap_or_default();
            let length = room.len().min(part.len());
            let (now, later) = part.split_at(length);
            if let Some(room) = room.get_mut(..length) {
                room.copy_from_slice(now);
            }
            part = later;
            filled += length;
            if !part.is_empty() {
                transmit(transport, &mut filled, until)?;
            }
        }
    }
    transmit(transport, &mut filled, until)
}

fn transmit(
    transport: &mut dyn layer::Transport,
    filled: &mut usize,
    until: Instant,
) -> std::io::Result<()> {
    let amount = std::mem::take(filled);
    let timeout = until_then(until, Timeout::SendRequest);
    transport.transmit_output(amount, timeout).map_err(into_io)
}

fn until_then(until: Instant, reason: Timeout) -> NextTimeout {
    NextTimeout {
        after: until.saturating_duration_since(Instant::now()).into(),
        reason,
        ..NextTimeout::default()
    }
}

fn into_io(error: Error) -> std::io::Error {
    match error {
        Error::Io(error) => error,
        Error::Timeout(_) => ErrorKind::TimedOut.into(),
        Error::Tls(_) | Error::Rustls(_) => std::io::Error::new(ErrorKind::InvalidData, error),
        other => std::io::Error::other(other),
    }
}

type Chain =
    dyn Fn(&ConnectionDetails<'_>) -> Result<Box<dyn layer::Transport>, Error> + Send + Sync;

/// Makes connections to a target.
struct Dialer {
    uri: http::Uri,
    within: Duration,
    resolver: CachedResolver,
    stop: Arc<Stop>,
    /// What is not a plain socket.
    layers: Option<(Config, Arc<Chain>)>,
}

impl Dialer {
    fn new(
        target: &Target,
        lookups: Arc<Lookups>,
        stop: Arc<Stop>,
    ) -> Result<Dialer, TransportError> {
        let uri = target.url().as_uri().clone();
        let layers = if target.proxy().is_none() && uri.scheme_str() == Some("http") {
            None
        } else {
            Some((layer_config(target)?, chain(Arc::clone(&stop))))
        };
        Ok(Dialer {
            uri,
            within: target.connect_timeout(),
            resolver: CachedResolver {
                lookups,
                patience: target.connect_timeout().max(Duration::from_secs(5)),
            },
            stop,
            layers,
        })
    }

    fn dial(&self) -> Result<Way, Error> {
        if self.stop.is_called() {
            return Err(Error::ConnectionFailed);
        }
        let Some((config, chain)) = &self.layers else {
            let addresses = self.resolver.look_up(&self.uri)?;
            return Ok(Way::Direct(connect(&addresses, self.within, &self.stop)?));
        };
        let mut addrs = self.resolver.empty();
        // A proxy resolves the name itself.
        if config.proxy().is_none() {
            addrs = self.resolver.resolve_up_to_sixteen(&self.uri)?;
        }
        let details = ConnectionDetails {
            uri: &self.uri,
            addrs,
            config,
            request_level: false,
            resolver: &self.resolver,
            now: LayerInstant::now(),
            timeout: NextTimeout {
                after: self.within.into(),
                reason: Timeout::Connect,
                ..NextTimeout::default()
            },
            current_time: Arc::new(LayerInstant::now),
            run_connector: Arc::clone(chain) as _,
            // Ours is watched from the moment that it is there.
            register_shutdown: Arc::new(|_| Ok(())),
        };
        let transport = chain(&details)?;
        if details.needs_tls() && !transport.is_tls() {
            return Err(Error::TlsRequired);
        }
        Ok(Way::Layered(transport))
    }
}

fn connect(addresses: &[SocketAddr], within: Duration, stop: &Stop) -> Result<Socket, Error> {
    let socket = wire::connect(addresses, within)
        .map(Socket::new)
        .map_err(|error| in_time(error, Timeout::Connect))?;
    if stop.watch(socket.stream()) {
        Ok(socket)
    } else {
        Err(Error::ConnectionFailed)
    }
}

/// A tunnel through the proxy, where there is one; else a socket of our own, as at the beginning
/// of the tunnel; and TLS above either.
fn chain(stop: Arc<Stop>) -> Arc<Chain> {
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(SocketConnector(stop))
            .chain(RustlsConnector::default());
    Arc::new(
        move |details: &ConnectionDetails<'_>| match connector.connect(details, None)? {
            Some(transport) => Ok(Box::new(transport) as Box<dyn layer::Transport>),
            None => Err(Error::ConnectionFailed),
        },
    )
}

/// What ureq has to know to make a connection, and nothing of requests.
fn layer_config(target: &Target) -> Result<Config, TransportError> {
    let proxy = match target.proxy() {
        None => None,
        Some(proxy) => Some(
            ureq::Proxy::new(proxy.expose())
                .map_err(|_| unusable("the proxy's URL cannot be used"))?,
        ),
    };
    Ok(Config::builder()
        .proxy(proxy)
        .user_agent(OUR_NAME)
        .tls_config(tls_config(target)?)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .build())
}

fn tls_config(target: &Target) -> Result<TlsConfig, TransportError> {
    let tls = target.tls();
    let mut builder = TlsConfig::builder();
    if let Some(pem) = tls.ca_pem() {
        let mut roots = Vec::new();
        for item in ureq::tls::parse_pem(pem) {
            if let PemItem::Certificate(certificate) =
                item.map_err(|_| unusable("tls.caFile is not PEM"))?
            {
                roots.push(certificate);
            }
        }
        if roots.is_empty() {
            return Err(unusable("tls.caFile holds no certificate"));
        }
        builder = builder.root_certs(RootCerts::new_with_certs(&roots));
    }
    if let Some(client) = tls.client() {
        let mut chain: Vec<Certificate<'static>> = Vec::new();
        for item in ureq::tls::parse_pem(client.certificate_pem()) {
            if let PemItem::Certificate(certificate) =
                item.map_err(|_| unusable("tls.clientCertFile is not PEM"))?
            {
                chain.push(certificate);
            }
        }
        if chain.is_empty() {
            return Err(unusable("tls.clientCertFile holds no certificate"));
        }
        let key = PrivateKey::from_pem(client.key_pem())
            .map_err(|_| unusable("tls.clientKeyFile holds no private key"))?;
        builder = builder.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(builder.build())
}

fn unusable(message: &str) -> TransportError {
    TransportError {
        kind: TransportErrorKind::Connect,
        message: message.to_owned(),
    }
}

/// Says what happened without anything that the configuration holds as a secret.
fn explain(error: &Error) -> TransportError {
    use TransportErrorKind::{Connect, Io, Timeout as TimedOut};
    let (kind, message) = match error {
        Error::Timeout(phase) => (TimedOut, explain_timeout(*phase).to_owned()),
        Error::HostNotFound => (Connect, "the host's name cannot be resolved".to_owned()),
        Error::ConnectionFailed => (Connect, "no connection".to_owned()),
        Error::Tls(what) => (Connect, format!("TLS: {what}")),
        Error::Rustls(what) => (Connect, format!("TLS: {what}")),
        Error::ConnectProxyFailed(what) => (Connect, format!("the proxy refused: {what}")),
        Error::Io(what) => return explain_io(what, Timeout::Connect),
        other => (Io, other.to_string()),
    };
    TransportError { kind, message }
}

fn explain_fault(fault: &Fault) -> TransportError {
    let (kind, message) = match fault {
        Fault::Sending(error) => return explain_io(error, Timeout::SendRequest),
        Fault::Receiving(error) => return explain_io(error, Timeout::RecvResponse),
        Fault::Closed => {
            return explain_io(&ErrorKind::UnexpectedEof.into(), Timeout::RecvResponse);
        }
        Fault::Malformed(what) => (
            TransportErrorKind::Io,
            format!("the answer is not HTTP/1.1: {what}"),
        ),
    };
    TransportError { kind, message }
}

fn explain_io(error: &std::io::Error, phase: Timeout) -> TransportError {
    use TransportErrorKind::{Connect, Io, Timeout as TimedOut};
    let (kind, message) = match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AddrNotAvailable => (Connect, error.to_string()),
        ErrorKind::TimedOut => (TimedOut, explain_timeout(phase).to_owned()),
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

fn explain_timeout(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Resolve => "the host's name was not resolved in time",
        Timeout::Connect => "no connection within timeoutMsec",
        Timeout::SendRequest => "the request could not be sent within responseTimeoutMsec",
        _ => "no answer within responseTimeoutMsec",
    }
}

/// Finds addresses.
#[derive(Clone, Debug)]
struct CachedResolver {
    lookups: Arc<Lookups>,
    patience: Duration,
}

impl CachedResolver {
    fn look_up(&self, uri: &http::Uri) -> Result<Arc<[SocketAddr]>, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        self.lookups
            .resolve(host, port, self.patience)
            .map_err(|error| match error.kind() {
                ErrorKind::TimedOut => Error::Timeout(Timeout::Resolve),
                _ => Error::HostNotFound,
            })
    }

    /// As many as ureq keeps.
    fn resolve_up_to_sixteen(&self, uri: &http::Uri) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        for address in self.look_up(uri)?.iter().take(16) {
            addresses.push(*address);
        }
        Ok(addresses)
    }
}

impl Resolver for CachedResolver {
    fn resolve(
        &self,
        uri: &http::Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        self.resolve_up_to_sixteen(uri)
    }
}

/// Makes the socket that the layers are built on.
#[derive(Debug)]
struct SocketConnector(Arc<Stop>);

impl<In: layer::Transport> layer::Connector<In> for SocketConnector {
    type Out = Either<In, SocketTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(tunnel) = chained {
            return Ok(Some(Either::A(tunnel)));
        }
        let socket = connect(&details.addrs, *details.timeout.after, &self.0)?;
        let buffers = LazyBuffers::new(BUFFER, BUFFER);
        Ok(Some(Either::B(SocketTransport { socket, buffers })))
    }
}

/// A socket as ureq's layers want it.
#[derive(Debug)]
struct SocketTransport {
    socket: Socket,
    buffers: LazyBuffers,
}

impl layer::Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.buffers.output();
        let bytes = output.get(..amount).unwrap_or_default();
        self.socket
            .send(bytes, &[], ends(timeout))
            .map_err(|error| in_time(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let room = self.buffers.input_append_buf();
        let received = self
            .socket
            .receive(room, ends(timeout))
            .map_err(|error| in_time(error, timeout.reason))?;
        self.buffers.input_appended(received);
        Ok(received > 0)
    }

    fn is_open(&mut self) -> bool {
        self.socket.is_quiet()
    }
}

fn ends(timeout: NextTimeout) -> Instant {
    Instant::now() + (*timeout.after).min(NEVER)
}

/// A time-out is that of its phase.
fn in_time(error: std::io::Error, phase: Timeout) -> Error {
    match error.kind() {
        ErrorKind::TimedOut => Error::Timeout(phase),
        _ => Error::Io(error),
    }
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
                "POST /a/b?c=%20d HTTP/1.1\r\nhost: host:443\r\n",
            ),
            (
                "http://user:secret@[::1]:80?q",
                "POST /?q HTTP/1.1\r\nhost: [::1]:80\r\n",
            ),
        ] {
            let line = request_line(&url.parse().unwrap());
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }
}
