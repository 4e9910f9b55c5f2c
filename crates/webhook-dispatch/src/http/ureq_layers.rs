//! Connections in TLS, directly and through a tunnel. The only file that uses ureq.
//!
//! ureq's chain of connectors makes the connection over our socket. Its requests, agent and pool
//! are not used: docs/architecture.md says why. No proxy is taken from the environment.

use crate::http::dial::dial;
use crate::http::explain::{Phase, explain_io, explain_proxy, explain_resolve, explain_tls};
use crate::http::http1::Stream;
use crate::http::net::{NEVER, Socket};
use crate::http::resolver::Resolving;
use crate::http::stop::Stop;
use crate::http::transport::{TransportError, TransportErrorKind};
use crate::shared::DEFAULT_USER_AGENT;
use std::io::ErrorKind;
use std::sync::Arc;
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

/// Bytes of the buffers above and below TLS: more than a usual body has.
const BUFFER: usize = 16 * 1024;

/// Makes connections to a target in TLS, through a tunnel if there is a proxy.
pub(crate) struct Layers {
    config: Config,
    resolver: CachedResolver,
    chain: Arc<Chain>,
}

impl Layers {
    /// # Errors
    /// The target's settings cannot be used.
    pub(crate) fn new(
        target: &Target,
        resolving: Resolving,
        stop: Arc<Stop>,
    ) -> Result<Layers, TransportError> {
        Ok(Layers {
            config: layer_config(target)?,
            resolver: CachedResolver(resolving),
            chain: chain(stop),
        })
    }

    /// # Errors
    /// No connection could be made.
    pub(crate) fn dial(
        &self,
        uri: &http::Uri,
        within: Duration,
    ) -> Result<Layered, TransportError> {
        self.try_dial(uri, within)
            .map(Layered)
            .map_err(|error| explain(&error))
    }

    fn try_dial(
        &self,
        uri: &http::Uri,
        within: Duration,
    ) -> Result<Box<dyn layer::Transport>, Error> {
        let addrs = match self.config.proxy() {
            None => self.resolver.addresses(uri)?,
            Some(proxy) => {
                // The proxy resolves the target's name. Its own name is cached here, so that the
                // look-up takes none of the time to connect.
                self.resolver.addresses(proxy.uri())?;
                self.resolver.empty()
            }
        };
        let details = ConnectionDetails {
            uri,
            addrs,
            config: &self.config,
            request_level: false,
            resolver: &self.resolver,
            now: LayerInstant::now(),
            timeout: NextTimeout {
                after: within.into(),
                reason: Timeout::Connect,
                ..NextTimeout::default()
            },
            current_time: Arc::new(LayerInstant::now),
            run_connector: Arc::clone(&self.chain) as _,
            // `dial` registers our sockets with `Stop` itself.
            register_shutdown: Arc::new(|_| Ok(())),
        };
        let mut transport = (self.chain)(&details)?;
        // Input before the first request would be taken for its answer.
        if !transport.buffers().input().is_empty() {
            let early = "the server sent bytes before the request";
            return Err(Error::Io(std::io::Error::other(early)));
        }
        if details.needs_tls() && !transport.is_tls() {
            return Err(Error::TlsRequired);
        }
        Ok(transport)
    }
}

/// A connection through layers.
#[derive(Debug)]
pub(crate) struct Layered(Box<dyn layer::Transport>);

impl Stream for Layered {
    fn send(&mut self, head: &[u8], body: &[u8], until: Instant) -> std::io::Result<()> {
        send_through(&mut *self.0, [head, body], until)
    }

    fn receive(&mut self, room: &mut [u8], until: Instant) -> std::io::Result<usize> {
        let timeout = next_timeout(until, Timeout::RecvResponse);
        self.0.maybe_await_input(timeout).map_err(into_io)?;
        let buffers = self.0.buffers();
        let input = buffers.input();
        let length = input.len().min(room.len());
        if let (Some(room), Some(input)) = (room.get_mut(..length), input.get(..length)) {
            room.copy_from_slice(input);
        }
        buffers.input_consume(length);
        Ok(length)
    }

    fn is_quiet(&mut self) -> bool {
        // A read without time to wait shows input that is below TLS.
        let no_time = next_timeout(Instant::now(), Timeout::RecvResponse);
        self.0.buffers().input().is_empty()
            && self.0.is_open()
            && matches!(self.0.await_input(no_time), Err(Error::Timeout(_)))
    }
}

/// Sends both parts in as few pieces as the buffer allows.
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
            let (now, rest) = part.split_at(length);
            if let Some(room) = room.get_mut(..length) {
                room.copy_from_slice(now);
            }
            part = rest;
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
    let timeout = next_timeout(until, Timeout::SendRequest);
    transport.transmit_output(amount, timeout).map_err(into_io)
}

fn next_timeout(until: Instant, reason: Timeout) -> NextTimeout {
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

/// A tunnel through the proxy, if there is one, or a plain socket, which a tunnel begins with, too;
/// and TLS above either.
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

/// ureq's configuration for a connection.
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
        .user_agent(DEFAULT_USER_AGENT)
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
    TransportError::new(TransportErrorKind::Connect, message)
}

/// Explains an error without secrets of the configuration.
fn explain(error: &Error) -> TransportError {
    use TransportErrorKind::{Connect, Io};
    let (kind, message) = match error {
        Error::Timeout(Timeout::Resolve) => {
            return explain_resolve(ErrorKind::TimedOut.into());
        }
        Error::Timeout(_) => {
            return explain_io(&ErrorKind::TimedOut.into(), Phase::Connecting);
        }
        Error::HostNotFound => return explain_resolve(ErrorKind::NotFound.into()),
        Error::ConnectionFailed => (Connect, "no connection".to_owned()),
        Error::Tls(what) => return explain_tls(what),
        Error::Rustls(what) => return explain_tls(what),
        Error::ConnectProxyFailed(what) => return explain_proxy(what),
        Error::Io(what) => return explain_io(what, Phase::Connecting),
        // Only the proxy sends HTTP before the connection is made.
        Error::Protocol(what) => (
            Connect,
            format!("the proxy's answer is not HTTP/1.1: {what}"),
        ),
        other => (Io, other.to_string()),
    };
    TransportError::new(kind, message)
}

/// Resolves names for ureq, by our cache.
#[derive(Clone, Debug)]
struct CachedResolver(Resolving);

impl CachedResolver {
    /// The first 16 addresses: ureq keeps no more.
    fn addresses(&self, uri: &http::Uri) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.0.resolve(uri).map_err(|error| match error.kind() {
            ErrorKind::TimedOut => Error::Timeout(Timeout::Resolve),
            _ => Error::HostNotFound,
        })?;
        let mut addresses = self.empty();
        for address in found.iter().take(16) {
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
        self.addresses(uri)
    }
}

/// Connects the socket below the layers.
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
        let made_by = ends(details.timeout);
        let socket = dial(&details.addrs, *details.timeout.after, &self.0)
            .map_err(|error| in_time(error, Timeout::Connect))?;
        let buffers = LazyBuffers::new(BUFFER, BUFFER);
        Ok(Some(Either::B(SocketTransport {
            socket,
            buffers,
            made_by,
        })))
    }
}

/// A socket as a transport of ureq's layers.
#[derive(Debug)]
struct SocketTransport {
    socket: Socket,
    buffers: LazyBuffers,
    /// The deadline for all layers of the connection.
    made_by: Instant,
}

impl SocketTransport {
    fn ends(&self, timeout: NextTimeout) -> Instant {
        match timeout.reason {
            Timeout::Connect => ends(timeout).min(self.made_by),
            _ => ends(timeout),
        }
    }
}

impl layer::Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let until = self.ends(timeout);
        let output = self.buffers.output();
        let bytes = output.get(..amount).unwrap_or_default();
        self.socket
            .send(bytes, &[], until)
            .map_err(|error| in_time(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let until = self.ends(timeout);
        let room = self.buffers.input_append_buf();
        let received = self
            .socket
            .receive(room, until)
            .map_err(|error| in_time(error, timeout.reason))?;
        self.buffers.input_appended(received);
        Ok(received > 0)
    }

    fn is_open(&mut self) -> bool {
        self.buffers.input().is_empty() && self.socket.is_quiet()
    }
}

fn ends(timeout: NextTimeout) -> Instant {
    Instant::now() + (*timeout.after).min(NEVER)
}

/// Converts an error; a time-out gets its phase.
fn in_time(error: std::io::Error, phase: Timeout) -> Error {
    match error.kind() {
        // A text is kept: it says what the addresses before answered.
        ErrorKind::TimedOut if error.get_ref().is_none() => Error::Timeout(phase),
        _ => Error::Io(error),
    }
}
