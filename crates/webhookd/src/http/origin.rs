//! Which requests web pages of other sites may have sent.

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;
use std::net::IpAddr;

/// The hosts by which a listener is known.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// The address that is listened on.
    pub(crate) bound: IpAddr,
    /// Other names for it.
    pub(crate) names: Vec<String>,
    /// Whether every name without a dot is known, too: none can be registered in the public DNS.
    pub(crate) bare_names: bool,
}

impl Hosts {
    /// Whether a request's `Host` is one of these. Another name was made to resolve to this address
    /// (DNS rebinding). HTTP/1.0 has no `Host`.
    pub(crate) fn accept(&self, headers: &HeaderMap) -> bool {
        headers.get(HOST).is_none_or(|host| self.knows(host))
    }

    fn knows(&self, host: &HeaderValue) -> bool {
        let Ok(authority) = Authority::try_from(host.as_bytes()) else {
            return false;
        };
        let name = authority.host();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            // An address cannot be rebound. A listener on all addresses has all of the machine's.
            return address.is_loopback() || address == self.bound || self.bound.is_unspecified();
        }
        let named = |known: &String| known.eq_ignore_ascii_case(name);
        name.eq_ignore_ascii_case("localhost")
            || (self.bare_names && !name.is_empty() && !name.contains('.'))
            || self.names.iter().any(named)
    }
}

/// Whether a request's `Origin` is not its host, since a page of another site sent it.
pub(crate) fn is_cross_origin(headers: &HeaderMap) -> bool {
    let same = |origin: &HeaderValue| {
        let origin = origin.as_bytes();
        let authority = origin
            .strip_prefix(b"http://")
            .or_else(|| origin.strip_prefix(b"https://"));
        authority.is_some() && authority == headers.get(HOST).map(HeaderValue::as_bytes)
    };
    headers.get(ORIGIN).is_some_and(|origin| !same(origin))
}

/// Whether a browser says that a page of another site sent a request.
pub(crate) fn is_cross_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"))
}
