//! What is kept of a target's deliveries.

use crate::queue::QueueSettings;
use std::time::Duration;

/// How long, and how much of what was delivered to a target is kept, so that it can be sent again to a
/// receiver that has lost it.
///
/// ```
/// use std::time::Duration;
/// use webhook_config::Retention;
///
/// let retention = Retention::new(Duration::from_secs(86_400), 1 << 30);
/// assert_eq!(retention.max_bytes(), 1 << 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    max_age: Duration,
    max_bytes: u64,
}

impl Retention {
    /// The default of [`Self::max_age`].
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(86_400);

    /// Keeps so many bytes, 1 to 16 TiB, for so long, 1 ms to 10 years; a
    /// [`TargetBuilder`](crate::TargetBuilder) refuses others.
    #[must_use]
    pub fn new(max_age: Duration, max_bytes: u64) -> Self {
        Retention { max_age, max_bytes }
    }

    /// How long a delivery is kept.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    /// The most bytes of the queue that kept deliveries may take.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

/// The most bytes that deliveries of all targets may take together, so that with the dead letters they
/// take at most half of the queue.
pub(crate) fn most_retained(queue: &QueueSettings) -> u64 {
    (queue.max_bytes() / 2).saturating_sub(queue.max_dead_letter_bytes())
}

/// The bytes that these allow together.
pub(crate) fn retained<'r>(all: impl Iterator<Item = &'r Retention>) -> u64 {
    all.fold(0, |sum, it| sum.saturating_add(it.max_bytes()))
}
