//! The proxy for a target's requests.

use crate::url::{InvalidUrl, TargetUrl, percent_decoded};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, Uri};
use std::fmt;

/// The URL of an HTTP proxy: `http://[user:password@]host[:port]` without a path.
///
/// `Debug` and `Display` omit the user name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    url: TargetUrl,
    full: String,
}

/// Why a text is not the URL of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProxy {
    /// It is not a URL.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// It has another scheme, or a path or query.
    #[error("a proxy is written http://host:port, with nothing after it")]
    Form,
}

impl ProxyUrl {
    /// Reads the URL of a proxy.
    ///
    /// # Errors
    /// When it is not a URL, has another scheme than `http`, or has a path or query.
    ///
    /// ```
    /// use webhook_config::ProxyUrl;
    ///
    /// let proxy = ProxyUrl::parse("http://proxy.example:3128")?;
    /// assert_eq!(proxy.as_uri().port_u16(), Some(3128));
    /// # Ok::<(), webhook_config::InvalidProxy>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidProxy> {
        let url = TargetUrl::parse(text)?;
        let (scheme, rest) = text
            .split_at_checked("http://".len())
            .ok_or(InvalidProxy::Form)?;
        // With the user name and password.
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if !scheme.eq_ignore_ascii_case("http://") || authority.contains(['/', '?', '#']) {
            return Err(InvalidProxy::Form);
        }
        let userinfo = authority.rsplit_once('@').map(|(userinfo, _)| userinfo);
        let userinfo = userinfo.map(|it| format!("{it}@")).unwrap_or_default();
        let server = url
            .as_uri()
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        Ok(ProxyUrl {
            full: format!("http://{userinfo}{server}"),
            url,
        })
    }

    /// The proxy, without user name and password.
    #[must_use]
    pub fn as_uri(&self) -> &Uri {
        self.url.as_uri()
    }

    /// The value of `Proxy-Authorization` for the user name and password, if there is one. It is
    /// marked sensitive.
    #[must_use]
    pub fn authorization(&self) -> Option<HeaderValue> {
        let (userinfo, _) = self.full["http://".len()..].rsplit_once('@')?;
        let credentials = BASE64_STANDARD.encode(percent_decoded(userinfo));
        let mut value = HeaderValue::from_str(&format!("Basic {credentials}"))
            .expect("base64 is a header value");
        value.set_sensitive(true);
        Some(value)
    }

    /// The whole URL with user name and password: a secret, for the HTTP client only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.full
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProxyUrl").field(&self.url).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_server_and_no_more() {
        let proxy = ProxyUrl::parse("http://user:hunter2@proxy:3128").unwrap();
        assert_eq!(proxy.expose(), "http://user:hunter2@proxy:3128");
        assert_eq!(proxy.to_string(), "http://proxy:3128");
        assert!(!format!("{proxy:?}").contains("hunter2"));
        let value = |url: &str| ProxyUrl::parse(url).unwrap().authorization();
        assert_eq!(value("http://proxy:3128"), None);
        // base64 of "user:pa:ss wo%rd"
        let credentials = value("http://user:pa:ss%20wo%25rd@proxy:3128").unwrap();
        assert_eq!(credentials, "Basic dXNlcjpwYTpzcyB3byVyZA==");
        assert!(credentials.is_sensitive());
        assert!(ProxyUrl::parse("http://proxy:3128/").is_ok());
        for bad in [
            "https://proxy:3128",
            "http://proxy/a",
            "http://proxy/?a",
            "http://proxy#a",
            // Without its dot segments the path is empty, and the server is not the one after "@".
            "http://proxy/.:password@other/..",
        ] {
            assert_eq!(ProxyUrl::parse(bad), Err(InvalidProxy::Form), "{bad}");
        }
        assert_eq!(
            ProxyUrl::parse("proxy:3128"),
            Err(InvalidUrl::NotAbsolute.into())
        );
    }
}
