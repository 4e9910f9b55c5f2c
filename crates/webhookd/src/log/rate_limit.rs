//! Lines that may come thousands of times: a few per second are written, the others are counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that are written per second; the others are counted.
const LINES_A_SECOND: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);

/// A log with a limit per second, shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct RateLimitedLog(Arc<Mutex<Limit>>);

#[derive(Debug)]
struct Limit {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl RateLimitedLog {
    pub(crate) fn new() -> RateLimitedLog {
        RateLimitedLog(Arc::new(Mutex::new(Limit {
            since: Instant::now(),
            written: 0,
            left_out: 0,
        })))
    }

    /// Calls `write` for a line, or counts the line.
    pub(crate) fn log(&self, write: impl FnOnce()) {
        if let Some(left_out) = self.with(|limit| limit.admit(Instant::now())) {
            log_left_out(left_out);
            write();
        }
    }

    /// Logs how many lines were left out, unless more were in this second.
    pub(crate) fn flush_if_quiet(&self) {
        log_left_out(self.with(|limit| limit.take_if_quiet(Instant::now())));
    }

    /// Logs how many lines were left out.
    pub(crate) fn flush(&self) {
        log_left_out(self.with(|limit| std::mem::take(&mut limit.left_out)));
    }

    fn with<T>(&self, change: impl FnOnce(&mut Limit) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn log_left_out(left_out: u64) {
    if left_out > 0 {
        tracing::warn!(left_out, "({left_out} more like these were not printed)");
    }
}

impl Limit {
    /// Whether a line may be written, and how many before it were not.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= SECOND {
            self.since = now;
            self.written = 0;
        }
        if self.written >= LINES_A_SECOND {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }

    fn take_if_quiet(&mut self, now: Instant) -> u64 {
        if now.duration_since(self.since) < SECOND {
            return 0;
        }
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_limit_are_counted_and_reported_with_the_next() {
        let now = Instant::now();
        let mut limit = Limit {
            since: now,
            written: 0,
            left_out: 0,
        };
        for _ in 0..LINES_A_SECOND {
            assert_eq!(limit.admit(now), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(limit.admit(now), None);
        }
        assert_eq!(limit.take_if_quiet(now), 0, "more may come");
        assert_eq!(limit.admit(now + SECOND), Some(7));
        assert_eq!(
            limit.take_if_quiet(now + 2 * SECOND),
            0,
            "they were reported"
        );
    }

    #[test]
    fn lines_left_out_are_reported_though_no_line_follows() {
        let now = Instant::now();
        let mut limit = Limit {
            since: now,
            written: LINES_A_SECOND,
            left_out: 0,
        };
        assert_eq!(limit.admit(now), None);
        assert_eq!(limit.take_if_quiet(now + SECOND), 1);
        assert_eq!(limit.take_if_quiet(now + SECOND), 0);
    }
}
