//! The answer of a collector (OTLP 1, "OTLP/HTTP Response").

use crate::log::printable;
use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, SystemTime};
use webhook_config::RetryPolicy;
use webhook_dispatch::{Answer, retry};

/// The longest pause that a collector may ask for: spans wait in memory meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Characters of a collector's message that are logged.
const MESSAGE_KEPT: usize = 200;

/// The spans of a request that the collector did not take, though it answered 2xx.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) spans: u64,
    /// The collector's reason, as text for a log.
    pub(super) why: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExportResponse {
    partial_success: Option<PartialSuccess>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PartialSuccess {
    /// Integers of 64 bits are strings in the JSON of protobuf; a reader takes numbers, too.
    rejected_spans: Option<Value>,
    error_message: Option<String>,
}

/// Reads the body of a 2xx answer. One that cannot be read rejects nothing.
pub(super) fn rejected(body: &[u8]) -> Rejected {
    let response: ExportResponse = serde_json::from_slice(body).unwrap_or_default();
    let partial = response.partial_success.unwrap_or_default();
    let spans = match partial.rejected_spans {
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
        None => None,
    };
    let message = partial.error_message.unwrap_or_default();
    let message: String = message.chars().take(MESSAGE_KEPT).collect();
    Rejected {
        spans: spans.unwrap_or(0),
        why: printable(&message),
    }
}

/// The pause that the collector asks for by `Retry-After`.
pub(super) fn repeat_after(answer: &Answer) -> Option<Duration> {
    let value = answer.retry_after.as_deref()?;
    let asked = retry::retry_after(value, SystemTime::now(), &RetryPolicy::default())?;
    Some(asked.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_success_tells_how_many_spans_were_rejected_and_why() {
        let told = |body: &str| {
            let Rejected { spans, why } = rejected(body.as_bytes());
            (spans, why)
        };
        let nothing = (0, String::new());
        for body in ["", "{}", r#"{"partialSuccess":{}}"#, "<html>", "\x0a\x00"] {
            assert_eq!(told(body), nothing, "{body:?}");
        }
        let two = r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too\nold"}}"#;
        assert_eq!(told(two), (2, r"too\nold".to_owned()));
        let three = r#"{"partialSuccess":{"rejectedSpans":3}}"#;
        assert_eq!(told(three), (3, String::new()));
        let negative = r#"{"partialSuccess":{"rejectedSpans":"-1"}}"#;
        assert_eq!(told(negative), nothing);
    }

    #[test]
    fn a_collector_may_ask_for_a_pause_of_half_a_minute() {
        let asked = |value: Option<&str>| {
            repeat_after(&Answer {
                status: 503,
                retry_after: value.map(|value| value.as_bytes().to_vec()),
                body: Vec::new(),
                complete: true,
            })
        };
        assert_eq!(asked(None), None);
        assert_eq!(asked(Some("soon")), None);
        assert_eq!(asked(Some("7")), Some(Duration::from_secs(7)));
        assert_eq!(asked(Some("3600")), Some(LONGEST_PAUSE));
    }
}
