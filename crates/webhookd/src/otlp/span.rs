//! A span, and spans as a request of OTLP (opentelemetry-proto 1, JSON encoding).

use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use webhook_dispatch::TracedAttempt;
use webhook_event::TraceContext;

/// The kinds of spans that are made (`Span.SpanKind`).
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// `Status.StatusCode` of a failure.
const ERROR: u8 = 2;
/// `SpanFlags`: whether the parent is of another process is known, and it is.
const REMOTE_PARENT: u32 = 0x300;
/// Links of a span, at most: the default of OpenTelemetry's SDKs. Of the others, their number is told.
const MAX_LINKS: usize = 128;

/// A span, as OTLP writes it: JSON text, which is a tenth of the values in memory.
#[derive(Debug)]
pub(super) struct Span(String);

/// A request that was answered.
#[derive(Debug)]
pub(super) struct Accepted<'a> {
    /// The sender's span.
    pub(super) parent: Option<&'a TraceContext>,
    /// Its own span, as the parent of the attempts.
    pub(super) context: &'a TraceContext,
    pub(super) started_at: SystemTime,
    pub(super) took: Duration,
    pub(super) path: &'a str,
    /// The name of its input; empty for the default one.
    pub(super) input: &'a str,
    pub(super) status: u16,
}

impl Span {
    fn of(span: &Value) -> Span {
        Span(span.to_string())
    }

    /// Bytes of it.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The span of a request that was answered.
    pub(super) fn accept(accepted: &Accepted<'_>) -> Span {
        let Accepted {
            context, status, ..
        } = *accepted;
        let mut attributes = vec![
            text("http.request.method", "POST"),
            text("url.path", accepted.path),
            text("url.scheme", "http"),
            number("http.response.status_code", i64::from(status)),
            text("messaging.system", "webhookd"),
            text("messaging.operation.name", "accept"),
            text("messaging.operation.type", "receive"),
        ];
        if !accepted.input.is_empty() {
            attributes.push(text("messaging.destination.name", accepted.input));
        }
        // Of a server, only its own errors are failures.
        let is_error = status >= 500;
        if is_error {
            attributes.push(text("error.type", &status.to_string()));
        }
        let parent = accepted.parent.map(TraceContext::parent_id);
        Span::of(&json!({
            "traceId": context.trace_id(),
            "spanId": context.parent_id(),
            "parentSpanId": parent.unwrap_or_default(),
            "traceState": context.tracestate().unwrap_or_default(),
            "flags": if parent.is_some() { REMOTE_PARENT | 1 } else { 1 },
            "name": "accept",
            "kind": SERVER,
            "startTimeUnixNano": nanoseconds(accepted.started_at),
            "endTimeUnixNano": nanoseconds(accepted.started_at + accepted.took),
            "attributes": attributes,
            "status": status_of(is_error, ""),
        }))
    }

    /// The span of an attempt: a child of the span that accepted its events; a root with a link to each, if
    /// they have several.
    pub(super) fn attempt(attempt: &TracedAttempt<'_>) -> Span {
        let target = attempt.target;
        let uri = target.url().as_uri();
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let mut attributes = vec![
            text("http.request.method", target.method().name()),
            text("server.address", uri.host().unwrap_or_default()),
            number("server.port", i64::from(port)),
            // Secrets in it are masked.
            text("url.full", &target.url().to_string()),
            text("messaging.system", "webhookd"),
            text("messaging.operation.name", "deliver"),
            text("messaging.operation.type", "send"),
            text("messaging.destination.name", target.name().as_str()),
        ];
        match attempt.events {
            1 => attributes.push(text("messaging.message.id", &attempt.id.to_string())),
            many => attributes.push(number(
                "messaging.batch.message_count",
                i64::try_from(many).unwrap_or(i64::MAX),
            )),
        }
        if attempt.attempt > 1 {
            attributes.push(number(
                "http.request.resend_count",
                i64::from(attempt.attempt - 1),
            ));
        }
        if let Some(status) = attempt.status {
            attributes.push(number("http.response.status_code", i64::from(status)));
        }
        let is_error = !attempt.error.is_empty();
        if is_error {
            let kind = match attempt.status {
                Some(status) if attempt.outcome.is_answer() => status.to_string(),
                _ => attempt.outcome.name().to_owned(),
            };
            attributes.push(text("error.type", &kind));
        }
        let parent = attempt.traces.first().filter(|_| attempt.is_shared);
        let trace_id = parent.map_or_else(
            || format!("{:032x}", fastrand::u128(1..)),
            |parent| parent.trace_id().to_owned(),
        );
        let linked = attempt.traces.iter().filter(|_| parent.is_none());
        let links: Vec<Value> = linked.clone().take(MAX_LINKS).map(link).collect();
        let dropped_links = linked.count() - links.len();
        Span::of(&json!({
            "traceId": trace_id,
            "spanId": format!("{:016x}", attempt.span_id),
            "parentSpanId": parent.map(TraceContext::parent_id).unwrap_or_default(),
            "traceState": parent.and_then(TraceContext::tracestate).unwrap_or_default(),
            "flags": 1,
            "name": format!("deliver {}", target.name()),
            "kind": CLIENT,
            "startTimeUnixNano": nanoseconds(attempt.started_at),
            "endTimeUnixNano": nanoseconds(attempt.started_at + attempt.took),
            "attributes": attributes,
            "links": links,
            "droppedLinksCount": dropped_links,
            "status": status_of(is_error, attempt.error),
        }))
    }
}

/// The body of a request with these spans.
pub(super) fn request(spans: &[Span]) -> Vec<u8> {
    let name = std::env::var("OTEL_SERVICE_NAME").unwrap_or_default();
    let name = if name.is_empty() { "webhookd" } else { &name };
    let version = env!("CARGO_PKG_VERSION");
    let resource = json!({
        "attributes": [text("service.name", name), text("service.version", version)],
    });
    let scope = json!({ "name": "webhookd", "version": version });
    let spans: Vec<&str> = spans.iter().map(|span| &*span.0).collect();
    let spans = spans.join(",");
    let scope_spans = format!(r#"[{{"scope":{scope},"spans":[{spans}]}}]"#);
    format!(r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":{scope_spans}}}]}}"#)
        .into_bytes()
}

fn link(trace: &TraceContext) -> Value {
    json!({
        "traceId": trace.trace_id(),
        "spanId": trace.parent_id(),
        "traceState": trace.tracestate().unwrap_or_default(),
    })
}

fn status_of(is_error: bool, message: &str) -> Value {
    match is_error {
        true => json!({ "code": ERROR, "message": message }),
        false => json!({}),
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Integers of 64 bits are strings in the JSON of protobuf.
fn number(key: &str, value: i64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn nanoseconds(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_nanos().to_string()
}
