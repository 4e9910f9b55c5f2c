//! JSON as Gson writes it by default.
//!
//! The source of the rules is Gson's `JsonWriter` with `htmlSafe` on, as `new Gson()` has it: no
//! blanks, and `<`, `>`, `&`, `=` and `'` escaped, so that JSON can stand in an HTML page.

use super::block::{has_html_suspect, is_html_suspect};
use super::double::DoubleText;
use serde_json::ser::Formatter;
use std::io;

/// A formatter for [`serde_json::Serializer`] that writes, byte for byte, what Gson does.
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

/// How Gson escapes the character at the start of `bytes`, where serde_json does not, and how many
/// bytes that character has.
#[inline]
fn html_escape(bytes: &[u8]) -> Option<(&'static [u8], usize)> {
    Some(match bytes {
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

/// The first byte from `at` on with which something may start that Gson escapes.
#[inline]
fn next_suspect(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        if has_html_suspect(block) {
            break;
        }
        at += 16;
    }
    let mut rest = bytes.get(at..)?.iter();
    rest.position(|&byte| is_html_suspect(byte))
        .map(|offset| at + offset)
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
        let bytes = fragment.as_bytes();
        let mut written = 0;
        let mut at = 0;
        while let Some(next) = next_suspect(bytes, at) {
            let (plain, rest) = bytes.split_at(next);
            match html_escape(rest) {
                Some((escape, length)) => {
                    writer.write_all(plain.get(written..).unwrap_or_default())?;
                    writer.write_all(escape)?;
                    at = next + length;
                    written = at;
                }
                None => at = next + 1,
            }
        }
        writer.write_all(bytes.get(written..).unwrap_or_default())
    }
}
