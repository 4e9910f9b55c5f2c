//! Calls whose outcome is unknown: the connection was lost before they were answered.
//!
//! Before the next call each of them is *resolved*: the same writer and number without events. The
//! database answers with the row of the first call if that took effect. If not, it appends an empty
//! row, so that the first call never takes effect, even if its session still waits for the lock.

use std::collections::{HashMap, VecDeque};

use webhook_queue::{Accepted, Event, EventId};

use super::answer::{Answer, Appends};

/// The most calls of which it is remembered that they took effect. Their events are usually
/// committed again within a second.
const REMEMBERED: usize = 64;

/// Calls whose outcome is or was unknown.
#[derive(Debug, Default)]
pub(super) struct Unresolved {
    /// In the order of their numbers.
    calls: VecDeque<(i64, Appends)>,
    /// Of calls that took effect: the results of the events that were not committed again yet.
    stored: VecDeque<HashMap<EventId, Accepted>>,
}

impl Unresolved {
    pub(super) fn add(&mut self, n: i64, appends: Appends) {
        self.calls.push_back((n, appends));
    }

    /// The number of the first call that is not resolved.
    pub(super) fn next(&self) -> Option<i64> {
        self.calls.front().map(|it| it.0)
    }

    /// Notes the answer to the repetition of a call without its events.
    pub(super) fn resolve(&mut self, n: i64, answer: &Answer) {
        if self.next() != Some(n) {
            return;
        }
        let Some((_, appends)) = self.calls.pop_front() else {
            return;
        };
        if appends.ids.is_empty() || !answer.has(&appends) {
            return;
        }
        if self.stored.len() == REMEMBERED {
            self.stored.pop_front();
        }
        let results = appends.ids.iter().enumerate();
        let results = results.map(|(at, id)| (*id, answer.accepted(&appends, at)));
        self.stored.push_back(results.collect());
    }

    /// Whether one of these events may be stored.
    pub(super) fn concerns(&self, events: &[Event]) -> bool {
        let is_in = |id: &EventId| {
            self.calls
                .iter()
                .any(|(_, appends)| appends.ids.contains(id))
        };
        events.iter().any(|event| is_in(&event.id))
    }

    /// The results of those of the events that turned out to be stored.
    pub(super) fn stored(&self, events: &[Event]) -> Vec<Option<Accepted>> {
        let result = |id: &EventId| self.stored.iter().find_map(|it| it.get(id)).cloned();
        events.iter().map(|event| result(&event.id)).collect()
    }

    /// Forgets the results of events whose commit has succeeded.
    pub(super) fn forget(&mut self, events: &[Event]) {
        for results in &mut self.stored {
            for event in events {
                results.remove(&event.id);
            }
        }
        self.stored.retain(|it| !it.is_empty());
    }
}
