//! The proxy for a target's requests.

use crate::url::{InvalidUrl, TargetUrl};
use http::Uri;
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
    pub fn parse(text: &str) -> Result<Self, InvalidProxy> {
        let url = TargetUrl::parse(text)?;
        let uri = url.as_uri();
        let plain = text
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("http://"));
        if !plain || uri.path() != "/" || uri.query().is_some() || text.contains(['?', '#']) {
            return Err(InvalidProxy::Form);
        }
        // The authority of the text, with the user name and password.
        let authority = &text[7..];
        let userinfo = authority.rsplit_once('@').map(|(userinfo, _)| userinfo);
        let userinfo = userinfo.map(|it| format!("{it}@")).unwrap_or_default();
        let server = uri.authority().map(ToString::to_string).unwrap_or_default();
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
        for bad in ["https://proxy:3128", "http://proxy/a", "http://proxy/?a"] {
            assert_eq!(ProxyUrl::parse(bad), Err(InvalidProxy::Form), "{bad}");
        }
        assert_eq!(
            ProxyUrl::parse("proxy:3128"),
            Err(InvalidUrl::NotAbsolute.into())
        );
    }
}
