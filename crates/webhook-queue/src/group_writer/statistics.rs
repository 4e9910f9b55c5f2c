//! What a writer counts.

use std::error::Error;
use std::time::{Duration, Instant};

use crate::QueueError;

/// What a [`GroupWriter`](crate::GroupWriter) has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterStatistics {
    /// Events that are durable.
    pub events: u64,
    /// Events that were not stored, since they repeat one that is.
    pub duplicates: u64,
    /// Events that were dropped, since their state is their key's last one.
    pub unchanged: u64,
    /// Events that a commit failed for.
    pub refused: u64,
    /// Settlements that are durable.
    pub settlements: u64,
    /// Those of them that were not applied, since their claim had ended.
    pub fenced: u64,
    /// Commits that failed, except for events that a full queue has no room for.
    pub failures: u64,
    /// Why the last of them failed.
    pub last_failure: Option<String>,
    /// The same, if no commit has succeeded since.
    pub failing: Option<String>,
    /// When that was; `None` when the queue takes nothing more until it is opened again.
    pub failed_at: Option<Instant>,
    /// How long commits took, each with its sync, microseconds.
    pub commit_micros: Distribution,
    /// How many events and settlements were in a commit.
    pub group_size: Distribution,
    /// Events that wait now.
    pub waiting_events: usize,
    /// Settlements that wait now.
    pub waiting_settlements: usize,
    /// Settlements that could not be committed when they were last tried. While there are any,
    /// [`failing`](WriterStatistics::failing) says why.
    pub unsettled: usize,
    /// Whether events wait for room in the queue. Those that wait for its disk are not meant:
    /// `failing` has its error.
    pub blocked: bool,
    /// Whether the writer has ended, and nothing more is written.
    pub ended: bool,
}

impl WriterStatistics {
    pub(super) fn failed(&mut self, error: &QueueError) {
        self.failures += 1;
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        self.last_failure = Some(message.clone());
        self.failing = Some(message);
        self.failed_at = error.is_retryable().then(Instant::now);
    }

    pub(super) fn unsettled(&mut self, settlements: usize, error: &QueueError) {
        self.failed(error);
        self.unsettled = settlements;
        let error = self.failing.take().unwrap_or_default();
        self.failing = Some(format!(
            "{settlements} outcomes of deliveries cannot be written, and are tried again: {error}"
        ));
    }

    pub(super) fn all_settled(&mut self) {
        self.unsettled = 0;
        self.failing = None;
    }

    pub(super) fn committed(&mut self, took: Duration, events: usize, settlements: usize) {
        if self.unsettled == 0 {
            self.failing = None;
        }
        self.events += events as u64;
        self.settlements += settlements as u64;
        self.commit_micros
            .add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.group_size.add((events + settlements) as u64);
    }
}

/// How often values of each size were counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Distribution {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The largest.
    pub max: u64,
    /// How many are below 1, below 2, below 4 and so on, each counted once, in the first bucket
    /// that holds it; the last has all others.
    pub buckets: [u64; 32],
}

impl Distribution {
    /// The bound that the values of a bucket are below; none for the last.
    #[must_use]
    pub fn bound(bucket: usize) -> Option<u64> {
        (bucket < 31).then(|| 1 << bucket)
    }

    fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        self.buckets[bucket.min(31)] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_the_buckets_are_the_powers_of_two_and_the_last_has_none() {
        let bounds: Vec<_> = (0..32).map(Distribution::bound).collect();
        assert!(
            bounds[..31]
                .iter()
                .copied()
                .eq((0..31).map(|bit| Some(1 << bit)))
        );
        assert_eq!(bounds[31], None);
    }

    #[test]
    fn a_value_is_counted_in_the_first_bucket_whose_bound_is_above_it() {
        for value in [0, 1, 2, 3, 4, 1023, 1024, (1 << 30) - 1, 1 << 30, u64::MAX] {
            let mut counted = Distribution::default();
            counted.add(value);
            let bucket = counted
                .buckets
                .iter()
                .position(|&count| count == 1)
                .unwrap();
            assert!(
                Distribution::bound(bucket).is_none_or(|bound| value < bound),
                "{value}"
            );
            let below = bucket.checked_sub(1).and_then(Distribution::bound);
            assert!(below.is_none_or(|bound| value >= bound), "{value}");
            assert_eq!((counted.count, counted.sum, counted.max), (1, value, value));
        }
    }
}
