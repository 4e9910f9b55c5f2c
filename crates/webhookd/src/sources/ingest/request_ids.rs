//! The ids that a sender gives its request, so that it may send it twice, and the trace that it names.

use super::answer::Complaint;
use crate::otlp::{AcceptSpan, Spans};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName};
use std::sync::OnceLock;
use webhook_dispatch::{Submission, WEBHOOK_ID};
use webhook_event::TraceContext;
use webhook_queue::Sequence;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Bytes of an id, at most.
const LONGEST: usize = 256;

/// An event of a body of several: a line, or an element of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineId {
    /// The line, from 1 and with the blank lines; or the element, from 1.
    pub(super) number: u64,
    /// The element of a line that has several events, from 0.
    pub(super) element: Option<usize>,
    /// The event's place in the body, from 0, without the blank lines.
    pub(super) place: usize,
}

/// The ids of a request.
#[derive(Debug, Default)]
pub(super) struct RequestIds {
    key: Option<String>,
    webhook_id: Option<String>,
    /// The trace in the headers, if they are valid by W3C Trace Context.
    trace: Option<TraceContext>,
    /// Whether that trace begins here, since the headers name none.
    begins_trace: bool,
    /// Whether the `webhook-id` is signed.
    is_signed: bool,
    /// The lines of the request: none is accepted after one that is to be sent again. A request of
    /// one event needs none.
    sequence: OnceLock<Sequence>,
}

impl RequestIds {
    /// If the requests are signed, only the signed `webhook-id` counts: who repeats a signed request
    /// could choose any other header.
    ///
    /// # Errors
    /// An id is empty, too long or not ASCII.
    pub(super) fn of(headers: &HeaderMap, is_signed: bool) -> Result<RequestIds, Complaint> {
        let key = match is_signed {
            true => None,
            false => id(headers, &IDEMPOTENCY_KEY)?,
        };
        Ok(RequestIds {
            key,
            webhook_id: id(headers, &WEBHOOK_ID)?,
            trace: trace(headers),
            begins_trace: false,
            is_signed,
            sequence: OnceLock::new(),
        })
    }

    /// Begins the span of the request, which is the parent of its events.
    pub(super) fn begin(&mut self, spans: &Spans) -> AcceptSpan {
        self.begins_trace = self.trace.is_none();
        let span = spans.accept(self.trace.take());
        self.trace = Some(span.context().clone());
        span
    }

    /// Adds the ids and the trace to an event of this request: its only one, or that of a line. Without a
    /// trace in the headers, `own_trace` is that of the event.
    pub(super) fn add_to(
        &self,
        submission: Submission,
        line: Option<LineId>,
        own_trace: Option<TraceContext>,
    ) -> Submission {
        let of_line = |id: &str| match line {
            None => id.to_owned(),
            // A line that is the only one is a whole event, too, under another Content-Type.
            Some(line) if self.is_signed && line.place == 0 => id.to_owned(),
            Some(LineId {
                number,
                element: Some(element),
                ..
            }) => format!("{id}#{number}.{element}"),
            Some(line) => format!("{id}#{}", line.number),
        };
        let mut submission = submission.reject_reused_key();
        if line.is_some() {
            submission = submission.sequence(self.sequence.get_or_init(Sequence::default));
        }
        let trace = match self.begins_trace {
            true => own_trace.or_else(|| self.trace.clone()),
            false => self.trace.clone().or(own_trace),
        };
        if let Some(trace) = trace {
            submission = submission.trace(trace);
        }
        if let Some(key) = &self.key {
            submission = submission.idempotency_key(of_line(key).into_bytes());
        }
        if let Some(id) = &self.webhook_id {
            submission = submission.webhook_id(&of_line(id));
        }
        submission
    }
}

fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return None;
    };
    let states = headers.get_all(TRACESTATE).iter();
    // A value that is no text is no valid one.
    let states = states.map(|value| value.to_str().unwrap_or("="));
    TraceContext::parse(parent.to_str().ok()?, states)
}

fn id(headers: &HeaderMap, header: &HeaderName) -> Result<Option<String>, Complaint> {
    let Some(value) = headers.get(header) else {
        return Ok(None);
    };
    let text = value.to_str().map(str::trim).unwrap_or_default();
    if text.is_empty() || text.len() > LONGEST {
        return Err(Complaint::new(
            StatusCode::BAD_REQUEST,
            format!("{header} is 1 to {LONGEST} characters of visible ASCII"),
        ));
    }
    Ok(Some(text.to_owned()))
}
