//! The headers of a target's requests.

use crate::aurora::header as netty;
use crate::secret::{MASK, SecretSource, looks_secret};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// A header of a target's requests, with its name as written.
///
/// `Debug` shows the source of the value, never the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    written_name: String,
    name: HeaderName,
    text: String,
    value: HeaderValue,
    source: SecretSource,
}

/// Why a header cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// The name is empty or has a character that HTTP does not allow in names.
    #[error("a header's name consists of letters, digits and !#$%&'*+-.^_`|~")]
    Name,
    /// Only the HTTP client may set this header.
    #[error("this header is set by the HTTP client itself")]
    Refused,
    /// The value contains a line break, a vertical tab or a form feed.
    #[error("a header's value cannot contain a line break, a vertical tab or a form feed")]
    Value,
}

impl Header {
    /// The names that only the HTTP client may set.
    pub const REFUSED: [HeaderName; 4] = [
        http::header::HOST,
        http::header::CONTENT_LENGTH,
        http::header::TRANSFER_ENCODING,
        http::header::CONNECTION,
    ];

    /// A header whose value is sent as Aurora sent it: in Latin-1, with `?` for other characters,
    /// and a blank for a control character or for a line break before a blank or tab.
    ///
    /// # Errors
    /// When it cannot be sent; see [`InvalidHeader`].
    ///
    /// ```
    /// use webhook_config::{Header, SecretSource};
    ///
    /// let header = Header::new("X-Team", "web", SecretSource::Literal)?;
    /// assert_eq!(header.name(), "x-team");
    /// assert!(Header::new("X Team", "web", SecretSource::Literal).is_err());
    /// # Ok::<(), webhook_config::InvalidHeader>(())
    /// ```
    pub fn new(name: &str, text: &str, source: SecretSource) -> Result<Self, InvalidHeader> {
        let header_name = check_name(name)?;
        if !netty::takes_value(text) {
            return Err(InvalidHeader::Value);
        }
        let mut value =
            HeaderValue::from_bytes(&netty::value_bytes(text)).map_err(|_| InvalidHeader::Value)?;
        value.set_sensitive(true);
        let (written_name, text) = (name.to_owned(), text.to_owned());
        Ok(Header {
            written_name,
            name: header_name,
            text,
            value,
            source,
        })
    }

    /// The name as written.
    #[must_use]
    pub fn written_name(&self) -> &str {
        &self.written_name
    }

    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The value as sent; marked sensitive.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// The source of the value.
    #[must_use]
    pub fn source(&self) -> &SecretSource {
        &self.source
    }

    /// The value as written, or `***` if it came from the environment or a file, or if it or the
    /// name looks like a credential.
    #[must_use]
    pub fn shown(&self) -> &str {
        let is_literal = self.source == SecretSource::Literal;
        if is_literal && !looks_secret(&self.written_name, &self.text) {
            &self.text
        } else {
            MASK
        }
    }

    /// The value as written. It may be a secret.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the value sent differs from the value written.
    pub(crate) fn is_changed(&self) -> bool {
        let as_latin_1 = self.value.as_bytes().iter().map(|byte| char::from(*byte));
        !as_latin_1.eq(self.text.chars())
    }
}

/// The name in lower case, if a target may have such a header.
pub(crate) fn check_name(name: &str) -> Result<HeaderName, InvalidHeader> {
    let allowed = netty::takes_name(name);
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| InvalidHeader::Name)?;
    if !allowed {
        return Err(InvalidHeader::Name);
    }
    if Header::REFUSED.contains(&name) {
        return Err(InvalidHeader::Refused);
    }
    Ok(name)
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("name", &self.written_name)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// All headers in one map. Two names that differ only in case are both sent.
pub(crate) fn header_map(headers: &[Header]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for header in headers {
        map.append(header.name.clone(), header.value.clone());
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, text: &str) -> Result<Header, InvalidHeader> {
        Header::new(name, text, SecretSource::Literal)
    }

    #[test]
    fn a_header_is_sent_as_aurora_did() {
        assert_eq!(
            header("A", "caf\u{e9}").unwrap().value().as_bytes(),
            b"caf\xe9"
        );
        assert!(!header("A", "caf\u{e9}").unwrap().is_changed());
        assert!(header("A", "\u{2603}").unwrap().is_changed());
        assert!(header("A", "a\r\n b").unwrap().is_changed());
        assert!(header("A", "").is_ok());
    }

    #[test]
    fn a_header_that_breaks_the_request_is_refused() {
        for name in ["", "A B", "A:", "\u{c4}", "A\n", "A(b)"] {
            assert_eq!(
                header(name, "x").unwrap_err(),
                InvalidHeader::Name,
                "{name:?}"
            );
        }
        for name in ["Host", "content-LENGTH", "Transfer-Encoding", "connection"] {
            assert_eq!(
                header(name, "x").unwrap_err(),
                InvalidHeader::Refused,
                "{name}"
            );
        }
        assert_eq!(header("A", "b\r\nX: y").unwrap_err(), InvalidHeader::Value);
    }

    #[test]
    fn debug_does_not_show_the_value() {
        let header = header("Authorization", "Bearer hunter2").unwrap();
        assert!(!format!("{header:?}").contains("hunter2"));
        let map = header_map(std::slice::from_ref(&header));
        assert!(!format!("{map:?}").contains("hunter2"));
    }
}
