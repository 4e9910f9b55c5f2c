//! The client of the admin API.

use super::options::UNIX;
use crate::auth::Tokens;
use crate::http::{ClientTls, connect_in, split_path};
use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a response may take. Many dead letters are replayed or dropped in one request.
const RESPONSE: Duration = Duration::from_secs(300);
/// The longest response that is read, in bytes. A page of dead letters is well below it.
const LONGEST: usize = 256 << 20;
/// The socket's name in the queue's directory.
pub(super) const SOCKET: &str = "admin.sock";

/// The address of an admin API.
#[derive(Clone, Debug)]
enum Address {
    /// `HOST:PORT`.
    Tcp(String, Option<ClientTls>),
    /// The socket in the queue's directory.
    Local(PathBuf),
    /// A socket at this path.
    Unix(PathBuf),
}

/// Sends requests to a running program.
#[derive(Debug)]
pub(crate) struct Client {
    runtime: Runtime,
    address: Address,
    /// The value of `Authorization`.
    token: Option<HeaderValue>,
    /// How long a response may take.
    response: Duration,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// The part of problem details, RFC 9457, that people read.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Client {
    /// A client for an address: `http://HOST:PORT`, `https://HOST:PORT`, `HOST:PORT`, a port of this
    /// machine, or `unix:PATH`. The files have its token, and the authorities of its certificate.
    ///
    /// # Errors
    /// The address is not valid, or a file cannot be read.
    pub(crate) fn at(
        address: &str,
        token_file: Option<&Path>,
        ca_file: Option<&Path>,
    ) -> Result<Client> {
        let (plain, is_tls) = match address.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (address, false),
        };
        let tls = match (is_tls, ca_file) {
            (true, Some(file)) => Some(ClientTls::trusting(file).context("--admin-ca-file")?),
            (true, None) => bail!(
                "--admin {address}: name the authority of its certificate by --admin-ca-file FILE; \
                 those that a system trusts are in a file, too, such as \
                 /etc/ssl/certs/ca-certificates.crt"
            ),
            (false, Some(_)) => bail!("--admin-ca-file is for an address https://HOST:PORT"),
            (false, None) => None,
        };
        let address = match plain.strip_prefix(UNIX) {
            Some(path) if !is_tls => Address::Unix(PathBuf::from(path)),
            _ => Address::Tcp(authority(plain)?, tls),
        };
        let token = match token_file {
            Some(file) => Tokens::read_one(file)?.authorization(),
            None => None,
        };
        Client::new(address, token)
    }

    /// A client for the program that has a queue open.
    ///
    /// # Errors
    /// The system refuses the resources.
    pub(crate) fn of_queue(queue: &Path) -> Result<Client> {
        Client::new(Address::Local(queue.to_owned()), None)
    }

    fn new(address: Address, token: Option<HeaderValue>) -> Result<Client> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a client")?;
        Ok(Client {
            runtime,
            address,
            token,
            response: RESPONSE,
        })
    }

    /// The same, for requests that are answered within this time.
    pub(crate) fn within(self, response: Duration) -> Client {
        Client { response, ..self }
    }

    /// GETs JSON.
    ///
    /// # Errors
    /// There is no response, or it is a problem.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Method::GET, path, None)?.json()
    }

    /// POSTs, with a JSON document if there is one to send.
    ///
    /// # Errors
    /// There is no response. A problem is a response.
    pub(crate) fn post(&self, path: &str, json: Option<&serde_json::Value>) -> Result<Response> {
        let body = json.map(serde_json::Value::to_string);
        self.send(Method::POST, path, body)
    }

    /// DELETEs.
    ///
    /// # Errors
    /// There is no response. A problem is a response.
    pub(crate) fn delete(&self, path: &str) -> Result<Response> {
        self.send(Method::DELETE, path, None)
    }

    /// Makes one request, on a connection of its own.
    ///
    /// # Errors
    /// There is no response.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        json: Option<String>,
    ) -> Result<Response> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.host())
            .header(ACCEPT, "*/*");
        if json.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let body = Full::new(Bytes::from(json.unwrap_or_default()));
        let request = request.body(body).context("the request cannot be made")?;
        self.runtime
            .block_on(self.exchange(request))
            .with_context(|| format!("no response from {self}"))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response> {
        let connecting = async {
            let stream: Box<dyn Stream> = match &self.address {
                Address::Tcp(authority, tls) => {
                    let stream = TcpStream::connect(authority).await?;
                    match tls {
                        Some(tls) => Box::new(tls.connect(authority, stream).await?),
                        None => Box::new(stream),
                    }
                }
                Address::Local(queue) => Box::new(connect_in(queue, SOCKET)?),
                Address::Unix(path) => {
                    let (directory, name) = split_path(path)?;
                    Box::new(connect_in(directory, name)?)
                }
            };
            anyhow::Ok(stream)
        };
        let stream = tokio::time::timeout(CONNECT, connecting)
            .await
            .map_err(|_| anyhow!("no connection within {} s", CONNECT.as_secs()))??;
        let answering = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(Box::into_pin(stream))).await?;
            let connection = tokio::spawn(connection);
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST).collect().await;
            let body = body.map_err(|error| anyhow!("{error}"))?.to_bytes();
            connection.abort();
            anyhow::Ok(Response { status, body })
        };
        tokio::time::timeout(self.response, answering)
            .await
            .map_err(|_| anyhow!("none within {} s", self.response.as_secs()))?
    }

    fn host(&self) -> &str {
        match &self.address {
            Address::Tcp(authority, _) => authority,
            Address::Local(_) | Address::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(authority, None) => write!(f, "webhookd at {authority}"),
            Address::Tcp(authority, Some(_)) => write!(f, "webhookd at https://{authority}"),
            Address::Unix(path) => write!(f, "webhookd at {UNIX}{}", path.display()),
            Address::Local(queue) => write!(f, "the webhookd that uses {}", queue.display()),
        }
    }
}

impl Response {
    /// The document of a success.
    ///
    /// # Errors
    /// It is a problem, or not a document of this type.
    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<T> {
        let answer = self.check()?;
        serde_json::from_slice(&answer.body)
            .context("the response is not what this version of webhookd expects")
    }

    /// Returns a success.
    ///
    /// # Errors
    /// The detail of a problem.
    pub(crate) fn check(self) -> Result<Response> {
        if self.status.is_success() {
            return Ok(self);
        }
        match self.status {
            StatusCode::UNAUTHORIZED => bail!("name the token with --admin-token-file"),
            _ => bail!("{}", self.detail()),
        }
    }

    /// The detail of a problem.
    pub(crate) fn detail(&self) -> String {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => problem.detail,
            Err(_) => format!("it responded {}: is that webhookd's --admin?", self.status),
        }
    }
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// The `HOST:PORT` of an address without `https://`.
fn authority(address: &str) -> Result<String> {
    let wanted = || {
        format!(
            "--admin {address:?}: write http://HOST:PORT, https://HOST:PORT, HOST:PORT, PORT or \
             unix:PATH"
        )
    };
    let address = address.trim_end_matches('/');
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    if scheme != "http" || rest.is_empty() || rest.contains(['/', '@', '?', '#', ' ']) {
        bail!("{}", wanted());
    }
    if rest.parse::<u16>().is_ok() {
        return Ok(format!("127.0.0.1:{rest}"));
    }
    let port = rest
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    port.map(|_| rest.to_owned()).with_context(wanted)
}

/// Encodes a segment of a path, so that a name cannot change the path.
pub(crate) fn segment(text: &str) -> String {
    encode(text)
}

/// Encodes a query of `name=value` pairs.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        query.push_str(&encode(&value));
    }
    query
}

/// All but the unreserved characters of RFC 3986, section 2.3, percent-encoded.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_written_in_three_ways() {
        for (address, expected) in [
            ("9090", "127.0.0.1:9090"),
            ("box:9090", "box:9090"),
            ("[::1]:9090", "[::1]:9090"),
            ("http://box:9090/", "box:9090"),
        ] {
            assert_eq!(authority(address).unwrap(), expected);
        }
        for bad in [
            "",
            "box",
            "http://",
            "https://box:1",
            "ftp://box:1",
            "http://u@box:1",
            "a b:1",
        ] {
            let error = authority(bad).unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{bad}: {error}");
        }
    }

    #[test]
    fn names_and_values_are_encoded() {
        assert_eq!(segment("../a b"), "..%2Fa%20b");
        let pairs = [("job", "*/x&y".to_owned()), ("since", "2h".to_owned())];
        assert_eq!(query(pairs), "?job=%2A%2Fx%26y&since=2h");
        assert_eq!(query([]), "");
    }
}
