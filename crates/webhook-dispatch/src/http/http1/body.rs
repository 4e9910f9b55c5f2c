//! The framing of an answer's body (RFC 9112, sections 6.3 and 7.1).

use httparse::Status;

/// How a body ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this many more bytes.
    Length(u64),
    /// After its last chunk.
    Chunked(Part),
    /// With the connection.
    ToTheEnd,
}

/// What comes next in a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The line with a chunk's size.
    Size,
    /// This many bytes of a chunk.
    Data(u64),
    /// The line break after a chunk.
    Break,
    /// A trailer field, or the empty line after them.
    Trailer,
}

/// The state of a body after some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The body is complete.
    All,
    /// More of it follows.
    Some,
    /// It is longer than the room for it.
    TooMuch,
    /// Its framing is invalid.
    Malformed,
}

impl Framing {
    pub(super) fn chunked() -> Framing {
        Framing::Chunked(Part::Size)
    }

    pub(super) fn ends_with_the_connection(&self) -> bool {
        *self == Framing::ToTheEnd
    }

    /// Moves the body's bytes from `input` to `body`, at most `room` of them. Returns how many
    /// bytes of the input were consumed.
    pub(super) fn take(&mut self, input: &[u8], room: u64, body: &mut Vec<u8>) -> (usize, Taken) {
        match self {
            Framing::Length(left) => {
                let (used, taken) = take_data(input, left, room, body);
                let whole = taken == Taken::Some && *left == 0;
                (used, if whole { Taken::All } else { taken })
            }
            Framing::Chunked(part) => take_chunks(part, input, room, body),
            Framing::ToTheEnd => take_data(input, &mut { u64::MAX }, room, body),
        }
    }
}

/// Takes up to `left` bytes.
fn take_data(input: &[u8], left: &mut u64, room: u64, body: &mut Vec<u8>) -> (usize, Taken) {
    let wanted = (input.len() as u64).min(*left);
    let fits = usize::try_from(wanted.min(room)).unwrap_or(usize::MAX);
    let data = input.get(..fits).unwrap_or(input);
    body.extend_from_slice(data);
    *left -= data.len() as u64;
    let taken = if wanted > room {
        Taken::TooMuch
    } else {
        Taken::Some
    };
    (data.len(), taken)
}

fn take_chunks(part: &mut Part, input: &[u8], room: u64, body: &mut Vec<u8>) -> (usize, Taken) {
    let before = body.len();
    let mut used = 0;
    loop {
        let rest = input.get(used..).unwrap_or_default();
        let (length, next) = match part {
            // httparse takes a size without a digit for 0.
            Part::Size if rest.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) => {
                return (used, Taken::Malformed);
            }
            Part::Size => match httparse::parse_chunk_size(rest) {
                Ok(Status::Complete((length, 0))) => (length, Part::Trailer),
                Ok(Status::Complete((length, size))) => (length, Part::Data(size)),
                Ok(Status::Partial) => return (used, Taken::Some),
                Err(_) => return (used, Taken::Malformed),
            },
            Part::Data(left) => {
                let room = room.saturating_sub((body.len() - before) as u64);
                let (length, taken) = take_data(rest, left, room, body);
                if taken != Taken::Some || *left > 0 {
                    return (used + length, taken);
                }
                (length, Part::Break)
            }
            Part::Break => match rest {
                [b'\r', b'\n', ..] => (2, Part::Size),
                [] | [b'\r'] => return (used, Taken::Some),
                _ => return (used, Taken::Malformed),
            },
            Part::Trailer => match rest.iter().position(|byte| *byte == b'\n') {
                None => return (used, Taken::Some),
                Some(end) => {
                    let line = rest.get(..end).unwrap_or_default();
                    if line.is_empty() || line == b"\r" {
                        return (used + end + 1, Taken::All);
                    }
                    (end + 1, Part::Trailer)
                }
            },
        };
        used += length;
        *part = next;
    }
}
