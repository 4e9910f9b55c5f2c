//! Converts a value to a Java `Integer`.

/// The zeros of all decimal digits in Unicode's basic plane. Java reads these digits like ASCII's.
const DIGIT_ZEROS: &[char] = &[
    '0', '\u{660}', '\u{6f0}', '\u{7c0}', '\u{966}', '\u{9e6}', '\u{a66}', '\u{ae6}', '\u{b66}',
    '\u{be6}', '\u{c66}', '\u{ce6}', '\u{d66}', '\u{de6}', '\u{e50}', '\u{ed0}', '\u{f20}',
    '\u{1040}', '\u{1090}', '\u{17e0}', '\u{1810}', '\u{1946}', '\u{19d0}', '\u{1a80}', '\u{1a90}',
    '\u{1b50}', '\u{1bb0}', '\u{1c40}', '\u{1c50}', '\u{a620}', '\u{a8d0}', '\u{a900}', '\u{a9d0}',
    '\u{a9f0}', '\u{aa50}', '\u{abf0}', '\u{ff10}',
];

/// Why a value is not an `Integer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAnInteger {
    NoNumber,
    TooLarge,
}

/// `Integer.parseInt`: an optional sign, then decimal digits of any script.
pub(crate) fn parse(text: &str) -> Result<i32, NotAnInteger> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() {
        return Err(NotAnInteger::NoNumber);
    }
    let mut magnitude: i64 = 0;
    for c in digits.chars() {
        let digit = digit(c).ok_or(NotAnInteger::NoNumber)?;
        // A value beyond the range of an i32 only has to stay beyond it.
        magnitude = (magnitude * 10 + i64::from(digit)).min(1 << 40);
    }
    let value = if negative { -magnitude } else { magnitude };
    i32::try_from(value).map_err(|_| NotAnInteger::TooLarge)
}

fn digit(c: char) -> Option<u32> {
    let zero = DIGIT_ZEROS
        .iter()
        .find(|zero| (**zero..).take(10).any(|digit| digit == c))?;
    Some(u32::from(c) - u32::from(*zero))
}

/// Jackson's conversion of a string to an `Integer`: trimmed, then parsed; `None` is null.
pub(crate) fn from_string(text: &str) -> Result<Option<i32>, NotAnInteger> {
    let trimmed = text.trim_matches(|c| c <= ' ');
    if trimmed.is_empty() {
        Ok(None)
    } else {
        parse(trimmed).map(Some)
    }
}

/// Jackson's conversion of a number to an `Integer`: its fraction is truncated.
pub(crate) fn from_number(text: &str) -> Result<i32, NotAnInteger> {
    if let Ok(integer) = text.parse::<i32>() {
        return Ok(integer);
    }
    let number: f64 = text.parse().map_err(|_| NotAnInteger::NoNumber)?;
    if (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "cut as a Java cast does, in range"
        )]
        return Ok(number as i32);
    }
    Err(NotAnInteger::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_trimmed_and_parsed_as_java_does() {
        assert_eq!(from_string("5"), Ok(Some(5)));
        assert_eq!(from_string(" \t+5\n\u{1}"), Ok(Some(5)));
        assert_eq!(from_string("-5"), Ok(Some(-5)));
        assert_eq!(from_string("007"), Ok(Some(7)));
        assert_eq!(from_string("\u{665}\u{ff10}"), Ok(Some(50)));
        assert_eq!(from_string(" "), Ok(None));
        assert_eq!(from_string("2147483647"), Ok(Some(i32::MAX)));
        assert_eq!(from_string("2147483648"), Err(NotAnInteger::TooLarge));
        assert_eq!(
            from_string("9".repeat(5000).as_str()),
            Err(NotAnInteger::TooLarge)
        );
        for bad in [
            "5.7", "0x5", "5 5", "+", "--5", "+-5", "\u{a0}5", "null", "1e3",
        ] {
            assert_eq!(from_string(bad), Err(NotAnInteger::NoNumber), "{bad}");
        }
    }

    #[test]
    fn numbers_are_cut_towards_zero_and_bounded() {
        assert_eq!(from_number("5.7"), Ok(5));
        assert_eq!(from_number("-5.7"), Ok(-5));
        assert_eq!(from_number("5e3"), Ok(5000));
        assert_eq!(from_number("-0"), Ok(0));
        assert_eq!(from_number("1e-400"), Ok(0));
        assert_eq!(from_number("2147483647.0"), Ok(i32::MAX));
        for large in [
            "2147483647.5",
            "2147483648",
            "1e10",
            "1e400",
            "92233720368547758070",
        ] {
            assert_eq!(from_number(large), Err(NotAnInteger::TooLarge), "{large}");
        }
    }
}
