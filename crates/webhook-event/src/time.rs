//! Times as schedulers write them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A time in epoch milliseconds: RFC 3339, with a blank for the `T` too; without a zone, in UTC; or
/// an epoch number in seconds, milliseconds, microseconds or nanoseconds, told by its magnitude.
pub(crate) fn epoch_ms(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<f64>() {
        return number_ms(text, number);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    let civil: DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

/// Epoch milliseconds as RFC 3339, in UTC; `None` beyond the year 9999.
pub(crate) fn rfc3339(epoch_ms: i64) -> Option<String> {
    let at = Timestamp::from_millisecond(epoch_ms).ok()?;
    Some(at.to_string())
}

fn number_ms(text: &str, number: f64) -> Option<i64> {
    // Up to the year 5138 each.
    const SECONDS: f64 = 1e11;
    if !number.is_finite() {
        return None;
    }
    let size = number.abs();
    if size < SECONDS {
        #[expect(clippy::cast_possible_truncation, reason = "it is under 1e14")]
        return Some((number * 1e3) as i64);
    }
    let whole: i64 = text.split('.').next()?.parse().ok()?;
    Some(match size {
        _ if size < SECONDS * 1e3 => whole,
        _ if size < SECONDS * 1e6 => whole / 1_000,
        _ => whole / 1_000_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_each_form() {
        let expected = Some(1_796_000_052_000);
        for text in [
            "2026-11-30T00:54:12Z",
            "2026-11-30T00:54:12",
            "2026-11-30 00:54:12",
            "2026-11-30 00:54:12.000000+00:00",
            "2026-11-30T01:54:12.000000001+01:00",
            "1796000052",
            "1796000052000",
            "1796000052000000",
            "1796000052000000000",
        ] {
            assert_eq!(epoch_ms(text), expected, "{text}");
        }
        for (text, expected) in [
            ("0", 0),
            ("-1.5", -1_500),
            ("99999999999", 99_999_999_999_000),
            ("100000000000", 100_000_000_000),
            ("99999999999999", 99_999_999_999_999),
            ("100000000000000", 100_000_000_000),
            ("99999999999999000", 99_999_999_999_999),
            ("100000000000000000", 100_000_000_000),
        ] {
            assert_eq!(epoch_ms(text), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "NaN", "inf"] {
            assert_eq!(epoch_ms(text), None, "{text}");
        }
    }
}
