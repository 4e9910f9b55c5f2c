//! The lanes that wait for a retry, by its time. Those of a batch are neighbours, and wake together.

use super::delivery::{BatchTag, LaneId};
use hashbrown::HashMap;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The time over which lanes that wake together are spread.
pub(super) const SPREAD: Duration = Duration::from_secs(1);
/// The longest time between two of them.
const STEP: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct Waiting {
    lanes: BTreeSet<(Instant, Option<BatchTag>, LaneId)>,
    /// When each batch wakes.
    batches: HashMap<BatchTag, Instant>,
}

impl Waiting {
    /// Adds a lane, which wakes at this time, or with the others of its batch.
    pub(super) fn insert(&mut self, at: Instant, batch: Option<BatchTag>, lane: LaneId) {
        let at = batch.map_or(at, |tag| *self.batches.entry(tag).or_insert(at));
        self.lanes.insert((at, batch, lane));
    }

    /// The number of lanes.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// When the first lane wakes.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.lanes.first().map(|(at, ..)| *at)
    }

    /// Removes the lane that wakes next, and the others of its batch.
    pub(super) fn pop(&mut self) -> Vec<LaneId> {
        let Some((_, batch, lane)) = self.lanes.pop_first() else {
            return Vec::new();
        };
        if let Some(tag) = batch {
            self.batches.remove(&tag);
        }
        let mut lanes = vec![lane];
        while let Some(&(_, next, lane)) = self.lanes.first()
            && batch.is_some()
            && next == batch
        {
            self.lanes.pop_first();
            lanes.push(lane);
        }
        lanes
    }

    /// Makes the lanes that are `wanted` wake within a second, spread evenly.
    pub(super) fn wake_where(&mut self, now: Instant, mut wanted: impl FnMut(LaneId) -> bool) {
        let woken = self.lanes.extract_if(.., |(_, _, lane)| wanted(*lane));
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
            let at = at.min(soon);
            if let Some(tag) = batch {
                self.batches.insert(tag, at);
            }
            self.lanes.insert((at, batch, lane));
        }
    }
}
