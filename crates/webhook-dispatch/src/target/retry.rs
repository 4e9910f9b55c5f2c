//! When a failed delivery is retried: back-off with full jitter, `Retry-After`, and when to give
//! up.
//!
//! The functions are pure: the time and the random number are arguments.

use std::time::{Duration, SystemTime};
use webhook_config::{BreakerPolicy, RetryPolicy};

/// A retry schedule. Implement it to replace [`FullJitter`].
///
/// ```
/// use std::time::Duration;
/// use webhook_config::{BreakerPolicy, RetryPolicy};
/// use webhook_dispatch::retry::{Next, Retry};
///
/// /// Three attempts, a second apart.
/// struct Thrice;
///
/// impl Retry for Thrice {
///     fn next(&self, _: &RetryPolicy, attempts: u32, _: Duration, _: Option<Duration>) -> Next {
///         match attempts {
///             0..3 => Next::After(Duration::from_secs(1)),
///             _ => Next::AttemptsExhausted,
///         }
///     }
///
///     fn breaker(&self, _: &RetryPolicy, breaker: &BreakerPolicy, _: u32) -> Duration {
///         breaker.max()
///     }
/// }
/// ```
pub trait Retry: Send + Sync {
    /// What follows the `attempts`-th failed attempt (from 1) of an event of this `age`, if the
    /// receiver asked for `retry_after`.
    fn next(
        &self,
        policy: &RetryPolicy,
        attempts: u32,
        age: Duration,
        retry_after: Option<Duration>,
    ) -> Next;

    /// How long a target gets no attempt when its breaker opens for the `openings`-th time in a row
    /// (from 1).
    fn breaker(&self, policy: &RetryPolicy, breaker: &BreakerPolicy, openings: u32) -> Duration;
}

/// Exponential back-off with full jitter, as the configuration's `retry` says.
#[derive(Clone, Copy, Debug, Default)]
pub struct FullJitter;

impl Retry for FullJitter {
    fn next(
        &self,
        policy: &RetryPolicy,
        attempts: u32,
        age: Duration,
        retry_after: Option<Duration>,
    ) -> Next {
        next_attempt(policy, attempts, age, retry_after, fastrand::f64())
    }

    /// See [`breaker_wait`].
    fn breaker(&self, policy: &RetryPolicy, breaker: &BreakerPolicy, openings: u32) -> Duration {
        breaker_wait(policy, breaker, openings, fastrand::f64())
    }
}

/// For tests: a schedule with the longest back-off, without randomness.
#[cfg(test)]
pub(crate) struct Longest;

#[cfg(test)]
impl Retry for Longest {
    fn next(
        &self,
        policy: &RetryPolicy,
        attempts: u32,
        age: Duration,
        retry_after: Option<Duration>,
    ) -> Next {
        next_attempt(policy, attempts, age, retry_after, 1.0)
    }

    fn breaker(&self, policy: &RetryPolicy, breaker: &BreakerPolicy, openings: u32) -> Duration {
        ceiling(policy, openings).min(breaker.max())
    }
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Another attempt after this time; after a restart, at most four times the policy's longest
    /// back-off after it.
    After(Duration),
    /// None: the policy's `maxAttempts` attempts were made.
    AttemptsExhausted,
    /// None: the event is older than the policy's `maxAgeMsec`.
    TooOld,
}

/// Decides what follows the `attempts`-th failed attempt (from 1) of an event of this `age`.
///
/// The wait is `draw`, a random number from 0 up to but not including 1, times the back-off's
/// ceiling, and never shorter than `retry_after`. If the next attempt would come after the policy's
/// maximum age, it is made at that age instead.
#[must_use]
pub fn next_attempt(
    policy: &RetryPolicy,
    attempts: u32,
    age: Duration,
    retry_after: Option<Duration>,
    draw: f64,
) -> Next {
    if policy
        .max_attempts()
        .is_some_and(|most| attempts >= most.get())
    {
        return Next::AttemptsExhausted;
    }
    let Some(left) = policy.max_age().checked_sub(age).filter(|d| !d.is_zero()) else {
        return Next::TooOld;
    };
    // NaN is taken as the longest wait.
    let draw = if draw.is_nan() {
        1.0
    } else {
        draw.clamp(0.0, 1.0)
    };
    let jittered = ceiling(policy, attempts).mul_f64(draw);
    let wait = jittered.min(left);
    Next::After(wait.max(retry_after.unwrap_or(Duration::ZERO)))
}

/// The longest wait after the `attempts`-th failed attempt (from 1), without `Retry-After`.
#[must_use]
pub fn ceiling(policy: &RetryPolicy, attempts: u32) -> Duration {
    let steps = attempts.saturating_sub(1).min(1_000);
    let factor = policy.multiplier().powi(i32::try_from(steps).unwrap_or(0));
    let wanted = policy.initial().as_secs_f64() * factor;
    let most = policy.max();
    Duration::try_from_secs_f64(wanted).map_or(most, |wanted| wanted.min(most))
}

/// How long a target gets no attempt when its breaker opens for the `openings`-th time in a row
/// (from 1): between a fifth and three fifths of the back-off's ceiling, which is
/// `breaker.maxMsec` at most. The rest is for a probe that takes its time to fail, so that the next
/// one comes within the ceiling. `draw` is a random number from 0 up to but not including 1.
#[must_use]
pub fn breaker_wait(
    policy: &RetryPolicy,
    breaker: &BreakerPolicy,
    openings: u32,
    draw: f64,
) -> Duration {
    let draw = draw.clamp(0.0, 1.0);
    let ceiling = ceiling(policy, openings).min(breaker.max());
    ceiling.mul_f64(0.2 + 0.4 * draw)
}

/// The longest wait before a retry: what `Retry-After` may ask for.
pub(crate) fn longest_wait(policy: &RetryPolicy) -> Duration {
    policy.max().saturating_mul(4)
}

/// Parses the value of a `Retry-After` header (RFC 9110, section 10.2.3): seconds, or an HTTP date.
/// A fraction of a second, which the RFC does not know, is rounded up.
///
/// The wait is at most four times the policy's longest back-off. `None` for a date that has passed
/// and for a value of neither form.
#[must_use]
pub fn retry_after(value: &[u8], now: SystemTime, policy: &RetryPolicy) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let most = longest_wait(policy);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits(whole) && digits(fraction) {
        // A number that overflows a u64 exceeds the bound anyway.
        let seconds = whole.parse::<u64>().unwrap_or(u64::MAX);
        let rest = u64::from(fraction.bytes().any(|b| b != b'0'));
        return Some(Duration::from_secs(seconds.saturating_add(rest)).min(most));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let wait = until.duration_since(now).ok()?;
    Some(wait.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;
    use std::time::UNIX_EPOCH;

    const MS: Duration = Duration::from_millis(1);

    prop_compose! {
        fn policy()(
            initial in 1..10_000_u32,
            factor in 1..100_000_u32,
            multiplier in 1.0..1000.0,
            age in 1..1_000_000_000_u32,
            attempts in proptest::option::of(1..100_u32),
        ) -> RetryPolicy {
            let max = MS * initial + MS * factor;
            let attempts = attempts.and_then(NonZeroU32::new);
            RetryPolicy::new(MS * initial, max, multiplier, MS * age, attempts).unwrap()
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_never_under_retry_after_nor_over_the_ceiling(
            policy in policy(),
            attempts in 1..u32::MAX,
            age in 0..2_000_000_000_u32,
            asked in proptest::option::of(0..10_000_000_u32),
            draw in any::<f64>(),
        ) {
            let (age, asked) = (MS * age, asked.map(|ms| MS * ms));
            match next_attempt(&policy, attempts, age, asked, draw) {
                Next::After(wait) => {
                    let asked = asked.unwrap_or(Duration::ZERO);
                    prop_assert!(wait >= asked);
                    prop_assert!(wait <= ceiling(&policy, attempts).max(asked));
                    prop_assert!(policy.max_attempts().is_none_or(|most| attempts < most.get()));
                    prop_assert!(age < policy.max_age());
                    prop_assert!(age + wait <= policy.max_age().max(age + asked));
                }
                Next::AttemptsExhausted => {
                    prop_assert!(policy.max_attempts().is_some_and(|most| attempts >= most.get()));
                }
                Next::TooOld => prop_assert!(age >= policy.max_age()),
            }
        }

        #[test]
        fn a_breaker_waits_between_a_fifth_and_three_fifths_of_its_ceiling(
            policy in policy(),
            most in 1..1_000_000_u32,
            openings in 1..u32::MAX,
            draw in 0.0..1.0,
        ) {
            let breaker = BreakerPolicy::new(MS * most, NonZeroU32::MIN);
            let wait = breaker_wait(&policy, &breaker, openings, draw);
            let ceiling = ceiling(&policy, openings).min(MS * most);
            prop_assert!(wait <= ceiling * 3 / 5 && wait + MS >= ceiling / 5);
        }

        #[test]
        fn the_ceiling_grows_up_to_the_longest_wait(policy in policy(), attempts in 1..10_000_u32) {
            prop_assert_eq!(ceiling(&policy, 1), policy.initial());
            prop_assert!(ceiling(&policy, attempts) <= ceiling(&policy, attempts + 1));
            prop_assert!(ceiling(&policy, attempts) <= policy.max());
        }

        #[test]
        fn an_event_that_always_fails_is_given_up(policy in policy(), draw in 0.01..1.0) {
            let mut age = Duration::ZERO;
            let mut attempts = 0;
            loop {
                attempts += 1;
                match next_attempt(&policy, attempts, age, None, draw) {
                    Next::After(wait) => age += wait.max(policy.max_age() / 1_000),
                    Next::AttemptsExhausted | Next::TooOld => break,
                }
                prop_assert!(attempts <= 1_001);
            }
        }

        #[test]
        fn no_retry_after_exceeds_four_times_the_longest_wait(
            value in proptest::collection::vec(any::<u8>(), 0..40),
            digits in "[0-9]{1,30}",
        ) {
            let policy = RetryPolicy::default();
            for value in [value, digits.into_bytes()] {
                let wait = retry_after(&value, UNIX_EPOCH, &policy);
                prop_assert!(wait.unwrap_or_default() <= policy.max() * 4);
            }
        }
    }

    /// The wait in seconds that this value asks for at 1994-11-06T08:49:07Z.
    fn asked(value: &str) -> Option<u64> {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_747);
        retry_after(value.as_bytes(), now, &RetryPolicy::default()).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_seconds() {
        assert_eq!(asked("0"), Some(0));
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked(" 7 "), Some(7));
        assert_eq!(asked("1.5"), Some(2), "rounded up");
        assert_eq!(asked("0.503"), Some(1));
        assert_eq!(asked("3.0"), Some(3));
        assert_eq!(asked("2400"), Some(2400));
        assert_eq!(
            asked("2401"),
            Some(2400),
            "four times the ten minutes of the default"
        );
        assert_eq!(
            asked("99999999999999999999999"),
            Some(2400),
            "more than a u64 holds"
        );
    }

    #[test]
    fn retry_after_is_a_date_in_any_of_the_three_forms() {
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
        assert_eq!(asked("Sunday, 06-Nov-94 08:49:37 GMT"), Some(30));
        assert_eq!(asked("Sun Nov  6 08:49:37 1994"), Some(30));
        assert_eq!(asked("Fri, 31 Dec 9999 23:59:59 GMT"), Some(2400));
    }

    #[test]
    fn a_value_of_neither_form_and_a_date_that_has_passed_are_ignored() {
        for value in [
            "", " ", "-5", "+5", "-1.5", ".5", "1.", "1.5.0", "5s", "0x10", "soon", "٣",
        ] {
            assert_eq!(asked(value), None, "{value:?}");
        }
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:06 GMT"), None);
        assert_eq!(asked("Sun, 06 Nov 1994 25:49:37 GMT"), None);
        let bytes = retry_after(b"\xff\xfe", UNIX_EPOCH, &RetryPolicy::default());
        assert_eq!(bytes, None);
    }

    #[test]
    fn a_draw_that_is_nan_is_the_longest_wait() {
        let policy = RetryPolicy::default();
        let next = next_attempt(&policy, 1, Duration::ZERO, None, f64::NAN);
        assert_eq!(next, Next::After(policy.initial()));
    }

    #[test]
    fn the_default_schedule_draws_each_wait_anew() {
        let (policy, breaker) = (RetryPolicy::default(), BreakerPolicy::default());
        let waits = (0..100).map(|_| FullJitter.breaker(&policy, &breaker, 100));
        let waits: std::collections::BTreeSet<_> = waits.collect();
        assert!(waits.len() > 1, "{waits:?}");
        let within = breaker.max() / 5..=breaker.max() * 3 / 5;
        assert!(waits.iter().all(|wait| within.contains(wait)), "{waits:?}");
    }
}
