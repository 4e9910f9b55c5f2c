//! One pass over JSON text: strict RFC 8259, with a bound on nesting.
//!
//! Both readers of this crate, the full one and the header's, stand on this scanner, so that
//! neither can accept a text that the other calls malformed.

use super::block::{StringMasks, first_special, has_control};
use super::error::{ReadError, ReadErrorKind};
use std::borrow::Cow;

/// How deep arrays and objects may be nested, the payload's own object included. A payload that
/// Aurora writes is nested nine deep.
pub const MAX_DEPTH: u32 = 128;

type Result<T> = std::result::Result<T, ReadError>;

/// A place in a JSON text, moving forwards.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Scanner<'a> {
    /// A scanner at the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let scanner = Scanner {
                    text,
                    at: 0,
                    depth: 0,
                };
                if text.starts_with('\u{feff}') {
                    let message = "a byte order mark before the payload; send UTF-8 without one";
                    return Err(scanner.error(ReadErrorKind::Syntax, message.to_owned()));
                }
                Ok(scanner)
            }
            Err(error) => {
                let at = error.valid_up_to();
                let byte = bytes.get(at).copied().unwrap_or_default();
                let message = format!("byte 0x{byte:02x} is not UTF-8 here");
                Err(ReadError::new(ReadErrorKind::Encoding, message, bytes, at))
            }
        }
    }

    /// A fault at the scanner's place.
    #[cold]
    pub(crate) fn error(&self, kind: ReadErrorKind, message: String) -> ReadError {
        self.error_at(self.at, kind, message)
    }

    /// A fault at byte `at`.
    #[cold]
    pub(crate) fn error_at(&self, at: usize, kind: ReadErrorKind, message: String) -> ReadError {
        ReadError::new(kind, message, self.text.as_bytes(), at)
    }

    /// The value here is not of the type that the wire asks for; or it is not even JSON.
    #[cold]
    pub(crate) fn unexpected(&self, wanted: &str) -> ReadError {
        let mut rest = self.clone();
        if let Err(error) = rest.skip_value() {
            return error;
        }
        let found = match self.byte() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        };
        let message = format!("expected {wanted}, found {found}");
        self.error(ReadErrorKind::Type, message)
    }

    #[cold]
    fn malformed(&self, wanted: &str) -> ReadError {
        let message = match self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next())
        {
            Some(found) => format!("expected {wanted}, found {found:?}"),
            None => format!("expected {wanted}, found the end of the text"),
        };
        self.error(ReadErrorKind::Syntax, message)
    }

    /// The byte at the scanner's place.
    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no blank; the scanner stands on it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.byte() {
            Some(byte) if byte > b' ' => Some(byte),
            _ => self.peek_after_blanks(),
        }
    }

    fn peek_after_blanks(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// The scanner's place, for a later [`Scanner::return_to`].
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// Goes to a place got from [`Scanner::place`] at the same nesting.
    pub(crate) fn return_to(&mut self, place: usize) {
        self.at = place;
    }

    /// The text from `place` to here.
    pub(crate) fn text_since(&self, place: usize) -> &'a str {
        self.text.get(place..self.at).unwrap_or_default()
    }

    /// Checks that nothing but blanks follows.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.malformed("the end of the text after the payload")),
        }
    }

    #[inline]
    fn deeper(&mut self) -> Result<()> {
        if self.depth == MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} arrays and objects");
            return Err(self.error(ReadErrorKind::TooDeep, message));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Enters the object at the scanner's place; `what` names it in the error.
    #[inline]
    pub(crate) fn enter_object(&mut self, what: &str) -> Result<()> {
        match self.peek() {
            Some(b'{') => self.deeper(),
            _ => Err(self.unexpected(what)),
        }
    }

    /// The next key of the object just entered (`first`) or gone on with; the scanner stands
    /// before its value. `None` at the object's end, which is left.
    #[inline]
    pub(crate) fn next_key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>> {
        match (self.peek(), *first) {
            (Some(b'}'), _) => {
                self.at += 1;
                self.depth -= 1;
                return Ok(None);
            }
            (Some(b','), false) => {
                self.at += 1;
                if self.peek() != Some(b'"') {
                    return Err(self.malformed("a member's name in quotes"));
                }
            }
            (Some(b'"'), true) => *first = false,
            (_, true) => return Err(self.malformed("a member's name in quotes or `}`")),
            (_, false) => return Err(self.malformed("`,` or `}`")),
        }
        let key = self.string()?;
        self.colon()?;
        Ok(Some(key))
    }

    #[inline]
    fn colon(&mut self) -> Result<()> {
        if self.peek() != Some(b':') {
            return Err(self.malformed("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    /// Enters the array at the scanner's place; `what` names it in the error.
    #[inline]
    pub(crate) fn enter_array(&mut self, what: &str) -> Result<()> {
        match self.peek() {
            Some(b'[') => self.deeper(),
            _ => Err(self.unexpected(what)),
        }
    }

    /// Whether the array just entered (`first`) or gone on with has another element; the scanner
    /// stands before it. At the array's end the array is left.
    #[inline]
    pub(crate) fn next_element(&mut self, first: &mut bool) -> Result<bool> {
        match (self.peek(), *first) {
            (Some(b']'), _) => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            (Some(b','), false) => {
                self.at += 1;
                if self.peek() == Some(b']') {
                    return Err(self.malformed("an element"));
                }
                Ok(true)
            }
            (_, true) => {
                *first = false;
                Ok(true)
            }
            (_, false) => Err(self.malformed("`,` or `]`")),
        }
    }

    /// Takes a `null`, if one is here.
    #[inline]
    pub(crate) fn null(&mut self) -> Result<bool> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.word("null")?;
        Ok(true)
    }

    /// The boolean at the scanner's place.
    pub(crate) fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| true),
            Some(b'f') => self.word("false").map(|()| false),
            _ => Err(self.unexpected("true or false")),
        }
    }

    fn word(&mut self, word: &str) -> Result<()> {
        let end = self.at + word.len();
        if self.text.as_bytes().get(self.at..end) == Some(word.as_bytes()) {
            self.at = end;
            return Ok(());
        }
        Err(self.malformed("a JSON value"))
    }

    /// The number at the scanner's place, as it is written; `what` names it in the error.
    #[inline]
    pub(crate) fn number(&mut self, what: &str) -> Result<&'a str> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                self.skip_number()?;
                Ok(self.text_since(start))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    fn skip_number(&mut self) -> Result<()> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        if !matches!(self.byte(), Some(b'0'..=b'9')) {
            return Err(self.malformed("a digit"));
        }
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        Ok(())
    }

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
    fn skip_string(&mut self) -> Result<()> {
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

    /// Goes past the value at the scanner's place, checking that it is well-formed JSON. Takes no
    /// stack, however deep the value.
    pub(crate) fn skip_value(&mut self) -> Result<()> {
        // One bit for each array or object around the scanner, set for an object. The bound on
        // the depth is the width of the integer.
        let mut objects: u128 = 0;
        let outside = self.depth;
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string()?,
                Some(b'-' | b'0'..=b'9') => self.skip_number()?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                Some(b'{') => {
                    self.deeper()?;
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                        self.depth -= 1;
                    } else {
                        objects = objects << 1 | 1;
                        self.skip_key("a member's name in quotes or `}`")?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.deeper()?;
                    if self.peek() == Some(b']') {
                        self.at += 1;
                        self.depth -= 1;
                    } else {
                        objects <<= 1;
                        continue;
                    }
                }
                _ => return Err(self.malformed("a JSON value")),
            }
            // A value has ended: close what ends with it, and go on with what holds it.
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                let in_object = objects & 1 == 1;
                match (self.peek(), in_object) {
                    (Some(b','), true) => {
                        self.at += 1;
                        self.skip_key("a member's name in quotes")?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        self.depth -= 1;
                        objects >>= 1;
                    }
                    (_, true) => return Err(self.malformed("`,` or `}`")),
                    (_, false) => return Err(self.malformed("`,` or `]`")),
                }
            }
        }
    }

    #[inline]
    fn skip_key(&mut self, wanted: &str) -> Result<()> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed(wanted));
        }
        self.skip_string()?;
        self.colon()
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
