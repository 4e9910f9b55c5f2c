//! CloudEvents 1.0: the attributes of an event, and the event of a request.
//!
//! An event that came in as a CloudEvent is stored in the JSON format. It keeps its own attributes.

use crate::delivery::event_parts::{EventParts, RequestEvent};
use crate::http::header_lines::HeaderLines;
use crate::shared::event_ids::WebhookIdText;
use crate::shared::rfc3339;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use webhook_config::Target;
use webhook_event::{RenderError, TemplateFields, TraceContext, percent_encode};
use webhook_model::EventHeader;

/// The `type` of the CloudEvents of Aurora's events.
pub const CLOUD_EVENT_TYPE: &str = "org.apache.aurora.task.state-change";
/// The `type` of the CloudEvents of all other events.
pub const GENERIC_CLOUD_EVENT_TYPE: &str = "webhookd.task.state-change";

/// The usual bytes of an envelope around an event.
pub(super) const AROUND: usize = 400;

/// The headers with a CloudEvent's attributes in binary mode.
pub(super) const ATTRIBUTES: [HeaderName; 8] = [
    HeaderName::from_static("ce-specversion"),
    HeaderName::from_static("ce-id"),
    HeaderName::from_static("ce-source"),
    HeaderName::from_static("ce-type"),
    HeaderName::from_static("ce-time"),
    HeaderName::from_static("ce-subject"),
    HeaderName::from_static("ce-traceparent"),
    HeaderName::from_static("ce-tracestate"),
];

/// Makes the body of a CloudEvent in binary mode, and adds its attributes.
pub(super) fn binary<'a>(
    target: &Target,
    event: &RequestEvent<'a>,
    headers: &mut HeaderLines,
) -> Result<Cow<'a, [u8]>, RenderError> {
    if let Some(own) = OwnAttributes::of(event.parts) {
        return Ok(own.binary(target, headers));
    }
    let id = WebhookIdText::new(event.id);
    let id = id.as_str();
    let about = About::of(target, event.parts, id, event.accepted_at)?;
    let values = [
        Some("1.0"),
        Some(id),
        Some(&about.source),
        Some(&about.kind),
        Some(&about.time),
        about.subject.as_deref(),
        event.trace.as_ref().map(TraceContext::traceparent),
        event.trace.as_ref().and_then(TraceContext::tracestate),
    ];
    for (name, value) in ATTRIBUTES.iter().zip(values) {
        if let Some(value) = value {
            push_escaped(headers, name, value);
        }
    }
    Ok(event.parts.body.into())
}

/// Makes the body of a CloudEvent in structured mode.
pub(super) fn structured<'a>(
    target: &Target,
    event: &RequestEvent<'a>,
) -> Result<Cow<'a, [u8]>, RenderError> {
    if OwnAttributes::of(event.parts).is_some() {
        return Ok(event.parts.body.into());
    }
    let mut body = Vec::with_capacity(event.parts.body.len() + AROUND);
    write_envelope(target, event, &mut body)?;
    Ok(body.into())
}

/// Adds an event to a batch.
pub(super) fn write(
    target: &Target,
    event: &RequestEvent<'_>,
    body: &mut Vec<u8>,
) -> Result<(), RenderError> {
    if OwnAttributes::of(event.parts).is_some() {
        body.extend_from_slice(event.parts.body);
        return Ok(());
    }
    write_envelope(target, event, body)
}

/// Adds an event in an envelope of its attributes.
fn write_envelope(
    target: &Target,
    event: &RequestEvent<'_>,
    body: &mut Vec<u8>,
) -> Result<(), RenderError> {
    let id = WebhookIdText::new(event.id);
    let id = id.as_str();
    let about = About::of(target, event.parts, id, event.accepted_at)?;
    let attributes = Attributes {
        specversion: "1.0",
        id,
        source: &about.source,
        kind: &about.kind,
        subject: about.subject.as_deref(),
        time: &about.time,
        datacontenttype: "application/json",
        traceparent: event.trace.as_ref().map(TraceContext::traceparent),
        tracestate: event.trace.as_ref().and_then(TraceContext::tracestate),
    };
    serde_json::to_writer(&mut *body, &attributes).expect("a struct of strings is always JSON");
    // The bytes are copied: a parser might change the digits of numbers.
    body.pop();
    body.extend_from_slice(br#","data":"#);
    body.extend_from_slice(event.parts.body);
    body.push(b'}');
    Ok(())
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
    /// The extension Distributed Tracing.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
}

/// The attributes of a CloudEvent that are read from the event.
struct About {
    /// A URI reference: `/aurora/jobs/ROLE/ENVIRONMENT/NAME` or `/INPUT/jobs/PART…`, each part
    /// percent-encoded.
    source: String,
    kind: Cow<'static, str>,
    /// The event's key, if there is one.
    subject: Option<String>,
    /// When the state changed, or else when the event was accepted; RFC 3339.
    time: String,
}

impl About {
    fn of(
        target: &Target,
        event: EventParts<'_>,
        id: &str,
        accepted_at: u64,
    ) -> Result<About, RenderError> {
        let mut about = if event.attributes.is_empty() {
            About::of_aurora(event.body, accepted_at)
        } else {
            About::of_other(event, accepted_at)
        };
        let templates = target.cloud_events();
        if !templates.is_empty() {
            let (key, attributes) = event.fields();
            let fields = TemplateFields {
                key: &key,
                id,
                attributes: &attributes,
            };
            let (source, kind) = templates.render(event.body, &fields)?;
            about.source = source.unwrap_or(about.source);
            about.kind = kind.map_or(about.kind, Cow::Owned);
        }
        Ok(about)
    }

    fn of_aurora(event: &[u8], accepted_at: u64) -> About {
        let header = EventHeader::read(event).ok();
        let header = header.as_ref();
        let mut source = "/aurora/jobs".to_owned();
        if let Some(header) = header {
            for part in [&header.role, &header.environment, &header.job_name] {
                push_part(part.as_deref().unwrap_or(""), &mut source);
            }
        }
        About {
            source,
            kind: CLOUD_EVENT_TYPE.into(),
            // An attribute may not be empty.
            subject: header
                .and_then(|header| header.task_id.as_deref())
                .filter(|id| !id.is_empty())
                .map(str::to_owned),
            time: time(header.and_then(|header| header.last_event_at), accepted_at),
        }
    }

    fn of_other(event: EventParts<'_>, accepted_at: u64) -> About {
        let (key, attributes) = event.fields();
        let mut source = String::new();
        if !attributes.input.is_empty() {
            push_part(&attributes.input, &mut source);
        }
        source.push_str("/jobs");
        for part in &attributes.job {
            push_part(part, &mut source);
        }
        About {
            source,
            kind: GENERIC_CLOUD_EVENT_TYPE.into(),
            subject: Some(key.into_owned()).filter(|key| !key.is_empty()),
            time: time(attributes.time, accepted_at),
        }
    }
}

fn push_part(part: &str, source: &mut String) {
    source.push('/');
    percent_encode(part, |_| false, source);
}

/// When the state changed, or else when the event was accepted.
fn time(changed_at: Option<i64>, accepted_at: u64) -> String {
    changed_at
        .and_then(rfc3339)
        .or_else(|| rfc3339(i64::try_from(accepted_at).unwrap_or(0)))
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

/// The attributes and the data of an event that is a CloudEvent already.
struct OwnAttributes<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> OwnAttributes<'a> {
    fn of(event: EventParts<'a>) -> Option<OwnAttributes<'a>> {
        if event.attributes.is_empty() {
            return None;
        }
        let own = OwnAttributes(serde_json::from_slice(event.body).ok()?);
        let has = |name| own.text(name).is_some_and(|text| !text.is_empty());
        let is_cloud_event = ["specversion", "id", "source", "type"].into_iter().all(has);
        is_cloud_event.then_some(own)
    }

    /// A scalar as text.
    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let json = self.0.get(name)?.get();
        match json.as_bytes().first()? {
            b'{' | b'[' | b'n' => None,
            b'"' => serde_json::from_str(json).ok().map(Cow::Owned),
            _ => Some(json.into()),
        }
    }

    fn binary(&self, target: &Target, headers: &mut HeaderLines) -> Cow<'a, [u8]> {
        for name in self.0.keys() {
            if matches!(&**name, "data" | "data_base64" | "datacontenttype") {
                continue;
            }
            let header = HeaderName::from_bytes(format!("ce-{name}").as_bytes());
            if let (Ok(header), Some(value)) = (header, self.text(name)) {
                push_escaped(headers, &header, &value);
            }
        }
        let content_type = self.text("datacontenttype");
        let content_type = content_type.as_deref().unwrap_or("application/json");
        if let Ok(value) = HeaderValue::from_str(content_type)
            && !target.headers().contains_key(CONTENT_TYPE)
        {
            headers.remove(&CONTENT_TYPE);
            headers.push(&CONTENT_TYPE, &value);
        }
        if let Some(bytes) = self.text("data_base64") {
            return STANDARD.decode(&*bytes).unwrap_or_default().into();
        }
        let Some(data) = self.0.get("data") else {
            return Cow::default();
        };
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        let is_json = media_type.ends_with("/json") || media_type.ends_with("+json");
        match serde_json::from_str::<String>(data.get()) {
            // In the JSON format, text of another type is a string.
            Ok(text) if !is_json => text.into_bytes().into(),
            _ => data.get().as_bytes().into(),
        }
    }
}

/// Needs no encoding in a CloudEvents header value (HTTP binding 1.0, section 3.1.3.2).
fn is_header_safe(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte) && byte != b'"' && byte != b'%'
}

fn push_escaped(headers: &mut HeaderLines, name: &HeaderName, value: &str) {
    let mut escaped = String::with_capacity(value.len());
    percent_encode(value, is_header_safe, &mut escaped);
    headers.push_text(name, &escaped);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_unsafe_in_a_header_are_percent_encoded() {
        let mut headers = HeaderLines::new();
        let name = HeaderName::from_static("ce-subject");
        push_escaped(&mut headers, &name, "a b\"c%d\u{1}\n\u{7f}é€~!");
        let escaped = headers.get("ce-subject").unwrap();
        assert_eq!(escaped, b"a%20b%22c%25d%01%0A%7F%C3%A9%E2%82%AC~!");
    }
}
