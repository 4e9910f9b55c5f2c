//! Header fields in the form in which they are sent.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// The header fields of a request, in the order in which they are sent.
///
/// They are stored as they are sent, `name: value` and a line break each (RFC 9112, section 5), so
/// that fields which all attempts share are written once. `Debug` shows names only: a value may be
/// a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderLines {
    lines: Vec<u8>,
}

impl HeaderLines {
    /// No fields.
    #[must_use]
    pub fn new() -> HeaderLines {
        HeaderLines::default()
    }

    /// Adds a field at the end, even if its name occurs already.
    pub fn push(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.line(name, value.as_bytes());
    }

    /// Each field's name, in lower case, and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = &self.lines[..];
        std::iter::from_fn(move || {
            let name_ends = rest.windows(2).position(|bytes| bytes == b": ")?;
            let line_ends = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
            let name = std::str::from_utf8(rest.get(..name_ends)?).ok()?;
            let value = rest.get(name_ends + 2..line_ends)?;
            rest = rest.get(line_ends + 2..)?;
            Some((name, value))
        })
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The lines, each with its line break.
    pub(crate) fn as_lines(&self) -> &[u8] {
        &self.lines
    }

    /// Replaces the fields by others, and keeps the buffer.
    pub(crate) fn copy(&mut self, other: &HeaderLines) {
        self.lines.clear();
        self.lines.extend_from_slice(&other.lines);
    }

    /// Removes the fields of this name.
    pub(crate) fn remove(&mut self, name: &HeaderName) {
        let mut kept = Vec::with_capacity(self.lines.len());
        for line in self.lines.split_inclusive(|byte| *byte == b'\n') {
            let line_name = line.split(|byte| *byte == b':').next();
            if line_name != Some(name.as_str().as_bytes()) {
                kept.extend_from_slice(line);
            }
        }
        self.lines = kept;
    }

    /// Adds a field whose value is printable ASCII.
    pub(crate) fn push_text(&mut self, name: &HeaderName, value: &str) {
        debug_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        self.line(name, value.as_bytes());
    }

    /// Adds a field whose value is a number.
    pub(crate) fn push_number(&mut self, name: &HeaderName, number: u64) {
        let mut digits = [0; 20];
        self.line(name, decimal(number, &mut digits));
    }

    fn line(&mut self, name: &HeaderName, value: &[u8]) {
        self.lines.extend_from_slice(name.as_str().as_bytes());
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
    }
}

impl From<&HeaderMap> for HeaderLines {
    fn from(map: &HeaderMap) -> HeaderLines {
        let mut fields = HeaderLines::new();
        for (name, value) in map {
            fields.push(name, value);
        }
        fields
    }
}

impl fmt::Debug for HeaderLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Writes a number into the end of `digits`.
pub(crate) fn decimal(number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut left = number;
    let mut start = digits.len();
    while let Some(digit) = start.checked_sub(1).and_then(|at| digits.get_mut(at)) {
        *digit = b'0' + (left % 10) as u8;
        start -= 1;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, AUTHORIZATION};

    #[test]
    fn fields_keep_their_order_and_values() {
        let mut fields = HeaderLines::new();
        fields.push(&ACCEPT, &HeaderValue::from_static("a: b"));
        fields.push(&ACCEPT, &HeaderValue::from_bytes(b"\xe4").unwrap());
        fields.push_text(&ACCEPT, "");
        fields.push_number(&ACCEPT, u64::MAX);
        let lines = b"accept: a: b\r\naccept: \xe4\r\naccept: \r\naccept: 18446744073709551615\r\n";
        assert_eq!(fields.as_lines(), lines);
        let values: Vec<&[u8]> = fields.iter().map(|(_, value)| value).collect();
        assert_eq!(values[..3], [&b"a: b"[..], b"\xe4", b""]);
        assert_eq!(fields.iter().count(), 4);
        assert_eq!(fields.get("Accept"), Some(&b"a: b"[..]));
        assert_eq!(fields.get("absent"), None);
        fields.push_text(&AUTHORIZATION, "b");
        fields.remove(&ACCEPT);
        assert_eq!(fields.as_lines(), b"authorization: b\r\n");
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 9, 10, 1_699_900_000_000, u64::MAX] {
            let mut digits = [0; 20];
            assert_eq!(decimal(number, &mut digits), number.to_string().as_bytes());
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let mut map = HeaderMap::new();
        map.insert(AUTHORIZATION, HeaderValue::from_static("hunter2"));
        assert_eq!(
            format!("{:?}", HeaderLines::from(&map)),
            r#"["authorization"]"#
        );
    }
}
