//! The lanes that wait for a retry, by its time. Those of a batch are neighbours, and wake together.

use super::delivery::{BatchTag, LaneId};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The time over which lanes that wake together are spread.
pub(super) const SPREAD: Duration = Duration::from_secs(1);
/// The longest time between two of them.
const STEP: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeSet<(Instant, Option<BatchTag>, LaneId)>);

impl Waiting {
    pub(super) fn insert(&mut self, at: Instant, batch: Option<BatchTag>, lane: LaneId) {
        self.0.insert((at, batch, lane));
    }

    /// The number of lanes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the first lane wakes.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.0.first().map(|(at, ..)| *at)
    }

    /// Removes the lane that wakes next, and the others of its batch.
    pub(super) fn pop(&mut self) -> Vec<LaneId> {
        let Some((_, batch, lane)) = self.0.pop_first() else {
            return Vec::new();
        };
        let mut lanes = vec![lane];
        while let Some(&(_, next, lane)) = self.0.first()
            && batch.is_some()
            && next == batch
        {
            self.0.pop_first();
            lanes.push(lane);
        }
        lanes
    }

    /// Makes the lanes that are `wanted` wake within a second, spread evenly.
    pub(super) fn wake_where(&mut self, now: Instant, mut wanted: impl FnMut(LaneId) -> bool) {
        let woken = self.0.extract_if(.., |(_, _, lane)| wanted(*lane));
        let woken: Vec<_> = woken.collect();
        let count = u32::try_from(woken.len()).unwrap_or(u32::MAX).max(1);
        let step = (SPREAD / count).min(STEP);
        let mut soon = now;
        let mut last = None;
        for (at, batch, lane) in woken {
            if last.is_some_and(|last| batch.is_none() || batch != last) {
                soon += step;
            }
            last = Some(batch);
            self.0.insert((at.min(soon), batch, lane));
        }
    }
}
