//! Writes JSON like Gson does by default.
//!
//! The rules are those of Gson's `JsonWriter` with `htmlSafe`, the default of `new Gson()`: no
//! blanks, and `<`, `>`, `&`, `=` and `'` are escaped, so that JSON can be embedded in HTML.

use super::block::may_need_html_escape;
use super::double::DoubleText;
use serde_json::ser::Formatter;
use std::io;

/// A formatter for [`serde_json::Serializer`] that writes the same bytes as Gson.
///
/// ```
/// use serde::Serialize;
/// let mut json = Vec::new();
/// let mut serializer = serde_json::Serializer::with_formatter(&mut json, webhook_model::Gson);
/// ("a=b", 1e7).serialize(&mut serializer)?;
/// assert_eq!(json, br#"["a\u003db",1.0E7]"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Gson;

/// How Gson escapes the first character of `text`, and the number of bytes of that character;
/// `None` if Gson does not escape it.
#[inline]
pub(super) fn escape_at(text: &[u8]) -> Option<(&'static [u8], usize)> {
    match *text.first()? {
        b'"' => Some((b"\\\"", 1)),
        b'\\' => Some((b"\\\\", 1)),
        control @ 0..0x20 => Some((CONTROLS.get(usize::from(control))?, 1)),
        _ => html_escape_at(text),
    }
}

/// The same for characters that JSON allows unescaped.
fn html_escape_at(text: &[u8]) -> Option<(&'static [u8], usize)> {
    Some(match text {
        [b'<', ..] => (b"\\u003c", 1),
        [b'>', ..] => (b"\\u003e", 1),
        [b'&', ..] => (b"\\u0026", 1),
        [b'=', ..] => (b"\\u003d", 1),
        [b'\'', ..] => (b"\\u0027", 1),
        // U+2028 and U+2029, which end a line in JavaScript.
        [0xE2, 0x80, 0xA8, ..] => (b"\\u2028", 3),
        [0xE2, 0x80, 0xA9, ..] => (b"\\u2029", 3),
        _ => return None,
    })
}

/// The escapes of the control characters from U+0000 on.
#[rustfmt::skip]
const CONTROLS: [&[u8]; 32] = [
    b"\\u0000", b"\\u0001", b"\\u0002", b"\\u0003", b"\\u0004", b"\\u0005", b"\\u0006", b"\\u0007",
    b"\\b", b"\\t", b"\\n", b"\\u000b", b"\\f", b"\\r", b"\\u000e", b"\\u000f",
    b"\\u0010", b"\\u0011", b"\\u0012", b"\\u0013", b"\\u0014", b"\\u0015", b"\\u0016", b"\\u0017",
    b"\\u0018", b"\\u0019", b"\\u001a", b"\\u001b", b"\\u001c", b"\\u001d", b"\\u001e", b"\\u001f",
];

/// Writes a part of a string, with the escapes that serde_json does not make.
fn write_html_safe<W: ?Sized + io::Write>(writer: &mut W, fragment: &str) -> io::Result<()> {
    let bytes = fragment.as_bytes();
    let (mut written, mut at) = (0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match html_escape_at(rest) {
            Some((escape, length)) => {
                writer.write_all(bytes.get(written..at).unwrap_or_default())?;
                writer.write_all(escape)?;
                at += length;
                written = at;
            }
            None => at += 1,
        }
    }
    writer.write_all(bytes.get(written..).unwrap_or_default())
}

impl Formatter for Gson {
    #[inline]
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(DoubleText::new(value).as_bytes())
    }

    #[inline]
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if may_need_html_escape(fragment.as_bytes()) {
            return write_html_safe(writer, fragment);
        }
        writer.write_all(fragment.as_bytes())
    }
}
