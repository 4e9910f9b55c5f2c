//! One pass over JSON text: strict RFC 8259, with a bound on nesting.
//!
//! Both readers of this crate, the full one and the header's, stand on this scanner, so that
//! neither can accept a text that the other calls malformed.

use super::error::{ReadError, ReadErrorKind};
use std::borrow::Cow;

/// How deep arrays and objects may be nested, the payload's own object included. A payload that
/// Aurora writes is nested nine deep.
pub const MAX_DEPTH: u32 = 128;

pub(super) type Result<T> = std::result::Result<T, ReadError>;

/// A place in a JSON text, moving forwards.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
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
    pub(super) fn malformed(&self, wanted: &str) -> ReadError {
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
    pub(super) fn byte(&self) -> Option<u8> {
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
