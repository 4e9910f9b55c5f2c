//! The scanner of this crate, for readers of other JSON.

use super::cursor::Result;
use super::scan::Scanner;
use super::skip;
use std::borrow::Cow;

/// Moves through a JSON text from token to token, in one pass: strict RFC 8259, UTF-8, no deeper
/// than [`MAX_DEPTH`](crate::MAX_DEPTH). What it skips is checked, too.
///
/// ```
/// use webhook_model::JsonScanner;
///
/// let mut scanner = JsonScanner::new(br#"{"a":[1,2],"b":3}"#)?;
/// scanner.enter_object()?;
/// let mut first = true;
/// let mut names = Vec::new();
/// while let Some(name) = scanner.next_name(&mut first)? {
///     names.push(String::from_utf8_lossy(&name).into_owned());
///     scanner.skip_value()?;
/// }
/// scanner.end()?;
/// assert_eq!(names, ["a", "b"]);
/// # Ok::<(), webhook_model::ReadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct JsonScanner<'a>(Scanner<'a>);

impl<'a> JsonScanner<'a> {
    /// A scanner at the start of a text.
    ///
    /// # Errors
    /// The bytes are not UTF-8, or start with a byte order mark.
    pub fn new(bytes: &'a [u8]) -> Result<JsonScanner<'a>> {
        Scanner::for_skipping(bytes).map(JsonScanner)
    }

    /// Skips blanks; the next byte.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        self.0.peek()
    }

    /// The present place, in bytes from the start.
    #[inline]
    #[must_use]
    pub fn place(&self) -> usize {
        self.0.place()
    }

    /// The place of the next member or element, after its comma, of an object or array that was
    /// just entered if `first`.
    #[must_use]
    pub fn next_item_place(&self, first: bool) -> usize {
        let mut ahead = self.0.clone();
        if ahead.peek() == Some(b',') && !first {
            ahead.advance(1);
            ahead.peek();
        }
        ahead.place()
    }

    /// Enters the next value, which must be an object.
    ///
    /// # Errors
    /// It is something else, or too deep.
    #[inline]
    pub fn enter_object(&mut self) -> Result<()> {
        self.0.enter_object("an object")
    }

    /// The name of the next member of the object, which was just entered if `first`; its value is
    /// next. At its end, `None`, and the object is left.
    ///
    /// # Errors
    /// The text is malformed.
    #[inline]
    pub fn next_name(&mut self, first: &mut bool) -> Result<Option<Cow<'a, [u8]>>> {
        // Many programs write a blank after each comma and colon; the fast ways expect none.
        if let ([b',', b' ', name @ ..], false) = (self.0.rest, *first)
            && name.starts_with(b"\"")
        {
            self.0.rest = name;
            *first = true;
        }
        let name = self.0.next_name(first)?;
        if let ([b' ', value @ ..], true) = (self.0.rest, name.is_some()) {
            self.0.rest = value;
        }
        Ok(name)
    }

    /// Enters the next value, which must be an array.
    ///
    /// # Errors
    /// It is something else, or too deep.
    #[inline]
    pub fn enter_array(&mut self) -> Result<()> {
        self.0.enter_array("an array")
    }

    /// Whether the array, which was just entered if `first`, has another element, which is next. At
    /// its end, the array is left.
    ///
    /// # Errors
    /// The text is malformed.
    #[inline]
    pub fn next_element(&mut self, first: &mut bool) -> Result<bool> {
        self.0.next_element(first)
    }

    /// Skips the next value.
    ///
    /// # Errors
    /// It is malformed or too deep.
    #[inline]
    pub fn skip_value(&mut self) -> Result<()> {
        if self.0.rest.first() == Some(&b'"') {
            let after = match self.0.plain {
                true => skip::text::<true>(self.0.rest),
                false => skip::text::<false>(self.0.rest),
            };
            if let Some(after) = after {
                self.0.rest = after;
                return Ok(());
            }
        }
        self.0.skip_value()
    }

    /// Checks that only blanks follow.
    ///
    /// # Errors
    /// Something else follows.
    pub fn end(&mut self) -> Result<()> {
        self.0.end()
    }
}
