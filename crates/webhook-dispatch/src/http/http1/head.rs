//! The head of an answer: status, `Retry-After`, the body's framing, and the connection's reuse.

use super::body::Framing;
use httparse::{Error, Header, Response, Status};
use std::mem::MaybeUninit;

/// The most header fields that an answer's head may have.
const FIELDS: usize = 128;

/// The parts of an answer's head that are used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// The value of the first `Retry-After`.
    pub(super) retry_after: Option<Vec<u8>>,
    /// How the body ends; `None` if there is none.
    pub(super) framing: Option<Framing>,
    /// Whether another request may follow on the connection, once the body has been read.
    pub(super) keeps: bool,
}

impl Head {
    /// Whether the final answer's head follows. It does not after 101, unsolicited as that is: the
    /// peer no longer speaks HTTP.
    pub(super) fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }
}

/// Parses a head and returns its length, too; `None` if the input has not all of it yet.
///
/// # Errors
/// It is not the head of an HTTP/1.1 answer, or contradicts itself.
pub(super) fn parse(input: &[u8]) -> Result<Option<(usize, Head)>, &'static str> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut fields = [MaybeUninit::<Header<'_>>::uninit(); FIELDS];
    let mut response = Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        input,
        &mut fields,
    );
    match parsed.map_err(explain)? {
        Status::Partial => Ok(None),
        Status::Complete(length) => Ok(Some((length, read(&response)?))),
    }
}

fn explain(error: Error) -> &'static str {
    match error {
        Error::HeaderName => "a header has an invalid name",
        Error::HeaderValue => "a header has an invalid value",
        Error::NewLine => "a line has an invalid end",
        Error::Status => "its status is not a number of three digits",
        Error::TooManyHeaders => "it has too many headers",
        Error::Version => "it does not begin with HTTP/1.1 or HTTP/1.0",
        Error::Token => "its first line is not a status line",
    }
}

fn read(response: &Response<'_, '_>) -> Result<Head, &'static str> {
    let status = response.code.unwrap_or(0);
    if status < 100 {
        return Err("its status is below 100");
    }
    let is_http_1_0 = response.version == Some(0);
    let mut retry_after = None;
    let mut length = None;
    let mut coding: Option<&[u8]> = None;
    let (mut says_close, mut says_keep_alive) = (false, false);
    for Header { name, value } in response.headers.iter() {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(content_length(value, length)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            // The last coding of the last field determines the framing.
            coding = last_coding(value).or(coding);
        } else if name.eq_ignore_ascii_case("connection") {
            says_close |= contains(value, b"close");
            says_keep_alive |= contains(value, b"keep-alive");
        } else if name.eq_ignore_ascii_case("retry-after") && retry_after.is_none() {
            retry_after = Some(value.to_vec());
        }
    }
    let has_none = matches!(status, 100..=199 | 204 | 304);
    let is_chunked = coding.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    let framing = match length {
        _ if has_none => None,
        // RFC 9112, section 6.3: the coding overrides the length. HTTP/1.0 has no codings.
        _ if is_chunked && !is_http_1_0 => Some(Framing::chunked()),
        Some(length) => Some(Framing::Length(length)),
        None => Some(Framing::ToTheEnd),
    };
    // An intermediary may have used the other of coding and length; and a 204 with either may be
    // followed by content.
    let ambiguous = match (coding, length) {
        (Some(_), Some(_)) => true,
        (None, None | Some(0)) => false,
        _ => status == 204,
    };
    Ok(Head {
        status,
        retry_after,
        keeps: !says_close
            && (!is_http_1_0 || says_keep_alive)
            && status != 101
            && !ambiguous
            && framing != Some(Framing::ToTheEnd),
        framing,
    })
}

/// The number in a `Content-Length`. It may be repeated.
fn content_length(value: &[u8], before: Option<u64>) -> Result<u64, &'static str> {
    const WRONG: &str = "its Content-Length is not a number";
    let mut length = before;
    for element in value.split(|byte| *byte == b',') {
        let digits = element.trim_ascii();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(WRONG);
        }
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|n| n.parse().ok());
        let number = number.ok_or(WRONG)?;
        if length.is_some_and(|other| other != number) {
            return Err("it has two different Content-Lengths");
        }
        length = Some(number);
    }
    length.ok_or(WRONG)
}

/// Whether a list contains this element.
fn contains(list: &[u8], element: &[u8]) -> bool {
    let mut elements = list.split(|byte| *byte == b',');
    elements.any(|other| other.trim_ascii().eq_ignore_ascii_case(element))
}

/// The last element of a list of codings. `identity`, from an older HTTP, does not count.
fn last_coding(list: &[u8]) -> Option<&[u8]> {
    list.rsplit(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}
