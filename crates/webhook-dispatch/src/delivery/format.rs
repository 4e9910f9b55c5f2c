//! The formats of a request's body: the event as accepted, or an envelope around it.
//!
//! `kafka-rest-v2` is the produce request of Confluent's REST proxy, v2, keyed by task id so that a
//! task's events share a partition. The CloudEvents formats follow CloudEvents 1.0's HTTP binding:
//! in binary mode the event is the body and its attributes are `ce-` headers; in structured mode
//! the event is the member `data`.

#[cfg(test)]
mod tests;

use crate::delivery::event_parts::EventParts;
use crate::delivery::outcome::Verdict;
use crate::http::header_lines::HeaderLines;
use crate::http::transport::Answer;
use crate::shared::{Outcome, rfc3339};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use webhook_config::Format;
use webhook_model::EventHeader;

/// The `type` of every CloudEvent that is sent.
pub const CLOUD_EVENT_TYPE: &str = "org.apache.aurora.task.state-change";

/// The headers with a CloudEvent's attributes in binary mode.
const ATTRIBUTES: [HeaderName; 6] = [
    HeaderName::from_static("ce-specversion"),
    HeaderName::from_static("ce-id"),
    HeaderName::from_static("ce-source"),
    HeaderName::from_static("ce-type"),
    HeaderName::from_static("ce-time"),
    HeaderName::from_static("ce-subject"),
];

/// Adds the format's headers that all events share, unless they are configured.
pub(crate) fn prepare(format: Format, headers: &mut HeaderMap) {
    let content_type = match format {
        Format::KafkaRestV2 => {
            or_insert(headers, ACCEPT, "application/vnd.kafka.v2+json");
            "application/vnd.kafka.json.v2+json"
        }
        Format::CloudEventsStructured => "application/cloudevents+json; charset=UTF-8",
        _ => "application/json",
    };
    or_insert(headers, CONTENT_TYPE, content_type);
    if format == Format::CloudEventsBinary {
        // Each event's own attributes replace configured ones.
        for name in ATTRIBUTES {
            headers.remove(name);
        }
    }
}

/// Encodes an event, and adds the format's headers for it.
pub(crate) fn encode<'a>(
    format: Format,
    event: EventParts<'a>,
    id: &str,
    accepted_at: u64,
    headers: &mut HeaderLines,
) -> Cow<'a, [u8]> {
    match format {
        Format::KafkaRestV2 => kafka_record(event),
        Format::CloudEventsBinary => {
            let about = About::of(event.body, accepted_at);
            let values = [
                Some("1.0"),
                Some(id),
                Some(&about.source),
                Some(CLOUD_EVENT_TYPE),
                Some(&about.time),
                about.subject.as_deref(),
            ];
            for (name, value) in ATTRIBUTES.iter().zip(values) {
                if let Some(value) = value {
                    push_escaped(headers, name, value);
                }
            }
            event.body.into()
        }
        Format::CloudEventsStructured => {
            let about = About::of(event.body, accepted_at);
            let attributes = Attributes {
                specversion: "1.0",
                id,
                source: &about.source,
                kind: CLOUD_EVENT_TYPE,
                subject: about.subject.as_deref(),
                time: &about.time,
                datacontenttype: "application/json",
            };
            let mut body =
                serde_json::to_vec(&attributes).expect("a struct of strings is always JSON");
            // The bytes are copied: a parser might change the digits of numbers.
            body.pop();
            body.extend_from_slice(br#","data":"#);
            body.extend_from_slice(event.body);
            body.push(b'}');
            body.into()
        }
        _ => event.body.into(),
    }
}

/// Checks the body of a 2xx answer, if the format has one that reports failures.
pub(crate) fn check_response(
    format: Format,
    answer: &Answer,
) -> Result<(), (Outcome, Verdict, String)> {
    // Strimzi's bridge answers 204, which has no body, to a request with `?async=true`.
    if format != Format::KafkaRestV2 || answer.status == 204 {
        return Ok(());
    }
    let failed = |why: String| Err((Outcome::RecordError, Verdict::Failed, why));
    let receipt: KafkaReceipt = match serde_json::from_slice(&answer.body) {
        Ok(receipt) => receipt,
        Err(error) => return failed(format!("the answer is not a Kafka REST receipt: {error}")),
    };
    if receipt.offsets.is_empty() {
        return failed("the answer names no offset for the record".to_owned());
    }
    for offset in receipt.offsets {
        let why = offset.error.or(offset.message);
        match (offset.error_code, why) {
            (None, None) => {}
            (None, Some(why)) => return failed(format!("the record was rejected: {why}")),
            (Some(code), why) => {
                let why = why.unwrap_or_default();
                return failed(format!("the record was rejected: error_code {code}: {why}"));
            }
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct KafkaReceipt {
    #[serde(default)]
    offsets: Vec<Offset>,
}

#[derive(Deserialize)]
struct Offset {
    #[serde(default)]
    error_code: Option<i64>,
    /// The reason, as Confluent's proxy names it.
    #[serde(default)]
    error: Option<String>,
    /// The reason, as Strimzi's bridge names it.
    #[serde(default)]
    message: Option<String>,
}

fn kafka_record(event: EventParts<'_>) -> Cow<'_, [u8]> {
    let key = if event.attributes.is_empty() {
        let header = EventHeader::read(event.body).ok();
        header.and_then(|header| header.task_id)
    } else {
        Some(String::from_utf8_lossy(event.key)).filter(|key| !key.is_empty())
    };
    let event = event.body;
    let key = serde_json::to_string(&key).expect("a string is always JSON");
    let mut body = Vec::with_capacity(event.len() + key.len() + 40);
    body.extend_from_slice(br#"{"records":[{"key":"#);
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(br#","value":"#);
    body.extend_from_slice(event);
    body.extend_from_slice(b"}]}");
    body.into()
}

#[derive(Serialize)]
struct Attributes<'a> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: &'a str,
    datacontenttype: &'a str,
}

/// The attributes of a CloudEvent that are read from the event.
struct About {
    /// A URI reference: `/aurora/jobs/ROLE/ENVIRONMENT/NAME`, each part percent-encoded.
    source: String,
    /// The task id, if there is one.
    subject: Option<String>,
    /// When the state changed, or else when the event was accepted; RFC 3339.
    time: String,
}

impl About {
    fn of(event: &[u8], accepted_at: u64) -> About {
        let header = EventHeader::read(event).ok();
        let header = header.as_ref();
        let mut source = "/aurora/jobs".to_owned();
        if let Some(header) = header {
            for part in [&header.role, &header.environment, &header.job_name] {
                source.push('/');
                percent_encode(part.as_deref().unwrap_or(""), is_unreserved, &mut source);
            }
        }
        let changed_at = header
            .and_then(|header| header.last_event_at)
            .and_then(rfc3339);
        About {
            source,
            // An attribute may not be empty.
            subject: header
                .and_then(|header| header.task_id.as_deref())
                .filter(|id| !id.is_empty())
                .map(str::to_owned),
            time: changed_at
                .or_else(|| rfc3339(i64::try_from(accepted_at).unwrap_or(0)))
                .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned()),
        }
    }
}

/// Unreserved in RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Needs no encoding in a CloudEvents header value (HTTP binding 1.0, section 3.1.3.2).
fn is_header_safe(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte) && byte != b'"' && byte != b'%'
}

fn percent_encode(text: &str, keep: impl Fn(u8) -> bool, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if keep(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn push_escaped(headers: &mut HeaderLines, name: &HeaderName, value: &str) {
    let mut escaped = String::with_capacity(value.len());
    percent_encode(value, is_header_safe, &mut escaped);
    headers.push_text(name, &escaped);
}

fn or_insert(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers
        .entry(name)
        .or_insert(HeaderValue::from_static(value));
}
