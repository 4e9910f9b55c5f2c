//! A sender: a thread that makes a target's attempts, one at a time, and blocks on each.

use crate::delivery::{
    AccessToken, AttemptInfo, AttemptResult, Endpoint, EventParts, RequestEvent,
};
use crate::http::header_lines::HeaderLines;
use crate::http::transport::{Answer, Request, Transport, TransportError, TransportErrorKind};
use crate::shared::clock::epoch_ms;
use crate::shared::event_ids::batch_id;
use crate::shared::{BatchId, event_key};
use crate::target::attempt::Attempt;
use crate::target::lanes::{Batch, Due};
use crate::target::tried;
use crate::worker::job::{Job, Report};
use crate::worker::job_queue::{JobQueue, Parking};
use crate::worker::traced;
use std::borrow::Cow;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use webhook_config::{Delivery, Target};
use webhook_event::Attributes;

/// Reports the end of a sender, also by a panic: the worker waits for the report.
struct ReportEnd<'a> {
    number: usize,
    endpoint: &'a Endpoint,
    job_queue: &'a JobQueue,
}

impl Drop for ReportEnd<'_> {
    fn drop(&mut self) {
        self.endpoint.forget(self.number);
        // A worker that has ended needs no report.
        self.job_queue.report(Report::Ended(self.number));
    }
}

/// What a sender keeps from one attempt to the next.
#[derive(Default)]
struct SenderState {
    transport: Option<Box<dyn Transport>>,
    /// The buffer of the headers.
    lines: HeaderLines,
}

/// Runs a sender. `number` identifies it among its target's.
pub(crate) fn run(number: usize, endpoint: &Endpoint, job_queue: &JobQueue) {
    let _report_end = ReportEnd {
        number,
        endpoint,
        job_queue,
    };
    let mut state = SenderState::default();
    let mut parking = Parking::new();
    while let Some(job) = job_queue.next(&mut parking) {
        let report = if endpoint.is_current(job.recalls) {
            let recalls = job.recalls;
            let mut attempt = attempt(number, endpoint, &mut state, job);
            job_queue.took(attempt.took);
            if is_made_again(&attempt, endpoint.target()) && endpoint.is_current(recalls) {
                let mut again = Job {
                    batch: attempt.batch.clone(),
                    permit: attempt.permit,
                    recalls,
                };
                for due in again.batch.iter_mut() {
                    due.delivery = tried(due, &attempt);
                }
                if !job_queue.report(Report::MadeAgain(Box::new(attempt))) {
                    return;
                }
                // Over a new connection: the transport does not keep a stale one.
                attempt = self::attempt(number, endpoint, &mut state, again);
                job_queue.took(attempt.took);
            }
            // Without a transport, nothing was sent.
            if attempt.result.stopped && state.transport.is_none() {
                Report::Untried(Box::new(attempt.batch), attempt.permit)
            } else {
                Report::Attempted(Box::new(attempt))
            }
        } else {
            Report::Untried(Box::new(job.batch), job.permit)
        };
        if !job_queue.report(report) {
            return;
        }
    }
}

/// Whether the next attempt is made at once, without back-off: after one over a connection that the
/// receiver had closed before the request came, which says nothing about the receiver.
fn is_made_again(attempt: &Attempt, target: &Target) -> bool {
    let attempts = attempt.batch.first.delivery.attempts.saturating_add(1);
    let most = target
        .retry()
        .max_attempts()
        .map_or(u32::MAX, NonZeroU32::get);
    attempt.result.stale && target.delivery() == Delivery::Reliable && attempts < most
}

fn attempt(number: usize, endpoint: &Endpoint, state: &mut SenderState, job: Job) -> Attempt {
    let clock = &endpoint.clock;
    let started = clock.now();
    let wall = clock.wall();
    let started_at = epoch_ms(wall);
    let span_id = endpoint.tracer.as_ref().map(|_| fastrand::u64(1..));
    let result = catch_unwind(AssertUnwindSafe(|| {
        let (result, token) = send(number, endpoint, state, &job.batch, (started_at, span_id));
        let target = endpoint.target();
        let mask = token.as_ref().map(|token| &token.mask);
        let mask = mask.unwrap_or(&endpoint.template.mask);
        AttemptResult::of(target.format(), mask, job.batch.len(), &result)
    }));
    let mut result = result.unwrap_or_else(|panic| {
        // The transport's state is unknown after a panic.
        state.transport = None;
        AttemptResult::panicked(panic_text(panic.as_ref()))
    });
    result.stopped &= endpoint.is_stopping();
    let attempt = Attempt {
        batch_id: id_of(&job.batch),
        batch: job.batch,
        permit: job.permit,
        result,
        started_at,
        took: clock.now().saturating_duration_since(started),
    };
    if let (Some(tracer), Some(span_id)) = (&endpoint.tracer, span_id) {
        traced::report(&**tracer, endpoint.target(), &attempt, (wall, span_id));
    }
    attempt
}

/// Sends a request of the events. Returns the access token of the answer, too.
fn send(
    number: usize,
    endpoint: &Endpoint,
    state: &mut SenderState,
    batch: &Batch,
    when: (u64, Option<u64>),
) -> (Result<Answer, TransportError>, Option<Arc<AccessToken>>) {
    let SenderState { transport, lines } = state;
    let transport = match transport {
        Some(transport) => transport,
        None => match endpoint.transport(number) {
            Ok(made) => transport.insert(made),
            Err(error) => return (Err(error), None),
        },
    };
    let body = match prepare(endpoint, batch, when, lines) {
        Ok(body) => body,
        Err(error) => return (Err(error), None),
    };
    match &endpoint.access_tokens {
        Some(tokens) => {
            let connect = |target: &Target| endpoint.token_transport(target);
            let (result, token) =
                tokens.send(&mut **transport, lines, &body, &*endpoint.clock, &connect);
            // A stop ends a response of the token endpoint early: that is no failure of it.
            let result = result.map_err(|error| match error.kind {
                TransportErrorKind::Token if endpoint.is_stopping() => TransportError::stopped(),
                _ => error,
            });
            (result, token)
        }
        None => {
            let headers = &*lines;
            let request = Request {
                headers,
                body: &body,
            };
            (transport.send(request), None)
        }
    }
}

/// Makes the request of an attempt, as [`RequestTemplate::prepare`](crate::delivery::RequestTemplate::prepare).
fn prepare<'a>(
    endpoint: &Endpoint,
    batch: &'a Batch,
    (started_at, span_id): (u64, Option<u64>),
    lines: &mut HeaderLines,
) -> Result<Cow<'a, [u8]>, TransportError> {
    let info = AttemptInfo {
        attempt: batch.first.delivery.attempts.saturating_add(1),
        started_at,
        span_id,
    };
    let template = &endpoint.template;
    if batch.rest.is_empty() {
        return template.prepare(&[request_event(&batch.first)], &info, lines);
    }
    let events: Vec<_> = batch.iter().map(request_event).collect();
    template.prepare(&events, &info, lines)
}

/// The id of a request of several events.
fn id_of(batch: &Batch) -> Option<BatchId> {
    let ids = batch.iter().map(|due| due.delivery.id);
    (batch.len() > 1).then(|| batch_id(ids))
}

fn request_event(due: &Due) -> RequestEvent<'_> {
    let (attributes, trace) = Attributes::split_trace(due.content.attributes());
    RequestEvent {
        parts: EventParts {
            body: &due.content.body,
            key: event_key(&due.key),
            attributes,
        },
        trace,
        id: due.delivery.id,
        accepted_at: due.delivery.accepted_at,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
