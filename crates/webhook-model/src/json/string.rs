//! Reads and skips strings.

use super::cursor::{Cursor, Result};
use super::error::{ReadError, ReadErrorKind};
use super::skip;
use std::borrow::Cow;

/// Reads the string whose opening quote is next, borrowed unless it has escapes.
#[inline]
pub(super) fn read<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>> {
    let start = cursor.place() + 1;
    let quoted = cursor.bytes.get(start..).unwrap_or_default();
    if let Some((text, after)) = unescaped(cursor, quoted) {
        cursor.rest = after;
        return Ok(Cow::Borrowed(cursor.text(start, start + text.len())));
    }
    escaped(cursor, start).map(Cow::Owned)
}

/// Splits the text after an opening quote at the closing one, unless there is an escape before it.
#[inline]
pub(super) fn unescaped<'a>(cursor: &Cursor<'a>, rest: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let run = if cursor.plain {
        skip::plain_run::<true>(rest)
    } else {
        skip::plain_run::<false>(rest)
    };
    let after = run.strip_prefix(b"\"")?;
    let text = rest.get(..rest.len() - after.len() - 1)?;
    Some((text, after))
}

/// Reads the string whose text starts at `start`, with its escapes.
fn escaped(cursor: &mut Cursor<'_>, start: usize) -> Result<String> {
    let mut string = String::new();
    cursor.return_to(start);
    loop {
        let start = cursor.place();
        // Even a plain text may have a line end after it, and the string may be cut off there.
        cursor.rest = skip::plain_run::<false>(cursor.rest);
        string.push_str(cursor.text_since(start));
        match cursor.byte() {
            Some(b'"') => {
                cursor.advance(1);
                return Ok(string);
            }
            Some(b'\\') => string.push(escape(cursor)?),
            _ => return Err(broken_off(cursor)),
        }
    }
}

/// The error of a string that the end of the text or a control character breaks off.
#[cold]
fn broken_off(cursor: &Cursor<'_>) -> ReadError {
    match cursor.byte() {
        Some(byte) => {
            let message = format!("control character 0x{byte:02x} in a string; escape it");
            cursor.error(ReadErrorKind::Syntax, message)
        }
        None => cursor.malformed("a closing quote"),
    }
}

/// Reads an escape; its character.
fn escape(cursor: &mut Cursor<'_>) -> Result<char> {
    let start = cursor.place();
    let letter = cursor.bytes.get(start + 1).copied();
    cursor.advance(2);
    Ok(match letter {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(cursor, start),
        _ => {
            let message = "an escape that JSON does not have".to_owned();
            return Err(cursor.error_at(start, ReadErrorKind::Syntax, message));
        }
    })
}

#[cold]
fn half_a_pair(cursor: &Cursor<'_>, start: usize, unit: u32) -> ReadError {
    let message = format!("\\u{unit:04x} is half a surrogate pair: no Unicode text");
    cursor.error_at(start, ReadErrorKind::Encoding, message)
}

/// Reads the digits of the `\u` escape at `start`; its character.
fn unicode_escape(cursor: &mut Cursor<'_>, start: usize) -> Result<char> {
    let first = hex_unit(cursor)?;
    let code = match first {
        0xD800..=0xDBFF => {
            if !cursor.rest.starts_with(b"\\u") {
                return Err(half_a_pair(cursor, start, first));
            }
            cursor.advance(2);
            let second = hex_unit(cursor)?;
            if !(0xDC00..=0xDFFF).contains(&second) {
                return Err(half_a_pair(cursor, start, first));
            }
            0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        }
        other => other,
    };
    char::from_u32(code).ok_or_else(|| half_a_pair(cursor, start, code))
}

fn hex_unit(cursor: &mut Cursor<'_>) -> Result<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = cursor.byte().and_then(|byte| char::from(byte).to_digit(16));
        let Some(digit) = digit else {
            return Err(cursor.malformed("four hexadecimal digits after \\u"));
        };
        unit = unit * 16 + digit;
        cursor.advance(1);
    }
    Ok(unit)
}

/// Skips the string whose opening quote is next.
pub(super) fn skip(cursor: &mut Cursor<'_>) -> Result<()> {
    escaped(cursor, cursor.place() + 1).map(drop)
}
