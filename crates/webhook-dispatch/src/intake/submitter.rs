//! The public handle that takes events.

use crate::intake::receipt::{Receipt, SubmitError};
use crate::intake::router::Router;
use crate::intake::submission::Submission;
use crate::shared::{Incident, Refusal};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_queue::EventId;

/// The part of a submitter's time that is kept for the commit, at most.
const COMMIT: Duration = Duration::from_millis(250);

/// Takes events for a dispatcher. Clones share it; each call may come from any thread.
///
/// The order of a task's events is the order of the calls: a caller that submits one task's events
/// from several threads has to order these calls.
#[derive(Clone)]
pub struct Submitter {
    router: Arc<Router>,
}

impl Submitter {
    pub(crate) fn new(router: Arc<Router>) -> Submitter {
        Submitter { router }
    }

    /// Submits an event, and returns once it is durable: it survives a crash from then on, and
    /// will be delivered to each reliable target that wants it, or kept as its dead letter.
    /// Blocks until the deadline at most. Best-effort targets promise nothing.
    ///
    /// # Errors
    /// The event was not accepted, and is given back; [`Refusal`] says why, and whether to submit
    /// it again.
    pub fn submit(
        &self,
        event: impl Into<Submission>,
        deadline: Instant,
    ) -> Result<Receipt, SubmitError> {
        // The last quarter is for the commit, so that no wait for room ends as `Unconfirmed`.
        let left = deadline.saturating_duration_since(Instant::now());
        let room_until = deadline - (left / 4).min(COMMIT);
        let mut submission = event.into();
        let room_until = submission
            .room_until
            .map_or(room_until, |at| at.min(room_until));
        submission = submission.room_until(room_until);
        let event = Arc::clone(&submission.event);
        let (confirm, confirmed) = crossbeam_channel::bounded(1);
        let completion = move |result| {
            // A caller that gave up waiting takes no answer.
            drop(confirm.send(result));
        };
        self.router
            .hand_over(submission, Some(room_until), completion)?;
        let refusal = match confirmed.recv_deadline(deadline) {
            Ok(Ok(receipt)) => return Ok(receipt),
            Ok(Err(refusal)) => refusal,
            Err(_) => Refusal::Unconfirmed,
        };
        Err(SubmitError { event, refusal })
    }

    /// Hands an event over without ever blocking. It is durable a moment later, or, while the
    /// queue is full and `whenFull` is `block`, as soon as there is room. If the queue
    /// refuses it after all (its disk fails, say), only the observer learns of it
    /// ([`Incident::NotAccepted`]). Use [`submit`](Self::submit) or
    /// [`submit_with`](Self::submit_with) to learn of it.
    ///
    /// # Errors
    /// The event was not accepted, and is given back; [`Refusal`] says why, and whether to submit
    /// it again.
    pub fn try_submit(&self, event: impl Into<Submission>) -> Result<EventId, SubmitError> {
        let observer = Arc::clone(&self.router.shared.observer);
        self.submit_with(event.into(), None, move |result| {
            if let Err(refusal) = result {
                observer.incident(&Incident::NotAccepted { refusal: &refusal });
            }
        })
    }

    /// Hands an event over, blocking until the deadline at most (without one, not at all), and
    /// calls `completion` once, when it is durable, or was refused after all. Once handed over, an
    /// event waits for room in a full queue if `whenFull` is `block`, until
    /// [`Submission::room_until`] or as long as it takes; at the shutdown, one that still waits is
    /// refused. Completions come in the order of the calls, on
    /// the queue's writer thread, which they must not block; that of an event which no reliable
    /// target wants comes at once. A panic in one is caught. The id that is returned at once is the
    /// event's unless it turns out to be a duplicate, which only the completion is told.
    ///
    /// # Errors
    /// The event was not handed over and is given back; `completion` is not called.
    pub fn submit_with(
        &self,
        event: impl Into<Submission>,
        deadline: Option<Instant>,
        completion: impl FnOnce(Result<Receipt, Refusal>) + Send + 'static,
    ) -> Result<EventId, SubmitError> {
        self.router.hand_over(event.into(), deadline, completion)
    }
}

impl fmt::Debug for Submitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitter").finish_non_exhaustive()
    }
}
