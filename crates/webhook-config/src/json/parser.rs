//! Parses a text into a tree.

use super::value::{Key, Kind, Member, Span, Value};

/// The deepest nesting of lists and objects that is read.
pub(crate) const MAX_DEPTH: usize = 64;

/// A parsed text.
#[derive(Debug)]
pub(crate) struct Document {
    /// The root, or the part of it before the error.
    pub(crate) root: Option<Value>,
    /// The first syntax error; nothing after it was read.
    pub(crate) error: Option<SyntaxError>,
    /// Text after the root, except blanks.
    pub(crate) trailing: Option<Span>,
}

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SyntaxError {
    pub(crate) span: Span,
    /// The start of the token that could not be read: output must not quote the text from here on.
    pub(crate) token_start: usize,
    pub(crate) message: String,
    pub(crate) help: Option<&'static str>,
    pub(crate) too_deep: bool,
}

/// Parses `text` up to its first error.
pub(crate) fn parse(text: &str) -> Document {
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
        error: None,
    };
    parser.skip_blanks();
    if parser.at == text.len() {
        return Document {
            root: None,
            error: None,
            trailing: None,
        };
    }
    let root = parser.value(0);
    let mut trailing = None;
    if parser.error.is_none() {
        parser.skip_blanks();
        let end = text.trim_end().len();
        if parser.at < end {
            trailing = Some(parser.at..end);
        }
    }
    Document {
        root,
        error: parser.error,
        trailing,
    }
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    error: Option<SyntaxError>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Describes the character at the current place, for a message.
    fn found(&self) -> String {
        match self.text[self.at..].chars().next() {
            None => "the end of the file".to_owned(),
            Some(c) if c.is_control() => format!("the control character U+{:04X}", c as u32),
            Some('\u{feff}') => "a byte order mark".to_owned(),
            Some(c) => format!("`{c}`"),
        }
    }

    fn fail(&mut self, message: String, help: Option<&'static str>) {
        let width = self.text[self.at..]
            .chars()
            .next()
            .map_or(0, char::len_utf8);
        self.fail_at(self.at..self.at + width, self.at, message, help);
    }

    fn fail_at(
        &mut self,
        span: Span,
        token_start: usize,
        message: String,
        help: Option<&'static str>,
    ) {
        if self.error.is_none() {
            self.error = Some(SyntaxError {
                span,
                token_start,
                message,
                help,
                too_deep: false,
            });
        }
    }

    /// Hides the text from `start` on as well: a key without a value may be a misplaced value.
    fn distrust_from(&mut self, start: usize) {
        if let Some(error) = &mut self.error {
            error.token_start = error.token_start.min(start);
        }
    }

    /// A value, or the part of it before the error.
    fn value(&mut self, depth: usize) -> Option<Value> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => {
                self.error = Some(SyntaxError {
                    span: start..start + 1,
                    token_start: start,
                    message: format!("nested more than {MAX_DEPTH} deep"),
                    help: Some("no key of this file needs more than 4 levels"),
                    too_deep: true,
                });
                return None;
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Kind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Kind::Number(self.number()?),
            Some(b't') => self.word("true", Kind::Bool(true))?,
            Some(b'f') => self.word("false", Kind::Bool(false))?,
            Some(b'n') => self.word("null", Kind::Null)?,
            _ => {
                let help = match self.peek() {
                    Some(b'/' | b'#') => Some("JSON has no comments: remove it"),
                    Some(b'\'') => Some("put strings in double quotes"),
                    Some(b'+' | b'.') => Some("write a number as 5 or 0.5"),
                    Some(b']' | b'}') => Some("remove the comma before it"),
                    _ => None,
                };
                self.fail(format!("expected a value, found {}", self.found()), help);
                return None;
            }
        };
        Some(Value {
            span: start..self.at,
            kind,
        })
    }

    fn word(&mut self, word: &'static str, kind: Kind) -> Option<Kind> {
        let start = self.at;
        let rest = &self.text[start..];
        let length = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        if &rest[..length] == word {
            self.at += word.len();
            return Some(kind);
        }
        self.fail_at(
            start..start + length,
            start,
            format!("expected `{word}` or a string in double quotes"),
            None,
        );
        None
    }

    fn object(&mut self, depth: usize) -> Kind {
        let mut members = Vec::new();
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Kind::Object(members);
        }
        loop {
            if self.peek() != Some(b'"') {
                let help = match self.peek() {
                    Some(b'}') => "remove the comma before it",
                    Some(b'/' | b'#') => "JSON has no comments: remove it",
                    Some(b',') => "remove one of the commas",
                    None => "close the object with `}`",
                    _ => "put keys in double quotes",
                };
                self.fail(
                    format!("expected a key, found {}", self.found()),
                    Some(help),
                );
                break;
            }
            let start = self.at;
            let Some(text) = self.string() else { break };
            let key = Key {
                span: start..self.at,
                text,
            };
            self.skip_blanks();
            if self.peek() != Some(b':') {
                let message = format!("expected `:` after the key, found {}", self.found());
                self.fail(message, Some("put a colon between key and value"));
                self.distrust_from(start);
                break;
            }
            self.at += 1;
            self.skip_blanks();
            let value = self.value(depth + 1);
            match value {
                Some(value) => members.push(Member { key, value }),
                None => self.distrust_from(start),
            }
            if self.error.is_some() || !self.next_item(b'}', "object") {
                break;
            }
        }
        Kind::Object(members)
    }

    fn array(&mut self, depth: usize) -> Kind {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Kind::Array(items);
        }
        loop {
            items.extend(self.value(depth + 1));
            if self.error.is_some() || !self.next_item(b']', "list") {
                break;
            }
        }
        Kind::Array(items)
    }

    /// Whether another item follows; false at the end of the list or object, and after an error.
    fn next_item(&mut self, close: u8, what: &str) -> bool {
        self.skip_blanks();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_blanks();
                true
            }
            Some(byte) if byte == close => {
                self.at += 1;
                false
            }
            found => {
                let close = char::from(close);
                let help = match found {
                    None => Some("the file ends too early: close the list or object"),
                    Some(b'/' | b'#') => Some("JSON has no comments: remove it"),
                    Some(b'"') => Some("put a comma before it"),
                    Some(_) => None,
                };
                let found = self.found();
                self.fail(
                    format!("expected `,` or `{close}` in the {what}, found {found}"),
                    help,
                );
                false
            }
        }
    }

    fn number(&mut self) -> Option<String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits(start)?;
        if leading_zero && digits > 1 {
            let help = Some("remove the zeros before the number");
            self.fail_at(
                start..self.at,
                start,
                "a number cannot start with 0".to_owned(),
                help,
            );
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits(start)?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits(start)?;
        }
        Some(self.text[start..self.at].to_owned())
    }

    /// Reads digits; how many there were. None is an error.
    fn digits(&mut self, start: usize) -> Option<usize> {
        let first = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == first {
            let message = format!("expected a digit in the number, found {}", self.found());
            self.fail_at(start..self.at, start, message, None);
            return None;
        }
        Some(self.at - first)
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let plain = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..0x20)) {
                self.at += 1;
            }
            text.push_str(&self.text[plain..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Some(text);
                }
                Some(b'\\') => self.escape(start, &mut text)?,
                Some(_) => {
                    let message = format!("{} in a string", self.found());
                    let help =
                        "write it as an escape such as \\n, or add the missing closing quote";
                    self.fail_at(self.at..self.at + 1, start, message, Some(help));
                    return None;
                }
                None => {
                    let message = "this string has no closing quote".to_owned();
                    self.fail_at(start..start + 1, start, message, Some("close it with `\"`"));
                    return None;
                }
            }
        }
    }

    fn escape(&mut self, string_start: usize, text: &mut String) -> Option<()> {
        let start = self.at;
        self.at += 1;
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.code_unit(start, string_start)?;
                text.push(self.character(unit));
                return Some(());
            }
            _ => {
                let width = self.text[self.at..]
                    .chars()
                    .next()
                    .map_or(0, char::len_utf8);
                let message = "JSON has no such escape".to_owned();
                let help = "a backslash itself is written `\\\\`";
                self.fail_at(start..self.at + width, string_start, message, Some(help));
                return None;
            }
        };
        self.at += 1;
        text.push(plain);
        Some(())
    }

    /// Reads `uXXXX`, past the backslash.
    fn code_unit(&mut self, start: usize, string_start: usize) -> Option<u32> {
        let digits = self.bytes.get(self.at + 1..self.at + 5);
        let unit = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        if unit.is_none() {
            let message = "expected four hexadecimal digits after `\\u`".to_owned();
            self.fail_at(start..self.at + 1, string_start, message, None);
        } else {
            self.at += 5;
        }
        unit
    }

    /// The character of a code unit, together with the next escape if the two are a surrogate pair.
    fn character(&mut self, unit: u32) -> char {
        if (0xd800..0xdc00).contains(&unit) && self.bytes[self.at..].starts_with(b"\\u") {
            let before = (self.at, self.error.clone());
            self.at += 1;
            if let Some(low @ 0xdc00..0xe000) = self.code_unit(self.at, self.at) {
                let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
            (self.at, self.error) = before;
        }
        char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}
