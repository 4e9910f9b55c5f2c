//! The clock, behind a trait so that tests can replace it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than any real wait, and short enough to be added to an `Instant`.
pub(crate) const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A source of time.
pub trait Clock: Send + Sync {
    /// The monotonic time, for intervals.
    fn now(&self) -> Instant;
    /// The wall-clock time, for headers, logs and the queue. It may jump.
    fn wall(&self) -> SystemTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The monotonic and the wall-clock time of one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    pub(crate) fn of(clock: &dyn Clock) -> Moment {
        Moment {
            now: clock.now(),
            wall: clock.wall(),
        }
    }

    pub(crate) fn epoch_ms(self) -> u64 {
        epoch_ms(self.wall)
    }
}

/// Milliseconds since the epoch; 0 before it.
pub(crate) fn epoch_ms(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// Epoch milliseconds as RFC 3339, in UTC; `None` beyond the year 9999.
#[must_use]
pub fn rfc3339(epoch_ms: i64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(epoch_ms).ok()?;
    Some(at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_to_the_millisecond() {
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        let at = rfc3339(1_451_606_400_007);
        assert_eq!(at.as_deref(), Some("2016-01-01T00:00:00.007Z"));
        assert_eq!(rfc3339(i64::MAX), None);
    }
}
