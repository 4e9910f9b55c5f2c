//! The formats of a request's body: the event as accepted, an envelope around it, or what a
//! template makes of it.
//!
//! The CloudEvents formats follow CloudEvents 1.0's HTTP binding: in binary mode the event is the body
//! and its attributes are `ce-` headers; in structured mode the event is the member `data`, and in
//! batched mode the body is an array of such. The formats with [`Format::can_batch`] take any number of
//! events, all others one.

mod cloud_event;
mod kafka;
#[cfg(test)]
mod tests;

pub use self::cloud_event::{CLOUD_EVENT_TYPE, GENERIC_CLOUD_EVENT_TYPE};
pub(crate) use self::kafka::FailedReceipt;

use crate::delivery::event_parts::{EventParts, RequestEvent};
use crate::http::header_lines::HeaderLines;
use crate::http::transport::Answer;
use crate::shared::event_ids::WebhookIdText;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use webhook_config::{Format, Target};
use webhook_event::{RenderError, TemplateFields};

/// Adds the format's headers that all events share, unless they are configured.
pub(crate) fn prepare(format: Format, headers: &mut HeaderMap) {
    or_insert(headers, CONTENT_TYPE, format.content_type());
    if format == Format::KafkaRestV2 {
        or_insert(headers, ACCEPT, "application/vnd.kafka.v2+json");
    }
    if format == Format::CloudEventsBinary {
        // Each event's own attributes replace configured ones.
        for name in cloud_event::ATTRIBUTES {
            headers.remove(name);
        }
    }
}

/// Encodes the events of a request, and adds the format's headers for them.
///
/// # Errors
/// No body can be made of an event.
pub(crate) fn encode<'a>(
    target: &Target,
    events: &[RequestEvent<'a>],
    headers: &mut HeaderLines,
) -> Result<Cow<'a, [u8]>, String> {
    let body = match target.format() {
        Format::KafkaRestV2 => Ok(kafka::records(events).into()),
        Format::Ndjson => Ok(lines(events).into()),
        Format::JsonArray => array(events, 1, |event, body| {
            body.extend_from_slice(event.parts.body);
            Ok(())
        }),
        Format::CloudEventsBatch => array(events, cloud_event::AROUND, |event, body| {
            cloud_event::write(target, event, body)
        }),
        format => match events {
            [event] => encode_one(format, target, event, headers),
            _ => return Err(format!("a body in {:?} holds one event", format.name())),
        },
    };
    body.map_err(|error| error.to_string())
}

/// Encodes an event in a format with room for one.
fn encode_one<'a>(
    format: Format,
    target: &Target,
    event: &RequestEvent<'a>,
    headers: &mut HeaderLines,
) -> Result<Cow<'a, [u8]>, RenderError> {
    match format {
        Format::CloudEventsBinary => cloud_event::binary(target, event, headers),
        Format::CloudEventsStructured => cloud_event::structured(target, event),
        Format::Template => match target.template() {
            Some(template) => {
                let parts = event.parts;
                let render = |fields: &TemplateFields<'_>| {
                    template.render(parts.body, fields, target.max_body_bytes())
                };
                let id = WebhookIdText::new(event.id);
                with_fields(parts, id.as_str(), render).map(Cow::Owned)
            }
            None => Ok(event.parts.body.into()),
        },
        _ => Ok(event.parts.body.into()),
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

/// Checks the body of a 2xx answer to a request of so many events, if the format has one that reports
/// failures.
pub(crate) fn check_response(
    format: Format,
    answer: &Answer,
    events: usize,
) -> Result<(), FailedReceipt> {
    // Strimzi's bridge answers 204, which has no body, to a request with `?async=true`.
    if format != Format::KafkaRestV2 || answer.status == 204 {
        return Ok(());
    }
    kafka::check_receipt(answer, events)
}

/// The events as lines. A line break within an event is white space between its values, and becomes a
/// space.
fn lines(events: &[RequestEvent<'_>]) -> Vec<u8> {
    let mut body = with_room(events, 1);
    for event in events {
        let start = body.len();
        body.extend_from_slice(event.parts.body);
        for byte in &mut body[start..] {
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        body.push(b'\n');
    }
    body
}

/// A JSON array of what `write` adds for each event.
fn array<'a>(
    events: &[RequestEvent<'a>],
    around: usize,
    write: impl Fn(&RequestEvent<'a>, &mut Vec<u8>) -> Result<(), RenderError>,
) -> Result<Cow<'a, [u8]>, RenderError> {
    let mut body = with_room(events, around);
    body.push(b'[');
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        write(event, &mut body)?;
    }
    body.push(b']');
    Ok(body.into())
}

/// A buffer for these events, with so many bytes around each.
fn with_room(events: &[RequestEvent<'_>], around: usize) -> Vec<u8> {
    let sizes = events.iter().map(|event| event.parts.body.len() + around);
    Vec::with_capacity(sizes.sum::<usize>() + 2)
}

fn or_insert(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers
        .entry(name)
        .or_insert(HeaderValue::from_static(value));
}
