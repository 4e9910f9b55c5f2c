//! The URL of a target.

use crate::aurora::uri::{self, RequestUri, Unrequestable};
use crate::secret::{MASK, looks_like_token, looks_secret};
use http::Uri;
use http::uri::Scheme;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

/// The absolute `http` or `https` URL of a target.
///
/// It has no user name or password: Aurora did not send them either. `Display` shows the host as
/// written, and `***` for each segment of the path and each value of the query that looks like a
/// token; of a URL from the environment or a file, it shows scheme, host and port.
/// [`Self::as_uri`] has all of it, and the host in ASCII.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetUrl {
    uri: Uri,
    /// As read, without user name and password.
    written: String,
    /// The same with secrets masked.
    shown: String,
    had_userinfo: bool,
}

/// Why a text is not the URL of a target. No variant contains a part of the text, which may contain
/// a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// It is longer than an HTTP client can send.
    #[error("the URL is longer than {} bytes", TargetUrl::MAX_LENGTH)]
    TooLong,
    /// The character at this byte offset must be escaped.
    #[error("a character that a URL cannot contain there, at offset {0}")]
    Character(usize),
    /// The `%` at this byte offset is not followed by two hexadecimal digits.
    #[error("`%` without two hexadecimal digits, at offset {0}")]
    Escape(usize),
    /// It does not start with `http://` or `https://`.
    #[error("the URL is not absolute: it does not start with http:// or https://")]
    NotAbsolute,
    /// It has another scheme.
    #[error("the URL's scheme is neither http nor https")]
    Scheme,
    /// There is no host.
    #[error("the URL names no host")]
    NoHost,
    /// The host is neither a host name nor an IP address.
    #[error("the URL's host is neither a host name nor an IP address")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the URL's port is not a number from 1 to 65535")]
    Port,
}

impl TargetUrl {
    /// The largest length of a URL in bytes, as written and as requested.
    pub const MAX_LENGTH: usize = 65_534;

    /// Reads a URL as Aurora did: dot segments are resolved, characters beyond ASCII are escaped,
    /// the fragment is dropped. A host beyond ASCII becomes its `xn--` form.
    ///
    /// # Errors
    /// When it cannot be requested; see [`InvalidUrl`].
    pub fn parse(url: &str) -> Result<Self, InvalidUrl> {
        if url.len() > Self::MAX_LENGTH {
            return Err(InvalidUrl::TooLong);
        }
        let parts = uri::read(url).map_err(|error| match error {
            Unrequestable::Character(at) => InvalidUrl::Character(at),
            Unrequestable::Escape(at) => InvalidUrl::Escape(at),
            Unrequestable::NoScheme => InvalidUrl::NotAbsolute,
            // "localhost:5000/" has the scheme "localhost" to a URL reader, not to its author.
            Unrequestable::NoHost if !url.contains("//") => InvalidUrl::NotAbsolute,
            Unrequestable::NoHost => InvalidUrl::NoHost,
            Unrequestable::Port => InvalidUrl::Port,
            Unrequestable::Address => InvalidUrl::Host,
        })?;
        if parts.scheme != "http" && parts.scheme != "https" {
            return Err(InvalidUrl::Scheme);
        }
        let port = match parts.port {
            None => String::new(),
            Some(port @ 1..=65_535) => format!(":{port}"),
            Some(_) => return Err(InvalidUrl::Port),
        };
        let host = ascii_host(&parts.host)?;
        let RequestUri {
            scheme,
            has_userinfo,
            path,
            query,
            ..
        } = parts;
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let slash = if path.is_empty() { "/" } else { "" };
        let uri = format!("{scheme}://{host}{port}{slash}{path}{query}");
        if uri.len() > Self::MAX_LENGTH {
            return Err(InvalidUrl::TooLong);
        }
        let uri = uri.parse().map_err(|_| InvalidUrl::Host)?;
        let written = format!("{scheme}://{}{port}{path}{query}", parts.host);
        Ok(TargetUrl {
            uri,
            shown: masked(&written),
            written,
            had_userinfo: has_userinfo,
        })
    }

    /// The URL as requested. It has a host, a path, and neither user name nor password.
    #[must_use]
    pub fn as_uri(&self) -> &Uri {
        &self.uri
    }

    /// The URL as read, without user name and password. It may hold a secret.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// The URL with all after its host and port masked in all output.
    pub(crate) fn into_secret(mut self) -> TargetUrl {
        let rest = path_and_after(&self.written);
        if !matches!(&self.written[rest..], "" | "/") {
            self.shown = format!("{}/{MASK}", &self.written[..rest]);
        }
        self
    }

    /// The parts that `Display` masks, as they are sent.
    pub(crate) fn secret_texts(&self) -> impl Iterator<Item = &str> {
        let rest = path_and_after(&self.written);
        let masks_all = self.shown == format!("{}/{MASK}", &self.written[..rest]);
        let all = masks_all.then(|| &self.written[rest..]);
        let parts = secret_parts(&self.written).into_iter();
        all.into_iter().chain(parts.map(|part| &self.written[part]))
    }

    /// Whether the text had a user name or password, which are not sent.
    #[must_use]
    pub fn had_userinfo(&self) -> bool {
        self.had_userinfo
    }

    /// Whether requests are sent without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTP)
    }

    /// Whether the host is a loopback address, or a name that resolves to one (RFC 6761, section 6.3).
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.uri.host().unwrap_or_default();
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        name == "localhost"
            || name.ends_with(".localhost")
            || address.is_ok_and(|it| it.to_canonical().is_loopback())
    }

    /// Whether the host has a character that the DNS does not allow, so that it can only be a local
    /// name, as in `/etc/hosts`.
    pub(crate) fn has_odd_host(&self) -> bool {
        let host = self.uri.host().unwrap_or_default();
        !host.starts_with('[') && !host.bytes().all(is_host_byte)
    }
}

/// Where the path of a URL begins, or its query, or its end.
fn path_and_after(url: &str) -> usize {
    let authority = url.find("//").map_or(0, |at| at + 2);
    let length = url[authority..].find(['/', '?', '#']);
    length.map_or(url.len(), |length| authority + length)
}

/// The parts of a URL that look like secrets: segments of its path, and values of its query.
pub(crate) fn secret_parts(url: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut in_query) = (path_and_after(url), false);
    while start < url.len() {
        in_query |= url[start..].starts_with(['?', '#']);
        let from = start + 1;
        let ends: &[char] = if in_query {
            &['&', ';', '#']
        } else {
            &['/', '?', '#']
        };
        let end = url[from..]
            .find(ends)
            .map_or(url.len(), |length| from + length);
        let part = &url[from..end];
        let (name, value) = match part.split_once('=') {
            Some((name, value)) if in_query => (name, value),
            _ => ("", part),
        };
        let decoded = percent_decoded(value);
        let text = String::from_utf8_lossy(&decoded);
        let is_secret = if in_query {
            name.eq_ignore_ascii_case("code") || looks_secret(name, &text)
        } else {
            looks_like_token(&text)
        };
        if is_secret && !value.is_empty() {
            parts.push(end - value.len()..end);
        }
        start = end;
    }
    parts
}

/// The URL with its secret parts masked.
pub(crate) fn masked(url: &str) -> String {
    let mut shown = String::with_capacity(url.len());
    let mut copied = 0;
    for part in secret_parts(url) {
        shown.push_str(&url[copied..part.start]);
        shown.push_str(MASK);
        copied = part.end;
    }
    shown.push_str(&url[copied..]);
    shown
}

/// The bytes of a text, with `%XX` decoded.
pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after
            .get(..2)
            .and_then(|it| u8::from_str_radix(it, 16).ok());
        bytes.push(digits.unwrap_or(b'%'));
        rest = if digits.is_some() { &after[2..] } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Whether a host name in the DNS may have this character.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// The host in ASCII, if it is valid.
fn ascii_host(host: &str) -> Result<String, InvalidUrl> {
    if host.starts_with('[') {
        return Ok(host.to_owned());
    }
    let ascii = if host.is_ascii() {
        host.to_owned()
    } else {
        idna::domain_to_ascii(host).map_err(|_| InvalidUrl::Host)?
    };
    let allowed = |byte: u8| is_host_byte(byte) || b"!$&'()*+,;=~".contains(&byte);
    if ascii.bytes().all(allowed) && ascii.bytes().any(|byte| byte != b'.') {
        Ok(ascii)
    } else {
        Err(InvalidUrl::Host)
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TargetUrl").field(&self.shown).finish()
    }
}

impl std::str::FromStr for TargetUrl {
    type Err = InvalidUrl;

    fn from_str(url: &str) -> Result<Self, InvalidUrl> {
        TargetUrl::parse(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, shown: &str, requested: &str) {
        let url = TargetUrl::parse(url).unwrap();
        assert_eq!(
            (url.to_string().as_str(), url.as_uri().to_string().as_str()),
            (shown, requested)
        );
    }

    #[test]
    fn a_url_is_requested_as_aurora_did() {
        check(
            "http://localhost:5000",
            "http://localhost:5000",
            "http://localhost:5000/",
        );
        check(
            "HTTP://Host/a/./b/../c",
            "http://Host/a/c",
            "http://Host/a/c",
        );
        check(
            "http://x?q=[1]#f",
            "http://x?q=%5B1%5D",
            "http://x/?q=%5B1%5D",
        );
        check("http://x:-1/", "http://x/", "http://x/");
        check("http://x:+080/", "http://x:80/", "http://x:80/");
        check(
            "http://x/caf\u{e9}%41",
            "http://x/caf%C3%A9%41",
            "http://x/caf%C3%A9%41",
        );
        check(
            "http://b\u{fc}cher.de/",
            "http://b\u{fc}cher.de/",
            "http://xn--bcher-kva.de/",
        );
        check("url:http://x/", "http://x/", "http://x/");
        check(
            "https://[::1]:443/a",
            "https://[::1]:443/a",
            "https://[::1]:443/a",
        );
    }

    #[test]
    fn a_url_that_cannot_be_requested_is_refused() {
        for (url, error) in [
            ("", InvalidUrl::NotAbsolute),
            ("/events", InvalidUrl::NotAbsolute),
            ("localhost:5000/", InvalidUrl::NotAbsolute),
            ("ftp://localhost/", InvalidUrl::Scheme),
            ("ws://localhost/", InvalidUrl::Scheme),
            ("http:///x", InvalidUrl::NoHost),
            ("http://:80/", InvalidUrl::NoHost),
            ("http://x:0/", InvalidUrl::Port),
            ("http://x:65536/", InvalidUrl::Port),
            ("http://x:-2/", InvalidUrl::Port),
            ("http://x:abc/", InvalidUrl::Port),
            ("http://a b/", InvalidUrl::Character(8)),
            ("http://x/ ", InvalidUrl::Character(9)),
            ("http://x/%zz", InvalidUrl::Escape(9)),
            ("http://[::1/", InvalidUrl::Host),
            ("http://a%41/", InvalidUrl::Host),
            ("http://a@b@c/", InvalidUrl::Host),
            ("http://./", InvalidUrl::Host),
        ] {
            assert_eq!(TargetUrl::parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn a_token_in_a_url_is_requested_and_not_shown() {
        for (url, shown) in [
            (
                "https://hooks.example.com/services/T0/B0/XyZ0aB1cD2eF3gH4iJ5kL6mN",
                "https://hooks.example.com/services/T0/B0/***",
            ),
            (
                "https://h/9f86d081884c7d659a2feaa0c55ad015/in?api-version=2016-06-01&sig=a&x=1",
                "https://h/***/in?api-version=2016-06-01&sig=***&x=1",
            ),
            (
                "https://h/a?code=x&k3Jf8sLqZp2Rt7Vw",
                "https://h/a?code=***&***",
            ),
            ("https://h/?q=XyZ0aB1c%2BD2eF3gH4iJ5kL", "https://h/?q=***"),
            (
                "https://h/aurora-prod-us-east-1/taskStatusChange?topic=orders",
                "https://h/aurora-prod-us-east-1/taskStatusChange?topic=orders",
            ),
        ] {
            let parsed = TargetUrl::parse(url).unwrap();
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(format!("{parsed:?}"), format!("TargetUrl({shown:?})"));
            assert_eq!(parsed.as_uri().to_string(), url);
        }
    }

    #[test]
    fn a_secret_url_shows_its_server_only() {
        for (url, shown) in [
            ("https://h:1/a/b?c", "https://h:1/***"),
            ("https://h?c", "https://h/***"),
            ("https://h/", "https://h/"),
        ] {
            let parsed = TargetUrl::parse(url).unwrap().into_secret();
            assert_eq!(parsed.to_string(), shown);
            assert!(!format!("{parsed:?}").contains("/a/b"));
        }
    }

    #[test]
    fn a_password_is_neither_kept_nor_shown() {
        let url = TargetUrl::parse("http://user:hunter2@x:1/").unwrap();
        assert!(url.had_userinfo());
        assert_eq!(url.as_uri().to_string(), "http://x:1/");
        assert!(!format!("{url} {url:?}").contains("hunter2"));
        assert!(!format!("{:?}", TargetUrl::parse("http://user:hunter2@x:y/")).contains("hunter2"));
    }
}
