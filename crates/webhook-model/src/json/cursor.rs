//! A place in a JSON text, moving forwards.

use super::block::is_plain;
use super::error::{ReadError, ReadErrorKind};

pub(super) type Result<T> = std::result::Result<T, ReadError>;

/// A place in a JSON text, moving forwards.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    /// The bytes as text, or `None` if they are plain and nobody has asked for all of it.
    text: Option<&'a str>,
    /// What is left.
    pub(super) rest: &'a [u8],
    /// Whether the bytes [are plain](is_plain), but for a line's end behind them.
    pub(super) plain: bool,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`, of which most will be asked for as text.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut cursor = Self::passing(bytes)?;
        if cursor.text.is_none() {
            cursor.text = std::str::from_utf8(bytes).ok();
        }
        Ok(cursor)
    }

    /// A cursor at the start of `bytes`, of which most will be gone past.
    pub(crate) fn passing(bytes: &'a [u8]) -> Result<Self> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let plain = is_plain(line.strip_suffix(b"\r").unwrap_or(line));
        // Plain bytes are ASCII.
        let text = if plain { None } else { Some(utf8(bytes)?) };
        let cursor = Cursor {
            bytes,
            text,
            rest: bytes,
            plain,
        };
        if text.is_some_and(|text| text.starts_with('\u{feff}')) {
            let message = "a byte order mark before the payload; send UTF-8 without one";
            return Err(cursor.error(ReadErrorKind::Syntax, message.to_owned()));
        }
        Ok(cursor)
    }

    /// A fault at the cursor's place.
    #[cold]
    pub(crate) fn error(&self, kind: ReadErrorKind, message: String) -> ReadError {
        self.error_at(self.place(), kind, message)
    }

    /// A fault at byte `at`.
    #[cold]
    pub(crate) fn error_at(&self, at: usize, kind: ReadErrorKind, message: String) -> ReadError {
        ReadError::new(kind, message, self.bytes, at)
    }

    #[cold]
    pub(super) fn malformed(&self, wanted: &str) -> ReadError {
        let message = match self.text(self.place(), self.bytes.len()).chars().next() {
            Some(found) => format!("expected {wanted}, found {found:?}"),
            None => format!("expected {wanted}, found the end of the text"),
        };
        self.error(ReadErrorKind::Syntax, message)
    }

    /// The byte at the cursor's place.
    #[inline]
    pub(super) fn byte(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next byte that is no blank; the cursor stands on it.
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
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.advance(1),
                other => return other,
            }
        }
    }

    /// The cursor's place, for a later [`Cursor::return_to`].
    pub(crate) fn place(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    /// Goes to a place got from [`Cursor::place`] at the same nesting.
    pub(crate) fn return_to(&mut self, place: usize) {
        self.rest = self.bytes.get(place..).unwrap_or_default();
    }

    /// The text from `place` to here.
    pub(crate) fn text_since(&self, place: usize) -> &'a str {
        self.text(place, self.place())
    }

    /// The text from one place to another.
    #[inline]
    pub(super) fn text(&self, start: usize, end: usize) -> &'a str {
        match self.text {
            Some(text) => text.get(start..end).unwrap_or_default(),
            None => {
                let bytes = self.bytes.get(start..end).unwrap_or_default();
                std::str::from_utf8(bytes).unwrap_or_default()
            }
        }
    }

    /// Goes past `count` bytes.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }
}

/// The bytes as text.
fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let byte = bytes.get(at).copied().unwrap_or_default();
        let message = format!("byte 0x{byte:02x} is not UTF-8 here");
        ReadError::new(ReadErrorKind::Encoding, message, bytes, at)
    })
}
