//! The newest entries of this process's slots, read once for all targets.

use std::collections::VecDeque;
use std::sync::Arc;

use webhook_queue::Claim;

use crate::log::TargetId;

/// An entry of the tail. `C` is what there is to deliver.
#[derive(Debug)]
pub(crate) struct TailEntry<C> {
    pub(crate) entry: u64,
    pub(crate) claim: Claim,
    pub(crate) targets: Box<[TargetId]>,
    /// About the bytes that it takes in memory.
    pub(crate) bytes: usize,
    pub(crate) content: C,
}

/// The entries after `start` up to `horizon` of the slots that were claimed when it was read. All
/// entries up to `horizon` are committed, and none comes before it any more. It has none before its
/// first restart.
#[derive(Debug)]
pub(crate) struct Tail<C> {
    /// Grows when slots are claimed or dead letters replayed: readers begin again then.
    generation: u64,
    start: u64,
    horizon: u64,
    /// The last entry that was ever appended.
    newest: u64,
    entries: VecDeque<Arc<TailEntry<C>>>,
    bytes: usize,
    most_bytes: usize,
}

/// Where a read of the tail began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TailMark {
    generation: u64,
    horizon: u64,
}

impl TailMark {
    /// The read is to return the entries after this one.
    pub(crate) fn after(self) -> u64 {
        self.horizon
    }
}

impl<C> Tail<C> {
    /// A tail that keeps entries of up to `most_bytes`, and the newest one in any case.
    pub(crate) fn new(most_bytes: usize) -> Tail<C> {
        Tail {
            generation: 0,
            start: u64::MAX,
            horizon: 0,
            newest: 0,
            entries: VecDeque::new(),
            bytes: 0,
            most_bytes,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// All entries up to this one are committed, and those of the slots were read.
    pub(crate) fn horizon(&self) -> u64 {
        self.horizon
    }

    /// The last entry that was ever appended to it.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// How many of its entries are after this one.
    pub(crate) fn count_after(&self, entry: u64) -> usize {
        self.entries.len() - self.entries.partition_point(|it| it.entry <= entry)
    }

    /// Begins a read.
    pub(crate) fn mark(&self) -> TailMark {
        TailMark {
            generation: self.generation,
            horizon: self.horizon,
        }
    }

    /// Begins again after `horizon`: other slots are claimed, or entries before it are owed again.
    pub(crate) fn restart(&mut self, horizon: u64) {
        self.generation += 1;
        self.horizon = self.horizon.max(horizon);
        self.start = self.horizon;
        self.entries.clear();
        self.bytes = 0;
    }

    /// Whether it was ever restarted.
    pub(crate) fn is_in_use(&self) -> bool {
        self.start < u64::MAX
    }

    /// Forgets the entries up to this one, whose segments were truncated.
    pub(crate) fn forget(&mut self, truncated: u64) {
        if !self.is_in_use() {
            return;
        }
        self.start = self.start.max(truncated);
        self.horizon = self.horizon.max(truncated);
        while self.entries.front().is_some_and(|it| it.entry <= truncated)
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= oldest.bytes;
        }
    }

    /// Appends what a read has found up to `horizon`. False if the tail has changed since the mark:
    /// the read does not count.
    pub(crate) fn extend(
        &mut self,
        mark: TailMark,
        found: Vec<TailEntry<C>>,
        horizon: u64,
    ) -> bool {
        if self.mark() != mark {
            return false;
        }
        self.horizon = self.horizon.max(horizon);
        for entry in found {
            self.bytes += entry.bytes;
            self.newest = self.newest.max(entry.entry);
            self.entries.push_back(Arc::new(entry));
        }
        while self.bytes > self.most_bytes && self.entries.len() > 1 {
            if let Some(oldest) = self.entries.pop_front() {
                self.bytes -= oldest.bytes;
                self.start = oldest.entry;
            }
        }
        true
    }

    /// Up to `most` entries after `after` that go to `target`, and the entry up to which there are no
    /// others. `None` if the tail begins after `after`.
    pub(crate) fn after(
        &self,
        after: u64,
        target: TargetId,
        most: usize,
    ) -> Option<(Vec<Arc<TailEntry<C>>>, u64)> {
        if after < self.start {
            return None;
        }
        let from = self.entries.partition_point(|it| it.entry <= after);
        let goes = |it: &&Arc<TailEntry<C>>| it.targets.contains(&target);
        let later = self.entries.range(from..).filter(goes);
        let found: Vec<_> = later.take(most).cloned().collect();
        let end = match found.last() {
            Some(last) if found.len() == most => last.entry,
            _ => self.horizon.max(after),
        };
        Some((found, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(entry: u64, targets: &[TargetId]) -> TailEntry<()> {
        TailEntry {
            entry,
            claim: Claim { slot: 0, fence: 1 },
            targets: targets.into(),
            bytes: 10,
            content: (),
        }
    }

    fn tail() -> Tail<()> {
        let mut tail = Tail::new(30);
        tail.restart(100);
        let found = vec![entry(101, &[1]), entry(103, &[1, 2]), entry(104, &[2])];
        assert!(tail.extend(tail.mark(), found, 105));
        tail
    }

    fn after(
        tail: &Tail<()>,
        after: u64,
        target: TargetId,
        most: usize,
    ) -> Option<(Vec<u64>, u64)> {
        let (found, end) = tail.after(after, target, most)?;
        Some((found.iter().map(|it| it.entry).collect(), end))
    }

    #[test]
    fn a_reader_gets_its_targets_entries_after_its_cursor() {
        let tail = tail();
        assert_eq!(after(&tail, 99, 1, 9), None);
        assert_eq!(after(&tail, 100, 1, 9), Some((vec![101, 103], 105)));
        assert_eq!(after(&tail, 100, 1, 1), Some((vec![101], 101)));
        assert_eq!(after(&tail, 103, 1, 9), Some((vec![], 105)));
        assert_eq!(after(&tail, 102, 2, 9), Some((vec![103, 104], 105)));
        assert_eq!(after(&tail, 200, 2, 9), Some((vec![], 200)));
    }

    #[test]
    fn over_its_bytes_it_begins_later_and_keeps_the_newest() {
        let mut tail = tail();
        assert!(tail.extend(tail.mark(), vec![entry(107, &[1])], 107));
        assert_eq!(after(&tail, 100, 1, 9), None);
        assert_eq!(after(&tail, 101, 1, 9), Some((vec![103, 107], 107)));
        let huge = TailEntry {
            bytes: 99,
            ..entry(110, &[1])
        };
        assert!(tail.extend(tail.mark(), vec![huge], 111));
        assert_eq!(after(&tail, 106, 1, 9), None);
        assert_eq!(after(&tail, 107, 1, 9), Some((vec![110], 111)));
    }

    #[test]
    fn a_read_that_began_before_a_change_does_not_count() {
        let mut tail = tail();
        let mark = tail.mark();
        assert!(tail.extend(mark, vec![entry(107, &[1])], 107));
        assert!(!tail.extend(mark, vec![entry(107, &[1])], 107));
        let mark = tail.mark();
        tail.restart(0);
        assert!(!tail.extend(mark, vec![entry(108, &[1])], 108));
        assert_eq!(after(&tail, 107, 1, 9), Some((vec![], 107)));
        assert_eq!(after(&tail, 106, 1, 9), None);
    }
}
