//! Sending through ureq: the only file that names it.
//!
//! Each sender thread has an agent of its own with one kept connection. ureq's defaults are for
//! clients that browse: here, redirects are outcomes and not followed, every status is an answer,
//! no proxy is taken from the environment, and the response is read up to a bound. Names are
//! resolved by [`Lookups`], since ureq's own resolver starts a thread for every request that has
//! a time-out; and only where a connection is to be made.
//!
//! ureq speaks HTTP, keeps the phases' time-outs, and wraps a connection in TLS and leads it
//! through a proxy. What it reads from and writes to is our [`Wire`]: one write, one read and one
//! look a request, where its own transport makes twelve system calls.

use crate::headers::OUR_NAME;
use crate::resolve::Lookups;
use crate::transport::{
    Answer, Connector, Request, Stopper, Transport, TransportError, TransportErrorKind,
};
use crate::wire::{self, Wire};
use http::header::RETRY_AFTER;
use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport as layer;
use ureq::unversioned::transport::Connector as _;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Either, NextTimeout, RustlsConnector,
    ShutdownHandle,
};
use ureq::{Agent, Error, Timeout};
use webhook_config::Target;

/// Buffers of what lies above the socket, TLS: a payload's usual size and some.
const BUFFER: usize = 16 * 1024;
/// The longest head of an answer, in bytes.
const ANSWER_HEAD: usize = 64 * 1024;

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
        let config = agent_config(target)?;
        let resolver = CachedResolver {
            lookups: Arc::clone(&self.lookups),
            patience: target.connect_timeout().max(Duration::from_secs(5)),
            open: Arc::default(),
        };
        // In this order: a tunnel through the proxy, where there is one; else a socket of our
        // own, as at the beginning of the tunnel; and TLS above either.
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(WireConnector(resolver.clone()))
                .chain(RustlsConnector::default());
        Ok(Box::new(HttpTransport {
            agent: Agent::with_parts(config, connector, resolver),
            uri: target.url().as_uri().clone(),
            max_response_bytes: target.max_response_bytes(),
            stopped: Arc::new(AtomicBool::new(false)),
        }))
    }
}

fn agent_config(target: &Target) -> Result<ureq::config::Config, TransportError> {
    let proxy = match target.proxy() {
        None => None,
        Some(proxy) => Some(
            ureq::Proxy::new(proxy.expose())
                .map_err(|_| unusable("the proxy's URL cannot be used"))?,
        ),
    };
    let connect = target.connect_timeout();
    let respond = target.response_timeout();
    Ok(Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy)
        .user_agent(OUR_NAME)
        .max_response_header_size(ANSWER_HEAD)
        .accept_encoding("")
        .tls_config(tls_config(target)?)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(Duration::from_secs(90))
        .timeout_connect(Some(connect))
        .timeout_send_request(Some(respond))
        .timeout_send_body(Some(respond))
        .timeout_recv_response(Some(respond))
        .timeout_recv_body(Some(respond))
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

struct HttpTransport {
    agent: Agent,
    uri: http::Uri,
    max_response_bytes: u64,
    stopped: Arc<AtomicBool>,
}

impl Transport for HttpTransport {
    fn send(&mut self, request: Request<'_>) -> Result<Answer, TransportError> {
        self.exchange(request).map_err(|error| {
            if self.stopped.load(Ordering::Acquire) {
                TransportError {
                    kind: TransportErrorKind::Stopped,
                    message: "the dispatcher is stopping".to_owned(),
                }
            } else {
                explain(&error)
            }
        })
    }

    fn stopper(&self) -> Stopper {
        let agent = self.agent.clone();
        let stopped = Arc::clone(&self.stopped);
        Box::new(move || {
            // The flag first: an error that `shutdown` causes must be told from a hang-up.
            stopped.store(true, Ordering::Release);
            agent.clone().shutdown();
        })
    }
}

impl HttpTransport {
    fn exchange(&self, request: Request<'_>) -> Result<Answer, Error> {
        let mut outgoing = http::Request::new(request.body);
        *outgoing.method_mut() = http::Method::POST;
        *outgoing.uri_mut() = self.uri.clone();
        *outgoing.headers_mut() = request.headers;
        let response = self.agent.run(outgoing)?;
        let (parts, body) = response.into_parts();
        let mut answer = Answer {
            status: parts.status.as_u16(),
            retry_after: parts
                .headers
                .get(RETRY_AFTER)
                .map(|value| value.as_bytes().to_vec()),
            body: Vec::new(),
            complete: true,
        };
        // Once the status line is here, trouble with the rest costs the connection and not the
        // delivery. Reading to the end keeps the connection; beyond the bound it is closed.
        let mut reader = body.into_reader();
        let bounded = (&mut reader)
            .take(self.max_response_bytes)
            .read_to_end(&mut answer.body);
        answer.complete = match bounded {
            Ok(read) if (read as u64) < self.max_response_bytes => true,
            Ok(_) => matches!(reader.read(&mut [0; 1]), Ok(0)),
            Err(_) => false,
        };
        Ok(answer)
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
        Error::Io(what) => match what.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable => (Connect, what.to_string()),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => (TimedOut, what.to_string()),
            // A failed TLS handshake comes as an I/O error around rustls's.
            ErrorKind::InvalidData => (Connect, format!("TLS: {what}")),
            ErrorKind::UnexpectedEof => (
                Io,
                "the receiver closed the connection before it had answered".to_owned(),
            ),
            _ => (Io, what.to_string()),
        },
        Error::Protocol(what) => (Io, format!("the answer is not HTTP/1.1: {what}")),
        other => (Io, other.to_string()),
    };
    TransportError { kind, message }
}

fn explain_timeout(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Resolve => "the host's name was not resolved in time",
        Timeout::Connect => "no connection within timeoutMsec",
        Timeout::SendRequest | Timeout::SendBody => {
            "the request could not be sent within responseTimeoutMsec"
        }
        _ => "no answer within responseTimeoutMsec",
    }
}

/// Finds addresses where a connection is to be made; where one is kept, no look-up is needed.
#[derive(Clone, Debug)]
struct CachedResolver {
    lookups: Arc<Lookups>,
    patience: Duration,
    /// Connections that there are; a transport has one at most, and uses it for the next request.
    open: Arc<AtomicUsize>,
}

impl CachedResolver {
    fn look_up(&self, uri: &http::Uri) -> Result<Arc<[std::net::SocketAddr]>, Error> {
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
}

impl Resolver for CachedResolver {
    fn resolve(
        &self,
        uri: &http::Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        if self.open.load(Ordering::Relaxed) == 0 {
            // ureq keeps at most sixteen.
            for address in self.look_up(uri)?.iter().take(16) {
                addresses.push(*address);
            }
        }
        Ok(addresses)
    }
}

/// Makes the socket that all else is built on.
#[derive(Debug)]
struct WireConnector(CachedResolver);

impl<In: layer::Transport> layer::Connector<In> for WireConnector {
    type Out = Either<In, WireTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(tunnel) = chained {
            return Ok(Some(Either::A(tunnel)));
        }
        let looked_up;
        let mut addresses: &[std::net::SocketAddr] = &details.addrs;
        if addresses.is_empty() {
            // The kept connection turned out to be closed.
            looked_up = self.0.look_up(details.uri)?;
            addresses = &looked_up;
        }
        let stream = wire::connect(addresses, *details.timeout.after)
            .map_err(|error| in_time(error, details.timeout))?;
        let open = Arc::clone(&self.0.open);
        open.fetch_add(1, Ordering::Relaxed);
        let transport = WireTransport {
            wire: Wire::new(stream),
            open,
        };
        let weak: Weak<dyn ShutdownHandle> = Arc::downgrade(transport.wire.stream()) as _;
        (details.register_shutdown)(weak)?;
        Ok(Some(Either::B(transport)))
    }
}

/// A [`Wire`] as ureq wants it.
#[derive(Debug)]
struct WireTransport {
    wire: Wire,
    open: Arc<AtomicUsize>,
}

impl Drop for WireTransport {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl layer::Transport for WireTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.wire
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut amount = amount;
        // No time-out is set that could be the reason in this one's stead.
        if timeout.reason == Timeout::SendRequest {
            self.wire.begin(*timeout.after);
            if self.wire.hold(amount) {
                return Ok(());
            }
            amount = 0;
        }
        self.wire
            .send(amount, *timeout.after)
            .map_err(|error| in_time(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if timeout.reason == Timeout::RecvBody {
            self.wire.answer_is_here();
        }
        self.wire
            .receive(*timeout.after)
            .map_err(|error| in_time(error, timeout))
    }

    fn is_open(&mut self) -> bool {
        self.wire.is_fit()
    }
}

/// A time-out is that of its phase.
fn in_time(error: std::io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

impl Buffers for Wire {
    fn output(&mut self) -> &mut [u8] {
        self.room()
    }

    fn input(&self) -> &[u8] {
        Wire::input(self)
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.rooms().0
    }

    fn input_appended(&mut self, amount: usize) {
        self.appended(amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.consume(amount);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.rooms()
    }

    fn can_use_input(&self) -> bool {
        self.has_news()
    }
}
