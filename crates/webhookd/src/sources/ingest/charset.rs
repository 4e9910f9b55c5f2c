//! The encoding of a body: UTF-8, or ISO-8859-1, which is transcoded.

use super::answer::Complaint;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use std::sync::Arc;

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    Latin1,
    /// UTF-8, or else ISO-8859-1.
    Guess,
}

impl Charset {
    /// The encoding that the Content-Type names. Without one it is UTF-8, or, if `latin1`, a guess.
    ///
    /// # Errors
    /// It is none of the two.
    pub(super) fn of(headers: &HeaderMap, latin1: bool) -> Result<Charset, Complaint> {
        let kind = headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let charset = kind.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let is_charset = name.trim().eq_ignore_ascii_case("charset");
            is_charset.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
        });
        match charset.as_deref() {
            None if latin1 => Ok(Charset::Guess),
            None | Some("utf-8" | "utf8" | "us-ascii" | "ascii") => Ok(Charset::Utf8),
            Some("iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1") => {
                Ok(Charset::Latin1)
            }
            Some(other) => Err(Complaint::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "charset {} is not understood; send UTF-8 or ISO-8859-1",
                    other.escape_debug()
                ),
            )),
        }
    }

    /// The text in UTF-8, and whether it was transcoded.
    pub(super) fn decode(self, text: Arc<[u8]>) -> (Arc<[u8]>, bool) {
        let is_latin1 = match self {
            Charset::Utf8 => false,
            Charset::Latin1 => !text.is_ascii(),
            Charset::Guess => std::str::from_utf8(&text).is_err(),
        };
        if !is_latin1 {
            return (text, false);
        }
        // The characters of ISO-8859-1 are the first 256 of Unicode.
        let text: String = text.iter().map(|byte| char::from(*byte)).collect();
        (Arc::from(text.into_bytes()), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charset(kind: &'static str, latin1: bool) -> Option<Charset> {
        let kind = hyper::header::HeaderValue::from_static(kind);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        Charset::of(&headers, latin1).ok()
    }

    #[test]
    fn the_content_type_names_the_charset() {
        for (kind, expected) in [
            ("application/json", Some(Charset::Utf8)),
            ("application/json; charset=UTF-8", Some(Charset::Utf8)),
            ("text/plain;charset=us-ascii", Some(Charset::Utf8)),
            (
                "text/plain; a=b; Charset=\"ISO-8859-1\"",
                Some(Charset::Latin1),
            ),
            ("application/json; charset=utf-16", None),
        ] {
            assert_eq!(charset(kind, false), expected, "{kind}");
        }
        assert_eq!(charset("application/json", true), Some(Charset::Guess));
        assert_eq!(charset("a/b; charset=utf-8", true), Some(Charset::Utf8));
    }

    #[test]
    fn latin_1_is_transcoded() {
        let latin1: Arc<[u8]> = Arc::from(&b"caf\xe9"[..]);
        let utf8: Arc<[u8]> = Arc::from("caf\u{e9}".as_bytes());
        assert_eq!(Charset::Latin1.decode(latin1.clone()), (utf8.clone(), true));
        assert_eq!(Charset::Guess.decode(latin1.clone()), (utf8.clone(), true));
        assert_eq!(Charset::Guess.decode(utf8.clone()), (utf8, false));
        assert_eq!(Charset::Utf8.decode(latin1.clone()), (latin1, false));
    }
}
