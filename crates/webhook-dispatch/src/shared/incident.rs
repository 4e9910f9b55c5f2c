//! What a dispatcher tells whoever wants to log it: one call for each event's trouble, none for
//! its success.

use crate::shared::outcome::Outcome;
use crate::shared::reason::Reason;
use crate::shared::refusal::Refusal;
use std::fmt;
use std::time::Duration;
use webhook_queue::{EventId, QueueError};

/// Something that an operator may want to know. Holds no payload and no secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incident<'a> {
    /// An attempt failed.
    AttemptFailed {
        /// The target.
        target: &'a str,
        /// The task id, as far as it is UTF-8.
        task: &'a str,
        /// The event.
        id: EventId,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// What it came to.
        outcome: Outcome,
        /// What happened, for people.
        detail: &'a str,
        /// What follows.
        follows: NextStep,
    },
    /// A target failed so often in a row that it is left alone for a while.
    BreakerOpened {
        /// The target.
        target: &'a str,
        /// For how long.
        back_off: Duration,
    },
    /// A target is well again.
    BreakerClosed {
        /// The target.
        target: &'a str,
    },
    /// A target answered 410: it gets nothing until it is started again
    /// ([`Control::restart`](crate::Control::restart)), or the program is.
    TargetStopped {
        /// The target.
        target: &'a str,
    },
    /// An event that [`try_submit`](crate::Submitter::try_submit) had taken was refused after all.
    NotAccepted {
        /// Why.
        refusal: &'a Refusal,
    },
    /// The queue could not be read; it is tried again.
    QueueUnreadable {
        /// The target that was to be served.
        target: &'a str,
        /// Why.
        error: &'a QueueError,
    },
    /// Events that a target was owed are not in the queue any more: their records turned out to be
    /// damaged, and were quarantined.
    RecordsDamaged {
        /// The target.
        target: &'a str,
        /// How many.
        events: u64,
    },
    /// A sender could not be started; the target has fewer of them for now.
    SenderNotStarted {
        /// The target.
        target: &'a str,
        /// Why.
        detail: &'a str,
    },
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextStep {
    /// Another one, after this time at the earliest.
    Retry(Duration),
    /// A dead letter.
    DeadLetter(Reason),
    /// Nothing: the target is best-effort.
    Nothing,
    /// Nothing until the target is started again.
    Stop,
}

impl fmt::Display for Incident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incident::AttemptFailed {
                target,
                task,
                id,
                attempt,
                detail,
                follows,
                ..
            } => {
                let id = crate::shared::event_ids::webhook_id(*id);
                write!(
                    f,
                    "target {target}: attempt {attempt} of {id} (task {task:?}) failed: {detail}; "
                )?;
                match follows {
                    NextStep::Retry(wait) => write!(f, "trying again in {wait:.1?}"),
                    NextStep::DeadLetter(reason) => {
                        write!(f, "kept as a dead letter ({})", reason.name())
                    }
                    NextStep::Nothing => f.write_str("not tried again, since it is best-effort"),
                    NextStep::Stop => f.write_str("the target gets nothing more for now"),
                }
            }
            Incident::BreakerOpened { target, back_off } => write!(
                f,
                "target {target}: keeps failing; left alone for {back_off:.1?}, then probed"
            ),
            Incident::BreakerClosed { target } => write!(f, "target {target}: is well again"),
            Incident::TargetStopped { target } => write!(
                f,
                "target {target}: answered 410 Gone; its events are kept, and nothing is sent \
                 until it is started again"
            ),
            Incident::NotAccepted { refusal } => {
                write!(f, "an event that was submitted was lost: {refusal}")
            }
            Incident::QueueUnreadable { target, error } => {
                write!(f, "target {target}: the queue cannot be read: {error}")
            }
            Incident::RecordsDamaged { target, events } => write!(
                f,
                "target {target}: the queue's records of {events} of its events are damaged and \
                 were quarantined; they will not be delivered"
            ),
            Incident::SenderNotStarted { target, detail } => {
                write!(
                    f,
                    "target {target}: a sender could not be started: {detail}"
                )
            }
        }
    }
}

/// WakeReasons of trouble. Called on the dispatcher's own threads: it must not block.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn incident(&self, incident: &Incident<'_>);
}

/// WakeReasons nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn incident(&self, _: &Incident<'_>) {}
}
