//! Documents: what a source reads at once, and the events in it. All sources use it: a document is
//! a line of a file, a body of a request, a frame of a stream.

use super::cloud_event;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use webhook_dispatch::Refusal;
use webhook_event::{Encoding, Schema, UnknownEvent};
use webhook_model::ReadErrorKind;

/// Splits an array into its elements.
static ROOT: LazyLock<Schema> = LazyLock::new(|| {
    let settings = serde_json::json!({ "schema": "pointers", "key": "", "each": "" });
    Schema::from_json(&settings).expect("the settings are valid")
});

/// A document in UTF-8, and where its events are in it.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    bytes: Arc<[u8]>,
    /// `None` if the whole document is one event, which is submitted byte for byte.
    events: Option<Vec<Range<usize>>>,
}

/// Why a document, or an event in it, is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotUnderstood {
    pub(crate) kind: Kind,
    pub(crate) why: String,
    /// The byte where the error is, from 0, if it has a place.
    pub(crate) byte: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is not JSON in UTF-8.
    Malformed,
    /// It is JSON, but no event of the input.
    Invalid,
    TooLong,
}

impl Document {
    /// Finds the events of a document by an input's schema. What is not UTF-8 is replaced if the
    /// schema says so.
    ///
    /// # Errors
    /// The document is not understood, and is given back.
    pub(crate) fn read(
        schema: &Schema,
        bytes: Arc<[u8]>,
    ) -> Result<Document, (Arc<[u8]>, NotUnderstood)> {
        let bytes = match schema.encoding() {
            Encoding::Replace if std::str::from_utf8(&bytes).is_err() => {
                String::from_utf8_lossy(&bytes).as_bytes().into()
            }
            _ => bytes,
        };
        match events(schema, &bytes) {
            Ok(events) => Ok(Document { bytes, events }),
            Err(why) => Err((bytes, why)),
        }
    }

    /// The number of its events.
    pub(crate) fn len(&self) -> usize {
        self.several().unwrap_or(1)
    }

    /// The number of its events, unless the whole document is one.
    pub(crate) fn several(&self) -> Option<usize> {
        self.events.as_ref().map(Vec::len)
    }

    /// The bytes of an event: all of the document if it is one.
    ///
    /// # Panics
    /// There is no event at this place.
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        match &self.events {
            Some(events) => &self.bytes[events[index].clone()],
            None => &self.bytes,
        }
    }

    /// As [`Document::bytes`], to be submitted.
    pub(crate) fn event(&self, index: usize) -> Arc<[u8]> {
        match &self.events {
            Some(_) => self.bytes(index).into(),
            None => Arc::clone(&self.bytes),
        }
    }
}

fn events(schema: &Schema, bytes: &[u8]) -> Result<Option<Vec<Range<usize>>>, NotUnderstood> {
    let events = match schema.splits() {
        true => schema.split(bytes)?,
        false if is_batch(schema, bytes) => ROOT.split(bytes)?,
        false => return Ok(None),
    };
    let ranges = events
        .iter()
        .map(|event| event.at()..event.at() + event.bytes().len());
    Ok(Some(ranges.collect()))
}

/// Whether a document is a batch of CloudEvents.
fn is_batch(schema: &Schema, bytes: &[u8]) -> bool {
    has_cloud_events(schema) && bytes.trim_ascii_start().starts_with(b"[")
}

/// Whether the events of an input are CloudEvents. Their batches and their modes over HTTP are not
/// told by pointers.
pub(crate) fn has_cloud_events(schema: &Schema) -> bool {
    schema.name() == "cloudevents"
}

/// Checks an event before it is submitted: all that its input asks of it, and its length. The
/// dispatcher checks the same, except for what the specification of CloudEvents requires.
///
/// # Errors
/// The event is not understood.
pub(crate) fn check(schema: &Schema, event: &[u8], max_bytes: usize) -> Result<(), NotUnderstood> {
    check_cloud_event(schema, event)?;
    if schema.read(event)?.is_some() && schema.omit(event)?.len() > max_bytes {
        return Err(NotUnderstood::too_long(max_bytes));
    }
    Ok(())
}

/// Checks what the specification of CloudEvents requires, if the events of the input are such.
///
/// # Errors
/// The event is not a CloudEvent.
pub(crate) fn check_cloud_event(schema: &Schema, event: &[u8]) -> Result<(), NotUnderstood> {
    if !has_cloud_events(schema) {
        return Ok(());
    }
    cloud_event::check(event).map_err(|why| NotUnderstood {
        kind: Kind::Invalid,
        why,
        byte: None,
    })
}

impl NotUnderstood {
    pub(crate) fn too_long(max_bytes: usize) -> NotUnderstood {
        NotUnderstood {
            kind: Kind::TooLong,
            why: format!(
                "it is longer than maxEventBytes allows, which is {max_bytes}, and was not sent"
            ),
            byte: None,
        }
    }

    /// Why the dispatcher did not understand an event; `None` if it refused it for another reason.
    pub(crate) fn of(refusal: &Refusal) -> Option<NotUnderstood> {
        let (kind, byte) = match refusal {
            Refusal::NotAnEvent(error) => (kind_of(error.kind()), Some(error.offset())),
            Refusal::NoTask => (Kind::Invalid, None),
            Refusal::NotUnderstood { error, .. } => place_of(error),
            Refusal::TooLarge { .. } => (Kind::TooLong, None),
            _ => return None,
        };
        Some(NotUnderstood {
            kind,
            why: crate::console::chain(refusal),
            byte,
        })
    }
}

impl From<Refusal> for NotUnderstood {
    /// Why an event would not be accepted, whatever the reason.
    fn from(refusal: Refusal) -> NotUnderstood {
        NotUnderstood::of(&refusal).unwrap_or_else(|| NotUnderstood {
            kind: Kind::Invalid,
            why: crate::console::chain(&refusal),
            byte: None,
        })
    }
}

fn kind_of(kind: ReadErrorKind) -> Kind {
    match kind {
        ReadErrorKind::Type | ReadErrorKind::Contradiction => Kind::Invalid,
        _ => Kind::Malformed,
    }
}

fn place_of(error: &UnknownEvent) -> (Kind, Option<usize>) {
    match error {
        UnknownEvent::Malformed(error) => (kind_of(error.kind()), Some(error.offset())),
        UnknownEvent::Type { at, .. } => (Kind::Invalid, Some(*at)),
        _ => (Kind::Invalid, None),
    }
}

impl From<UnknownEvent> for NotUnderstood {
    fn from(error: UnknownEvent) -> NotUnderstood {
        let (kind, byte) = place_of(&error);
        NotUnderstood {
            kind,
            why: error.to_string(),
            byte,
        }
    }
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn schema(settings: Value) -> Schema {
        Schema::from_json(&settings).unwrap()
    }

    fn read(settings: Value, document: &[u8]) -> Vec<String> {
        let document = Document::read(&schema(settings), document.into()).unwrap();
        let events = (0..document.len()).map(|index| document.event(index));
        let text = |event: Arc<[u8]>| String::from_utf8(event.to_vec()).unwrap();
        events.map(text).collect()
    }

    #[test]
    fn each_event_of_a_document_keeps_its_bytes() {
        let pointers = || json!({ "schema": "pointers", "key": "/id" });
        let with_each = |each: &str| {
            let mut settings = pointers();
            settings["each"] = json!(each);
            settings
        };
        let one = " {\"id\" : 1.50}\n";
        assert_eq!(read(pointers(), one.as_bytes()), [one]);
        assert_eq!(read(pointers(), b"[1]"), ["[1]"]);
        let array = b" [ {\"id\" : 1.50} ,\n{\"id\":2}]";
        assert_eq!(
            read(with_each(""), array),
            ["{\"id\" : 1.50}", "{\"id\":2}"]
        );
        assert_eq!(read(with_each(""), b"[]"), [""; 0]);
        assert_eq!(read(with_each(""), one.as_bytes()), [one.trim()]);
        assert_eq!(read(with_each("/e"), b"{\"e\":[1, 2 ]}"), ["1", "2"]);
        let (back, why) = Document::read(&schema(with_each("/e")), b"{}"[..].into()).unwrap_err();
        assert_eq!((&*back, why.kind), (&b"{}"[..], Kind::Invalid));
        let (_, why) = Document::read(&schema(with_each("")), b"[{]"[..].into()).unwrap_err();
        assert_eq!((why.kind, why.byte), (Kind::Malformed, Some(2)));
    }

    #[test]
    fn a_batch_of_cloud_events_is_several() {
        let settings = || json!({ "schema": "cloudevents" });
        assert_eq!(read(settings(), b" [ {}, {\"a\":1}]"), ["{}", "{\"a\":1}"]);
        assert_eq!(read(settings(), b"{}\n"), ["{}\n"]);
        let why = check(&schema(settings()), b"{}", 100).unwrap_err();
        assert_eq!(why.kind, Kind::Invalid);
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_replaced_only_if_the_input_says_so() {
        let mut settings = json!({ "schema": "pointers", "key": "/id" });
        let document = b"{\"id\":\"\xff\"}";
        let strict = schema(settings.clone());
        let read_strictly = Document::read(&strict, document[..].into()).unwrap();
        let why = check(&strict, &read_strictly.event(0), 100).unwrap_err();
        assert_eq!(why.kind, Kind::Malformed);
        settings["invalidUtf8"] = json!("replace");
        assert_eq!(read(settings, document), ["{\"id\":\"\u{fffd}\"}"]);
    }

    #[test]
    fn what_is_left_out_does_not_count_into_the_length() {
        let settings = json!({ "schema": "pointers", "key": "/id", "omit": ["/script"] });
        let event = br#"{"id":1,"script":"0123456789"}"#;
        assert_eq!(check(&schema(settings.clone()), event, 10), Ok(()));
        let why = check(&schema(settings), event, 5).unwrap_err();
        assert_eq!(why.kind, Kind::TooLong);
    }
}
