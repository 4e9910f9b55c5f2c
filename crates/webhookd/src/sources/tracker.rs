//! How far a file or stream is safe: up to the first line that is not accepted yet.

use super::completion::{Accepted, Completion, Report};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use webhook_queue::Sequence;

/// Tracks which lines are done, in whatever order that happens. A `P` is a position after a line.
#[derive(Debug)]
pub(super) struct Tracker<P> {
    /// No line is accepted after one that must be read again.
    sequence: Sequence,
    inner: Mutex<Inner<P>>,
}

#[derive(Debug)]
struct Inner<P> {
    safe: P,
    /// Lines that are not done, or come after one that is not.
    open: VecDeque<Open<P>>,
    /// Lines begun, and neither finished nor refused.
    unknown: usize,
    refused: bool,
}

#[derive(Debug)]
struct Open<P> {
    line: u64,
    after: P,
    is_done: bool,
}

impl<P: Clone> Tracker<P> {
    pub(super) fn new(safe: P) -> Tracker<P> {
        Tracker {
            sequence: Sequence::default(),
            inner: Mutex::new(Inner {
                safe,
                open: VecDeque::new(),
                unknown: 0,
                refused: false,
            }),
        }
    }

    /// The line of this number, which is greater than those before, is submitted. `after` is the
    /// position after it.
    pub(super) fn begin(&self, line: u64, after: P) {
        let mut inner = self.inner();
        inner.open.push_back(Open {
            line,
            after,
            is_done: false,
        });
        inner.unknown += 1;
    }

    /// The line of this number need not be read again.
    pub(super) fn finish(&self, line: u64) {
        let mut inner = self.inner();
        inner.unknown -= 1;
        if let Ok(index) = inner.open.binary_search_by_key(&line, |open| open.line) {
            inner.open[index].is_done = true;
        }
        while inner.open.front().is_some_and(|open| open.is_done)
            && let Some(open) = inner.open.pop_front()
        {
            inner.safe = open.after;
        }
    }

    /// What the lines must not overtake each other in.
    pub(super) fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    /// A line was refused, and must be read again.
    pub(super) fn refuse(&self) {
        let mut inner = self.inner();
        inner.unknown -= 1;
        inner.refused = true;
    }

    /// The position up to which no line need be read again.
    pub(super) fn safe(&self) -> P {
        self.inner().safe.clone()
    }

    /// Whether a line was refused.
    pub(super) fn has_refused(&self) -> bool {
        self.inner().refused
    }

    /// Whether every line is finished or refused.
    pub(super) fn is_settled(&self) -> bool {
        self.inner().unknown == 0
    }

    fn inner(&self) -> MutexGuard<'_, Inner<P>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tracks a line besides reporting on it.
pub(super) struct TrackedLine<P> {
    pub(super) tracker: Arc<Tracker<P>>,
    pub(super) report: Arc<Report>,
}

impl<P: Clone + Send + 'static> Completion for TrackedLine<P> {
    fn accepted(&self, line: u64, accepted: Accepted) {
        self.tracker.finish(line);
        self.report.accepted(line, accepted);
    }

    /// The line is read again, at once or after the next start, so it does not count as refused.
    fn refused(&self, line: u64, why: &str) {
        self.tracker.refuse();
        self.report.warn_of_line(line, why);
    }

    fn rejected(&self, line: u64, why: &str) {
        self.tracker.finish(line);
        self.report.rejected(line, why);
    }

    fn sequence(&self) -> Option<&Sequence> {
        Some(self.tracker.sequence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_safe_once_all_before_it_are() {
        let tracker = Tracker::new(0);
        for line in [1, 2, 4, 5] {
            tracker.begin(line, line * 10);
        }
        tracker.finish(2);
        assert_eq!(tracker.safe(), 0);
        tracker.finish(1);
        assert_eq!(tracker.safe(), 20);
        assert!(!tracker.is_settled());
        tracker.refuse();
        tracker.finish(5);
        assert!(tracker.is_settled() && tracker.has_refused());
        assert_eq!(tracker.safe(), 20, "what was refused is read again");
    }
}
