//! Splits the body of a request into its events.

use crate::{BodyError, RequestHeaders};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use webhook_model::{EventHeader, ReadError, TaskStateChange};

/// The format of a body: the `format` of the target in `webhook.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One event: `aurora`, and `cloudevents-binary`, whose attributes are headers.
    Event,
    /// An event on each line: `ndjson`.
    Ndjson,
    /// An array of events: `json-array`.
    JsonArray,
    /// An event as the `data` of a CloudEvent: `cloudevents-structured`.
    CloudEvent,
    /// An array of CloudEvents: `cloudevents-batch`.
    CloudEventBatch,
}

impl Format {
    /// Tells the format by `Content-Type`, and a [`JsonArray`](Format::JsonArray) from an event that is an
    /// array itself by `webhook-event-ids`. That is right for all that `webhookd` sends, unless the target
    /// has another `Content-Type` among its `headers`.
    ///
    /// ```
    /// use webhook_receiver::{Format, RequestHeaders};
    /// let detect = |kind: &str, ids: &str| {
    ///     let headers = [("content-type", kind.as_bytes()), ("webhook-event-ids", ids.as_bytes())];
    ///     Format::detect(&RequestHeaders::from_pairs(headers))
    /// };
    /// assert_eq!(detect("application/json", ""), Format::Event);
    /// assert_eq!(detect("application/json", "evt_1"), Format::JsonArray);
    /// assert_eq!(detect("application/x-ndjson", "evt_1,evt_2"), Format::Ndjson);
    /// let batch = "application/cloudevents-batch+json; charset=UTF-8";
    /// assert_eq!(detect(batch, ""), Format::CloudEventBatch);
    /// ```
    #[must_use]
    pub fn detect(headers: &RequestHeaders<'_>) -> Format {
        let kind = headers.content_type().unwrap_or_default();
        let media_type = kind.split(';').next().unwrap_or_default().trim();
        match media_type.to_ascii_lowercase().as_str() {
            "application/x-ndjson" => Format::Ndjson,
            "application/cloudevents+json" => Format::CloudEvent,
            "application/cloudevents-batch+json" => Format::CloudEventBatch,
            _ if !headers.event_ids().is_empty() => Format::JsonArray,
            _ => Format::Event,
        }
    }
}

/// One event of a request.
///
/// ```
/// use webhook_receiver::{Format, RequestHeaders, events};
///
/// let headers = RequestHeaders::from_pairs([("webhook-id", &b"evt_1"[..])]);
/// let body = br#"{"task":{"assignedTask":{"taskId":"hello-0"},"status":"LOST"},"oldState":{}}"#;
/// let events = events(Format::Event, &headers, body)?;
/// assert_eq!(events[0].id(), "evt_1");
/// assert_eq!(events[0].body(), body);
/// assert_eq!(events[0].header()?.task_id.as_deref(), Some("hello-0"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    id: Cow<'a, str>,
    body: &'a [u8],
}

impl<'a> Event<'a> {
    /// The id that the event keeps over retries, batches, restarts and replays.
    ///
    /// Of an element of a [batch of CloudEvents](Format::CloudEventBatch), it is `source` and `id` with
    /// a blank between them: together they are unique, by CloudEvents.
    ///
    /// ```
    /// # use webhook_receiver::{Format, RequestHeaders, events};
    /// let headers = RequestHeaders::from_pairs([]);
    /// let body = br#"[{"source":"/aurora/jobs/www/prod/hello","id":"evt_1","data":{}}]"#;
    /// let events = events(Format::CloudEventBatch, &headers, body)?;
    /// assert_eq!(events[0].id(), "/aurora/jobs/www/prod/hello evt_1");
    /// # Ok::<(), webhook_receiver::BodyError>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The event's bytes, without what the format has around them. Empty if a CloudEvent has no `data`.
    ///
    /// ```
    /// # use webhook_receiver::{Format, RequestHeaders, events};
    /// let headers = RequestHeaders::from_pairs([("webhook-id", &b"evt_1"[..])]);
    /// let body = br#"{"specversion":"1.0","source":"/x","id":"evt_1","data":{"task":{}}}"#;
    /// assert_eq!(events(Format::CloudEvent, &headers, body)?[0].body(), br#"{"task":{}}"#);
    /// # Ok::<(), webhook_receiver::BodyError>(())
    /// ```
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Reads the identity and the states of Aurora's task.
    ///
    /// # Errors
    /// The event is none of Aurora's; answer 400.
    ///
    /// ```
    /// # use webhook_receiver::{Format, RequestHeaders, events};
    /// let headers = RequestHeaders::from_pairs([("webhook-id", &b"evt_1"[..])]);
    /// let event = &events(Format::Event, &headers, b"[1]")?[0];
    /// assert!(event.header().is_err());
    /// # Ok::<(), webhook_receiver::BodyError>(())
    /// ```
    pub fn header(&self) -> Result<EventHeader<'a>, ReadError> {
        EventHeader::read(self.body)
    }

    /// Reads the whole of Aurora's payload.
    ///
    /// # Errors
    /// The event is none of Aurora's; answer 400.
    ///
    /// ```
    /// # use webhook_receiver::{Format, RequestHeaders, events};
    /// use webhook_model::ScheduleStatus;
    /// # let headers = RequestHeaders::from_pairs([("webhook-id", &b"evt_1"[..])]);
    /// # let body = br#"{"task":{"status":"LOST"},"oldState":{}}"#;
    /// let change = events(Format::Event, &headers, body)?[0].state_change()?;
    /// assert_eq!(change.new_state(), Some(&ScheduleStatus::Lost.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn state_change(&self) -> Result<TaskStateChange, ReadError> {
        TaskStateChange::read(self.body)
    }
}

#[derive(Deserialize)]
struct CloudEvent<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> CloudEvent<'a> {
    fn body(&self) -> &'a [u8] {
        self.data.map_or(b"", |data| data.get().as_bytes())
    }
}

/// Splits the body of a verified request into its events, in the order in which they are to be handled.
///
/// Whether an event is JSON is not checked; [`Event::header`] and [`Event::state_change`] read it.
///
/// # Errors
/// The body is not of this format, or has no event, or another number of events than the headers have
/// ids. Answer with [the error's status](BodyError::status).
///
/// ```
/// use webhook_receiver::{Format, RequestHeaders, events};
///
/// let headers = RequestHeaders::from_pairs([
///     ("webhook-id", &b"bat_1"[..]),
///     ("webhook-event-ids", b"evt_1,evt_2"),
/// ]);
/// let events = events(Format::Ndjson, &headers, b"{\"a\":1}\n{\"a\":2}\n")?;
/// let events: Vec<_> = events.iter().map(|event| (event.id(), event.body())).collect();
/// assert_eq!(events, [("evt_1", &b"{\"a\":1}"[..]), ("evt_2", b"{\"a\":2}")]);
/// # Ok::<(), webhook_receiver::BodyError>(())
/// ```
pub fn events<'a>(
    format: Format,
    headers: &RequestHeaders<'a>,
    body: &'a [u8],
) -> Result<Vec<Event<'a>>, BodyError> {
    let events = match format {
        Format::Event => vec![of_request(headers, body)?],
        Format::CloudEvent => {
            let event: CloudEvent<'_> = json(body, "a CloudEvent")?;
            vec![of_request(headers, event.body())?]
        }
        Format::CloudEventBatch => {
            let elements: Vec<CloudEvent<'_>> = json(body, "an array of CloudEvents")?;
            let own_id = |element: &CloudEvent<'a>| Event {
                id: format!("{} {}", element.source, element.id).into(),
                body: element.body(),
            };
            elements.iter().map(own_id).collect()
        }
        Format::Ndjson => {
            let lines = body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
            with_ids(headers, lines.filter(|line| !line.is_empty()))?
        }
        Format::JsonArray => {
            let elements: Vec<&RawValue> = json(body, "a JSON array")?;
            let elements = elements.iter().map(|element| element.get().as_bytes());
            with_ids(headers, elements)?
        }
    };
    if events.is_empty() {
        return Err(BodyError::Empty);
    }
    Ok(events)
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8], expected: &'static str) -> Result<T, BodyError> {
    serde_json::from_slice(body).map_err(|error| BodyError::Malformed {
        expected,
        message: error.to_string(),
    })
}

/// The only event of a request.
fn of_request<'a>(headers: &RequestHeaders<'a>, body: &'a [u8]) -> Result<Event<'a>, BodyError> {
    let id = headers.id()?.into();
    Ok(Event { id, body })
}

/// Events whose ids are in the headers.
fn with_ids<'a>(
    headers: &RequestHeaders<'a>,
    bodies: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Event<'a>>, BodyError> {
    let bodies: Vec<_> = bodies.collect();
    let id = [headers.id()?];
    let ids = match headers.event_ids() {
        [] => &id,
        ids => ids,
    };
    if bodies.is_empty() {
        return Err(BodyError::Empty);
    }
    if bodies.len() != ids.len() {
        return Err(BodyError::IdsDiffer {
            events: bodies.len(),
            ids: ids.len(),
        });
    }
    let events = ids.iter().zip(bodies).map(|(&id, body)| Event {
        id: id.into(),
        body,
    });
    Ok(events.collect())
}
