//! What the targets of a queue may use of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What each target may use of a queue, so that a target that accepts nothing does not fill it for
/// the others.
///
/// ```
/// use std::collections::BTreeMap;
/// use webhook_queue::{MemoryQueue, Queue, Quotas};
///
/// let quotas = Quotas {
///     owed: BTreeMap::from([("audit".into(), Some(1 << 20)), ("pager".into(), None)]),
///     ..Quotas::default()
/// };
/// assert_eq!(quotas.max_owed("audit", 1 << 30), 1 << 20);
/// MemoryQueue::new(1 << 30).set_quotas(quotas);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by callers, `..Default::default()`"
)]
pub struct Quotas {
    /// The targets that share the queue, each with the most bytes that it may be owed. Without a
    /// number, a target may be owed as many bytes as are free in the queue, if there are several
    /// targets: one that accepts nothing fills half of the queue, two of them a third each. A
    /// single target may fill all of it.
    ///
    /// A target over its quota is refused new events, and the other targets of these events are
    /// not. A target that is owed nothing is not over its quota, however large the event.
    pub owed: BTreeMap<Arc<str>, Option<u64>>,
    /// How many dead letters are kept.
    pub dead_letters: DeadLetterLimits,
    /// How many deliveries are kept of each target whose deliveries are; the oldest are removed
    /// first. Those of other targets are removed by the next
    /// [`trim_dead_letters`](crate::Queue::trim_dead_letters).
    pub retained: BTreeMap<Arc<str>, DeadLetterLimits>,
}

impl Quotas {
    /// The most bytes that a target may be owed while `free` bytes of the queue are free.
    #[must_use]
    pub fn max_owed(&self, target: &str, free: u64) -> u64 {
        match self.owed.get(target) {
            Some(Some(max)) => *max,
            Some(None) if self.owed.len() > 1 => free,
            _ => u64::MAX,
        }
    }

    /// Whether no target has a quota.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.owed.len() <= 1 && self.owed.values().all(Option::is_none)
    }
}

/// The bounds of the dead letters of all targets together, or of one target's kept deliveries.
/// Letters over a bound are removed, the oldest of the target that has most bytes of them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by callers, `..Default::default()`"
)]
pub struct DeadLetterLimits {
    /// The most bytes that they may take. An event that several targets have given up counts for
    /// each.
    pub max_bytes: u64,
    /// The most letters.
    pub max_count: u64,
    /// How long they are kept, to the millisecond.
    pub max_age: Duration,
}

impl Default for DeadLetterLimits {
    /// No bounds.
    fn default() -> DeadLetterLimits {
        DeadLetterLimits {
            max_bytes: u64::MAX,
            max_count: u64::MAX,
            max_age: Duration::MAX,
        }
    }
}

impl DeadLetterLimits {
    /// Whether a letter of this time is too old; epoch milliseconds.
    #[must_use]
    pub fn has_expired(&self, died_at: u64, now: u64) -> bool {
        u128::from(now.saturating_sub(died_at)) > self.max_age.as_millis()
    }

    /// Whether so many letters of so many bytes are too many.
    #[must_use]
    pub fn are_exceeded(&self, count: u64, bytes: u64) -> bool {
        count > self.max_count || bytes > self.max_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(owed: &[(&str, Option<u64>)]) -> Quotas {
        Quotas {
            owed: owed.iter().map(|&(name, max)| (name.into(), max)).collect(),
            ..Quotas::default()
        }
    }

    #[test]
    fn a_target_without_a_number_may_be_owed_what_is_free_if_it_is_not_alone() {
        let alone = quotas(&[("a", None)]);
        assert_eq!(alone.max_owed("a", 5), u64::MAX);
        let several = quotas(&[("a", None), ("b", Some(7))]);
        let max_owed = ["a", "b", "unknown"].map(|target| several.max_owed(target, 5));
        assert_eq!(max_owed, [5, 7, u64::MAX]);
    }

    #[test]
    fn quotas_of_one_target_without_a_number_bound_nothing() {
        assert!(Quotas::default().is_unlimited());
        assert!(quotas(&[("a", None)]).is_unlimited());
        assert!(!quotas(&[("a", Some(7))]).is_unlimited());
        assert!(!quotas(&[("a", None), ("b", None)]).is_unlimited());
    }

    #[test]
    fn letters_may_reach_their_bounds_and_not_exceed_them() {
        let limits = DeadLetterLimits {
            max_bytes: 100,
            max_count: 3,
            max_age: Duration::from_millis(10),
        };
        assert!(!limits.are_exceeded(3, 100));
        assert!(limits.are_exceeded(4, 100));
        assert!(limits.are_exceeded(3, 101));
        assert!(!limits.has_expired(1_000, 1_010));
        assert!(limits.has_expired(1_000, 1_011));
        assert!(!limits.has_expired(1_000, 0), "a clock set back");
    }
}
