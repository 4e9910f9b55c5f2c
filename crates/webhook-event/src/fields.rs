//! The fields of an event.

use std::borrow::Cow;

/// The fields of an event that dispatching needs, borrowed from it where they have no escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventFields<'a> {
    /// Orders: events with the same key are delivered one after the other. Empty for Aurora's
    /// events without a task id, which share one order.
    pub key: Cow<'a, str>,
    /// The new state.
    pub state: Option<Cow<'a, str>>,
    /// The state before it.
    pub old_state: Option<Cow<'a, str>>,
    /// The parts of the job's path; empty if there is none.
    pub job: Vec<Cow<'a, str>>,
    /// Identifies the event: the same again is the same event.
    pub id: Option<String>,
    /// When the state changed, epoch milliseconds.
    pub time: Option<i64>,
}
