//! What is owed of the oldest segment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use roaring::RoaringTreemap;

use crate::log::{LogState, TargetId};

/// The oldest segment, which gets no more entries.
#[derive(Debug)]
pub(super) struct Oldest {
    pub(super) ordinal: u64,
    since: Instant,
    /// The entries of each target that are neither settled nor parked.
    owed: BTreeMap<TargetId, RoaringTreemap>,
    total: u64,
}

impl Oldest {
    pub(super) fn new(ordinal: u64) -> Oldest {
        Oldest {
            ordinal,
            since: Instant::now(),
            owed: BTreeMap::new(),
            total: 0,
        }
    }

    pub(super) fn add(&mut self, entry: u64, targets: &[TargetId]) {
        for target in targets {
            self.owed.entry(*target).or_default().insert(entry);
            self.total += 1;
        }
    }

    /// Removes what is settled. What a removed target was owed counts as that.
    pub(super) fn settle(&mut self, log: &LogState, exists: impl Fn(TargetId) -> bool) {
        self.owed.retain(|target, _| exists(*target));
        for (target, owed) in &mut self.owed {
            if let Some(settled) = log.settled(*target) {
                *owed -= settled;
            }
        }
    }

    pub(super) fn remove(&mut self, parked: &[(u64, TargetId)]) {
        for (entry, target) in parked {
            if let Some(owed) = self.owed.get_mut(target) {
                owed.remove(*entry);
            }
        }
    }

    /// The first entries that are owed.
    pub(super) fn first_owed(&self, most: usize) -> Vec<(u64, TargetId)> {
        let all = self.owed.iter();
        let all = all.flat_map(|(target, owed)| owed.iter().map(|entry| (entry, *target)));
        all.take(most).collect()
    }

    pub(super) fn owed(&self) -> u64 {
        self.owed.values().map(RoaringTreemap::len).sum()
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}
