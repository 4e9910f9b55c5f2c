//! Scans JSON text in one pass: strict RFC 8259, with a bound on nesting.
//!
//! Both readers of this crate, for the whole payload and for the header, use this scanner, so
//! neither accepts a text that the other calls malformed.

use super::cursor::{Cursor, Result};
use super::error::{ReadError, ReadErrorKind};
use super::{skip, string};
use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

/// The deepest nesting of arrays and objects, the payload's own object included. Aurora's payloads
/// are nested nine deep.
pub const MAX_DEPTH: u32 = 128;

/// A cursor that moves from token to token and counts the nesting.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    cursor: Cursor<'a>,
    depth: u32,
}

impl<'a> Deref for Scanner<'a> {
    type Target = Cursor<'a>;

    #[inline]
    fn deref(&self) -> &Cursor<'a> {
        &self.cursor
    }
}

impl DerefMut for Scanner<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.cursor
    }
}

impl<'a> Scanner<'a> {
    /// A scanner for reading most of `bytes` as text.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        let cursor = Cursor::new(bytes)?;
        Ok(Scanner { cursor, depth: 0 })
    }

    /// A scanner for skipping most of `bytes`.
    pub(crate) fn for_skipping(bytes: &'a [u8]) -> Result<Self> {
        let cursor = Cursor::for_skipping(bytes)?;
        Ok(Scanner { cursor, depth: 0 })
    }

    /// The error of a value with the wrong type, or that is not JSON.
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

    /// Checks that only blanks follow.
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
        self.advance(1);
        Ok(())
    }

    /// Enters the next object; `what` names it in the error.
    #[inline]
    pub(crate) fn enter_object(&mut self, what: &str) -> Result<()> {
        match self.peek() {
            Some(b'{') => self.deeper(),
            _ => Err(self.unexpected(what)),
        }
    }

    /// The next key of the object, which was just entered if `first`; its value is next. At its
    /// end, `None`, and the object is left.
    #[inline]
    pub(crate) fn next_key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>> {
        match (self.peek(), *first) {
            (Some(b'}'), _) => {
                self.advance(1);
                self.depth -= 1;
                return Ok(None);
            }
            (Some(b','), false) => {
                self.advance(1);
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

    /// Skips `cachedHashCode`, the first member of most objects, if it is next and written as by
    /// Aurora.
    #[inline]
    pub(crate) fn skip_cached_hash(&mut self, first: &mut bool) {
        if let Some(after) = skip::cached_hash(self.rest) {
            self.rest = after;
            *first = false;
        }
    }

    /// Like [`Scanner::next_key`], but returns UTF-8 bytes.
    #[inline]
    pub(crate) fn next_name(&mut self, first: &mut bool) -> Result<Option<Cow<'a, [u8]>>> {
        let quoted = match self.rest {
            [b',', b'"', after @ ..] if !*first => Some(after),
            [b'"', after @ ..] if *first => Some(after),
            _ => None,
        };
        if let Some((name, [b':', after @ ..])) =
            quoted.and_then(|rest| string::unescaped(self, rest))
        {
            *first = false;
            self.rest = after;
            return Ok(Some(Cow::Borrowed(name)));
        }
        let key = self.next_key(first)?;
        Ok(key.map(|key| match key {
            Cow::Borrowed(key) => Cow::Borrowed(key.as_bytes()),
            Cow::Owned(key) => Cow::Owned(key.into_bytes()),
        }))
    }

    #[inline]
    fn colon(&mut self) -> Result<()> {
        if self.peek() != Some(b':') {
            return Err(self.malformed("`:`"));
        }
        self.advance(1);
        Ok(())
    }

    /// Enters the next array; `what` names it in the error.
    #[inline]
    pub(crate) fn enter_array(&mut self, what: &str) -> Result<()> {
        match self.peek() {
            Some(b'[') => self.deeper(),
            _ => Err(self.unexpected(what)),
        }
    }

    /// Whether the array, which was just entered if `first`, has another element, which is next. At
    /// its end, the array is left.
    #[inline]
    pub(crate) fn next_element(&mut self, first: &mut bool) -> Result<bool> {
        match (self.peek(), *first) {
            (Some(b']'), _) => {
                self.advance(1);
                self.depth -= 1;
                Ok(false)
            }
            (Some(b','), false) => {
                self.advance(1);
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

    /// Reads a `null`, if it is next.
    #[inline]
    pub(crate) fn null(&mut self) -> Result<bool> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.word("null")?;
        Ok(true)
    }

    /// Reads a boolean.
    pub(crate) fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| true),
            Some(b'f') => self.word("false").map(|()| false),
            _ => Err(self.unexpected("true or false")),
        }
    }

    fn word(&mut self, word: &str) -> Result<()> {
        if let Some(after) = self.rest.strip_prefix(word.as_bytes()) {
            self.rest = after;
            return Ok(());
        }
        Err(self.malformed("a JSON value"))
    }

    /// Reads a string, borrowed unless it has escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a string"));
        }
        string::read(self)
    }

    /// Reads a number as written; `what` names it in the error.
    #[inline]
    pub(crate) fn number(&mut self, what: &str) -> Result<&'a str> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => {
                let start = self.place();
                self.skip_number()?;
                Ok(self.text_since(start))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// Reads a whole number, if one is next and fits the type.
    #[inline]
    pub(crate) fn integer<T: TryFrom<i64>>(&mut self) -> Option<T> {
        self.peek();
        let (value, after) = skip::integer(self.rest)?;
        let value = value.try_into().ok()?;
        self.rest = after;
        Some(value)
    }

    fn skip_number(&mut self) -> Result<()> {
        if self.byte() == Some(b'-') {
            self.advance(1);
        }
        match self.byte() {
            Some(b'0') => self.advance(1),
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.advance(1);
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.advance(1);
            if let Some(b'+' | b'-') = self.byte() {
                self.advance(1);
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
            self.advance(1);
        }
        Ok(())
    }

    /// Skips a value and checks that it is well-formed JSON. Uses no stack, however deep the value
    /// is.
    pub(crate) fn skip_value(&mut self) -> Result<()> {
        let room = MAX_DEPTH - self.depth;
        let after = if self.plain {
            skip::value::<true>(self.rest, room)
        } else {
            skip::value::<false>(self.rest, room)
        };
        match after {
            Some(after) => {
                self.rest = after;
                Ok(())
            }
            None => self.skip_value_slowly(),
        }
    }

    /// The same, token by token, to find out what is wrong and where.
    #[cold]
    pub(super) fn skip_value_slowly(&mut self) -> Result<()> {
        // One bit for each array or object around the scanner, set for an object. The bound on
        // the depth is the width of the integer.
        let mut objects: u128 = 0;
        let outside = self.depth;
        loop {
            match self.peek() {
                Some(b'"') => string::skip(self)?,
                Some(b'-' | b'0'..=b'9') => self.skip_number()?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                Some(b'{') => {
                    self.deeper()?;
                    if self.peek() == Some(b'}') {
                        self.advance(1);
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
                        self.advance(1);
                        self.depth -= 1;
                    } else {
                        objects <<= 1;
                        continue;
                    }
                }
                _ => return Err(self.malformed("a JSON value")),
            }
            // A value has ended: close the arrays and objects that end with it, and continue in the
            // one around it.
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                let in_object = objects & 1 == 1;
                match (self.peek(), in_object) {
                    (Some(b','), true) => {
                        self.advance(1);
                        self.skip_key("a member's name in quotes")?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.advance(1);
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.advance(1);
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
        string::skip(self)?;
        self.colon()
    }
}
