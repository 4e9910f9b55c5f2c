//! Submits events to the dispatcher, within the bounds that all requests share.

use super::answer::{Complaint, beginning};
use super::budget::{Budget, Held};
use super::request_ids::{LineId, RequestIds};
use crate::console::Console;
use crate::http::Peer;
use crate::sources::stats::InputStats;
use hyper::StatusCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use webhook_dispatch::{Receipt, Refusal, SubmitError, Submitter};

/// How long an event waits for room in the queue before it is refused.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause before an event that found no room is submitted again; each is longer than the last.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Submits events without blocking a thread.
pub(super) struct Handover {
    pub(super) submitter: Submitter,
    pub(super) stats: Arc<InputStats>,
    pub(super) console: Console,
    /// Memory for events and responses.
    pub(super) budget: Budget,
    pub(super) max_event_bytes: usize,
    /// How long an event waits for its commit.
    pub(super) sync_timeout: Duration,
}

/// A submitted event that is not committed yet.
#[derive(Debug)]
pub(super) struct Pending {
    result: oneshot::Receiver<Result<Receipt, Refusal>>,
    deadline: Instant,
}

/// An event that found no room, returned.
pub(super) struct Returned {
    pub(super) event: Arc<[u8]>,
    pub(super) held: Arc<Held>,
}

/// The result of one attempt to submit.
pub(super) enum Submitted {
    Pending(Pending),
    Full(Returned),
    Refused(Complaint),
}

impl Handover {
    /// Submits an event once. The memory held for it is released when its result is known.
    pub(super) fn try_submit(
        &self,
        event: Arc<[u8]>,
        held: Arc<Held>,
        ids: &RequestIds,
        line: Option<LineId>,
    ) -> Submitted {
        let (sender, result) = oneshot::channel();
        let kept = Arc::clone(&held);
        let stats = Arc::clone(&self.stats);
        let completion = move |result: Result<Receipt, Refusal>| {
            // The sender of a reused key is at fault, and is told.
            if !matches!(result, Ok(_) | Err(Refusal::KeyReused { .. })) {
                stats.refuse();
            }
            drop(kept);
            // A request that timed out has had its response.
            drop(sender.send(result));
        };
        // The time for the commit begins when the wait for room ends, so that a wait for room never
        // ends as an unconfirmed event.
        let room_until = Instant::now() + PATIENCE.min(self.sync_timeout / 2);
        let deadline = room_until + self.sync_timeout;
        let submission = ids.submission(event, line).room_until(room_until);
        match self.submitter.submit_with(submission, None, completion) {
            Ok(_) => {
                self.stats.event();
                Submitted::Pending(Pending { result, deadline })
            }
            Err(SubmitError {
                event,
                refusal: Refusal::Full,
            }) => Submitted::Full(Returned { event, held }),
            Err(error) => Submitted::Refused(Complaint::of(&error.refusal)),
        }
    }

    /// Submits an event, and waits for room if it must.
    ///
    /// # Errors
    /// It is not an event, or there was no room in time.
    pub(super) async fn submit(
        &self,
        mut event: Arc<[u8]>,
        mut held: Arc<Held>,
        ids: &RequestIds,
        line: Option<LineId>,
    ) -> Result<Pending, Complaint> {
        let until = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_submit(event, held, ids, line) {
                Submitted::Pending(pending) => return Ok(pending),
                Submitted::Refused(complaint) => return Err(complaint),
                Submitted::Full(_) if Instant::now() >= until => return Err(Complaint::busy()),
                Submitted::Full(back) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    (event, held) = (back.event, back.held);
                }
            }
        }
    }

    /// Counts and logs an error response, which only its sender would know of otherwise. What the
    /// sender wrote is cut.
    pub(super) fn note(&self, why: &str, peer: Peer) {
        self.stats.reject_http();
        let why = beginning(why);
        self.console
            .warn_limited(&format!("rejected over HTTP: {why} (from {peer})"));
    }

    /// Counts and logs a request without a valid token or signature.
    pub(super) fn note_unauthorized(&self, peer: Peer) {
        self.stats.deny();
        self.console.warn_limited(&format!(
            "unauthorized over HTTP: no valid token or signature (from {peer})"
        ));
    }

    pub(super) fn event_too_long(&self) -> Complaint {
        Complaint::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "it is longer than maxEventBytes allows, which is {}, and was not sent",
                self.max_event_bytes
            ),
        )
    }
}

impl Pending {
    /// Waits until the event is committed.
    ///
    /// # Errors
    /// The queue refused it, or did not confirm it in time.
    pub(super) async fn committed(self) -> Result<Receipt, Complaint> {
        match tokio::time::timeout_at(self.deadline.into(), self.result).await {
            Ok(Ok(Ok(receipt))) => Ok(receipt),
            Ok(Ok(Err(refusal))) => Err(Complaint::of(&refusal)),
            Ok(Err(_)) | Err(_) => Err(Complaint::unconfirmed()),
        }
    }
}
