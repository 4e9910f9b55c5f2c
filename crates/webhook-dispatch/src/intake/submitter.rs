//! The public handle that takes events.

use crate::intake::receipt::{Receipt, SubmitError};
use crate::intake::router::Router;
use crate::intake::submission::Submission;
use crate::shared::{Incident, Refusal};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_queue::EventId;

/// The time that `submit` reserves for the commit, at most.
const COMMIT: Duration = Duration::from_millis(250);

/// Submits events to a dispatcher. Clones share one dispatcher, from any thread.
///
/// The order of a task's events is the order of the calls: a program that submits one task's events
/// from several threads has to order these calls.
#[derive(Clone)]
pub struct Submitter {
    router: Arc<Router>,
}

impl Submitter {
    pub(crate) fn new(router: Arc<Router>) -> Submitter {
        Submitter { router }
    }

    /// Submits an event, and returns once it is durable: from then on it survives a crash, and is
    /// delivered to each reliable target whose filters accept it, or kept as a dead letter. An
    /// event for best-effort targets alone is not stored. Blocks until the deadline at most.
    ///
    /// # Errors
    /// The submission is given back. It was not accepted, or may have been, if the refusal is
    /// [`Unconfirmed`](Refusal::Unconfirmed); [`Refusal`] says why, and whether to submit it again.
    pub fn submit(
        &self,
        event: impl Into<Submission>,
        deadline: Instant,
    ) -> Result<Receipt, SubmitError> {
        // The last quarter is for the commit, so that a wait for room does not end as
        // `Unconfirmed`.
        let left = deadline.saturating_duration_since(Instant::now());
        let room_until = deadline - (left / 4).min(COMMIT);
        let given = event.into();
        let room_until = given.room_until.map_or(room_until, |at| at.min(room_until));
        let submission = given.clone().room_until(room_until);
        let (confirm, confirmed) = crossbeam_channel::bounded(1);
        let completion = move |result| {
            // The receiver is gone if `submit` has timed out.
            drop(confirm.send(result));
        };
        let handed_over = self
            .router
            .hand_over(submission, Some(room_until), completion);
        let refusal = match handed_over.map(|_| confirmed.recv_deadline(deadline)) {
            Ok(Ok(Ok(receipt))) => return Ok(receipt),
            Ok(Ok(Err(refusal))) => refusal,
            Ok(Err(_)) => Refusal::Unconfirmed,
            Err(error) => error.refusal,
        };
        Err(SubmitError::new(given, refusal))
    }

    /// Hands an event to the queue without blocking. It is durable a moment later or, while the
    /// queue is full or its disk fails and `whenFull` is `block`, as soon as it can be stored. If the queue refuses it
    /// after this returned (its disk fails, say), only the observer is notified
    /// ([`Incident::NotAccepted`]); [`submit`](Self::submit) and [`submit_with`](Self::submit_with)
    /// report it to the caller.
    ///
    /// # Errors
    /// The event was not accepted, and the submission is given back; [`Refusal`] says why, and whether to submit
    /// it again.
    ///
    /// ```no_run
    /// # use webhook_config::{Config, Target, TargetUrl};
    /// # use webhook_dispatch::Dispatcher;
    /// # let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?).build()?;
    /// # let dispatcher = Dispatcher::builder(Config::builder().target(target).build()?).start()?;
    /// # let submitter = dispatcher.submitter();
    /// let event = br#"{"task":{"assignedTask":{"taskId":"hello-0"},"status":"LOST"}}"#;
    /// match submitter.try_submit(&event[..]) {
    ///     Ok(id) => println!("{id} is being stored"),
    ///     Err(error) if error.refusal.may_retry() => { /* later: *error.submission */ }
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_submit(&self, event: impl Into<Submission>) -> Result<EventId, SubmitError> {
        let observer = Arc::clone(&self.router.shared.observer);
        self.submit_with(event.into(), None, move |result| {
            if let Err(refusal) = result {
                observer.incident(&Incident::NotAccepted { refusal: &refusal });
            }
        })
    }

    /// Hands an event to the queue, blocking until the deadline at most (without one, not at all),
    /// and calls `completion` once, when the event is durable or was refused. If `whenFull` is
    /// `block`, the event waits for a full queue or a failing disk until [`Submission::room_until`], or
    /// without end; a shutdown refuses it then.
    ///
    /// Completions of accepted events run in the order of the calls, on the queue's writer thread,
    /// which they must not block. For an event without a reliable target, `completion` runs on the
    /// calling thread before this returns. A panic in a completion is caught. The returned id is the event's, unless the
    /// receipt says that it is a duplicate.
    ///
    /// # Errors
    /// The event was not handed over, and the submission is given back; `completion` is not called.
    ///
    /// ```no_run
    /// # use webhook_config::{Config, Target, TargetUrl};
    /// # use webhook_dispatch::Dispatcher;
    /// # let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?).build()?;
    /// # let dispatcher = Dispatcher::builder(Config::builder().target(target).build()?).start()?;
    /// # let submitter = dispatcher.submitter();
    /// let event = br#"{"task":{"assignedTask":{"taskId":"hello-0"},"status":"LOST"}}"#;
    /// submitter.submit_with(&event[..], None, |result| match result {
    ///     Ok(receipt) => println!("{} is stored for {} targets", receipt.id, receipt.reliable),
    ///     Err(refusal) => println!("it was refused: {refusal}"),
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
