//! The head of an answer: status, `Retry-After`, the body's framing, and the connection's reuse.
//!
//! Once the status line is there, a final answer is one, whatever is wrong with its reason phrase
//! and the rest of its head: the receiver has decided, and the request must not be sent again for a
//! malformed cookie. The connection is not reused then. A malformed interim answer is skipped, like
//! any other: the final one follows.

use super::body::Framing;
use httparse::{Error, Header, Response, Status};
use std::mem::MaybeUninit;

/// Header fields of a head for which there is room on the stack; more make it malformed.
pub(super) const FIELDS: usize = 128;

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
    /// Whether the rest of the head is missing or contradicts itself, so that the body is not read.
    pub(super) is_status_alone: bool,
}

impl Head {
    /// Whether the final answer's head follows. It does not after 101, unsolicited as that is: the
    /// peer no longer speaks HTTP.
    pub(super) fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    fn status_alone(status: u16) -> Head {
        Head {
            status,
            retry_after: None,
            framing: None,
            keeps: false,
            is_status_alone: true,
        }
    }
}

/// Parses a head and returns its length, too; `None` if the input has not all of it yet.
///
/// # Errors
/// It does not begin with the status line of an HTTP/1.1 answer.
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
    let why = match parsed {
        Ok(Status::Partial) => return Ok(None),
        Ok(Status::Complete(length)) => {
            let status = response.code.unwrap_or(0);
            let is_http_1_0 = response.version == Some(0);
            let fields = response.headers.iter();
            let fields = fields.map(|field| (field.name.as_bytes(), field.value));
            match read(status, is_http_1_0, fields) {
                Ok(head) => return Ok(Some((length, head))),
                Err(why) => why,
            }
        }
        Err(error) => explain(error),
    };
    // A record of TLS: an alert, or a part of a handshake.
    match input {
        [0x15 | 0x16] => return Ok(None),
        [0x15 | 0x16, 3, ..] => return Err("it is TLS; use https:// in the URL"),
        _ => {}
    }
    parse_malformed(input).ok_or(why)
}

/// Parses a malformed head as far as it makes sense; `None` within if its end is missing.
fn parse_malformed(input: &[u8]) -> Option<Option<(usize, Head)>> {
    let line = status_line(input)?;
    if !line.is_whole {
        return Some(None);
    }
    let rest = input.get(line.length..).unwrap_or_default();
    let mut fields: Vec<Vec<u8>> = Vec::new();
    let mut length = line.length;
    for whole in rest.split_inclusive(|byte| *byte == b'\n') {
        length += whole.len();
        match (whole.strip_suffix(b"\n"), fields.last_mut()) {
            (None, _) => return Some(None),
            (Some(b"" | b"\r"), _) => {
                let named = fields.iter().filter_map(|field| {
                    let colon = field.iter().position(|byte| *byte == b':')?;
                    Some((field[..colon].trim_ascii(), field[colon + 1..].trim_ascii()))
                });
                let head = read(line.status, line.is_http_1_0, named);
                let head = head.unwrap_or_else(|_| Head::status_alone(line.status));
                return Some(Some((
                    length,
                    Head {
                        keeps: false,
                        ..head
                    },
                )));
            }
            // A folded line continues the one before it.
            (Some(field @ [b' ' | b'\t', ..]), Some(before)) => before.extend_from_slice(field),
            (Some(field), _) => fields.push(field.to_vec()),
        }
    }
    Some(None)
}

/// The status of a final answer whose head has no end; `None` if not even its status line has one.
pub(super) fn cut_off(input: &[u8]) -> Option<Head> {
    status_line(input)
        .filter(|line| line.is_whole && line.status >= 200)
        .map(|line| Head::status_alone(line.status))
}

struct StatusLine {
    status: u16,
    is_http_1_0: bool,
    /// Whether the input has its line break.
    is_whole: bool,
    /// With all before it and its line break.
    length: usize,
}

/// The status line, with any bytes as its reason phrase, which has no meaning.
fn status_line(input: &[u8]) -> Option<StatusLine> {
    // A server may send line breaks first.
    let mut line = input;
    while let Some(rest) = line.strip_prefix(b"\r\n").or(line.strip_prefix(b"\n")) {
        line = rest;
    }
    let start = input.len() - line.len();
    let line = line.split_inclusive(|byte| *byte == b'\n').next()?;
    let (minor, rest) = line.strip_prefix(b"HTTP/1.")?.split_first()?;
    let (digits, reason) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    if !matches!(minor, b'0' | b'1') || !matches!(reason, [b' ' | b'\r' | b'\n', ..]) {
        return None;
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let status: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (status >= 100).then_some(StatusLine {
        status,
        is_http_1_0: *minor == b'0',
        is_whole: line.ends_with(b"\n"),
        length: start + line.len(),
    })
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

fn read<'a>(
    status: u16,
    is_http_1_0: bool,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Head, &'static str> {
    if status < 100 {
        return Err("its status is below 100");
    }
    let mut retry_after = None;
    let mut length = None;
    let mut coding: Option<&[u8]> = None;
    let (mut says_close, mut says_keep_alive) = (false, false);
    for (name, value) in fields {
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(content_length(value, length)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // The last coding of the last field determines the framing.
            coding = last_coding(value).or(coding);
        } else if name.eq_ignore_ascii_case(b"connection") {
            says_close |= contains(value, b"close");
            says_keep_alive |= contains(value, b"keep-alive");
        } else if name.eq_ignore_ascii_case(b"retry-after") && retry_after.is_none() {
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
        is_status_alone: false,
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
