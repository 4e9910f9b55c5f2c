//! Submits events to the dispatcher, within the bounds that all requests share.

use super::answer::{Complaint, Settled, beginning};
use super::budget::{Budget, Held};
use super::request_ids::{LineId, RequestIds};
use crate::console::Console;
use crate::http::Peer;
use crate::sources::cloud_event::trace as cloud_event_trace;
use crate::sources::documents::{NotUnderstood, check_cloud_event};
use crate::sources::inputs::{NamedInput, shown};
use crate::sources::rejects::{Reject, RejectSender};
use crate::sources::stats::InputStats;
use hyper::StatusCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use webhook_dispatch::{Receipt, Refusal, Submitter};

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
    pub(super) rejects: RejectSender,
    /// Memory for events and responses.
    pub(super) budget: Budget,
    pub(super) max_event_bytes: usize,
    /// How long an event waits for its commit.
    pub(super) sync_timeout: Duration,
}

/// What the events of a request have in common.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) input: &'a NamedInput,
    pub(super) ids: &'a RequestIds,
    pub(super) peer: Peer,
}

/// An event on its way to the queue, or to the file of rejects.
#[derive(Debug)]
pub(super) struct Pending {
    result: oneshot::Receiver<Result<Settled, Complaint>>,
    deadline: Instant,
    /// The event, if its input keeps as a reject what does not fit into an empty queue.
    event: Option<Arc<[u8]>>,
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
    /// Submits an event once, or keeps it as a reject if it is not understood and its input says
    /// so. The memory held for it is released when its result is known.
    pub(super) fn try_submit(
        &self,
        request: Request<'_>,
        event: Arc<[u8]>,
        held: Arc<Held>,
        line: Option<LineId>,
    ) -> Submitted {
        if let Err(why) = check_cloud_event(request.input.schema(), &event) {
            return self.not_understood(request, why, event, held);
        }
        let (result, pending) = oneshot::channel();
        let kept = Arc::clone(&held);
        let stats = Arc::clone(&self.stats);
        let completion = move |outcome: Result<Receipt, Refusal>| {
            // The sender of a reused key is at fault, and is told.
            if !matches!(outcome, Ok(_) | Err(Refusal::KeyReused { .. })) {
                stats.refuse();
            }
            drop(kept);
            let settled = outcome.map(Settled::Accepted);
            // A request that timed out has had its response.
            drop(result.send(settled.map_err(|refusal| Complaint::of(&refusal))));
        };
        // The time for the commit begins when the wait for room ends, so that a wait for room never
        // ends as an unconfirmed event.
        let room_until = Instant::now() + PATIENCE.min(self.sync_timeout / 2);
        let deadline = room_until + self.sync_timeout;
        let kept_event = request.input.keeps_unknown().then(|| Arc::clone(&event));
        let own_trace = match request.input.has_cloud_events() {
            true => cloud_event_trace(&event),
            false => None,
        };
        let submission = request.input.submission(event);
        let submission = request.ids.add_to(submission, line, own_trace);
        let submission = submission.room_until(room_until);
        let error = match self.submitter.submit_with(submission, None, completion) {
            Ok(_) => {
                self.stats.event();
                request.input.counters.event();
                let result = pending;
                return Submitted::Pending(Pending {
                    result,
                    deadline,
                    event: kept_event,
                });
            }
            Err(error) => error,
        };
        let event = Arc::clone(error.submission.event());
        match NotUnderstood::of(&error.refusal) {
            Some(why) => self.not_understood(request, why, event, held),
            None if matches!(error.refusal, Refusal::Full) => {
                Submitted::Full(Returned { event, held })
            }
            None => Submitted::Refused(Complaint::of(&error.refusal)),
        }
    }

    /// Refuses what is not understood, or keeps it as a reject.
    fn not_understood(
        &self,
        request: Request<'_>,
        why: NotUnderstood,
        event: Arc<[u8]>,
        held: Arc<Held>,
    ) -> Submitted {
        if !request.input.keeps_unknown() {
            return Submitted::Refused(why.into());
        }
        let length = Some(event.len() as u64);
        self.try_keep(request, &why.why, (event, length), held)
    }

    /// Keeps as a reject what its sender need not send again, once. Only its beginning is there if
    /// it has another length.
    pub(super) fn try_keep(
        &self,
        request: Request<'_>,
        reason: &str,
        (body, length): (Arc<[u8]>, Option<u64>),
        held: Arc<Held>,
    ) -> Submitted {
        let (result, pending) = oneshot::channel();
        let (input, peer) = (request.input, request.peer);
        let (name, counters) = (Arc::clone(&input.name), Arc::clone(&input.counters));
        let (console, kept) = (self.console.clone(), Arc::clone(&held));
        let reason = reason.to_owned();
        let reject = Reject {
            input: Arc::clone(&input.name),
            source: peer.to_string(),
            reason: reason.clone(),
            body,
            length,
        };
        let written = move |written: Result<(), String>| {
            drop(kept);
            let settled = match written {
                Ok(()) => {
                    counters.unknown();
                    console.warn_limited(&format!(
                        "not understood, and kept as a reject: {} (input {}, from {peer})",
                        beginning(&reason),
                        shown(&name)
                    ));
                    Ok(Settled::Kept(reason))
                }
                Err(why) => Err(Complaint::new(StatusCode::SERVICE_UNAVAILABLE, why)),
            };
            // A request that timed out has had its response.
            drop(result.send(settled));
        };
        match self.rejects.send(reject, written, Duration::ZERO) {
            Ok(()) => Submitted::Pending(Pending {
                result: pending,
                deadline: Instant::now() + self.sync_timeout,
                event: None,
            }),
            Err(back) => Submitted::Full(Returned {
                event: back.body,
                held,
            }),
        }
    }

    /// Submits an event, and waits for room if it must.
    ///
    /// # Errors
    /// It is not an event, or there was no room in time.
    pub(super) async fn submit(
        &self,
        request: Request<'_>,
        event: Arc<[u8]>,
        held: Arc<Held>,
        line: Option<LineId>,
    ) -> Result<Pending, Complaint> {
        let back = Returned { event, held };
        until_room(back, |back| {
            self.try_submit(request, back.event, back.held, line)
        })
        .await
    }

    /// As [`Handover::try_keep`], and waits for room if it must.
    ///
    /// # Errors
    /// There was no room in time.
    pub(super) async fn keep(
        &self,
        request: Request<'_>,
        reason: &str,
        (event, length): (Arc<[u8]>, Option<u64>),
        held: Arc<Held>,
    ) -> Result<Pending, Complaint> {
        let back = Returned { event, held };
        until_room(back, |back| {
            self.try_keep(request, reason, (back.event, length), back.held)
        })
        .await
    }

    /// Waits until an event is durable. One that is too large for the queue would be sent again for
    /// ever: it is kept as a reject if its input says so.
    ///
    /// # Errors
    /// The queue refused it, or did not confirm it in time.
    pub(super) async fn committed(
        &self,
        request: Request<'_>,
        pending: Pending,
    ) -> Result<Settled, Complaint> {
        let event = pending.event.clone();
        match (pending.committed().await, event) {
            (Err(why), Some(event)) if why.status == StatusCode::PAYLOAD_TOO_LARGE => {
                let body = (Arc::clone(&event), Some(event.len() as u64));
                let kept = self.keep(request, &why.error, body, Arc::default());
                kept.await?.committed().await
            }
            (result, _) => result,
        }
    }

    /// Counts and logs an error response, which only its sender would know of otherwise. What the
    /// sender wrote is cut.
    pub(super) fn note(&self, why: &str, input: Option<&NamedInput>, peer: Peer) {
        self.stats.reject_http();
        if let Some(input) = input {
            input.counters.reject();
        }
        let why = beginning(why);
        let from = match input {
            Some(input) if !input.name.is_empty() => format!("input {}, from {peer}", input.name),
            _ => format!("from {peer}"),
        };
        self.console
            .warn_limited(&format!("rejected over HTTP: {why} ({from})"));
    }

    /// Counts and logs a request without a valid token or signature.
    pub(super) fn note_unauthorized(&self, peer: Peer) {
        self.stats.deny();
        self.console.warn_limited(&format!(
            "unauthorized over HTTP: no valid token or signature (from {peer})"
        ));
    }

    pub(super) fn event_too_long(&self) -> NotUnderstood {
        NotUnderstood::too_long(self.max_event_bytes)
    }
}

/// Tries again while there is no room, up to a bound.
async fn until_room(
    mut back: Returned,
    mut attempt: impl FnMut(Returned) -> Submitted,
) -> Result<Pending, Complaint> {
    let (mut until, mut pause) = (None, FIRST_PAUSE);
    loop {
        back = match attempt(back) {
            Submitted::Pending(pending) => return Ok(pending),
            Submitted::Refused(complaint) => return Err(complaint),
            Submitted::Full(back) => back,
        };
        let now = Instant::now();
        if now >= *until.get_or_insert(now + PATIENCE) {
            return Err(Complaint::busy());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Pending {
    /// Waits until the event is durable.
    ///
    /// # Errors
    /// The queue refused it, or did not confirm it in time.
    async fn committed(self) -> Result<Settled, Complaint> {
        match tokio::time::timeout_at(self.deadline.into(), self.result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Complaint::unconfirmed()),
        }
    }
}
