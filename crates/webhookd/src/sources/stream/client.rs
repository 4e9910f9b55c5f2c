//! GET requests whose response is read for ever. The only file of webhookd that uses ureq.
//!
//! ureq writes the request, and reads the response's head, chunks and TLS. Sockets and name
//! resolution are our own, so that each wait has its bound and ends with a signal.

use super::socket::{Input, NameResolver, Socket};
use crate::signals::Signals;
use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ureq::config::Config;
use ureq::http::HeaderValue;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport as layer;
use ureq::unversioned::transport::Connector as _;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, LazyBuffers, NextTimeout, RustlsConnector,
};
use ureq::{Agent, Body, Error, Timeout};
use webhook_config::{Connection, SecretSource, Tls, read_file};

/// Bytes of the buffers above and below TLS.
const BUFFER: usize = 64 * 1024;
/// The largest file of a token or header, in bytes.
const MAX_SECRET: u64 = 64 * 1024;
/// The addresses of a name that are tried; ureq keeps no more.
const MAX_ADDRESSES: usize = 16;

/// Makes requests to one server, each on a connection of its own.
pub(super) struct Client {
    agent: Agent,
    settings: Connection,
    /// Tells whether the last connection has input.
    input: Arc<Mutex<Option<ConnectionInput>>>,
}

/// The response to a request. Its body is read from it.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The value of `Retry-After`.
    pub(super) retry_after: Option<Vec<u8>>,
    body: ureq::BodyReader<'static>,
    input: Option<ConnectionInput>,
}

impl Client {
    /// # Errors
    /// A certificate cannot be used.
    pub(super) fn new(settings: &Connection, signals: &Arc<Signals>) -> Result<Client> {
        let config = Config::builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("webhookd/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .max_idle_connections(0)
            .timeout_resolve(Some(settings.timeout()))
            .timeout_connect(Some(settings.timeout()))
            .timeout_send_request(Some(settings.timeout()))
            // A server may send the head together with its first bytes.
            .timeout_recv_response(Some(settings.silence()))
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .tls_config(tls_config(settings.tls())?)
            .build();
        let input = Arc::default();
        let connector = ()
            .chain(SocketConnector {
                signals: Arc::clone(signals),
                silence: settings.silence(),
                input: Arc::clone(&input),
            })
            .chain(RustlsConnector::default());
        let resolver = StreamResolver(NameResolver::new(Arc::clone(signals)));
        Ok(Client {
            agent: Agent::with_parts(config, connector, resolver),
            settings: settings.clone(),
            input,
        })
    }

    /// Requests a URL.
    ///
    /// # Errors
    /// There is no response; or a file of a header cannot be read. The text has no header values.
    pub(super) fn get(&self, url: &str) -> Result<Answer> {
        let mut request = self.agent.get(url);
        for header in self.settings.headers() {
            let name = header.name();
            request = match header.source() {
                SecretSource::File(path) => {
                    let value = secret(path)?;
                    request.header(name, value.as_str())
                }
                _ => request.header(name, header.value()),
            };
        }
        if let Some(path) = self.settings.token_file() {
            let value = format!("Bearer {}", secret(path)?);
            request = request.header("authorization", value);
        }
        let response = request.call().map_err(|error| explain(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.as_bytes().to_vec());
        let input = self
            .input
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Ok(Answer {
            status,
            retry_after,
            body: Body::into_reader(response.into_body()),
            input,
        })
    }
}

/// Reads a secret that may have changed since the last connection.
fn secret(path: &std::path::Path) -> Result<String> {
    let failed = || format!("cannot read {}", path.display());
    let bytes = read_file(path, MAX_SECRET).with_context(failed)?;
    let text = String::from_utf8(bytes).ok().with_context(failed)?;
    let value = text.trim();
    if HeaderValue::from_str(value).is_err() {
        let name = path.display();
        bail!("{name} holds a line break or control character, which no header may have");
    }
    Ok(value.to_owned())
}

impl Answer {
    /// Reads some of the body, as soon as there is some; 0 bytes at its end.
    ///
    /// # Errors
    /// The connection has broken before the end of the body, or was silent for too long.
    pub(super) fn read(&mut self, room: &mut [u8]) -> Result<usize> {
        self.body
            .read(room)
            .map_err(|error| match Error::from(error) {
                Error::Timeout(_) => anyhow::anyhow!("nothing has come for silenceMsec"),
                Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    anyhow::anyhow!("the connection ended in the middle of the response")
                }
                error => explain(&error).context("the connection has broken"),
            })
    }

    /// Waits for bytes that can be read, at most this long.
    pub(super) fn has_input_within(&self, longest: Duration) -> bool {
        self.input
            .as_ref()
            .is_none_or(|input| input.is_ready_within(longest))
    }
}

fn explain(error: &Error) -> anyhow::Error {
    match error {
        Error::Timeout(Timeout::RecvResponse) => {
            anyhow::anyhow!("no response has come for silenceMsec")
        }
        Error::Timeout(_) => anyhow::anyhow!("it cannot be reached within timeoutMsec"),
        Error::HostNotFound => anyhow::anyhow!("the host's name is not known"),
        Error::ConnectionFailed => anyhow::anyhow!("no connection"),
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            anyhow::anyhow!("TLS: {error}")
        }
        Error::Io(error) => anyhow::anyhow!("{error}"),
        Error::Tls(why) => anyhow::anyhow!("TLS: {why}"),
        Error::Rustls(error) => anyhow::anyhow!("TLS: {error}"),
        Error::Protocol(error) => anyhow::anyhow!("the response is not HTTP/1.1: {error}"),
        error => anyhow::anyhow!("{error}"),
    }
}

fn tls_config(tls: &Tls) -> Result<TlsConfig> {
    let mut builder = TlsConfig::builder();
    if let Some(pem) = tls.ca_pem() {
        builder = builder.root_certs(RootCerts::new_with_certs(&certificates(pem, "caFile")?));
    }
    if let Some(client) = tls.client() {
        let chain = certificates(client.certificate_pem(), "clientCertFile")?;
        let key = PrivateKey::from_pem(client.key_pem())
            .map_err(|_| anyhow::anyhow!("tls.clientKeyFile holds no private key"))?;
        builder = builder.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(builder.build())
}

fn certificates(pem: &[u8], key: &str) -> Result<Vec<Certificate<'static>>> {
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => bail!("tls.{key} is not PEM"),
        }
    }
    if found.is_empty() {
        bail!("tls.{key} holds no certificate");
    }
    Ok(found)
}

#[derive(Debug)]
struct StreamResolver(NameResolver);

impl Resolver for StreamResolver {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(Error::HostNotFound);
        };
        let host = DefaultResolver::host_and_port(scheme, authority).ok_or(Error::HostNotFound)?;
        let found = self.0.look_up(&host, *timeout.after);
        let found = found.map_err(|error| in_time(error, timeout.reason))?;
        let mut addresses = self.empty();
        for address in found.into_iter().take(MAX_ADDRESSES) {
            addresses.push(address);
        }
        match addresses.is_empty() {
            true => Err(Error::HostNotFound),
            false => Ok(addresses),
        }
    }
}

/// Connects the socket below the layers.
struct SocketConnector {
    signals: Arc<Signals>,
    silence: Duration,
    input: Arc<Mutex<Option<ConnectionInput>>>,
}

impl fmt::Debug for SocketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketConnector").finish_non_exhaustive()
    }
}

impl<In: layer::Transport> layer::Connector<In> for SocketConnector {
    type Out = SocketTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<In>,
    ) -> Result<Option<SocketTransport>, Error> {
        let within = *details.timeout.after;
        let socket = Socket::connect(&details.addrs, within, &self.signals)
            .map_err(|error| in_time(error, details.timeout.reason))?;
        let transport = SocketTransport::new(socket, self.silence);
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        *input = transport.input(details.needs_tls());
        Ok(Some(transport))
    }
}

/// A socket as a transport of ureq's layers.
#[derive(Debug)]
struct SocketTransport {
    socket: Socket,
    buffers: CountedBuffers,
    /// The longest time without a byte.
    silence: Duration,
}

impl SocketTransport {
    fn new(socket: Socket, silence: Duration) -> SocketTransport {
        SocketTransport {
            socket,
            buffers: CountedBuffers {
                buffers: LazyBuffers::new(BUFFER, BUFFER),
                unread: Arc::default(),
            },
            silence,
        }
    }

    fn input(&self, is_encrypted: bool) -> Option<ConnectionInput> {
        Some(ConnectionInput {
            socket: self.socket.input().ok()?,
            encrypted: is_encrypted.then(|| Arc::clone(&self.buffers.unread)),
        })
    }
}

/// Tells whether a connection has input.
struct ConnectionInput {
    socket: Input,
    /// How many bytes were received that TLS has not read, since it reads some records at a time.
    /// `None` without TLS, where only an unfinished chunk is left unread.
    encrypted: Option<Arc<AtomicUsize>>,
}

impl ConnectionInput {
    fn is_ready_within(&self, longest: Duration) -> bool {
        let encrypted = self.encrypted.as_ref();
        encrypted.is_some_and(|unread| unread.load(Ordering::Relaxed) > 0)
            || self.socket.is_ready_within(longest)
    }
}

/// Buffers that count the bytes of input in them.
#[derive(Debug)]
struct CountedBuffers {
    buffers: LazyBuffers,
    unread: Arc<AtomicUsize>,
}

impl CountedBuffers {
    fn count(&self) {
        self.unread
            .store(self.buffers.input().len(), Ordering::Relaxed);
    }
}

impl Buffers for CountedBuffers {
    fn output(&mut self) -> &mut [u8] {
        self.buffers.output()
    }

    fn input(&self) -> &[u8] {
        self.buffers.input()
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.buffers.input_append_buf()
    }

    fn input_appended(&mut self, amount: usize) {
        self.buffers.input_appended(amount);
        self.count();
    }

    fn input_consume(&mut self, amount: usize) {
        self.buffers.input_consume(amount);
        self.count();
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.buffers.tmp_and_output()
    }

    fn can_use_input(&self) -> bool {
        self.buffers.can_use_input()
    }
}

impl layer::Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let within = (*timeout.after).min(self.silence);
        let bytes = self.buffers.output().get(..amount).unwrap_or_default();
        self.socket
            .send(bytes, within)
            .map_err(|error| in_time(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let within = (*timeout.after).min(self.silence);
        let room = self.buffers.input_append_buf();
        let received = self
            .socket
            .receive(room, within)
            .map_err(|error| in_time(error, timeout.reason))?;
        self.buffers.input_appended(received);
        Ok(received > 0)
    }

    fn is_open(&mut self) -> bool {
        false
    }
}

/// Converts an error; a time-out gets its phase.
fn in_time(error: std::io::Error, phase: Timeout) -> Error {
    match error.kind() {
        ErrorKind::TimedOut if error.raw_os_error() != Some(Errno::TIMEDOUT.raw_os_error()) => {
            Error::Timeout(phase)
        }
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use layer::Transport as _;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    fn a_secret_that_is_no_header_is_named_by_its_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "one\ntwo\n").unwrap();
        let why = secret(&token).unwrap_err().to_string();
        assert!(why.contains("token holds a line break"), "{why}");
        assert!(!why.contains("one"), "{why}");
        std::fs::write(&token, "one\n").unwrap();
        assert_eq!(secret(&token).unwrap(), "one");
    }

    #[test]
    fn bytes_that_tls_has_not_read_are_input() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wait = Duration::from_secs(60);
        let signals = Arc::new(Signals::none());
        let socket = Socket::connect(&[address], wait, &signals).unwrap();
        let mut transport = SocketTransport::new(socket, wait);
        let encrypted = transport.input(true).unwrap();
        let plain = transport.input(false).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"two records").unwrap();
        assert!(encrypted.is_ready_within(wait) && plain.is_ready_within(wait));
        let timeout = NextTimeout {
            after: wait.into(),
            per_read: None,
            per_write: None,
            reason: Timeout::RecvBody,
        };
        transport.await_input(timeout).unwrap();
        assert!(!plain.is_ready_within(Duration::ZERO));
        for read in [3, 8] {
            assert!(encrypted.is_ready_within(Duration::ZERO));
            transport.buffers().input_consume(read);
        }
        assert!(!encrypted.is_ready_within(Duration::ZERO));
    }
}
