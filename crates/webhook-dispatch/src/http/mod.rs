//! Sends over HTTP/1.1: one connection for each sender, kept between requests. May use shared.
//!
//! `http1` writes requests and reads answers on a [`Stream`](http1::Stream). `conn` makes the
//! stream: a plain socket (`dial`, `net`), or TLS and proxies on top of one (`ureq_layers`, the
//! only file that uses ureq). `resolver` looks names up when a connection is made.

mod conn;
mod dial;
mod explain;
pub(crate) mod header_lines;
mod http1;
mod net;
mod resolver;
mod stop;
pub(crate) mod transport;
mod ureq_layers;

use self::conn::{Conn, Dialer};
use self::explain::{explain_fault, explain_plain, explain_proxy};
use self::header_lines::decimal;
use self::http1::Connection;
use self::net::NEVER;
use self::resolver::Lookups;
use self::stop::Stop;
use self::transport::{Answer, Connector, Request, Stopper, Transport, TransportError};
use crate::shared::Observer;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_config::{Method, ProxyUrl, Target};

/// How long a connection may be idle before it is replaced.
const IDLE: Duration = Duration::from_secs(90);
/// How often it is checked whether the receiver's name still has the address of the connection.
const ADDRESS_CHECK: Duration = Duration::from_secs(1);

/// Makes transports over HTTP/1.1, plain or in TLS. Each keeps one connection.
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

    /// Resolves host names by `look_up` instead of by the system, and again after `time_to_live`
    /// instead of 30 s. `look_up` gets a name and a port, and may block: it runs on a thread of its
    /// own, at most one for each name.
    #[must_use]
    pub fn with_resolver(
        self,
        time_to_live: Duration,
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> HttpConnector {
        self.with(|settings| {
            settings.look_up = Arc::new(look_up);
            settings.time_to_live = time_to_live;
        })
    }

    /// Reports to this observer which known names can no longer be resolved.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observer>) -> HttpConnector {
        self.with(|settings| settings.observer = observer)
    }

    /// The connector with other settings, and an empty cache.
    fn with(self, change: impl FnOnce(&mut resolver::Settings)) -> HttpConnector {
        let mut settings = self.lookups.settings.clone();
        change(&mut settings);
        HttpConnector {
            lookups: Arc::new(Lookups::new(settings)),
        }
    }
}

impl Connector for HttpConnector {
    fn transport(&self, target: &Target) -> Result<Box<dyn Transport>, TransportError> {
        let stop = Arc::new(Stop::default());
        // Through a proxy, TLS goes in a tunnel.
        let is_plain = target.url().as_uri().scheme_str() == Some("http");
        let proxy = target.proxy().filter(|_| is_plain);
        Ok(Box::new(HttpTransport {
            dialer: Dialer::new(target, Arc::clone(&self.lookups), Arc::clone(&stop))?,
            stop,
            request_line: request_line(target.method(), target.url().as_uri(), proxy),
            is_plain,
            through_proxy: proxy.is_some(),
            head: Vec::new(),
            connection: None,
            address_checked: Instant::now(),
            max_age: target.max_connection_age(),
            respond: target.response_timeout().min(NEVER),
            max_response_bytes: target.max_response_bytes(),
        }))
    }
}

/// The first lines of each request: request line and `Host`, neither with user information nor the
/// scheme's default port. A proxy gets the whole URL, and its user name and password.
fn request_line(method: Method, uri: &http::Uri, proxy: Option<&ProxyUrl>) -> Vec<u8> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    let host = uri.host().unwrap_or_default();
    let default = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = match uri.port_u16() {
        Some(port) if port != default => format!(":{port}"),
        _ => String::new(),
    };
    let origin = match proxy {
        Some(_) => format!("http://{host}{port}"),
        None => String::new(),
    };
    let method = method.name();
    let lines = format!("{method} {origin}{slash}{path} HTTP/1.1\r\nhost: {host}{port}\r\n");
    let mut lines = lines.into_bytes();
    if let Some(credentials) = proxy.and_then(ProxyUrl::authorization) {
        lines.extend_from_slice(b"proxy-authorization: ");
        lines.extend_from_slice(credentials.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

struct HttpTransport {
    dialer: Dialer,
    stop: Arc<Stop>,
    request_line: Vec<u8>,
    /// Whether the URL is `http`.
    is_plain: bool,
    /// Whether a proxy gets the requests, rather than a tunnel through it.
    through_proxy: bool,
    /// The buffer of a request's head.
    head: Vec<u8>,
    connection: Option<Connection<Conn>>,
    /// When it was last checked whether the receiver's name still has the connection's address.
    address_checked: Instant,
    /// The greatest age of a connection that is used again.
    max_age: Duration,
    respond: Duration,
    max_response_bytes: u64,
}

impl Transport for HttpTransport {
    fn send(&mut self, request: Request<'_>) -> Result<Answer, TransportError> {
        self.exchange(request).map_err(|error| {
            if self.stop.is_stopped() {
                TransportError::stopped()
            } else {
                error
            }
        })
    }

    fn stopper(&self) -> Stopper {
        let stop = Arc::clone(&self.stop);
        Box::new(move || stop.stop())
    }
}

impl HttpTransport {
    /// Whether the kept connection leads to an address that the receiver's name still has.
    fn leads_to_receiver(&mut self) -> bool {
        let now = Instant::now();
        if now.saturating_duration_since(self.address_checked) < ADDRESS_CHECK {
            return true;
        }
        self.address_checked = now;
        self.dialer.leads_to_receiver()
    }

    fn exchange(&mut self, request: Request<'_>) -> Result<Answer, TransportError> {
        // A connection that cannot be reused is closed first: the receiver may limit their number.
        let kept = self.connection.take();
        let kept = kept.and_then(|kept| kept.if_reusable(IDLE, self.max_age));
        let mut connection = match kept.filter(|_| self.leads_to_receiver()) {
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
            .map_err(|fault| explain_fault(&fault, connection.is_stale(&fault)))?;
        if self.through_proxy && answer.status == 407 {
            return Err(explain_proxy("407 Proxy Authentication Required"));
        }
        if self.is_plain
            && let Some(error) = explain_plain(&answer)
        {
            return Err(error);
        }
        // A connection that is not kept is closed now rather than at the next event.
        if connection.is_kept() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_begins_with_its_request_line_and_host() {
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
            let line = request_line(Method::Post, &url.parse().unwrap(), None);
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }

    #[test]
    fn a_proxy_gets_the_whole_url() {
        let proxy = ProxyUrl::parse("http://user:secret@proxy:3128").unwrap();
        let line = request_line(
            Method::Put,
            &"http://host:8080/a?b".parse().unwrap(),
            Some(&proxy),
        );
        let expected = "PUT http://host:8080/a?b HTTP/1.1\r\nhost: host:8080\r\n\
                        proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
        let proxy = ProxyUrl::parse("http://proxy:3128").unwrap();
        let line = request_line(
            Method::Patch,
            &"http://host:80".parse().unwrap(),
            Some(&proxy),
        );
        let expected = "PATCH http://host/ HTTP/1.1\r\nhost: host\r\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
}
