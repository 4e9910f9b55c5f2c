//! A moment, as a filter names it.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};

/// Parses a time, a date, or a duration before now, into epoch milliseconds. A time without an
/// offset is in UTC, as all times that webhookd prints.
///
/// # Errors
/// Says how to write it.
pub(super) fn parse_moment(text: &str) -> Result<u64, String> {
    let at = match read(text) {
        Some(at) => at,
        None => ago(text)?,
    };
    u64::try_from(at.as_millisecond()).map_err(|_| "that is before 1970".to_owned())
}

fn read(text: &str) -> Option<Timestamp> {
    let utc = |time: DateTime| Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp());
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    match text.parse::<DateTime>() {
        Ok(time) => utc(time),
        Err(_) => utc(text.parse::<Date>().ok()?.at(0, 0, 0, 0)),
    }
}

/// The time that was a duration ago; a day has 24 hours.
fn ago(text: &str) -> Result<Timestamp, String> {
    let wanted = || {
        "write a time as 2026-11-29 or 2026-11-29T10:00:00Z, or a duration before now as 2h or 7d"
            .to_owned()
    };
    let span: Span = text.parse().map_err(|_| wanted())?;
    // A month has no fixed length.
    let relative = SpanRelativeTo::days_are_24_hours();
    let duration = span.to_duration(relative).map_err(|_| wanted())?;
    if duration.is_negative() {
        return Err("a duration cannot be negative".to_owned());
    }
    let then = Timestamp::now().checked_sub(duration);
    then.map_err(|_| "that is too long ago".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_dates_are_read_in_utc() {
        for (text, milliseconds) in [
            ("1970-01-01T00:00:01Z", 1_000),
            ("1970-01-01T01:00:01+01:00", 1_000),
            ("1970-01-02", 86_400_000),
            ("1970-01-02T00:00:01", 86_401_000),
            ("1970-01-02 00:01", 86_460_000),
        ] {
            assert_eq!(parse_moment(text), Ok(milliseconds), "{text}");
        }
    }

    #[test]
    fn durations_are_before_now() {
        for (text, hours) in [
            ("2h", 2),
            ("1d", 24),
            ("7d", 168),
            ("1d 12h", 36),
            ("1w", 168),
        ] {
            let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
            let ago = now - parse_moment(text).unwrap();
            let minutes = hours * 60;
            let found = ago / 60_000;
            assert!(
                (minutes - 1..=minutes + 1).contains(&found),
                "{text}: {found}"
            );
        }
        for bad in [
            "",
            "yesterday",
            "-2h",
            "7",
            "1mo",
            "1y",
            "2026-13-01",
            "2026-02-30",
            "7dd",
            "1969-01-01T00:00:00Z",
            "1969-12-31",
            "99999w",
        ] {
            assert!(parse_moment(bad).is_err(), "{bad}: {:?}", parse_moment(bad));
        }
    }
}
