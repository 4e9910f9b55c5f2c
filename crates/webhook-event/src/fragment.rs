//! A value of a document, as it stands there.

use std::borrow::Cow;

/// A JSON value of a document, as it stands there, with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fragment<'a> {
    /// The value whose well-formed JSON text is `bytes`, at byte `at` of its document.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Fragment<'a> {
        Fragment { bytes, at }
    }

    /// The JSON text, without blanks around it.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The byte of the document at which it begins.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.bytes.first() == Some(&b'n')
    }

    /// What it is, for messages: `an object`, `a string`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.bytes.first() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    /// A number as written; `None` for other values.
    pub(crate) fn number(&self) -> Option<&'a str> {
        match self.bytes.first()? {
            b'-' | b'0'..=b'9' => std::str::from_utf8(self.bytes).ok(),
            _ => None,
        }
    }

    /// Whether it is an object or an array that nothing is in.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.bytes, [b'{' | b'[', inner @ .., _] if inner.trim_ascii().is_empty())
    }

    /// A scalar as text: a string's characters, a number as written, `true` or `false`. `None` for
    /// null, arrays and objects.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self.bytes {
            [b'{' | b'[' | b'n', ..] => None,
            [b'"', text @ .., b'"'] if text.contains(&b'\\') => {
                serde_json::from_slice(self.bytes).ok().map(Cow::Owned)
            }
            [b'"', text @ .., b'"'] | text => std::str::from_utf8(text).ok().map(Cow::Borrowed),
        }
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(self.bytes).ok()
    }
}
