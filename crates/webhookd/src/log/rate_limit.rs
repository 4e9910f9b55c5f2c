//! Lines that may come thousands of times: some are written, the others are counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines about single events that are written in a second; the rest is counted.
const LINES_A_SECOND: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);

/// Lets through what is written. Clones share it.
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

    /// Writes a line by `write`, or counts it.
    pub(crate) fn log(&self, write: impl FnOnce()) {
        if let Some(left_out) = self.with(|limit| limit.admit(Instant::now())) {
            tell(left_out);
            write();
        }
    }

    /// Tells how many were left out, once nothing is left out any more.
    pub(crate) fn settle(&self) {
        tell(self.with(|limit| limit.settle(Instant::now())));
    }

    /// Tells how many were left out.
    pub(crate) fn finish(&self) {
        tell(self.with(|limit| std::mem::take(&mut limit.left_out)));
    }

    fn with<T>(&self, change: impl FnOnce(&mut Limit) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn tell(left_out: u64) {
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

    fn settle(&mut self, now: Instant) -> u64 {
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
    fn what_is_too_much_for_a_second_is_counted_and_told_with_the_next() {
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
        assert_eq!(limit.settle(now), 0, "more may come");
        assert_eq!(limit.admit(now + SECOND), Some(7));
        assert_eq!(limit.settle(now + 2 * SECOND), 0, "they were told");
    }

    #[test]
    fn what_was_left_out_is_told_though_nothing_follows() {
        let now = Instant::now();
        let mut limit = Limit {
            since: now,
            written: LINES_A_SECOND,
            left_out: 0,
        };
        assert_eq!(limit.admit(now), None);
        assert_eq!(limit.settle(now + SECOND), 1);
        assert_eq!(limit.settle(now + SECOND), 0);
    }
}
