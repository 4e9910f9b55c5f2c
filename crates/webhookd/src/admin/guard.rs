//! Rejects cross-origin and unauthenticated requests, and changes by a token that only reads.

use super::audit::Action;
use super::page;
use super::problem::Problem;
use crate::auth::Tokens;
use crate::http::{Hosts, OutOfReserve, is_cross_origin, is_foreign_fetch};
use crate::log::RateLimitedLog;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Paths that are not guarded: a probe sends no token, and any `Host`.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// POSTs that change nothing: their bodies are what is asked for.
const READING: [&str; 2] = ["/api/v1/config/validate", "/api/v1/tasks"];

/// Headers of every response.
const HARDENED: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
];
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-opener-policy");

/// The rules of a listener; `None` lets every request through.
#[derive(Clone, Debug)]
pub(super) struct Guard(Option<Arc<Rules>>);

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Access {
    /// Read and change.
    Write,
    /// Read only.
    Read,
}

/// What let a request in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// None is required.
    None,
    /// That of `--admin-token-file`.
    Token,
    /// That of `--admin-readonly-token-file`.
    ReadOnlyToken,
}

impl Credential {
    /// Its name in the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Credential::None => "no token required",
            Credential::Token => "token",
            Credential::ReadOnlyToken => "read-only token",
        }
    }

    pub(super) fn access(self) -> Access {
        match self {
            Credential::None | Credential::Token => Access::Write,
            Credential::ReadOnlyToken => Access::Read,
        }
    }
}

/// The files of the bearer tokens. They are read for each request, so that a token can be exchanged
/// at any time.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenFiles {
    pub(super) write: Option<PathBuf>,
    /// Without the other file it is not used.
    pub(super) read: Option<PathBuf>,
}

impl TokenFiles {
    /// The token of a request; `None` if it has none of these.
    ///
    /// # Errors
    /// A file that has to be read cannot be read.
    fn authenticate(&self, headers: &HeaderMap) -> anyhow::Result<Option<Credential>> {
        let Some(write) = &self.write else {
            return Ok(Some(Credential::None));
        };
        if Tokens::read_one(write)?.authenticate(headers) {
            return Ok(Some(Credential::Token));
        }
        if let Some(read) = &self.read
            && Tokens::read_one(read)?.authenticate(headers)
        {
            return Ok(Some(Credential::ReadOnlyToken));
        }
        Ok(None)
    }
}

#[derive(Debug)]
struct Rules {
    hosts: Hosts,
    tokens: TokenFiles,
    /// Repeated requests do not fill the log.
    limited: RateLimitedLog,
}

impl Guard {
    /// For a socket whose permissions decide who may connect.
    pub(super) fn open() -> Guard {
        Guard(None)
    }

    /// For a listener at an address.
    pub(super) fn at(bound: IpAddr, names: Vec<String>, tokens: TokenFiles) -> Guard {
        Guard(Some(Arc::new(Rules {
            hosts: Hosts {
                bound,
                names,
                local_hosts: false,
            },
            tokens,
            limited: RateLimitedLog::new(),
        })))
    }
}

/// Passes a request on, or rejects it, and logs it if it may change something.
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
    let checked = match &guard.0 {
        None => Ok(Credential::None),
        Some(rules) => rules.check(&request),
    };
    let action = (!is_get(request.method())).then(|| Action::of(&request));
    let credential = match (checked, &guard.0) {
        (Ok(credential), _) => credential,
        (Err(problem), rules) => {
            let rejection = problem.into_response();
            if let (Some(action), Some(rules)) = (action, rules) {
                rules
                    .limited
                    .log(|| action.log_rejection(rejection.status()));
            }
            return rejection;
        }
    };
    request.extensions_mut().insert(credential.access());
    let action = action.filter(|_| changes(&request));
    let pending = action.map(|action| action.begin(credential.name()));
    let response = next.run(request).await;
    if let Some(pending) = pending {
        pending.log(&response);
    }
    response
}

fn is_get(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a request may change something.
fn changes(request: &Request) -> bool {
    let is_reading = request.method() == Method::POST && READING.contains(&request.uri().path());
    !is_get(request.method()) && !is_reading
}

impl Rules {
    fn check(&self, request: &Request) -> Result<Credential, Problem> {
        let reads = is_get(request.method());
        if reads && OPEN.contains(&request.uri().path()) {
            return Ok(Credential::None);
        }
        let headers = request.headers();
        self.reject_cross_origin(headers, reads)?;
        if reads && page::is_for_page(request) {
            return Ok(Credential::None);
        }
        let credential = self.authenticate(headers)?;
        if changes(request) && credential.access() == Access::Read {
            let detail = "this token only reads: a change needs the token of --admin-token-file";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        Ok(credential)
    }

    /// Rejects a `Host` that is not ours, an `Origin` that is not the host, and a change that a
    /// browser says comes from another origin.
    fn reject_cross_origin(&self, headers: &HeaderMap, reads: bool) -> Result<(), Problem> {
        if !self.hosts.accept(headers) {
            let detail = "the request's Host is neither localhost nor this address, nor named by \
                          --admin-host";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        if is_cross_origin(headers) || !reads && is_foreign_fetch(headers) {
            let detail = "the request comes from another origin, a page of another site";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        Ok(())
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<Credential, Problem> {
        let found = self.tokens.authenticate(headers).map_err(|error| {
            self.limited
                .log(|| tracing::error!("requests to --admin are rejected: {error:#}"));
            let detail = "the token cannot be read; see webhookd's log";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
        })?;
        found.ok_or_else(|| {
            let detail = "Authorization: Bearer with the content of --admin-token-file is missing \
                          or wrong";
            Problem::new(StatusCode::UNAUTHORIZED, detail)
        })
    }
}

/// Forbids browsers to guess the type of a response, to cache it, to frame it, to show it to pages of
/// other origins, and to tell them its address.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    for (name, value) in HARDENED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(bound: &str, tokens: TokenFiles) -> Rules {
        Rules {
            hosts: Hosts {
                bound: bound.parse().unwrap(),
                names: vec!["hooks.example.com".to_owned()],
                local_hosts: false,
            },
            tokens,
            limited: RateLimitedLog::new(),
        }
    }

    fn check(rules: &Rules, method: &str, headers: &[(&str, &str)]) -> Result<Credential, u16> {
        check_at(rules, method, "/metrics", headers)
    }

    fn check_at(
        rules: &Rules,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Credential, u16> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        let checked = rules.check(&request);
        checked.map_err(|problem| problem.into_response().status().as_u16())
    }

    fn rejected(bound: &str, headers: &[(&str, &str)]) -> Option<u16> {
        check(&rules(bound, TokenFiles::default()), "GET", headers).err()
    }

    #[test]
    fn a_change_that_a_page_of_another_origin_sends_is_rejected() {
        let rules = rules("127.0.0.1", TokenFiles::default());
        for (site, is_rejected) in [
            ("same-origin", false),
            ("none", false),
            ("same-site", true),
            ("cross-site", true),
            ("", true),
        ] {
            let headers = [("host", "localhost:9090"), ("sec-fetch-site", site)];
            for method in ["POST", "DELETE"] {
                let status = check(&rules, method, &headers).err();
                assert_eq!(status, is_rejected.then_some(403), "{method} {site:?}");
            }
            assert_eq!(check(&rules, "GET", &headers), Ok(Credential::None));
            for path in READING {
                let status = check_at(&rules, "POST", path, &headers).err();
                assert_eq!(status, is_rejected.then_some(403), "{path} {site:?}");
            }
        }
    }

    #[test]
    fn the_token_that_only_reads_changes_nothing_and_both_are_read_for_each_request() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let rules = rules(
            "127.0.0.1",
            TokenFiles {
                write: Some(file("write", "one")),
                read: Some(file("read", "two")),
            },
        );
        for (path, allowed) in READING
            .map(|path| (path, Ok(Credential::ReadOnlyToken)))
            .into_iter()
            .chain([
                ("/api/v1/tasks/one", Err(403)),
                ("/api/v1/reload", Err(403)),
            ])
        {
            let two = [("authorization", "Bearer two")];
            assert_eq!(check_at(&rules, "POST", path, &two), allowed, "{path}");
            assert_eq!(check_at(&rules, "DELETE", path, &two), Err(403));
            let none = check_at(&rules, "POST", path, &[]);
            assert_eq!(none, Err(401), "{path}");
        }
        let check = |method, token: &str| {
            let token = format!("Bearer {token}");
            check(&rules, method, &[("authorization", &token)])
        };
        assert_eq!(check("GET", "one"), Ok(Credential::Token));
        assert_eq!(check("POST", "one"), Ok(Credential::Token));
        assert_eq!(check("GET", "two"), Ok(Credential::ReadOnlyToken));
        assert_eq!(check("POST", "two"), Err(403));
        assert_eq!(check("DELETE", "two"), Err(403));
        assert_eq!(check("GET", "three"), Err(401));
        file("read", "three");
        assert_eq!(check("GET", "two"), Err(401));
        assert_eq!(check("HEAD", "three"), Ok(Credential::ReadOnlyToken));
        file("read", "");
        assert_eq!(check("GET", "three"), Err(500));
        assert_eq!(check("GET", "one"), Ok(Credential::Token));
        file("write", "");
        assert_eq!(check("GET", "one"), Err(500));
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
