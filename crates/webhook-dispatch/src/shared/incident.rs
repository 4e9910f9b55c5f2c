//! What a dispatcher reports to its observer, for logs: failures, changes of state, and each attempt.

use crate::shared::attempt_record::AttemptRecord;
use crate::shared::breaker_state::BreakerCause;
use crate::shared::outcome::Outcome;
use crate::shared::reason::Reason;
use crate::shared::refusal::Refusal;
use crate::shared::stored_event::event_key;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use webhook_queue::{EventId, QueueError};

/// Characters of a task id that are shown, at most.
const SHOWN_TASK: usize = 256;

/// Something that an operator may want to know. Holds no payload and no secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incident<'a> {
    /// An attempt failed.
    AttemptFailed {
        /// The target.
        target: &'a str,
        /// The task id, cut at 256 characters; bytes that are not UTF-8 are replaced.
        task: &'a str,
        /// The event's id.
        id: EventId,
        /// How many other events of its batch failed alike.
        others: usize,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// The class of its result.
        outcome: Outcome,
        /// What happened, as text.
        detail: &'a str,
        /// What the dispatcher does next.
        follows: NextStep,
    },
    /// A target's breaker opened.
    BreakerOpened {
        /// The target.
        target: &'a str,
        /// Why.
        cause: BreakerCause,
        /// How long no attempt is made.
        back_off: Duration,
    },
    /// A target's breaker closed: its receiver works again.
    BreakerClosed {
        /// The target.
        target: &'a str,
    },
    /// A target answered 410. Nothing is sent to it until it is restarted
    /// ([`Control::restart`](crate::Control::restart)), the configuration is reloaded, or the
    /// program is restarted.
    TargetStopped {
        /// The target.
        target: &'a str,
    },
    /// The queue refused an event after [`try_submit`](crate::Submitter::try_submit) had returned.
    NotAccepted {
        /// Why.
        refusal: &'a Refusal,
    },
    /// The queue could not be read. The worker reads it again after a second.
    QueueUnreadable {
        /// The target whose events were to be read.
        target: &'a str,
        /// Why.
        error: &'a QueueError,
    },
    /// Pending events of a target cannot be delivered: their records in the queue are damaged and
    /// were quarantined.
    RecordsDamaged {
        /// The target.
        target: &'a str,
        /// How many.
        events: u64,
    },
    /// A host name that was resolved before can no longer be resolved. Connections are made to the
    /// addresses that it had.
    NameNotResolved {
        /// The host name of a target or proxy.
        host: &'a str,
        /// Why.
        detail: &'a str,
    },
    /// A host name can be resolved again.
    NameResolved {
        /// The host name of a target or proxy.
        host: &'a str,
    },
    /// A sender's thread could not be started. The others go on; starting it is tried again.
    SenderNotStarted {
        /// The target.
        target: &'a str,
        /// Why.
        detail: &'a str,
    },
}

/// What a dispatcher does after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextStep {
    /// It makes another attempt, after this time at the earliest.
    Retry(Duration),
    /// It keeps the event as a dead letter.
    DeadLetter(Reason),
    /// It gives the event up, since the target is best-effort.
    Nothing,
    /// It stops the target, and keeps the event until the target is restarted.
    Stop,
}

impl fmt::Display for Incident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incident::AttemptFailed {
                target,
                task,
                id,
                others,
                attempt,
                detail,
                follows,
                ..
            } => {
                write!(
                    f,
                    "target {target}: attempt {attempt} of {id} (task {task:?})"
                )?;
                if *others > 0 {
                    write!(f, " and of {others} others of its batch")?;
                }
                write!(f, " failed: {detail}; ")?;
                match follows {
                    NextStep::Retry(wait) => write!(f, "trying again in {wait:.1?}"),
                    NextStep::DeadLetter(reason) => {
                        write!(f, "kept as a dead letter ({})", reason.name())
                    }
                    NextStep::Nothing => f.write_str("not tried again, since it is best-effort"),
                    NextStep::Stop => f.write_str("nothing is sent until the target is restarted"),
                }
            }
            Incident::BreakerOpened {
                target,
                cause,
                back_off,
            } => match cause {
                BreakerCause::Unreachable => write!(
                    f,
                    "target {target}: cannot be reached; no attempt for {back_off:.1?}, then one \
                     probe"
                ),
                BreakerCause::ServerErrors => write!(
                    f,
                    "target {target}: answers 5xx to the events of all tasks; sending one event a \
                     second until one is delivered"
                ),
                BreakerCause::Refusals => write!(
                    f,
                    "target {target}: refuses the events of all tasks; they are kept, and one \
                     event a second is sent until one is delivered"
                ),
            },
            Incident::BreakerClosed { target } => write!(f, "target {target}: works again"),
            Incident::TargetStopped { target } => write!(
                f,
                "target {target}: answered 410 Gone; its events are kept, and nothing is sent \
                 until it is restarted"
            ),
            Incident::NotAccepted { refusal } => {
                write!(f, "a submitted event was not accepted: {refusal}")
            }
            Incident::QueueUnreadable { target, error } => {
                write!(f, "target {target}: the queue cannot be read: {error}")
            }
            Incident::RecordsDamaged { target, events } => write!(
                f,
                "target {target}: the queue's records of {events} of its events are damaged and \
                 were quarantined; they will not be delivered"
            ),
            Incident::NameNotResolved { host, detail } => write!(
                f,
                "the host name {host} cannot be resolved: {detail}; connections are made to its \
                 last known addresses"
            ),
            Incident::NameResolved { host } => {
                write!(f, "the host name {host} can be resolved again")
            }
            Incident::SenderNotStarted { target, detail } => {
                write!(
                    f,
                    "target {target}: a sender could not be started: {detail}"
                )
            }
        }
    }
}

/// The task id of a queue's key as incidents show it: its first 256 characters.
pub(crate) fn shown_task(queue_key: &[u8]) -> String {
    let key = event_key(queue_key);
    // A character has at most four bytes.
    let start = &key[..key.len().min(4 * SHOWN_TASK)];
    let text = String::from_utf8_lossy(start);
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(SHOWN_TASK).collect();
    if characters.next().is_some() || start.len() < key.len() {
        shown.push('…');
    }
    shown
}

/// Receives incidents. It is called on the dispatcher's own threads, so it must not block: a write to
/// a pipe that is not read would stop deliveries. [`ChannelObserver`](crate::ChannelObserver) hands
/// incidents to a thread of the program's own.
///
/// ```
/// use webhook_dispatch::{Incident, Observer};
///
/// struct Stderr;
///
/// impl Observer for Stderr {
///     fn incident(&self, incident: &Incident<'_>) {
///         // Only for a program whose standard error is never blocked.
///         eprintln!("{incident}");
///     }
/// }
/// ```
pub trait Observer: Send + Sync {
    /// Receives one incident. A panic is caught and ignored.
    fn incident(&self, incident: &Incident<'_>);

    /// Receives each attempt at a target, also those that succeed. The default ignores it. It is
    /// called on the thread that delivers, so it must take next to no time.
    fn attempt(&self, _target: &Arc<str>, _attempt: &AttemptRecord<'_>) {}
}

/// An observer that ignores every incident.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn incident(&self, _: &Incident<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_is_cut_at_256_characters() {
        assert_eq!(shown_task(b"task-1"), "task-1");
        for letter in ["x", "é", "€", "😀"] {
            let whole = letter.repeat(SHOWN_TASK);
            assert_eq!(shown_task(whole.as_bytes()), whole);
            let long = letter.repeat(SHOWN_TASK + 1);
            assert_eq!(shown_task(long.as_bytes()), format!("{whole}…"));
            let huge = letter.repeat(1 << 16);
            assert_eq!(shown_task(huge.as_bytes()), format!("{whole}…"));
        }
    }
}
