//! A target's rate limit, `maxPerSecond`: no second, wherever it begins, has attempts at more events.
//!
//! A token bucket: after a burst of `b` tokens, the next `n + 1 - b` take as long as they are
//! apart. With `n` a second at most, that is made a little more than a second, since a request may
//! reach the receiver later after its token was taken than the next one does.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// The longest pause after which the next token is asked for.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A token bucket: each event of an attempt takes a token.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    per_second: NonZeroU32,
    /// The most events in an attempt.
    most: u32,
    /// Tokens gained in a second.
    gain: f64,
    capacity: f64,
    tokens: f64,
    at: Instant,
}

impl RateLimit {
    /// A full bucket, for attempts at `most` events.
    #[must_use]
    pub(crate) fn new(per_second: NonZeroU32, most: u32, now: Instant) -> RateLimit {
        let rate = f64::from(per_second.get());
        // A hundredth of a second at once: the worker need not wake for each token. A batch takes up
        // to a tenth of a second.
        let batch = f64::from(most).min(rate / 10.0);
        let capacity = (rate / 100.0).max(batch).floor().max(1.0);
        RateLimit {
            per_second,
            most,
            gain: (rate + 1.0 - capacity) / 1.03,
            capacity,
            tokens: capacity,
            at: now,
        }
    }

    /// The limit.
    pub(crate) fn per_second(&self) -> NonZeroU32 {
        self.per_second
    }

    /// The most events in an attempt.
    pub(crate) fn most(&self) -> u32 {
        self.most
    }

    /// Takes so many tokens, or as many as the bucket holds at most. Returns how many.
    ///
    /// # Errors
    /// There are fewer: the time at which to ask again.
    pub(crate) fn take(&mut self, now: Instant, wanted: u32) -> Result<u32, Instant> {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.gain;
        self.tokens = (self.tokens + gained).min(self.capacity);
        self.at = self.at.max(now);
        let tokens = f64::from(wanted).clamp(1.0, self.capacity);
        if self.tokens >= tokens {
            self.tokens -= tokens;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number, between 1 and `wanted`"
            )]
            return Ok(tokens as u32);
        }
        let wait = Duration::from_secs_f64((tokens - self.tokens) / self.gain);
        Err(now + wait.clamp(Duration::from_micros(100), LONGEST))
    }

    /// Takes so many tokens even if there are fewer: later attempts wait for them.
    pub(crate) fn charge(&mut self, tokens: u32) {
        self.tokens -= f64::from(tokens);
    }

    /// Gives back so many tokens that were not used.
    pub(crate) fn give_back(&mut self, tokens: u32) {
        self.tokens = (self.tokens + f64::from(tokens)).min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(per_second: u32, now: Instant) -> RateLimit {
        RateLimit::new(NonZeroU32::new(per_second).unwrap(), 1, now)
    }

    proptest! {
        #[test]
        fn no_second_has_attempts_at_more_events_than_the_limit(
            per_second in 1..2_000_u32,
            most in 1..200_u32,
            steps in proptest::collection::vec((0..50_000_u64, 1..200_u32), 1..300),
        ) {
            let start = Instant::now();
            let mut rate = RateLimit::new(NonZeroU32::new(per_second).unwrap(), most, start);
            let mut now = start;
            let mut taken = Vec::new();
            for (micros, wanted) in steps {
                now += Duration::from_micros(micros);
                while let Ok(tokens) = rate.take(now, wanted.min(most)) {
                    prop_assert!((1..=wanted).contains(&tokens));
                    taken.extend((0..tokens).map(|_| now));
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
                match rate.take(now, 1) {
                    Ok(_) => taken += 1,
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
                let Err(at) = rate.take(now, 1) else { continue };
                prop_assert!(at > now);
                prop_assert!(at - now <= Duration::from_secs(2));
                now = at + Duration::from_micros(1);
                prop_assert!(rate.take(now, 1).is_ok());
                break;
            }
        }
    }

    #[test]
    fn a_charged_token_is_missing_later() {
        let now = Instant::now();
        let mut rate = limit(1, now);
        assert_eq!(rate.take(now, 1), Ok(1));
        rate.charge(1);
        assert!(rate.take(now + Duration::from_millis(1_900), 1).is_err());
        assert_eq!(rate.take(now + Duration::from_millis(2_200), 1), Ok(1));
    }

    #[test]
    fn a_token_given_back_may_be_taken_again() {
        let now = Instant::now();
        let mut rate = limit(1, now);
        assert_eq!(rate.take(now, 1), Ok(1));
        assert!(rate.take(now, 1).is_err());
        rate.give_back(1);
        assert_eq!(rate.take(now, 1), Ok(1));
    }

    #[test]
    fn a_token_is_announced_for_the_time_when_it_is_gained() {
        let start = Instant::now();
        let mut rate = limit(1, start);
        assert_eq!(rate.take(start, 1), Ok(1));
        // The next one is gained 1.03 s later, however often it is asked for.
        for millis in [0, 250, 500, 1_000] {
            let at = rate
                .take(start + Duration::from_millis(millis), 1)
                .unwrap_err();
            let micros = (at - start).as_micros();
            assert!((1_029_999..=1_030_001).contains(&micros), "{micros} us");
        }
        // 200 a second: two at once, and 199 in 1.03 s.
        let mut rate = limit(200, start);
        assert_eq!(rate.per_second().get(), 200);
        assert_eq!((rate.take(start, 1), rate.take(start, 1)), (Ok(1), Ok(1)));
        let micros = (rate.take(start, 1).unwrap_err() - start).as_micros();
        assert!((5_175..=5_177).contains(&micros), "{micros} us");
    }
}
