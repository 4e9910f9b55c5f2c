//! Skips well-formed values fast.
//!
//! A header needs a tenth of a payload; the functions here skip the rest. They do not report
//! errors: they return `None` for anything unexpected, and the scanner then reads the value again,
//! byte by byte, to find the error.
//!
//! All functions take the rest of the text and return the rest after what they skipped. `PLAIN`
//! states that the whole text is [plain](super::block::is_plain), so that strings need not be
//! checked for control characters.

use super::block::{escapes_only_quotes, first_other_than_digit, first_special, has_control};

/// The first key of most objects in a payload.
const CACHED_HASH: &[u8] = b"\"cachedHashCode\":";

/// Skips the value at the start of `rest`, and blanks before it, if its arrays and objects are
/// nested no deeper than `room`.
#[inline]
pub(super) fn value<const PLAIN: bool>(rest: &[u8], room: u32) -> Option<&[u8]> {
    // Most values are scalars.
    match rest.first()? {
        b'"' => string::<PLAIN>(rest),
        b'{' | b'[' | b' ' | b'\t' | b'\n' | b'\r' => nested::<PLAIN>(rest, room),
        _ => scalar(rest),
    }
}

/// Skips a number, a boolean or a null.
#[inline(never)]
fn scalar(rest: &[u8]) -> Option<&[u8]> {
    let (first, after) = rest.split_first()?;
    match first {
        b'1'..=b'9' => number(after),
        // Only 0 itself starts with 0.
        b'0' => fraction(after),
        b'-' => match after.split_first()? {
            (b'1'..=b'9', after) => number(after),
            (b'0', after) => fraction(after),
            _ => None,
        },
        b't' => after.strip_prefix(b"rue"),
        b'f' => after.strip_prefix(b"alse"),
        b'n' => after.strip_prefix(b"ull"),
        _ => None,
    }
}

#[inline(never)]
fn nested<const PLAIN: bool>(mut rest: &[u8], room: u32) -> Option<&[u8]> {
    // One bit for each array or object that is open, set for an object. The bound on the depth is
    // the width of the integer.
    let mut objects: u128 = 0;
    let mut depth = 0;
    loop {
        let (&first, after) = rest.split_first()?;
        if first == b'"' {
            rest = string::<PLAIN>(rest)?;
        } else if matches!(first, b'1'..=b'9') {
            rest = number(after)?;
        } else if first == b'{' {
            if depth == room {
                return None;
            }
            if let Some(after) = token(after, b'}') {
                rest = after;
            } else {
                objects = objects << 1 | 1;
                depth += 1;
                match cached_hash(after) {
                    Some(after) => rest = after,
                    None => {
                        rest = key::<PLAIN>(after)?;
                        continue;
                    }
                }
            }
        } else if first == b'[' {
            if depth == room {
                return None;
            }
            if let Some(after) = token(after, b']') {
                rest = after;
            } else {
                objects <<= 1;
                depth += 1;
                rest = after;
                continue;
            }
        } else if is_blank(first) {
            rest = after;
            continue;
        } else {
            rest = scalar(rest)?;
        }
        // A value has ended: close the arrays and objects that end with it, and continue in the one
        // around it.
        loop {
            if depth == 0 {
                return Some(rest);
            }
            let in_object = objects & 1 == 1;
            let (&first, after) = rest.split_first()?;
            if first == b',' {
                rest = if in_object {
                    key::<PLAIN>(after)?
                } else {
                    after
                };
                break;
            }
            if first == if in_object { b'}' } else { b']' } {
                depth -= 1;
                objects >>= 1;
            } else if !is_blank(first) {
                return None;
            }
            rest = after;
        }
    }
}

/// Skips a `cachedHashCode` and its number, if it is at the start of `rest`.
#[inline(always)]
pub(super) fn cached_hash(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.strip_prefix(CACHED_HASH)?;
    match rest.strip_prefix(b"-").unwrap_or(rest).split_first()? {
        (b'1'..=b'9', after) => number(after),
        (b'0', after) => fraction(after),
        _ => None,
    }
}

#[inline(always)]
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Skips a key and its colon.
#[inline(always)]
fn key<const PLAIN: bool>(mut rest: &[u8]) -> Option<&[u8]> {
    if rest.first() != Some(&b'"') {
        rest = after_blanks(rest);
        if rest.first() != Some(&b'"') {
            return None;
        }
    }
    token(string::<PLAIN>(rest)?, b':')
}

/// Skips the byte `wanted`, and blanks before it.
#[inline(always)]
fn token(rest: &[u8], wanted: u8) -> Option<&[u8]> {
    match rest.split_first() {
        Some((&first, after)) if first == wanted => Some(after),
        Some((&first, _)) if first <= b' ' => match after_blanks(rest).split_first() {
            Some((&first, after)) if first == wanted => Some(after),
            _ => None,
        },
        _ => None,
    }
}

#[inline(never)]
fn after_blanks(mut rest: &[u8]) -> &[u8] {
    while let Some((&first, after)) = rest.split_first() {
        if !is_blank(first) {
            break;
        }
        rest = after;
    }
    rest
}

/// Skips the rest of a number, after its sign and its first digit, which is not 0.
#[inline(always)]
fn number(mut rest: &[u8]) -> Option<&[u8]> {
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        if let Some(place) = first_other_than_digit(*word) {
            rest = rest.get(place..)?;
            break;
        }
        rest = after;
    }
    match rest.first() {
        Some(b'.' | b'e' | b'E' | b'0'..=b'9') => fraction(last_digits(rest)),
        _ => Some(rest),
    }
}

/// The whole number at the start of `rest`, and the rest after it, if it has at most 18 digits and
/// no fraction or exponent.
pub(super) fn integer(rest: &[u8]) -> Option<(i64, &[u8])> {
    let digits = rest.strip_prefix(b"-").unwrap_or(rest);
    let mut after = digits;
    let mut value = 0;
    while let Some((&digit @ b'0'..=b'9', next)) = after.split_first() {
        if digits.len() - after.len() == 18 {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
        after = next;
    }
    let one_digit = digits.len() - after.len() == 1;
    match (digits.first()?, after.first()) {
        (_, Some(b'.' | b'e' | b'E')) => None,
        (b'1'..=b'9', _) => Some(value),
        (b'0', _) if one_digit => Some(value),
        _ => None,
    }
    .map(|value| {
        if digits.len() == rest.len() {
            value
        } else {
            -value
        }
    })
    .map(|value| (value, after))
}

fn last_digits(mut rest: &[u8]) -> &[u8] {
    while let Some((b'0'..=b'9', after)) = rest.split_first() {
        rest = after;
    }
    rest
}

/// Skips the fraction and the exponent of a number.
#[inline(never)]
fn fraction(mut rest: &[u8]) -> Option<&[u8]> {
    if let Some((b'.', after)) = rest.split_first() {
        rest = digits(after)?;
    }
    if let Some((b'e' | b'E', after)) = rest.split_first() {
        rest = match after.split_first() {
            Some((b'+' | b'-', after)) => digits(after)?,
            _ => digits(after)?,
        };
    }
    Some(rest)
}

/// Skips one or more digits.
fn digits(rest: &[u8]) -> Option<&[u8]> {
    let after = last_digits(rest);
    (after.len() != rest.len()).then_some(after)
}

/// Skips the string whose opening quote is the first byte of `quoted`.
#[inline(always)]
fn string<const PLAIN: bool>(quoted: &[u8]) -> Option<&[u8]> {
    // Most strings are short and have no escapes.
    let mut rest = quoted.get(1..)?;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let Some(place) = first_special::<PLAIN>(*word) else {
            rest = after;
            continue;
        };
        if let Some((b'"', after)) = rest.get(place..)?.split_first() {
            return Some(after);
        }
        break;
    }
    long_string::<PLAIN>(quoted)
}

/// Skips any string.
#[inline(never)]
fn long_string<const PLAIN: bool>(quoted: &[u8]) -> Option<&[u8]> {
    // The rest of the text, starting one byte early: that byte has been skipped and does not start
    // an escape.
    let mut rest = quoted;
    loop {
        while let Some(window) = rest.first_chunk::<33>() {
            if !escapes_only_quotes(window) || (!PLAIN && has_control(window)) {
                break;
            }
            rest = rest.get(32..)?;
        }
        // A backslash here is not escaped, since the byte before it is not a backslash.
        if rest.first() != Some(&b'\\') {
            rest = rest.get(1..)?;
        }
        // Handle what stopped the loop: the end of the string, or another escape.
        loop {
            rest = plain_run::<PLAIN>(rest);
            match rest {
                [b'"', after @ ..] => return Some(after),
                [b'\\', b'"' | b'\\', after @ ..] => rest = after,
                [b'\\', after @ ..] => {
                    let left = escape(after)?.len();
                    rest = after.get(after.len() - left - 1..)?;
                    break;
                }
                _ => return None,
            }
        }
    }
}

/// Skips the string whose opening quote is the first byte of `quoted`. Other than [`string`], it
/// expects a text or a script, with escapes other than quotes.
#[inline]
pub(super) fn text<const PLAIN: bool>(quoted: &[u8]) -> Option<&[u8]> {
    let mut rest = quoted.get(1..)?;
    loop {
        rest = plain_run::<PLAIN>(rest);
        match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', after @ ..] => rest = escape(after)?,
            _ => return None,
        }
    }
}

/// Skips to the next quote, backslash or control character, or to the end.
#[inline(always)]
pub(super) fn plain_run<const PLAIN: bool>(mut rest: &[u8]) -> &[u8] {
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        match first_special::<PLAIN>(*word) {
            Some(place) => return rest.get(place..).unwrap_or_default(),
            None => rest = after,
        }
    }
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        rest = after;
    }
    rest
}

/// Skips an escape after its backslash.
#[inline]
fn escape(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
            after @ ..,
        ] => Some(after),
        [b'u', after @ ..] => {
            let (unit, after) = hex_unit(after)?;
            match unit {
                0xD800..=0xDBFF => {
                    let (unit, after) = hex_unit(after.strip_prefix(b"\\u")?)?;
                    (0xDC00..=0xDFFF).contains(&unit).then_some(after)
                }
                0xDC00..=0xDFFF => None,
                _ => Some(after),
            }
        }
        _ => None,
    }
}

fn hex_unit(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (&[first, second, third, fourth], after) = rest.split_first_chunk::<4>()?;
    let digit = |byte: u8| u32::from(HEX_DIGITS[usize::from(byte)]);
    let digits = [first, second, third, fourth].map(digit);
    let unit = digits.iter().fold(0, |unit, digit| unit << 4 | digit);
    let other = digits.iter().fold(0, |any, digit| any | digit) > 0xF;
    (!other).then_some((unit, after))
}

/// The value of each hexadecimal digit, and 0xFF for other bytes.
const HEX_DIGITS: [u8; 256] = {
    let mut table = [0xFF; 256];
    let mut digit: u8 = 0;
    while digit < 16 {
        let lower = b"0123456789abcdef"[digit as usize];
        table[lower as usize] = digit;
        table[lower.to_ascii_uppercase() as usize] = digit;
        digit += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::super::block::is_plain;
    use super::super::scan::{MAX_DEPTH, Scanner};
    use super::*;
    use proptest::prelude::*;

    /// Checks that a text is skipped fast if and only if it is skipped slowly, and to the same
    /// place.
    fn check(text: &str) {
        check_one(text);
        // With a line end, which follows the value or breaks it off.
        check_one(&format!("{text}\n"));
        check_one(&format!("{text}\r\n"));
    }

    fn check_one(text: &str) {
        let mut slow = Scanner::new(text.as_bytes()).unwrap();
        let end = slow.skip_value_slowly().map(|()| slow.place()).ok();
        let fast = |rest: Option<&[u8]>| rest.map(|rest| text.len() - rest.len());
        assert_eq!(
            fast(value::<false>(text.as_bytes(), MAX_DEPTH)),
            end,
            "{text:?}"
        );
        if is_plain(text.as_bytes()) {
            assert_eq!(
                fast(value::<true>(text.as_bytes(), MAX_DEPTH)),
                end,
                "{text:?}"
            );
        }
    }

    /// JSON, and text that is almost JSON.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            6 => proptest::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"", "\"a\":", "{\"cachedHashCode\":", "[]", "{}",
                "null", "true", "false", "nul", "0", "-", "01", "12345678", "-1.5e+7", "1.", ".5",
                "1e", "e5", "123456789012345678901234567890", " ", "\n",
            ]).prop_map(str::to_owned),
            3 => string_text().prop_map(|text| format!("\"{text}\"")),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// The contents of strings, valid and invalid.
    fn string_text() -> impl Strategy<Value = String> {
        let piece = proptest::sample::select(vec![
            "\\\"",
            "\\\"",
            "\\\"",
            "\\\\",
            "\\n",
            "\\u003d",
            "\\uD83D\\uDE00",
            "\\ud83d",
            "\\udc00",
            "\\u12",
            "\\x",
            "\\",
            "\"",
            "\n",
            "\u{1}",
            "\u{7f}",
            "é",
            "😀",
            "a",
            "name",
            "01234567",
            "{ plain text of thirty-three bytes",
        ]);
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_text_is_skipped_fast_if_it_is_skipped_slowly(text in text()) {
            check(&text);
        }

        #[test]
        fn a_string_is_skipped_fast_if_it_is_skipped_slowly(text in string_text()) {
            check(&format!("\"{text}\""));
            check(&format!("{{\"{text}\":[\"{text}\",1]}}"));
            let quoted = format!("\"{text}\"");
            let other = super::text::<false>(quoted.as_bytes());
            prop_assert_eq!(other, value::<false>(quoted.as_bytes(), MAX_DEPTH));
            if is_plain(quoted.as_bytes()) {
                prop_assert_eq!(super::text::<true>(quoted.as_bytes()), other);
            }
        }

        #[test]
        fn an_integer_is_what_rust_reads(text in "-?[0-9]{0,20}[.eE, ]?[0-9]?") {
            let digits = text.trim_start_matches('-').bytes().take_while(u8::is_ascii_digit).count();
            let end = text.len() - text.trim_start_matches('-').len() + digits;
            let leading_zero = digits > 1 && text.trim_start_matches('-').starts_with('0');
            let whole = !text[end..].starts_with(['.', 'e', 'E']);
            let expected = (whole && !leading_zero && digits <= 18)
                .then(|| text[..end].parse::<i64>().ok())
                .flatten()
                .map(|value| (value, &text.as_bytes()[end..]));
            prop_assert_eq!(integer(text.as_bytes()), expected);
        }
    }

    #[test]
    fn a_value_nested_deeper_than_allowed_is_not_skipped() {
        for (open, close) in [
            ("[", "]"),
            ("{\"a\":", "}"),
            ("{\"cachedHashCode\":1,\"a\":", "}"),
        ] {
            for depth in [1, 2, 127, 128, 129] {
                let text = format!("{}0{}", open.repeat(depth), close.repeat(depth));
                let room = u32::try_from(depth).unwrap();
                check(&text);
                assert!(value::<true>(text.as_bytes(), room - 1).is_none());
                let fits = room <= MAX_DEPTH;
                assert!(
                    !fits || value::<true>(text.as_bytes(), room) == Some(b""),
                    "{depth}"
                );
            }
        }
    }
}
