//! How far a file is safe: up to the first line whose fate is not known.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A place in a file: after a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Lines before it.
    pub(super) line: u64,
}

/// Notes which lines are done. They may be done in another order than they were read.
#[derive(Debug)]
pub(crate) struct Tracker {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    safe: Mark,
    /// The number of the first of `open`.
    first: u64,
    /// Lines that are not done, or come after one, and whether they are.
    open: VecDeque<(Mark, bool)>,
    /// Lines handed over whose fate is not known.
    unknown: usize,
    refused: bool,
}

impl Tracker {
    pub(super) fn new(safe: Mark) -> Tracker {
        Tracker {
            inner: Mutex::new(Inner {
                safe,
                first: 0,
                open: VecDeque::new(),
                unknown: 0,
                refused: false,
            }),
        }
    }

    /// A line that ends at `mark` is handed over; its number is for one call of
    /// [`finish`](Self::finish).
    pub(super) fn begin(&self, mark: Mark) -> u64 {
        let mut inner = self.inner();
        inner.open.push_back((mark, false));
        inner.unknown += 1;
        inner.first + inner.open.len() as u64 - 1
    }

    /// The fate of a line is known: it need not be read again, or it was not taken.
    pub(crate) fn finish(&self, number: u64, taken: bool) {
        let mut inner = self.inner();
        inner.unknown -= 1;
        if !taken {
            inner.refused = true;
            return;
        }
        let index = usize::try_from(number - inner.first).unwrap_or(usize::MAX);
        if let Some((_, done)) = inner.open.get_mut(index) {
            *done = true;
        }
        while let Some((mark, true)) = inner.open.front().copied() {
            inner.safe = mark;
            inner.first += 1;
            inner.open.pop_front();
        }
    }

    /// Up to where no line need be read again.
    pub(super) fn safe(&self) -> Mark {
        self.inner().safe
    }

    /// Whether a line was not taken after all.
    pub(super) fn has_refused(&self) -> bool {
        self.inner().refused
    }

    /// Whether the fate of every line is known.
    pub(super) fn is_settled(&self) -> bool {
        self.inner().unknown == 0
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(line: u64) -> Mark {
        Mark {
            offset: line * 10,
            line,
        }
    }

    #[test]
    fn a_line_is_safe_once_all_before_it_are() {
        let tracker = Tracker::new(mark(0));
        let numbers: Vec<_> = (1..=4).map(|line| tracker.begin(mark(line))).collect();
        tracker.finish(numbers[1], true);
        assert_eq!(tracker.safe(), mark(0));
        tracker.finish(numbers[0], true);
        assert_eq!(tracker.safe(), mark(2));
        assert!(!tracker.is_settled());
        tracker.finish(numbers[2], false);
        tracker.finish(numbers[3], true);
        assert!(tracker.is_settled() && tracker.has_refused());
        assert_eq!(tracker.safe(), mark(2), "what was refused is read again");
    }
}
