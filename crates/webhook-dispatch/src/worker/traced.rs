//! Reports an attempt to the tracer.

use crate::shared::{TracedAttempt, Tracer};
use crate::target::attempt::Attempt;
use std::collections::HashSet;
use std::time::SystemTime;
use webhook_config::Target;
use webhook_event::{Attributes, TraceContext};

/// Reports an attempt, if it was made and one of its events belongs to a sampled trace.
pub(super) fn report(
    tracer: &dyn Tracer,
    target: &Target,
    attempt: &Attempt,
    (started_at, span_id): (SystemTime, u64),
) {
    let (batch, result) = (&attempt.batch, &attempt.result);
    let trace = |stored: &[u8]| Attributes::split_trace(stored).1;
    let mut events = batch.iter().map(|due| trace(due.content.attributes()));
    let first = events.next().flatten();
    let mut is_shared = first.is_some();
    let mut traces: Vec<TraceContext> = Vec::from_iter(first.clone());
    let mut known: HashSet<TraceContext> = HashSet::from_iter(first.clone());
    for trace in events {
        is_shared &= trace.is_some() && trace == first;
        traces.extend(trace.filter(|trace| known.insert(trace.clone())));
    }
    traces.retain(TraceContext::is_sampled);
    if traces.is_empty() || result.stopped {
        return;
    }
    tracer.attempt(&TracedAttempt {
        target,
        span_id,
        traces,
        is_shared,
        events: batch.len(),
        id: batch.first.delivery.id,
        attempt: batch.first.delivery.attempts.saturating_add(1),
        started_at,
        took: attempt.took,
        outcome: result.outcome,
        status: result.status,
        error: &result.detail,
    });
}
