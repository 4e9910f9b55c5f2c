//! Who is refused: browsers that somebody else's page has sent, and who has no token.

use super::problem::Problem;
use crate::log::Sparing;
use anyhow::{Context, Result, bail};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hmac_sha256::HMAC;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a token, at most.
const MAX_TOKEN: usize = 4096;
/// What anybody may ask: probes carry no token, and name the host as they please.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// What is refused on a listener.
#[derive(Clone, Debug)]
pub(super) struct Guard(Option<Arc<Rules>>);

#[derive(Debug)]
struct Rules {
    bound: IpAddr,
    names: Vec<String>,
    token_file: Option<PathBuf>,
    /// Whoever asks again and again does not fill the log.
    unreadable: Sparing,
}

impl Guard {
    /// Refuses nobody: the file system does.
    pub(super) fn of_the_file_system() -> Guard {
        Guard(None)
    }

    pub(super) fn of_an_address(
        bound: IpAddr,
        names: Vec<String>,
        token_file: Option<PathBuf>,
    ) -> Guard {
        Guard(Some(Arc::new(Rules {
            bound,
            names,
            token_file,
            unreadable: Sparing::new(),
        })))
    }
}

/// Lets a request through, or answers it.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let refusal = guard.0.as_ref().and_then(|rules| rules.refuse(&request));
    match refusal {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

impl Rules {
    fn refuse(&self, request: &Request) -> Option<Response> {
        if OPEN.contains(&request.uri().path()) {
            return None;
        }
        self.refuse_foreign(request.headers())
            .or_else(|| self.refuse_stranger(request.headers()))
    }

    /// A name that is not this program's means that a foreign name leads here; an origin that is
    /// not the host itself, that a foreign page asks.
    fn refuse_foreign(&self, headers: &HeaderMap) -> Option<Response> {
        let host = headers.get(HOST);
        if host.is_some_and(|host| !self.knows(host)) {
            let detail = "the request's Host is neither localhost nor this address, nor named by \
                          --admin-host";
            return Some(Problem::new(StatusCode::FORBIDDEN, detail).into_response());
        }
        let same = |origin: &HeaderValue| {
            let origin = origin.as_bytes();
            let authority = origin
                .strip_prefix(b"http://")
                .or_else(|| origin.strip_prefix(b"https://"));
            authority.is_some() && authority == host.map(HeaderValue::as_bytes)
        };
        if headers.get(ORIGIN).is_some_and(|origin| !same(origin)) {
            let detail = "the request comes from another origin: somebody else's page";
            return Some(Problem::new(StatusCode::FORBIDDEN, detail).into_response());
        }
        None
    }

    fn knows(&self, host: &HeaderValue) -> bool {
        let Ok(authority) = Authority::try_from(host.as_bytes()) else {
            return false;
        };
        let name = authority.host();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            // Bound to all addresses, it has those of the machine; no name server can give one.
            return address.is_loopback() || address == self.bound || self.bound.is_unspecified();
        }
        let named = |known: &String| known.eq_ignore_ascii_case(name);
        name.eq_ignore_ascii_case("localhost") || self.names.iter().any(named)
    }

    fn refuse_stranger(&self, headers: &HeaderMap) -> Option<Response> {
        let file = self.token_file.as_ref()?;
        let token = match read_token(file) {
            Ok(token) => token,
            Err(error) => {
                let tell = || tracing::error!("nobody is answered on --admin: {error:#}");
                self.unreadable.log(tell);
                let detail = "the token cannot be read; see webhookd's log";
                return Some(
                    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response(),
                );
            }
        };
        if bearer(headers).is_some_and(|given| equal(given, &token)) {
            return None;
        }
        let detail = "Authorization: Bearer, and the content of --admin-token-file, is missing or \
                      wrong";
        let mut refusal = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
        let scheme = HeaderValue::from_static("Bearer");
        refusal.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        Some(refusal)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// Whether both are the same, in a time that does not tell how much of them is.
fn equal(given: &[u8], token: &[u8]) -> bool {
    let key = b"webhookd --admin-token-file";
    HMAC::verify(given, key, &HMAC::mac(token, key))
}

/// The token, without blanks around it.
///
/// # Errors
/// There is none.
pub(super) fn read_token(file: &Path) -> Result<Vec<u8>> {
    let shown = file.display();
    let content = std::fs::read(file)
        .with_context(|| format!("cannot read the token in {shown} (--admin-token-file)"))?;
    let token = content.trim_ascii();
    if token.is_empty() || token.len() > MAX_TOKEN {
        bail!("{shown} holds no token: --admin-token-file wants one of 1 to {MAX_TOKEN} bytes");
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        bail!("the token in {shown} cannot be sent: it may hold ASCII without blanks alone");
    }
    Ok(token.to_vec())
}

/// Has no browser guess what an answer is, nor keep it, nor show it in a frame.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bound: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let rules = Rules {
            bound: bound.parse().unwrap(),
            names: vec!["hooks.example.com".to_owned()],
            token_file: None,
            unreadable: Sparing::new(),
        };
        let mut request = Request::builder().uri("/metrics");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        rules.refuse(&request).map(|it| it.status().as_u16())
    }

    #[test]
    fn a_name_that_is_not_its_own_is_refused() {
        for (bound, host, is_refused) in [
            ("127.0.0.1", "localhost:9090", false),
            ("127.0.0.1", "127.0.0.1:9090", false),
            ("127.0.0.1", "[::1]:9090", false),
            ("127.0.0.1", "HOOKS.example.com", false),
            ("127.0.0.1", "evil.example.com:9090", true),
            ("127.0.0.1", "10.0.0.1:9090", true),
            ("127.0.0.1", "localhost.evil.example.com", true),
            ("127.0.0.1", "", true),
            ("10.0.0.1", "10.0.0.1:9090", false),
            ("0.0.0.0", "10.0.0.7:9090", false),
            ("0.0.0.0", "evil.example.com", true),
        ] {
            let status = refused(bound, &[("host", host)]);
            assert_eq!(status.is_some(), is_refused, "{host} on {bound}");
        }
        assert_eq!(refused("127.0.0.1", &[]), None, "HTTP/1.0 has no Host");
    }

    #[test]
    fn a_foreign_page_is_refused_and_the_programs_own_is_not() {
        let host = ("host", "localhost:9090");
        for (origin, is_refused) in [
            ("http://localhost:9090", false),
            ("http://localhost:9091", true),
            ("http://evil.example.com", true),
            ("null", true),
            ("", true),
        ] {
            let status = refused("127.0.0.1", &[host, ("origin", origin)]);
            assert_eq!(status, is_refused.then_some(403), "{origin:?}");
        }
    }

    #[test]
    fn a_token_is_compared_as_a_whole() {
        assert!(equal(b"secret", b"secret"));
        for wrong in ["", "secre", "secrets", "Secret"] {
            assert!(!equal(wrong.as_bytes(), b"secret"), "{wrong}");
        }
    }
}
