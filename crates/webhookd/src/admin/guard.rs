//! Rejects cross-origin and unauthenticated requests.

use super::page;
use super::problem::Problem;
use crate::auth::Tokens;
use crate::http::{Hosts, OutOfReserve, is_cross_origin};
use crate::log::RateLimitedLog;
use axum::extract::{Request, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Paths that are not guarded: a probe sends no token, and any `Host`.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// The rules of a listener; `None` lets every request through.
#[derive(Clone, Debug)]
pub(super) struct Guard(Option<Arc<Rules>>);

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Access {
    /// Read and change.
    Write,
}

#[derive(Debug)]
struct Rules {
    hosts: Hosts,
    token_file: Option<PathBuf>,
    /// Repeated requests do not fill the log.
    unreadable: RateLimitedLog,
}

impl Guard {
    /// For a socket whose permissions decide who may connect.
    pub(super) fn open() -> Guard {
        Guard(None)
    }

    /// For a listener at an address.
    pub(super) fn at(bound: IpAddr, names: Vec<String>, token_file: Option<PathBuf>) -> Guard {
        Guard(Some(Arc::new(Rules {
            hosts: Hosts {
                bound,
                names,
                local_hosts: false,
            },
            token_file,
            unreadable: RateLimitedLog::new(),
        })))
    }
}

/// Passes a request on, or rejects it.
pub(super) async fn check(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.extensions().get::<OutOfReserve>().is_some() {
        let detail = "too many connections are open; try again later";
        let later = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        return (later, problem).into_response();
    }
    let rejection = guard.0.as_ref().and_then(|rules| rules.reject(&request));
    match rejection {
        Some(rejection) => rejection,
        None => {
            request.extensions_mut().insert(Access::Write);
            next.run(request).await
        }
    }
}

impl Rules {
    fn reject(&self, request: &Request) -> Option<Response> {
        if OPEN.contains(&request.uri().path()) {
            return None;
        }
        if let Some(rejection) = self.reject_cross_origin(request.headers()) {
            return Some(rejection);
        }
        if page::is_for_page(request) {
            return None;
        }
        self.reject_unauthenticated(request.headers())
    }

    /// Rejects a `Host` that is not ours, and an `Origin` that is not the host.
    fn reject_cross_origin(&self, headers: &HeaderMap) -> Option<Response> {
        if !self.hosts.accept(headers) {
            let detail = "the request's Host is neither localhost nor this address, nor named by \
                          --admin-host";
            return Some(Problem::new(StatusCode::FORBIDDEN, detail).into_response());
        }
        if is_cross_origin(headers) {
            let detail = "the request comes from another origin, a page of another site";
            return Some(Problem::new(StatusCode::FORBIDDEN, detail).into_response());
        }
        None
    }

    fn reject_unauthenticated(&self, headers: &HeaderMap) -> Option<Response> {
        // Read for each request, so that it can be exchanged at any time.
        let file = self.token_file.as_ref()?;
        let token = match Tokens::read_one(file) {
            Ok(token) => token,
            Err(error) => {
                self.unreadable
                    .log(|| tracing::error!("every request to --admin is rejected: {error:#}"));
                let detail = "the token cannot be read; see webhookd's log";
                return Some(
                    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response(),
                );
            }
        };
        if token.authenticate(headers) {
            return None;
        }
        let detail = "Authorization: Bearer with the content of --admin-token-file is missing or \
                      wrong";
        let mut rejection = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
        let scheme = HeaderValue::from_static("Bearer");
        rejection.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        Some(rejection)
    }
}

/// Forbids browsers to guess the type of a response, to cache it and to frame it.
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

    fn rejected(bound: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let rules = Rules {
            hosts: Hosts {
                bound: bound.parse().unwrap(),
                names: vec!["hooks.example.com".to_owned()],
                local_hosts: false,
            },
            token_file: None,
            unreadable: RateLimitedLog::new(),
        };
        let mut request = Request::builder().uri("/metrics");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        rules.reject(&request).map(|it| it.status().as_u16())
    }

    #[test]
    fn a_foreign_host_is_rejected() {
        for (bound, host, is_rejected) in [
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
            let status = rejected(bound, &[("host", host)]);
            assert_eq!(status.is_some(), is_rejected, "{host} on {bound}");
        }
        assert_eq!(rejected("127.0.0.1", &[]), None, "HTTP/1.0 has no Host");
    }

    #[test]
    fn another_origin_is_rejected_and_the_programs_own_is_not() {
        let host = ("host", "localhost:9090");
        for (origin, is_rejected) in [
            ("http://localhost:9090", false),
            ("http://localhost:9091", true),
            ("http://evil.example.com", true),
            ("null", true),
            ("", true),
        ] {
            let status = rejected("127.0.0.1", &[host, ("origin", origin)]);
            assert_eq!(status, is_rejected.then_some(403), "{origin:?}");
        }
    }
}
