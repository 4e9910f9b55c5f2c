//! The headers of an attempt. Headers that all attempts share are written once.

use crate::delivery::RequestEvent;
use crate::delivery::format;
use crate::delivery::sign::{
    WEBHOOK_ATTEMPT, WEBHOOK_EVENT_IDS, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP,
};
use crate::http::header_lines::HeaderLines;
use crate::shared::DEFAULT_USER_AGENT;
use crate::shared::event_ids::WebhookIdText;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderName, HeaderValue};
use webhook_config::{Format, Target};
use webhook_event::TraceContext;

/// The time of the request in epoch milliseconds, a header of Aurora since 0.16.
const TIMESTAMP: HeaderName = HeaderName::from_static("timestamp");

/// The headers of W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The parts of a request that differ for each attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptInfo {
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// When the attempt began, epoch milliseconds.
    pub(crate) started_at: u64,
    /// The id of the attempt's span, if there is a tracer.
    pub(crate) span_id: Option<u64>,
}

/// Makes the headers of a target's attempts.
#[derive(Debug)]
pub(crate) struct Headers {
    /// The headers that all attempts share.
    prepared: HeaderLines,
    /// Whether the body has room for several events and not for their ids. The list tells receivers to split
    /// the body, also with one event.
    lists_ids: bool,
    /// Whether the trace of events is sent: not if one is configured.
    sends_trace: bool,
}

/// Ids on a line of `webhook-event-ids`: 3,700 bytes, since receivers bound a line to 8 KiB or more.
const IDS_ON_A_LINE: usize = 100;

impl Headers {
    pub(crate) fn new(target: &Target) -> Headers {
        let mut headers = target.headers().clone();
        // The configuration cannot set headers that differ for each event. `Timestamp` is sent
        // after a configured one, as Aurora did.
        for name in [WEBHOOK_ID, WEBHOOK_EVENT_IDS, WEBHOOK_ATTEMPT] {
            headers.remove(name);
        }
        if target.signing().is_some() {
            headers.remove(WEBHOOK_TIMESTAMP);
            headers.remove(WEBHOOK_SIGNATURE);
        }
        format::prepare(target.format(), &mut headers);
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(DEFAULT_USER_AGENT));
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        Headers {
            prepared: HeaderLines::from(&headers),
            lists_ids: matches!(target.format(), Format::Ndjson | Format::JsonArray),
            sends_trace: !headers.contains_key(TRACEPARENT) && !headers.contains_key(TRACESTATE),
        }
    }

    /// Writes the headers of an attempt, without those that its format and signature add. `id` is that of
    /// the request.
    pub(crate) fn write(
        &self,
        events: &[RequestEvent<'_>],
        info: &AttemptInfo,
        id: &WebhookIdText,
        lines: &mut HeaderLines,
    ) {
        lines.copy(&self.prepared);
        lines.push_number(&TIMESTAMP, info.started_at);
        lines.push_text(&WEBHOOK_ID, id.as_str());
        lines.push_number(&WEBHOOK_ATTEMPT, u64::from(info.attempt));
        if self.sends_trace
            && let Some(trace) = shared_trace(events)
        {
            match info.span_id.filter(|_| trace.is_sampled()) {
                None => lines.push_text(&TRACEPARENT, trace.traceparent()),
                Some(id) => lines.push_text(&TRACEPARENT, trace.with_parent(id).traceparent()),
            }
            if let Some(state) = trace.tracestate() {
                lines.push_text(&TRACESTATE, state);
            }
        }
        if self.lists_ids {
            for events in events.chunks(IDS_ON_A_LINE) {
                let ids: Vec<_> = events.iter().map(|it| WebhookIdText::new(it.id)).collect();
                let ids: Vec<&str> = ids.iter().map(WebhookIdText::as_str).collect();
                lines.push_text(&WEBHOOK_EVENT_IDS, &ids.join(","));
            }
        }
    }
}

/// The trace that all events of a request share.
pub(crate) fn shared_trace<'a>(events: &'a [RequestEvent<'_>]) -> Option<&'a TraceContext> {
    let (first, rest) = events.split_first()?;
    let trace = first.trace.as_ref()?;
    let is_shared = rest.iter().all(|event| event.trace.as_ref() == Some(trace));
    is_shared.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::EventParts;
    use webhook_config::TargetUrl;
    use webhook_queue::EventId;

    fn headers(names: &[(&str, &str)], attempt: u32) -> Vec<String> {
        let mut target = Target::builder(TargetUrl::parse("http://localhost/").unwrap());
        for (name, value) in names {
            target = target.header(name, value);
        }
        let info = AttemptInfo {
            attempt,
            started_at: 1_699_900_000_000,
            span_id: None,
        };
        let prepared = Headers::new(&target.build().unwrap());
        let event = RequestEvent {
            parts: EventParts::default(),
            trace: None,
            id: EventId([0xab; 16]),
            accepted_at: 1,
        };
        let id = WebhookIdText::new(event.id);
        let mut written = HeaderLines::new();
        prepared.write(&[event], &info, &id, &mut written);
        let mut lines: Vec<String> = written
            .iter()
            .map(|(name, value)| format!("{name}: {}", std::str::from_utf8(value).unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn each_attempt_has_its_time_its_id_and_its_number() {
        let name = format!("user-agent: {DEFAULT_USER_AGENT}");
        let id = format!("webhook-id: evt_{}", "ab".repeat(16));
        let expected = [
            "accept: */*",
            "content-type: application/json",
            "timestamp: 1699900000000",
            &name,
            "webhook-attempt: 1",
            &id,
        ];
        assert_eq!(headers(&[], 1), expected);
        let tenth = headers(&[], 10);
        assert!(tenth.contains(&"webhook-attempt: 10".to_owned()));
    }

    #[test]
    fn configured_headers_are_kept() {
        let configured = [
            ("Content-Type", "text/x"),
            ("User-Agent", "us"),
            ("Accept", "nothing"),
            ("Timestamp", "noon"),
            ("Webhook-Id", "mine"),
            ("Webhook-Event-Ids", "mine"),
        ];
        let lines = headers(&configured, 1);
        for line in [
            "content-type: text/x",
            "user-agent: us",
            "accept: nothing",
            "timestamp: noon",
            "timestamp: 1699900000000",
        ] {
            assert!(lines.contains(&line.to_owned()), "{line} in {lines:?}");
        }
        let ids = lines.iter().filter(|line| line.starts_with("webhook-id"));
        assert_eq!(ids.count(), 1, "a configured id is not sent");
        assert_eq!(lines.len(), 7);
    }
}
