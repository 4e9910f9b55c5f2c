//! Why an event was not accepted.

use std::sync::Arc;
use webhook_event::UnknownEvent;
use webhook_model::ReadError;
use webhook_queue::{EventId, QueueError};

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
    /// It cannot be read by the schema of its input. Do not submit it again.
    #[error("not an event of {}: {error}", shown_input(.input))]
    NotUnderstood {
        /// The name of its input; empty for the default one.
        input: Arc<str>,
        /// What was found, and where.
        error: UnknownEvent,
    },
    /// The configuration has no input of this name. Submit the event to one that it has.
    #[error("there is no input {input:?}; {}", shown_inputs(.known))]
    UnknownInput {
        /// The name.
        input: Arc<str>,
        /// The names of the inputs that there are, besides the default one.
        known: Vec<Arc<str>>,
    },
    /// It is longer than `maxEventBytes`. Do not submit it again.
    #[error("{length} bytes are more than maxEventBytes allows, which is {max}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// There was no room before the deadline. Submit it again.
    #[error("there was no room for the event in time; try again")]
    Full,
    /// Every target that it matches is over its quota (`maxOwedBytes`), and other targets are not.
    /// Submit it again later; each delivery to one of these targets makes room.
    #[error("every target that the event matches is over its quota: {}", targets.join(", "))]
    OverQuota {
        /// The names of these targets.
        targets: Arc<[Arc<str>]>,
    },
    /// The queue had not confirmed it by the deadline, or has lost the connection to its storage
    /// meanwhile, and may still accept it. If it is submitted
    /// again without a key (see [`Submission`](crate::Submission)), it may be delivered twice,
    /// under two ids.
    #[error("the queue did not confirm the event in time; it may or may not have been accepted")]
    Unconfirmed,
    /// Its idempotency key belongs to an earlier event with another body. Only a submission with
    /// [`reject_reused_key`](crate::Submission::reject_reused_key) is refused for it. Submit the
    /// event under a key of its own.
    #[error("its idempotency key was used before, for event {first} with another body")]
    KeyReused {
        /// The id of that event.
        first: EventId,
    },
    /// The queue failed to store it. It may be submitted again.
    #[error("the queue could not store the event")]
    Queue(#[source] Arc<QueueError>),
    /// The dispatcher is shutting down. Submit it to the next one.
    #[error("the dispatcher is shutting down")]
    ShuttingDown,
}

impl Refusal {
    /// Whether the same submission may be accepted later, by this dispatcher or, once it shuts down, by
    /// the next. If not, what was submitted is at fault.
    ///
    /// After [`Unconfirmed`](Refusal::Unconfirmed), a submission without a key may be accepted twice.
    ///
    /// ```
    /// use webhook_dispatch::Refusal;
    ///
    /// assert!(Refusal::Full.may_retry());
    /// assert!(!Refusal::TooLarge { length: 2, max: 1 }.may_retry());
    /// ```
    #[must_use]
    pub fn may_retry(&self) -> bool {
        match self {
            Refusal::Full
            | Refusal::OverQuota { .. }
            | Refusal::Unconfirmed
            | Refusal::ShuttingDown => true,
            Refusal::Queue(error) => !matches!(**error, QueueError::TooLarge { .. }),
            Refusal::NotAnEvent(_)
            | Refusal::NoTask
            | Refusal::NotUnderstood { .. }
            | Refusal::UnknownInput { .. }
            | Refusal::TooLarge { .. }
            | Refusal::KeyReused { .. } => false,
        }
    }
}

fn shown_input(name: &str) -> String {
    match name {
        "" => "the default input".to_owned(),
        name => format!("input {name}"),
    }
}

fn shown_inputs(known: &[Arc<str>]) -> String {
    if known.is_empty() {
        return "the configuration has none but the default one".to_owned();
    }
    format!("the configuration has {}", known.join(", "))
}
