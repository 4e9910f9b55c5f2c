//! The URL of a target.

use crate::aurora::uri::{self, RequestUri, Unrequestable};
use http::Uri;
use std::fmt;

/// The absolute `http` or `https` URL of a target.
///
/// It has no user name or password: Aurora did not send them either. `Display` shows the host as
/// written, [`Self::as_uri`] has it in ASCII.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetUrl {
    uri: Uri,
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
        let shown = format!("{scheme}://{}{port}{path}{query}", parts.host);
        Ok(TargetUrl {
            uri,
            shown,
            had_userinfo: has_userinfo,
        })
    }

    /// The URL as requested. It has a host, a path, and neither user name nor password.
    #[must_use]
    pub fn as_uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether the text had a user name or password, which are not sent.
    #[must_use]
    pub fn had_userinfo(&self) -> bool {
        self.had_userinfo
    }

    /// Whether the host has a character that the DNS does not allow, so that it can only be a local
    /// name, as in `/etc/hosts`.
    pub(crate) fn has_odd_host(&self) -> bool {
        let host = self.uri.host().unwrap_or_default();
        !host.starts_with('[') && !host.bytes().all(is_host_byte)
    }
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
    fn a_password_is_neither_kept_nor_shown() {
        let url = TargetUrl::parse("http://user:hunter2@x:1/").unwrap();
        assert!(url.had_userinfo());
        assert_eq!(url.as_uri().to_string(), "http://x:1/");
        assert!(!format!("{url} {url:?}").contains("hunter2"));
        assert!(!format!("{:?}", TargetUrl::parse("http://user:hunter2@x:y/")).contains("hunter2"));
    }
}
