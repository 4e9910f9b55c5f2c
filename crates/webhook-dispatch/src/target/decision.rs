//! The decisions of a target's state.

use crate::shared::NextStep;
use crate::target::gate::{Blocked, Permit};
use crate::target::lanes::{Batch, Due};
use crate::target::state_change::StateChange;
use webhook_queue::Settlement;

/// What to do next.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "made for each attempt and taken apart at once"
)]
pub(crate) enum Step {
    /// Make this attempt.
    Attempt(Batch, Permit),
    /// An event is ready, but the gate blocks it, or it waits for others of its batch.
    Blocked(Blocked),
    /// Nothing is ready, or enough is under way.
    Nothing,
}

/// The decision on an attempt's result.
#[derive(Debug)]
pub(crate) struct Decision {
    /// What follows for the attempt's first event.
    pub(crate) first: EventDecision,
    /// The same for its other events, in their order.
    pub(crate) rest: Vec<EventDecision>,
    /// Whether waiting jobs are recalled.
    pub(crate) recall: bool,
    /// The change of the target's state.
    pub(crate) change: Option<StateChange>,
}

/// The decision on one event of an attempt.
#[derive(Debug, Default)]
pub(crate) struct EventDecision {
    /// The settlement or note for the queue.
    pub(crate) settlement: Option<Settlement>,
    /// What follows a failure; `None` after a success.
    pub(crate) follows: Option<NextStep>,
    /// Whether the event is settled: delivered or given up.
    pub(crate) settled: bool,
}

impl Decision {
    /// Decides on each event of a batch.
    pub(crate) fn of(batch: &Batch, mut decide: impl FnMut(&Due) -> EventDecision) -> Decision {
        let first = decide(&batch.first);
        Decision {
            first,
            rest: batch.rest.iter().map(decide).collect(),
            recall: false,
            change: None,
        }
    }

    /// What follows for each event of the attempt, in their order.
    pub(crate) fn events(&self) -> impl Iterator<Item = &EventDecision> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// What follows a failure: each step once, with the index of the first event that it follows for, and
    /// the number of the others.
    pub(crate) fn failures(&self) -> Vec<(NextStep, usize, usize)> {
        let mut failures: Vec<(NextStep, usize, usize)> = Vec::new();
        for (index, event) in self.events().enumerate() {
            let Some(follows) = event.follows else {
                continue;
            };
            match failures.iter_mut().find(|(step, ..)| *step == follows) {
                Some((_, _, others)) => *others += 1,
                None => failures.push((follows, index, 0)),
            }
        }
        failures
    }
}

impl IntoIterator for Decision {
    type Item = EventDecision;
    type IntoIter =
        std::iter::Chain<std::iter::Once<EventDecision>, std::vec::IntoIter<EventDecision>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Reason;
    use std::time::Duration;

    #[test]
    fn each_step_after_a_failure_is_listed_once_however_the_events_alternate() {
        let retry = Some(NextStep::Retry(Duration::ZERO));
        let dead = Some(NextStep::DeadLetter(Reason::TooOld));
        let event = |follows| EventDecision {
            follows,
            ..EventDecision::default()
        };
        let decision = Decision {
            first: event(None),
            rest: [retry, dead, retry, None, dead, retry].map(event).into(),
            recall: false,
            change: None,
        };
        let expected = [
            (NextStep::Retry(Duration::ZERO), 1, 2),
            (NextStep::DeadLetter(Reason::TooOld), 2, 1),
        ];
        assert_eq!(decision.failures(), expected);
    }
}
