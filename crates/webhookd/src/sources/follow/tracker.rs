//! How far a file is safe: up to the first line that is not accepted yet.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A position in a file, after a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Lines before it.
    pub(super) line: u64,
}

/// Tracks which lines are done, in whatever order that happens.
#[derive(Debug)]
pub(super) struct Tracker {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    safe: Mark,
    /// Lines that are not done, or come after one that is not, and whether they are done.
    open: VecDeque<(Mark, bool)>,
    /// Lines begun, and neither finished nor refused.
    unknown: usize,
    refused: bool,
}

impl Tracker {
    pub(super) fn new(safe: Mark) -> Tracker {
        Tracker {
            inner: Mutex::new(Inner {
                safe,
                open: VecDeque::new(),
                unknown: 0,
                refused: false,
            }),
        }
    }

    /// The line that ends at `mark` is submitted.
    pub(super) fn begin(&self, mark: Mark) {
        let mut inner = self.inner();
        inner.open.push_back((mark, false));
        inner.unknown += 1;
    }

    /// The line of this number need not be read again.
    pub(super) fn finish(&self, line: u64) {
        let mut inner = self.inner();
        inner.unknown -= 1;
        if let Ok(index) = inner
            .open
            .binary_search_by_key(&line, |(mark, _)| mark.line)
        {
            inner.open[index].1 = true;
        }
        while let Some((mark, true)) = inner.open.front().copied() {
            inner.safe = mark;
            inner.open.pop_front();
        }
    }

    /// A line was refused, and must be read again.
    pub(super) fn refuse(&self) {
        let mut inner = self.inner();
        inner.unknown -= 1;
        inner.refused = true;
    }

    /// The position up to which no line need be read again.
    pub(super) fn safe(&self) -> Mark {
        self.inner().safe
    }

    /// Whether a line was refused.
    pub(super) fn has_refused(&self) -> bool {
        self.inner().refused
    }

    /// Whether every line is finished or refused.
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
        for line in [1, 2, 4, 5] {
            tracker.begin(mark(line));
        }
        tracker.finish(2);
        assert_eq!(tracker.safe(), mark(0));
        tracker.finish(1);
        assert_eq!(tracker.safe(), mark(2));
        assert!(!tracker.is_settled());
        tracker.refuse();
        tracker.finish(5);
        assert!(tracker.is_settled() && tracker.has_refused());
        assert_eq!(tracker.safe(), mark(2), "what was refused is read again");
    }
}
