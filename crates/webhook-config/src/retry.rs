//! The retry policy of a target.

use crate::limits;
use std::num::NonZeroU32;
use std::time::Duration;

/// When a failed delivery is retried, and when it is given up.
///
/// Attempt *n* + 1 waits a random time between 0 and `min(max, initial · multiplier^n)`.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    initial: Duration,
    max: Duration,
    multiplier: f64,
    max_age: Duration,
    max_attempts: Option<NonZeroU32>,
}

/// Why retry settings are not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRetry {
    /// The first wait is 0, which would be a busy loop.
    #[error("the first wait must be at least 1 ms")]
    NoWait,
    /// The longest wait is shorter than the first.
    #[error("the longest wait is shorter than the first")]
    MaxUnderInitial,
    /// The multiplier is below 1, above 1000 or not a number.
    #[error("the multiplier must be a number from 1 to 1000")]
    Multiplier,
    /// A wait or the age is longer than ten years.
    #[error("a wait, and the age at which an event is given up, are at most ten years")]
    TooLong,
    /// The age is 0, which would never retry.
    #[error("the age at which an event is given up must be at least 1 ms")]
    NoAge,
}

impl RetryPolicy {
    /// A policy of these settings.
    ///
    /// # Errors
    /// When they contradict each other; see [`InvalidRetry`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use webhook_config::{InvalidRetry, RetryPolicy};
    ///
    /// let [second, minute, day] = [1, 60, 86_400].map(Duration::from_secs);
    /// let policy = RetryPolicy::new(second, minute, 2.0, day, None)?;
    /// assert_eq!(policy.max_age(), day);
    /// assert!(RetryPolicy::new(minute, second, 2.0, day, None).is_err());
    /// # Ok::<(), InvalidRetry>(())
    /// ```
    pub fn new(
        initial: Duration,
        max: Duration,
        multiplier: f64,
        max_age: Duration,
        max_attempts: Option<NonZeroU32>,
    ) -> Result<Self, InvalidRetry> {
        if initial.is_zero() {
            return Err(InvalidRetry::NoWait);
        }
        if max < initial {
            return Err(InvalidRetry::MaxUnderInitial);
        }
        if !(1.0..=1000.0).contains(&multiplier) {
            return Err(InvalidRetry::Multiplier);
        }
        if max_age.is_zero() {
            return Err(InvalidRetry::NoAge);
        }
        if max.max(max_age).as_millis() > u128::from(limits::RETRY_MSEC.most) {
            return Err(InvalidRetry::TooLong);
        }
        Ok(RetryPolicy {
            initial,
            max,
            multiplier,
            max_age,
            max_attempts,
        })
    }

    /// The longest wait before the first retry.
    #[must_use]
    pub fn initial(&self) -> Duration {
        self.initial
    }

    /// The longest wait before any retry.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The factor by which the longest wait grows with each retry; 1 to 1000.
    #[must_use]
    pub fn multiplier(&self) -> f64 {
        self.multiplier
    }

    /// The age at which an event is given up.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    /// The number of attempts after which an event is given up.
    #[must_use]
    pub fn max_attempts(&self) -> Option<NonZeroU32> {
        self.max_attempts
    }
}

impl Default for RetryPolicy {
    /// Waits of up to 1 s, doubling up to 10 minutes, for a day.
    fn default() -> Self {
        RetryPolicy {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(600),
            multiplier: 2.0,
            max_age: Duration::from_secs(86_400),
            max_attempts: None,
        }
    }
}
