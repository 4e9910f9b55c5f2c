//! JSON numbers, compared by value.

use serde_json::Number;
use std::cmp::Ordering;

/// Compares a number as it is written in a document with one of the settings. Integers compare
/// exactly, whatever their size; settings with a fraction or an exponent are doubles.
pub(crate) fn compare(found: &str, wanted: &Number) -> Ordering {
    if let (Some(wanted), Ok(found)) = (wanted.as_i64(), found.parse::<i64>()) {
        return found.cmp(&wanted);
    }
    let by_digits = Decimal::read(found).compare(&Decimal::read(&wanted.to_string()));
    if by_digits.is_eq() || !wanted.is_f64() {
        return by_digits;
    }
    // Both are read by serde_json, so that the same text is the same double.
    let found: Option<f64> = serde_json::from_str(found).ok();
    let doubles = found.zip(wanted.as_f64());
    doubles
        .and_then(|(found, wanted)| found.partial_cmp(&wanted))
        .unwrap_or(by_digits)
}

/// A number as a fraction below 1 times a power of ten.
struct Decimal {
    negative: bool,
    /// The digits of the fraction, without zeros at either end. Empty for zero.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Decimal {
        let size = text.strip_prefix('-').unwrap_or(text);
        let (size, exponent) = size.split_once(['e', 'E']).unwrap_or((size, "0"));
        let (whole, fraction) = size.split_once('.').unwrap_or((size, ""));
        let mut digits = [whole.as_bytes(), fraction.as_bytes()].concat();
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        let end = digits.iter().rposition(|digit| *digit != b'0');
        digits.truncate(end.map_or(0, |last| last + 1));
        // An exponent that no integer holds is as good as the largest one.
        let exponent = exponent.parse().unwrap_or(match exponent.starts_with('-') {
            true => i64::MIN,
            false => i64::MAX,
        });
        let point = i64::try_from(whole.len()).unwrap_or(i64::MAX);
        let zeros = i64::try_from(zeros).unwrap_or(i64::MAX);
        Decimal {
            negative: text.starts_with('-') && !digits.is_empty(),
            digits,
            exponent: exponent.saturating_add(point - zeros),
        }
    }

    fn compare(&self, other: &Decimal) -> Ordering {
        let size = |number: &Decimal| (!number.digits.is_empty()).then_some(number.exponent);
        let sizes = size(self).cmp(&size(other));
        let sizes = sizes.then_with(|| self.digits.cmp(&other.digits));
        match (self.negative, other.negative) {
            (false, false) => sizes,
            (true, true) => sizes.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(found: &str, wanted: &str, expected: Ordering) {
        let wanted: Number = serde_json::from_str(wanted).unwrap();
        assert_eq!(compare(found, &wanted), expected, "{found} and {wanted}");
    }

    #[test]
    fn numbers_compare_by_value_however_they_are_written() {
        for (found, wanted) in [
            ("0", "-0"),
            ("-0", "0"),
            ("-0.0e7", "0"),
            ("1E5", "100000"),
            ("100000", "1e5"),
            ("1.50", "1.5"),
            ("0.015e2", "1.5"),
            ("9007199254740993.0", "9007199254740993"),
            ("9.007199254740993e15", "9007199254740993"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "18446744073709551616"),
            ("1.7976931348623157e308", "1.7976931348623157e308"),
        ] {
            check(found, wanted, Ordering::Equal);
        }
        for (less, more) in [
            ("9007199254740992", "9007199254740993"),
            ("9007199254740992.9", "9007199254740993"),
            ("18446744073709551614", "18446744073709551615"),
            ("-9007199254740993", "-9007199254740992"),
            ("-1e400", "-1e300"),
            ("1e-99999999999999999999", "1"),
            ("0.09", "0.1"),
            ("0.9", "1"),
            ("0.05e2", "6"),
            ("-1", "0"),
        ] {
            check(less, more, Ordering::Less);
        }
        check("1e400", "1e300", Ordering::Greater);
        check(
            "1e99999999999999999999",
            "18446744073709551615",
            Ordering::Greater,
        );
    }

    proptest! {
        #[test]
        fn integers_compare_exactly(found in any::<i128>(), wanted in any::<i64>(), zeros in 0usize..3) {
            let number = Number::from(wanted);
            let written = format!("{found}.{}", "0".repeat(zeros + 1));
            let expected = found.cmp(&i128::from(wanted));
            prop_assert_eq!(compare(&found.to_string(), &number), expected);
            prop_assert_eq!(compare(&written, &number), expected);
        }

        #[test]
        fn any_text_of_a_number_compares(found in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,25})?", wanted in any::<f64>()) {
            if let Some(wanted) = Number::from_f64(wanted) {
                compare(&found, &wanted);
            }
        }
    }
}
