//! A place in a JSON text, moving forwards.

use super::block::is_plain;
use super::error::{ReadError, ReadErrorKind};

pub(crate) type Result<T> = std::result::Result<T, ReadError>;

/// A place in a JSON text, moving forwards.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    /// The bytes as text, or `None` if they are plain and only parts of them are needed as text.
    text: Option<&'a str>,
    /// The rest of the bytes, from the present place on.
    pub(super) rest: &'a [u8],
    /// Whether the bytes [are plain](is_plain), except for a line end after them.
    pub(super) plain: bool,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`, for reading most of them as text.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut cursor = Self::for_skipping(bytes)?;
        if cursor.text.is_none() {
            cursor.text = std::str::from_utf8(bytes).ok();
        }
        Ok(cursor)
    }

    /// A cursor at the start of `bytes`, for skipping most of them.
    pub(crate) fn for_skipping(bytes: &'a [u8]) -> Result<Self> {
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

    /// An error at the present place.
    #[cold]
    pub(crate) fn error(&self, kind: ReadErrorKind, message: String) -> ReadError {
        self.error_at(self.place(), kind, message)
    }

    /// An error at byte `at`.
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

    /// The next byte.
    #[inline]
    pub(super) fn byte(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Skips blanks; the next byte.
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

    /// The present place, for a later [`Cursor::return_to`].
    pub(crate) fn place(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    /// Returns to a place from [`Cursor::place`] at the same nesting.
    pub(crate) fn return_to(&mut self, place: usize) {
        self.rest = self.bytes.get(place..).unwrap_or_default();
    }

    /// The bytes from the present place on.
    pub(crate) fn remaining(&self) -> &'a [u8] {
        self.rest
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

    /// Skips `count` bytes.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
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
