//! When a failed delivery is tried again: back-off with full jitter, `Retry-After`, and the end.
//!
//! All of it is a function of (policy, what happened, now): no clock and no chance inside.

use std::time::{Duration, SystemTime};
use webhook_config::RetryPolicy;

/// Decides when to try again: a seam, for those who want another schedule than [`FullJitter`].
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

    /// How long a target is left alone when its breaker opens for the `openings`-th time in a row
    /// (from 1).
    fn breaker(&self, policy: &RetryPolicy, openings: u32) -> Duration;
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

    /// Between half of the back-off's ceiling and all of it, so that a dead receiver is left in
    /// peace for a while whatever is drawn.
    fn breaker(&self, policy: &RetryPolicy, openings: u32) -> Duration {
        ceiling(policy, openings).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Try again once this much time has passed.
    After(Duration),
    /// No more: the event has had all the attempts that it may have.
    AttemptsExhausted,
    /// No more: the event is older than the policy allows.
    TooOld,
}

/// Decides what follows the `attempts`-th failed attempt (from 1) of an event of this `age`.
///
/// The wait is drawn evenly between 0 and the back-off's ceiling by `draw`, a number from 0 up
/// to but not including 1, and is never shorter than `retry_after`. An event whose next attempt
/// would fall beyond the policy's age is still given it, once, at the latest at that age.
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
    // No number at all is the least surprising as the longest wait.
    let draw = if draw.is_nan() {
        1.0
    } else {
        draw.clamp(0.0, 1.0)
    };
    let jittered = ceiling(policy, attempts).mul_f64(draw);
    let wait = jittered.min(left);
    Next::After(wait.max(retry_after.unwrap_or(Duration::ZERO)))
}

/// The most that the wait after the `attempts`-th failed attempt (from 1) can be.
#[must_use]
pub fn ceiling(policy: &RetryPolicy, attempts: u32) -> Duration {
    let steps = attempts.saturating_sub(1).min(1_000);
    let factor = policy.multiplier().powi(i32::try_from(steps).unwrap_or(0));
    let wanted = policy.initial().as_secs_f64() * factor;
    let most = policy.max();
    if wanted.is_finite() && wanted < most.as_secs_f64() {
        Duration::from_secs_f64(wanted)
    } else {
        most
    }
}

/// Reads a `Retry-After` header's value, RFC 9110 section 10.2.3: seconds, or an HTTP date.
///
/// What a receiver may ask for is bounded by four times the policy's longest back-off. A date
/// that has passed, and a value that is neither form, ask for nothing.
#[must_use]
pub fn retry_after(value: &[u8], now: SystemTime, policy: &RetryPolicy) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let most = policy.max().saturating_mul(4);
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a u64 holds ask for longer than any bound.
        let seconds = text.parse::<u64>().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(most));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let wait = until.duration_since(now).ok()?;
    Some(wait.min(most))
}
