//! The encoding of a body: UTF-8, or ISO-8859-1, which is transcoded.

use super::answer::Complaint;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use std::sync::Arc;

/// The time in epoch milliseconds, which Aurora's webhook adds to each request.
const TIMESTAMP: HeaderName = HeaderName::from_static("timestamp");

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    Latin1,
    /// UTF-8, or else ISO-8859-1.
    Guess,
}

impl Charset {
    /// The encoding that the Content-Type names. Without one it is UTF-8; or a guess, if `latin1` or
    /// if the request is one of Aurora's webhook, which sends ISO-8859-1 without naming it.
    ///
    /// # Errors
    /// It is none of the two.
    pub(super) fn of(headers: &HeaderMap, latin1: bool) -> Result<Charset, Complaint> {
        let kind = headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let parameters = kind.split_once(';').map(|(_, parameters)| parameters);
        let charset = parameters.and_then(|all| {
            all.split(';').find_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                let is_charset = name.trim().eq_ignore_ascii_case("charset");
                is_charset.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
            })
        });
        match charset.as_deref() {
            None if latin1 || is_of_aurora(headers) => Ok(Charset::Guess),
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

    /// Bytes of the text in UTF-8, at most, if the body has `bytes`.
    pub(super) fn longest(self, bytes: usize) -> usize {
        match self {
            Charset::Utf8 => bytes,
            Charset::Latin1 | Charset::Guess => bytes.saturating_mul(2),
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

fn is_of_aurora(headers: &HeaderMap) -> bool {
    let time = headers.get(TIMESTAMP).map(|time| time.as_bytes());
    time.is_some_and(|time| !time.is_empty() && time.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn charset(kind: &'static str, latin1: bool) -> Option<Charset> {
        let kind = HeaderValue::from_static(kind);
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
        let time = |text| HeaderMap::from_iter([(TIMESTAMP, HeaderValue::from_static(text))]);
        let of = |time| Charset::of(&time, false).unwrap();
        assert_eq!(of(time("1500000000000")), Charset::Guess);
        assert_eq!(of(time("Sun, 29 Nov 2026 19:00:00 GMT")), Charset::Utf8);
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
