//! Which headers Netty 4.0 accepted, and the bytes that it wrote.

/// Whether Netty accepted the name of a header.
pub(crate) fn takes_name(name: &str) -> bool {
    name.chars()
        .all(|c| c.is_ascii() && !"\t\n\u{b}\u{c}\r ,:;=".contains(c))
}

/// Whether Netty accepted a value: without vertical tab or form feed, and with a line break only if
/// a blank or a tab follows it.
pub(crate) fn takes_value(value: &str) -> bool {
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{b}' | '\u{c}' => return false,
            '\r' if rest.next() != Some('\n') => return false,
            '\r' | '\n' if !matches!(rest.next(), Some(' ' | '\t')) => return false,
            _ => {}
        }
    }
    true
}

/// The bytes of a value that Netty accepted. What HTTP forbids is replaced as RFC 9110, 5.5 says:
/// the line break of a continued line by one blank, a control character by a blank. For characters
/// beyond Latin-1, Netty wrote `?`.
pub(crate) fn value_bytes(value: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' | '\n' => {
                while bytes.last().is_some_and(u8::is_ascii_whitespace) {
                    bytes.pop();
                }
                while rest
                    .next_if(|c| matches!(c, '\r' | '\n' | ' ' | '\t'))
                    .is_some()
                {}
                bytes.push(b' ');
            }
            '\t' => bytes.push(b'\t'),
            '\0'..='\u{1f}' | '\u{7f}' => bytes.push(b' '),
            // A character beyond the basic plane is two UTF-16 units.
            _ => match u8::try_from(u32::from(c)) {
                Ok(byte) => bytes.push(byte),
                Err(_) => bytes.extend(std::iter::repeat_n(b'?', c.len_utf16())),
            },
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_needs_a_continuation() {
        for good in [
            "",
            "a",
            "caf\u{e9}",
            "\0",
            "a\r\n b",
            "a\n\tb",
            "\r\n ",
            "\t",
        ] {
            assert!(takes_value(good), "{good:?}");
        }
        for bad in [
            "a\r\nX: y",
            "a\n",
            "a\r",
            "a\rb",
            "a\r\n",
            "\u{b}",
            "\u{c}",
            "a\n\n b",
        ] {
            assert!(!takes_value(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_value_goes_out_as_latin_1_on_one_line() {
        assert_eq!(value_bytes("caf\u{e9} \u{2603}"), b"caf\xe9 ?");
        assert_eq!(value_bytes("\u{1f600}"), b"??");
        assert_eq!(value_bytes("a \r\n \t b"), b"a b");
        assert_eq!(value_bytes("a\0b\u{7f}\tc"), b"a b \tc");
    }
}
