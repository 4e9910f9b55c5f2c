//! A target's rate limit, `maxPerSecond`: no second, wherever it begins, has more attempts.
//!
//! A token bucket: after a burst of `b` tokens, the next `n + 1 - b` take as long as they are
//! apart. With `n` a second at most, that is made a little more than a second, since a request may
//! reach the receiver later after its token was taken than the next one does.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// The longest pause after which the next token is asked for.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A token bucket: each attempt takes a token.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    per_second: NonZeroU32,
    /// Tokens gained in a second.
    gain: f64,
    capacity: f64,
    tokens: f64,
    at: Instant,
}

impl RateLimit {
    /// A full bucket.
    #[must_use]
    pub(crate) fn new(per_second: NonZeroU32, now: Instant) -> RateLimit {
        let most = f64::from(per_second.get());
        // A hundredth of a second at once: the worker need not wake for each token.
        let capacity = (most / 100.0).floor().max(1.0);
        RateLimit {
            per_second,
            gain: (most + 1.0 - capacity) / 1.03,
            capacity,
            tokens: capacity,
            at: now,
        }
    }

    /// The limit.
    pub(crate) fn per_second(&self) -> NonZeroU32 {
        self.per_second
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none: the time at which to ask again.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.gain;
        self.tokens = (self.tokens + gained).min(self.capacity);
        self.at = self.at.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / self.gain);
        Err(now + wait.clamp(Duration::from_micros(100), LONGEST))
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

    fn limit(per_second: u32, now: Instant) -> RateLimit {
        RateLimit::new(NonZeroU32::new(per_second).unwrap(), now)
    }

    proptest! {
        #[test]
        fn no_second_has_more_attempts_than_the_limit(
            per_second in 1..2_000_u32,
            steps in proptest::collection::vec(0..50_000_u64, 1..300),
        ) {
            let start = Instant::now();
            let mut rate = limit(per_second, start);
            let mut now = start;
            let mut taken = Vec::new();
            for micros in steps {
                now += Duration::from_micros(micros);
                while rate.take(now).is_ok() {
                    taken.push(now);
                }
            }
            for (first, last) in taken.iter().zip(taken.iter().skip(per_second as usize)) {
                prop_assert!(*last - *first >= Duration::from_secs(1));
            }
        }

        #[test]
        fn nearly_as_many_start_as_the_limit_allows(per_second in 1..1_000_000_u32) {
            let start = Instant::now();
            let end = start + Duration::from_secs(3);
            let mut rate = limit(per_second, start);
            let (mut now, mut taken) = (start, 0);
            while now < end {
                match rate.take(now) {
                    Ok(()) => taken += 1,
                    Err(at) => now = at,
                }
            }
            let wanted = f64::from(per_second) * 3.0 * 0.95;
            prop_assert!(f64::from(taken) >= wanted.floor(), "{taken} of {wanted}");
        }

        #[test]
        fn a_token_is_there_at_the_announced_time(per_second in 1..1_000_000_u32) {
            let mut now = Instant::now();
            let mut rate = limit(per_second, now);
            for _ in 0..200_000 { // enough to empty any bucket
                let Err(at) = rate.take(now) else { continue };
                prop_assert!(at > now);
                prop_assert!(at - now <= Duration::from_secs(2));
                now = at + Duration::from_micros(1);
                prop_assert!(rate.take(now).is_ok());
                break;
            }
        }
    }

    #[test]
    fn a_charged_token_is_missing_later() {
        let now = Instant::now();
        let mut rate = limit(1, now);
        assert_eq!(rate.take(now), Ok(()));
        rate.charge();
        assert!(rate.take(now + Duration::from_millis(1_900)).is_err());
        assert_eq!(rate.take(now + Duration::from_millis(2_200)), Ok(()));
    }

    #[test]
    fn a_token_given_back_may_be_taken_again() {
        let now = Instant::now();
        let mut rate = limit(1, now);
        assert_eq!(rate.take(now), Ok(()));
        assert!(rate.take(now).is_err());
        rate.give_back();
        assert_eq!(rate.take(now), Ok(()));
    }

    #[test]
    fn a_token_is_announced_for_the_time_when_it_is_gained() {
        let start = Instant::now();
        let mut rate = limit(1, start);
        assert_eq!(rate.take(start), Ok(()));
        // The next one is gained 1.03 s later, however often it is asked for.
        for millis in [0, 250, 500, 1_000] {
            let at = rate
                .take(start + Duration::from_millis(millis))
                .unwrap_err();
            let micros = (at - start).as_micros();
            assert!((1_029_999..=1_030_001).contains(&micros), "{micros} us");
        }
        // 200 a second: two at once, and 199 in 1.03 s.
        let mut rate = limit(200, start);
        assert_eq!(rate.per_second().get(), 200);
        assert_eq!((rate.take(start), rate.take(start)), (Ok(()), Ok(())));
        let micros = (rate.take(start).unwrap_err() - start).as_micros();
        assert!((5_175..=5_177).contains(&micros), "{micros} us");
    }
}
