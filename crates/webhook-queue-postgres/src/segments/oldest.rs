//! What is owed of the oldest segment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use roaring::RoaringTreemap;

use crate::log::{LogState, TargetId};

/// The oldest segment, which gets no more entries.
#[derive(Debug)]
pub(super) struct Oldest {
    pub(super) ordinal: u64,
    /// Since when less than a tenth of what was owed then, `mark`, was settled.
    since: Instant,
    mark: u64,
    /// The entries of each target that are neither settled nor parked.
    owed: BTreeMap<TargetId, RoaringTreemap>,
    total: u64,
}

impl Oldest {
    /// A segment that got its last entry at `closed`.
    pub(super) fn new(ordinal: u64, closed: Instant) -> Oldest {
        Oldest {
            ordinal,
            since: closed,
            mark: 0,
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
    pub(super) fn settle(
        &mut self,
        log: &LogState,
        exists: impl Fn(TargetId) -> bool,
        now: Instant,
    ) {
        self.owed.retain(|target, _| exists(*target));
        for (target, owed) in &mut self.owed {
            if let Some(settled) = log.settled(*target) {
                *owed -= settled;
            }
        }
        let owed = self.owed();
        if self.mark == 0 {
            self.mark = owed;
        } else if owed <= self.mark - self.mark.div_ceil(10) {
            (self.mark, self.since) = (owed, now);
        }
    }

    pub(super) fn remove(&mut self, parked: &[(u64, TargetId)]) {
        for (entry, target) in parked {
            if let Some(owed) = self.owed.get_mut(target) {
                owed.remove(*entry);
            }
        }
        self.mark = self.owed();
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

    /// For how long next to nothing was settled.
    pub(super) fn stalled(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}
