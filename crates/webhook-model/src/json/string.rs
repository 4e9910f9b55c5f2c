//! Strings: reading them, and going past them.

use super::block::{StringMasks, first_special, has_control};
use super::error::{ReadError, ReadErrorKind};
use super::scan::{Result, Scanner};
use std::borrow::Cow;

impl<'a> Scanner<'a> {
    /// The string at the scanner's place, borrowed unless it has escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a string"));
        }
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let end = plain_until(bytes, start);
        if bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Cow::Borrowed(self.text.get(start..end).unwrap_or_default()));
        }
        self.escaped_string(start, end).map(Cow::Owned)
    }

    /// The rest of a string whose plain part ends at `plain_end`.
    fn escaped_string(&mut self, start: usize, plain_end: usize) -> Result<String> {
        let mut string = String::new();
        let mut start = start;
        self.at = plain_end;
        loop {
            string.push_str(self.text_since(start));
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => string.push(self.escape()?),
                _ => return Err(self.in_string()),
            }
            start = self.at;
            self.at = plain_until(self.text.as_bytes(), start);
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
        let start = self.at;
        let letter = self.text.as_bytes().get(start + 1).copied();
        self.at += 2;
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
                if self.text.as_bytes().get(self.at..self.at + 2) != Some(b"\\u") {
                    return Err(self.half_a_pair(start, first));
                }
                self.at += 2;
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
            self.at += 1;
        }
        Ok(unit)
    }

    /// Goes past the string at the scanner's place.
    #[inline]
    pub(super) fn skip_string(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        // Most strings are short and without escapes.
        let mut at = start;
        for _ in 0..3 {
            let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
                break;
            };
            if let Some(place) = first_special(u64::from_le_bytes(*word)) {
                if bytes.get(at + place) == Some(&b'"') {
                    self.at = at + place + 1;
                    return Ok(());
                }
                break;
            }
            at += 8;
        }
        self.skip_long_string(start)
    }

    /// Goes past a string whose text starts at `start`, by blocks.
    fn skip_long_string(&mut self, start: usize) -> Result<()> {
        let bytes = self.text.as_bytes();
        let mut at = start;
        let mut carried = false;
        while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<64>()) {
            if has_control(block) {
                // In the string, which is an error, or after it.
                break;
            }
            let masks = StringMasks::of(block);
            let escaped = masks.escaped(&mut carried);
            let ends = masks.quotes & !escaped;
            // The bits below the lowest of `ends`; all, if there is none.
            let inside = ends.wrapping_sub(1) & !ends;
            // Escaped quotes and backslashes are in order; letters are looked at.
            let mut letters = escaped & inside & !(masks.quotes | masks.backslashes);
            while letters != 0 {
                let letter = at + letters.trailing_zeros() as usize;
                letters &= letters - 1;
                // The second half of a surrogate pair went with the first.
                if letter > self.at {
                    self.at = letter - 1;
                    self.escape()?;
                }
            }
            if ends != 0 {
                self.at = at + ends.trailing_zeros() as usize + 1;
                return Ok(());
            }
            at += 64;
        }
        self.skip_string_bytewise(at - usize::from(carried))
    }

    /// Goes past the rest of a string from `at` on, where no escape has begun.
    fn skip_string_bytewise(&mut self, at: usize) -> Result<()> {
        // An escape that was looked at already may end beyond.
        self.at = at.max(self.at);
        loop {
            self.at = plain_until(self.text.as_bytes(), self.at);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.escape()?;
                }
                _ => return Err(self.in_string()),
            }
        }
    }
}

/// The first place from `at` on that holds a quote, a backslash or a control character, or the
/// end of `bytes`.
#[inline]
fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        match first_special(u64::from_le_bytes(*word)) {
            Some(place) => return at + place,
            None => at += 8,
        }
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}
