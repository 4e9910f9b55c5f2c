//! Times and sizes on the command line.

use std::time::Duration;

/// Reads a time: `30s`, `5m`, `500ms`; a number without a unit is in seconds.
///
/// # Errors
/// Says how to write it.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u64>().map(Duration::from_secs).ok();
    let parsed = seconds.or_else(|| {
        let signed: jiff::SignedDuration = text.parse().ok()?;
        Duration::try_from(signed).ok()
    });
    parsed.ok_or_else(|| "write a time as 30s, 5m or 500ms".to_owned())
}

/// Reads a size in bytes: `4096`, `64KiB`, `16MiB`, `1GiB`.
///
/// # Errors
/// Says how to write it.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[number.len()..] {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let parsed = number.trim_end().parse::<usize>().ok();
    parsed
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "write a size as 4096, 64KiB, 16MiB or 1GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_are_not_nothing() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert_eq!(parse_bytes("2 MiB"), Ok(2 << 20));
        for bad in ["", "0", "-1", "1.5MiB", "1MB", "KiB", "99999999999GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_may_be_a_number_of_seconds() {
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(parse_duration("soon").is_err());
    }
}
