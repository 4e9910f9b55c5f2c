//! A target's rate limit, `maxPerSecond`: a token bucket that holds a tenth of a second's worth,
//! and at least one.

use std::time::{Duration, Instant};

/// How many attempts may start.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    per_second: f64,
    most: f64,
    tokens: f64,
    at: Instant,
}

impl RateLimit {
    /// A full bucket that gains `per_second` attempts a second.
    #[must_use]
    pub(crate) fn new(per_second: f64, now: Instant) -> RateLimit {
        let most = (per_second / 10.0).max(1.0);
        RateLimit {
            per_second,
            most,
            tokens: most,
            at: now,
        }
    }

    /// Takes one attempt, or says when one may be had.
    ///
    /// # Errors
    /// The time from which to ask again.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.most);
        self.at = self.at.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - self.tokens) / self.per_second;
        // A rate so small that its wait does not fit is asked again in an hour.
        let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::from_secs(3_600));
        Err(now + wait.clamp(Duration::from_micros(100), Duration::from_secs(3_600)))
    }

    /// Gives back one that was taken and not used.
    pub(crate) fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.most);
    }
}
