//! An attempt as JSON, for the admin API and the delivery log.

use serde::Serialize;
use webhook_dispatch::{AttemptRecord, rfc3339};

/// An attempt at an event.
#[derive(Debug, Serialize)]
pub(crate) struct AttemptJson {
    number: u64,
    at: Option<String>,
    target: String,
    pub(crate) id: String,
    key: String,
    job: Option<String>,
    state: Option<String>,
    attempt: u32,
    batch: Option<BatchJson>,
    outcome: &'static str,
    status: Option<u16>,
    pub(crate) error: Option<String>,
    milliseconds: f64,
    bytes: usize,
    /// Left out in the delivery log; `null` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Option<String>>,
}

/// The request of an attempt at several events.
#[derive(Debug, Serialize)]
struct BatchJson {
    id: String,
    events: u32,
}

impl AttemptJson {
    /// The attempt without the receiver's answer.
    pub(crate) fn of(target: &str, attempt: &AttemptRecord<'_>) -> AttemptJson {
        let (state, job) = attempt.state_and_job();
        AttemptJson {
            number: attempt.number,
            at: moment(attempt.started_at),
            target: target.to_owned(),
            id: attempt.id.to_string(),
            key: attempt.key_text(),
            job,
            state,
            attempt: attempt.attempt,
            batch: attempt.batch.map(|(id, events)| BatchJson {
                id: id.to_string(),
                events,
            }),
            outcome: attempt.outcome.name(),
            status: attempt.status,
            error: filled(&attempt.error),
            milliseconds: attempt.took.as_micros() as f64 / 1_000.0,
            bytes: attempt.bytes,
            answer: None,
        }
    }

    /// The attempt with the beginning of a failure's answer.
    pub(crate) fn with_answer(target: &str, attempt: &AttemptRecord<'_>) -> AttemptJson {
        AttemptJson {
            answer: Some(filled(&attempt.response)),
            ..AttemptJson::of(target, attempt)
        }
    }
}

/// Epoch milliseconds as RFC 3339.
pub(crate) fn moment(epoch_ms: u64) -> Option<String> {
    i64::try_from(epoch_ms).ok().and_then(rfc3339)
}

fn filled(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}
