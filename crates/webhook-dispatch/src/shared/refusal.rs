//! Why an event was not accepted.

use std::sync::Arc;
use webhook_model::ReadError;
use webhook_queue::QueueError;

/// Why an event was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not a task state change. Do not submit it again.
    #[error("not a task state change: {0}")]
    NotAnEvent(ReadError),
    /// It is JSON without a `task`. Do not submit it again.
    #[error("not a task state change: there is no `task` object in it")]
    NoTask,
    /// It is longer than `maxEventBytes`. Do not submit it again.
    #[error("{length} bytes are more than maxEventBytes allows, which is {max}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// There was no room until the deadline. Submit it again.
    #[error("there was no room for the event in time; try again")]
    Full,
    /// It was handed to the queue, which had not confirmed it by the deadline. It may be accepted
    /// yet: submitted again without a key (see [`Submission`]), it may be delivered twice, under two
    /// names.
    #[error("the queue did not confirm the event in time; it may or may not have been accepted")]
    Unconfirmed,
    /// The queue did not take it.
    #[error("the queue did not take the event")]
    Queue(#[source] Arc<QueueError>),
    /// The dispatcher is shutting down.
    #[error("the dispatcher is shutting down")]
    ShuttingDown,
}
