//! Strings: reading them, and going past them.

use super::error::{ReadError, ReadErrorKind};
use super::scan::{Result, Scanner};
use super::skip;
use std::borrow::Cow;

impl<'a> Scanner<'a> {
    /// The string at the scanner's place, borrowed unless it has escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a string"));
        }
        let start = self.place() + 1;
        let quoted = self.bytes.get(start..).unwrap_or_default();
        if let Some((text, after)) = self.unescaped(quoted) {
            self.rest = after;
            return Ok(Cow::Borrowed(self.text(start, start + text.len())));
        }
        self.escaped_string(start).map(Cow::Owned)
    }

    /// Splits what is left behind an opening quote at the closing one, if no escape comes before.
    #[inline]
    pub(super) fn unescaped(&self, rest: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let run = if self.plain {
            skip::plain_run::<true>(rest)
        } else {
            skip::plain_run::<false>(rest)
        };
        let after = run.strip_prefix(b"\"")?;
        let text = rest.get(..rest.len() - after.len() - 1)?;
        Some((text, after))
    }

    /// The string whose text starts at `start`.
    fn escaped_string(&mut self, start: usize) -> Result<String> {
        let mut string = String::new();
        self.return_to(start);
        loop {
            let start = self.place();
            // Even a plain text may have a line's end behind it, where the string has none.
            self.rest = skip::plain_run::<false>(self.rest);
            string.push_str(self.text_since(start));
            match self.byte() {
                Some(b'"') => {
                    self.advance(1);
                    return Ok(string);
                }
                Some(b'\\') => string.push(self.escape()?),
                _ => return Err(self.in_string()),
            }
        }
    }

    /// A string was broken off by its end or by a control character.
    #[cold]
    fn in_string(&self) -> ReadError {
        match self.byte() {
            Some(byte) => {
                let message = format!("control character 0x{byte:02x} in a string; escape it");
                self.error(ReadErrorKind::Syntax, message)
            }
            None => self.malformed("a closing quote"),
        }
    }

    /// The character of the escape at the scanner's place.
    fn escape(&mut self) -> Result<char> {
        let start = self.place();
        let letter = self.bytes.get(start + 1).copied();
        self.advance(2);
        Ok(match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => {
                let message = "an escape that JSON does not have".to_owned();
                return Err(self.error_at(start, ReadErrorKind::Syntax, message));
            }
        })
    }

    #[cold]
    fn half_a_pair(&self, start: usize, unit: u32) -> ReadError {
        let message = format!("\\u{unit:04x} is half a surrogate pair: no Unicode text");
        self.error_at(start, ReadErrorKind::Encoding, message)
    }

    /// The character of the `\u` escape at `start`; the scanner stands on its digits.
    fn unicode_escape(&mut self, start: usize) -> Result<char> {
        let first = self.hex_unit()?;
        let code = match first {
            0xD800..=0xDBFF => {
                if !self.rest.starts_with(b"\\u") {
                    return Err(self.half_a_pair(start, first));
                }
                self.advance(2);
                let second = self.hex_unit()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(self.half_a_pair(start, first));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.half_a_pair(start, code))
    }

    fn hex_unit(&mut self) -> Result<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.malformed("four hexadecimal digits after \\u"));
            };
            unit = unit * 16 + digit;
            self.advance(1);
        }
        Ok(unit)
    }

    /// Goes past the string at the scanner's place, slowly.
    pub(super) fn skip_string(&mut self) -> Result<()> {
        self.escaped_string(self.place() + 1).map(drop)
    }
}
