//! The method and the body of a delivery, and its guarantee.

/// The format of a delivery's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The event, byte for byte as accepted.
    #[default]
    Aurora,
    /// The event as a Kafka REST v2 record with the event's key.
    KafkaRestV2,
    /// The event, with its CloudEvents 1.0 attributes as headers.
    CloudEventsBinary,
    /// The event in a CloudEvents 1.0 envelope.
    CloudEventsStructured,
    /// The event in a line.
    Ndjson,
    /// The event in a JSON array.
    JsonArray,
    /// The event in a CloudEvents 1.0 envelope, in a JSON array.
    CloudEventsBatch,
    /// What the target's template makes of the event.
    Template,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Format] = &[
        Format::Aurora,
        Format::KafkaRestV2,
        Format::CloudEventsBinary,
        Format::CloudEventsStructured,
        Format::Ndjson,
        Format::JsonArray,
        Format::CloudEventsBatch,
        Format::Template,
    ];

    /// The name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Aurora => "aurora",
            Format::KafkaRestV2 => "kafka-rest-v2",
            Format::CloudEventsBinary => "cloudevents-binary",
            Format::CloudEventsStructured => "cloudevents-structured",
            Format::Ndjson => "ndjson",
            Format::JsonArray => "json-array",
            Format::CloudEventsBatch => "cloudevents-batch",
            Format::Template => "template",
        }
    }

    /// The `Content-Type` of its bodies, which a target's headers may replace.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Format::KafkaRestV2 => "application/vnd.kafka.json.v2+json",
            Format::CloudEventsStructured => "application/cloudevents+json; charset=UTF-8",
            Format::CloudEventsBatch => "application/cloudevents-batch+json; charset=UTF-8",
            Format::Ndjson => "application/x-ndjson",
            Format::Aurora | Format::CloudEventsBinary | Format::JsonArray | Format::Template => {
                "application/json"
            }
        }
    }

    /// Whether its bodies are not what this `Content-Type` says. Under `application/json`, which configurations
    /// for Aurora have, a body may be any one JSON document. One that is an event as it came, or made by a
    /// template, may have any type.
    pub(crate) fn contradicts(self, content_type: &str) -> bool {
        let media_type = media_type_of(content_type);
        let is_json = media_type.ends_with("/json") || media_type.ends_with("+json");
        match self {
            Format::Aurora | Format::Template => false,
            Format::KafkaRestV2 | Format::CloudEventsStructured | Format::CloudEventsBatch => {
                media_type != "application/json" && media_type != media_type_of(self.content_type())
            }
            Format::CloudEventsBinary => media_type.starts_with("application/cloudevents"),
            Format::Ndjson => is_json,
            Format::JsonArray => !is_json,
        }
    }

    /// Whether the body of a request can hold several events.
    #[must_use]
    pub fn can_batch(self) -> bool {
        matches!(
            self,
            Format::KafkaRestV2 | Format::Ndjson | Format::JsonArray | Format::CloudEventsBatch
        )
    }
}

/// The media type of a `Content-Type`, in lower case and without parameters.
fn media_type_of(content_type: &str) -> String {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().to_ascii_lowercase()
}

/// The method of a delivery's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// `POST`.
    #[default]
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
}

impl Method {
    /// Every method.
    pub const ALL: &'static [Method] = &[Method::Post, Method::Put, Method::Patch];

    /// The name in the file and in a request.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
        }
    }
}

/// The guarantee of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// Queued on disk and retried; kept as a dead letter if it is given up.
    #[default]
    Reliable,
    /// One attempt, nothing on disk.
    BestEffort,
}

impl Delivery {
    /// Every kind.
    pub const ALL: &'static [Delivery] = &[Delivery::Reliable, Delivery::BestEffort];

    /// The name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Delivery::Reliable => "reliable",
            Delivery::BestEffort => "best-effort",
        }
    }
}
