//! The circuit breaker of a target.

use std::num::NonZeroU32;
use std::time::Duration;

/// The bounds of a target's circuit breaker.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use webhook_config::BreakerPolicy;
///
/// let policy = BreakerPolicy::new(Duration::from_secs(30), NonZeroU32::new(5).unwrap());
/// assert_eq!(policy.max(), Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    pub(crate) max: Duration,
    pub(crate) max_refusals: NonZeroU32,
}

impl BreakerPolicy {
    /// Bounds of 1 ms to ten years, and of 1 to 1000 refusals; [`build`](crate::TargetBuilder::build)
    /// checks them.
    #[must_use]
    pub fn new(max: Duration, max_refusals: NonZeroU32) -> BreakerPolicy {
        BreakerPolicy { max, max_refusals }
    }

    /// The longest wait between two probes of a receiver that cannot be reached.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The refusals in a row, over distinct tasks, after which the target is held.
    #[must_use]
    pub fn max_refusals(&self) -> NonZeroU32 {
        self.max_refusals
    }
}

impl Default for BreakerPolicy {
    /// Probes at least every 30 s, and a hold after 20 refusals.
    fn default() -> Self {
        BreakerPolicy {
            max: Duration::from_secs(30),
            max_refusals: NonZeroU32::new(20).expect("20 is not 0"),
        }
    }
}
