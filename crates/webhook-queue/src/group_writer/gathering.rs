//! How long events wait for those of other callers.

use std::time::{Duration, Instant};

use super::limits::Limits;

/// After a commit, the wait for the next events of the callers that it answered. A caller that waits
/// for its answer has mostly another event soon; without the wait, the first of them would be a group
/// of its own, and the others would wait for its sync. PostgreSQL's `commit_delay` does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gathering {
    /// When it ends.
    pub(super) until: Instant,
    /// The number of events that ends it.
    pub(super) events: usize,
}

impl Gathering {
    /// The wait after a commit of `answered` events that took this long, during which `waiting`
    /// came. `None` if a single caller is known.
    pub(super) fn after(
        (answered, waiting): (usize, usize),
        took: Duration,
        now: Instant,
        limits: &Limits,
    ) -> Option<Gathering> {
        let events = (answered + waiting).min(limits.group_events);
        let within = (took / 2).min(limits.gather_within);
        (answered > 0 && events > 1 && !within.is_zero()).then(|| Gathering {
            until: now + within,
            events,
        })
    }

    /// Whether it goes on while events of this number and size wait.
    pub(super) fn goes_on(
        &self,
        now: Instant,
        (events, bytes): (usize, usize),
        limits: &Limits,
    ) -> bool {
        now < self.until && events < self.events && bytes < limits.group_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn limits() -> Limits {
        Limits {
            gather_within: 10 * MS,
            ..Limits::default()
        }
    }

    #[test]
    fn events_wait_for_as_many_as_were_answered_and_came_during_the_commit() {
        let (now, limits) = (Instant::now(), limits());
        let gathering = Gathering::after((30, 34), 8 * MS, now, &limits).unwrap();
        let goes_on =
            |after, events, bytes| gathering.goes_on(now + after, (events, bytes), &limits);
        assert!(goes_on(3 * MS, 63, 0));
        assert!(!goes_on(3 * MS, 64, 0));
        // Half as long as the commit took.
        assert!(!goes_on(4 * MS, 63, 0));
        assert!(!goes_on(MS, 1, limits.group_bytes));
        // Neither longer nor for more than the limits say.
        let gathering = Gathering::after((400, 400), 100 * MS, now, &limits).unwrap();
        assert_eq!(gathering.until, now + 10 * MS);
        assert_eq!(gathering.events, limits.group_events);
    }

    #[test]
    fn the_event_of_a_caller_that_is_alone_does_not_wait() {
        let now = Instant::now();
        let after = |counts, limits: &Limits| Gathering::after(counts, 8 * MS, now, limits);
        assert_eq!(after((1, 0), &limits()), None);
        // A commit of settlements alone.
        assert_eq!(after((0, 5), &limits()), None);
        assert_eq!(after((30, 34), &Limits::default()), None);
    }
}
