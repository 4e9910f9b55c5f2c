//! Which requests web pages of other sites may have sent.

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;
use std::net::{IpAddr, SocketAddr};

/// A browser's word on where the page of a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The hosts by which a listener is known.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// The address that is listened on.
    pub(crate) bound: IpAddr,
    /// Other names for it.
    pub(crate) names: Vec<String>,
    /// Whether hosts that no foreign web page can have are known, too: addresses, names without a
    /// dot, and names under `localhost`.
    pub(crate) local_hosts: bool,
}

impl Hosts {
    /// Whether a request's `Host` is one of these. Another name was made to resolve to this address
    /// (DNS rebinding). HTTP/1.0 has no `Host`.
    pub(crate) fn accept(&self, headers: &HeaderMap) -> bool {
        headers.get_all(HOST).iter().all(|host| self.knows(host))
    }

    fn knows(&self, host: &HeaderValue) -> bool {
        // Most requests name an address and a port, which need no copy.
        let socket = host.to_str().ok().and_then(|host| host.parse().ok());
        if let Some(socket) = socket.map(|socket: SocketAddr| socket.ip()) {
            return self.has_address(socket);
        }
        let Ok(authority) = Authority::try_from(host.as_bytes()) else {
            return false;
        };
        let name = authority.host();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return self.has_address(address);
        }
        let named = |known: &String| known.eq_ignore_ascii_case(name);
        name.eq_ignore_ascii_case("localhost")
            || (self.local_hosts && is_local(name))
            || self.names.iter().any(named)
    }

    /// Whether this is one of its addresses. An address cannot be rebound. A listener on all addresses
    /// has all of the machine's.
    fn has_address(&self, address: IpAddr) -> bool {
        self.local_hosts
            || address.is_loopback()
            || address == self.bound
            || self.bound.is_unspecified()
    }
}

/// Whether this name cannot be registered in the public DNS.
fn is_local(name: &str) -> bool {
    let is_bare = !name.is_empty() && !name.contains('.');
    is_bare || name.to_ascii_lowercase().ends_with(".localhost")
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
    headers.get_all(ORIGIN).iter().any(|origin| !same(origin))
}

/// Whether a browser says that a page of another site sent a request.
pub(crate) fn is_cross_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    sites.any(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"))
}

/// Whether a browser says that a page of another origin sent a request. A request without a page
/// has `none`.
pub(crate) fn is_foreign_fetch(headers: &HeaderMap) -> bool {
    let own = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    sites.any(|site| !own(site))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_local_hosts_only_names_of_the_public_dns_are_refused() {
        let hosts = Hosts {
            bound: "127.0.0.1".parse().unwrap(),
            names: vec!["hooks.example.com".to_owned()],
            local_hosts: true,
        };
        for (host, is_accepted) in [
            ("localhost:8080", true),
            ("127.0.0.1:1", true),
            ("[::1]:8080", true),
            ("10.0.0.7:8080", true),
            ("[fe80::1]", true),
            ("webhookd:8080", true),
            ("hooks.localhost", true),
            ("Hooks.Example.com:443", true),
            ("evil.example.com:8080", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com", false),
            ("", false),
        ] {
            let host_header = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            assert_eq!(hosts.accept(&host_header), is_accepted, "{host}");
        }
        assert!(hosts.accept(&HeaderMap::new()), "HTTP/1.0 has no Host");
    }

    #[test]
    fn a_header_that_is_repeated_must_be_good_each_time() {
        let hosts = Hosts {
            bound: "127.0.0.1".parse().unwrap(),
            names: Vec::new(),
            local_hosts: false,
        };
        let repeated = |name: &'static str, values: [&'static str; 2]| {
            let name = HeaderName::from_static(name);
            let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost"))]);
            headers.remove(&name);
            for value in values {
                headers.append(&name, HeaderValue::from_static(value));
            }
            headers
        };
        let host = repeated("host", ["localhost", "evil.example.com"]);
        assert!(!hosts.accept(&host));
        let origin = repeated("origin", ["http://localhost", "http://evil.example.com"]);
        assert!(is_cross_origin(&origin));
        let site = repeated("sec-fetch-site", ["same-origin", "cross-site"]);
        assert!(is_foreign_fetch(&site) && is_cross_site(&site));
    }
}
