//! A target's rate limit, `maxPerSecond`: a token bucket for a tenth of a second, but at least one
//! token.

use std::time::{Duration, Instant};

/// A token bucket: each attempt takes a token.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    at: Instant,
}

impl RateLimit {
    /// A full bucket that gains `per_second` tokens a second.
    #[must_use]
    pub(crate) fn new(per_second: f64, now: Instant) -> RateLimit {
        let capacity = (per_second / 10.0).max(1.0);
        RateLimit {
            per_second,
            capacity,
            tokens: capacity,
            at: now,
        }
    }

    /// The tokens gained in a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none: the time at which to ask again.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.capacity);
        self.at = self.at.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - self.tokens) / self.per_second;
        // If the wait overflows a `Duration`, ask again in an hour.
        let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::from_secs(3_600));
        Err(now + wait.clamp(Duration::from_micros(100), Duration::from_secs(3_600)))
    }

    /// Takes a token even if there is none: later attempts wait for it.
    pub(crate) fn charge(&mut self) {
        self.tokens -= 1.0;
    }

    /// Gives back a token that was not used.
    pub(crate) fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_more_start_than_the_rate_allows(
            per_second in 1..2_000_u32,
            steps in proptest::collection::vec(0..50_000_u64, 1..300),
        ) {
            let start = Instant::now();
            let mut rate = RateLimit::new(f64::from(per_second), start);
            let (mut now, mut taken) = (start, 0_u32);
            for micros in steps {
                now += Duration::from_micros(micros);
                while rate.take(now).is_ok() {
                    taken += 1;
                }
            }
            let gained = (now - start).as_secs_f64() * f64::from(per_second);
            let burst = (f64::from(per_second) / 10.0).max(1.0);
            prop_assert!(f64::from(taken) <= gained + burst + 0.001);
            prop_assert!(f64::from(taken) >= gained.min(1.0).floor());
        }

        #[test]
        fn a_token_is_there_at_the_announced_time(per_second in 1..1_000_000_u32) {
            let mut now = Instant::now();
            let mut rate = RateLimit::new(f64::from(per_second), now);
            for _ in 0..200_000 { // enough to empty any bucket
                let Err(at) = rate.take(now) else { continue };
                prop_assert!(at > now);
                prop_assert!(at - now <= Duration::from_secs(1));
                now = at + Duration::from_micros(1);
                prop_assert!(rate.take(now).is_ok());
                break;
            }
        }
    }

    #[test]
    fn a_charged_token_is_missing_later() {
        let now = Instant::now();
        let mut rate = RateLimit::new(1.0, now);
        assert_eq!(rate.take(now), Ok(()));
        rate.charge();
        assert!(rate.take(now + Duration::from_millis(1_900)).is_err());
        assert_eq!(rate.take(now + Duration::from_millis(2_100)), Ok(()));
    }

    #[test]
    fn a_token_given_back_may_be_taken_again() {
        let now = Instant::now();
        let mut rate = RateLimit::new(1.0, now);
        assert_eq!(rate.take(now), Ok(()));
        assert!(rate.take(now).is_err());
        rate.give_back();
        assert_eq!(rate.take(now), Ok(()));
    }
}
