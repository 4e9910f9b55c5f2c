//! A stream over HTTP: its URL, and how its server is reached.

use crate::header::Header;
use crate::retry::RetryPolicy;
use crate::tls::Tls;
use crate::url::{InvalidUrl, TargetUrl, masked};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use webhook_event::Pointer;

/// A response without end, of newline-delimited JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    pub(crate) url: StreamUrl,
    pub(crate) cursor: Option<Pointer>,
    pub(crate) initial_cursor: String,
    pub(crate) repeats_cursor: bool,
    pub(crate) connection: Connection,
}

/// How a server is reached, and when a connection to it is given up.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    pub(crate) headers: Vec<Header>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) tls: Tls,
    pub(crate) timeout: Duration,
    pub(crate) silence: Duration,
    pub(crate) retry: RetryPolicy,
}

/// The URL of a stream, with the place of its cursor.
#[derive(Clone, PartialEq)]
pub struct StreamUrl {
    /// As written.
    template: String,
    /// Whether it came from the environment or a file.
    secret: bool,
}

impl Stream {
    /// The URL.
    #[must_use]
    pub fn url(&self) -> &StreamUrl {
        &self.url
    }

    /// How its server is reached.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The JSON Pointer to a document's cursor.
    #[must_use]
    pub fn cursor(&self) -> Option<&Pointer> {
        self.cursor.as_ref()
    }

    /// The cursor of the first connection.
    #[must_use]
    pub fn initial_cursor(&self) -> &str {
        &self.initial_cursor
    }

    /// Whether the server repeats the document of the cursor, so that another first document is a
    /// gap.
    #[must_use]
    pub fn repeats_cursor(&self) -> bool {
        self.repeats_cursor
    }
}

impl Connection {
    /// The headers of each request. [`Header::source`] tells where a value came from.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The file of the bearer token. It rotates, so it must be read for each connection.
    #[must_use]
    pub fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }

    /// The certificates that TLS connections trust and present.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The time-out to connect.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The longest time without a byte, from the request on.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.silence
    }

    /// The back-off between connections.
    #[must_use]
    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }
}

impl StreamUrl {
    /// What stands for the cursor in the text.
    pub const PLACE: &'static str = "{cursor}";

    /// Reads an absolute `http` or `https` URL, in whose query or path the cursor's place may be.
    ///
    /// # Errors
    /// When it cannot be requested; see [`InvalidUrl`].
    ///
    /// ```
    /// use webhook_config::StreamUrl;
    ///
    /// let url = StreamUrl::parse("http://nomad.example:4646/v1/event/stream?index={cursor}")?;
    /// assert!(url.has_cursor());
    /// assert!(url.at("54")?.to_string().ends_with("index=54"));
    /// # Ok::<(), webhook_config::InvalidUrl>(())
    /// ```
    pub fn parse(text: &str) -> Result<StreamUrl, InvalidUrl> {
        let url = StreamUrl {
            template: text.to_owned(),
            secret: false,
        };
        url.at("0").map(|_| url)
    }

    /// The same, with all after its host and port masked in all output.
    pub(crate) fn into_secret(mut self) -> StreamUrl {
        self.secret = true;
        self
    }

    /// Whether it has a place for a cursor.
    #[must_use]
    pub fn has_cursor(&self) -> bool {
        self.template.contains(Self::PLACE)
    }

    /// The URL with this cursor, which is percent-encoded.
    ///
    /// # Errors
    /// When it becomes too long.
    pub fn at(&self, cursor: &str) -> Result<TargetUrl, InvalidUrl> {
        let url = self.template.replace(Self::PLACE, &percent_encoded(cursor));
        let url = TargetUrl::parse(&url)?;
        Ok(if self.secret { url.into_secret() } else { url })
    }
}

/// The text with everything but unreserved characters as `%XX`.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Shows the URL as [`TargetUrl`] does.
impl fmt::Display for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            return match self.at("0") {
                Ok(url) => url.fmt(f),
                Err(_) => f.write_str(crate::secret::MASK),
            };
        }
        f.write_str(&masked(&self.template))
    }
}

impl fmt::Debug for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamUrl({:?})", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_takes_its_place_percent_encoded() {
        let url = StreamUrl::parse("http://h:1/v1/event/stream?index={cursor}&topic=A:*").unwrap();
        assert!(url.has_cursor());
        let at = |cursor| url.at(cursor).unwrap().as_uri().to_string();
        assert_eq!(at("12"), "http://h:1/v1/event/stream?index=12&topic=A:*");
        assert_eq!(
            at("a&b=\u{e9}"),
            "http://h:1/v1/event/stream?index=a%26b%3D%C3%A9&topic=A:*"
        );
        assert_eq!(
            url.to_string(),
            "http://h:1/v1/event/stream?index={cursor}&topic=A:*"
        );
        assert!(!StreamUrl::parse("http://h/").unwrap().has_cursor());
    }

    #[test]
    fn a_url_without_a_host_or_with_another_brace_is_refused() {
        for url in [
            "/v1/event",
            "http://h/{index}",
            "ftp://h/",
            "http://{cursor}:x/",
        ] {
            assert!(StreamUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_secret_of_a_url_is_not_shown() {
        let url = StreamUrl::parse("https://h/a?token=abcdef&i={cursor}").unwrap();
        assert_eq!(url.to_string(), "https://h/a?token=***&i={cursor}");
        assert_eq!(url.into_secret().to_string(), "https://h/***");
    }
}
