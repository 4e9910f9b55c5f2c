//! The formats of a request's body: the event as accepted, an envelope around it, or what a
//! template makes of it.
//!
//! `kafka-rest-v2` is the produce request of Confluent's REST proxy, v2, keyed by the event's key so
//! that a task's events share a partition. The CloudEvents formats follow CloudEvents 1.0's HTTP
//! binding: in binary mode the event is the body and its attributes are `ce-` headers; in structured
//! mode the event is the member `data`.

mod cloud_event;
#[cfg(test)]
mod tests;

pub use self::cloud_event::{CLOUD_EVENT_TYPE, GENERIC_CLOUD_EVENT_TYPE};

use crate::delivery::event_parts::EventParts;
use crate::delivery::outcome::Verdict;
use crate::http::header_lines::HeaderLines;
use crate::http::transport::Answer;
use crate::shared::Outcome;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use std::borrow::Cow;
use webhook_config::{Format, Target};
use webhook_event::{RenderError, TemplateFields};
use webhook_model::EventHeader;

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
        for name in cloud_event::ATTRIBUTES {
            headers.remove(name);
        }
    }
}

/// Encodes an event, and adds the format's headers for it.
///
/// # Errors
/// No body can be made of the event.
pub(crate) fn encode<'a>(
    target: &Target,
    event: EventParts<'a>,
    id: &str,
    accepted_at: u64,
    headers: &mut HeaderLines,
) -> Result<Cow<'a, [u8]>, RenderError> {
    match target.format() {
        Format::KafkaRestV2 => Ok(kafka_record(event)),
        Format::CloudEventsBinary => cloud_event::binary(target, event, id, accepted_at, headers),
        Format::CloudEventsStructured => cloud_event::structured(target, event, id, accepted_at),
        Format::Template => match target.template() {
            Some(template) => {
                let render = |fields: &TemplateFields<'_>| {
                    template.render(event.body, fields, target.max_body_bytes())
                };
                with_fields(event, id, render).map(Cow::Owned)
            }
            None => Ok(event.body.into()),
        },
        _ => Ok(event.body.into()),
    }
}

/// The body of the target's template with its secrets masked; `None` for other formats.
pub(crate) fn masked_body(target: &Target, event: EventParts<'_>, id: &str) -> Option<Vec<u8>> {
    let template = target.template()?;
    let render = |fields: &TemplateFields<'_>| {
        template.render_masked(event.body, fields, target.max_body_bytes())
    };
    with_fields(event, id, render).ok()
}

/// Calls `render` with the event's fields.
fn with_fields<R>(
    event: EventParts<'_>,
    id: &str,
    render: impl FnOnce(&TemplateFields<'_>) -> R,
) -> R {
    let (key, attributes) = event.fields();
    render(&TemplateFields {
        key: &key,
        id,
        attributes: &attributes,
    })
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

fn or_insert(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers
        .entry(name)
        .or_insert(HeaderValue::from_static(value));
}
