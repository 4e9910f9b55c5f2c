//! What a delivery's body is, and what is promised of it.

/// What a delivery's body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The event as it was accepted, to the byte.
    #[default]
    Aurora,
    /// The event as a record of Kafka REST v2, keyed by its task.
    KafkaRestV2,
    /// The event, with CloudEvents 1.0 attributes as headers.
    CloudEventsBinary,
    /// A CloudEvents 1.0 envelope around the event.
    CloudEventsStructured,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Format] = &[
        Format::Aurora,
        Format::KafkaRestV2,
        Format::CloudEventsBinary,
        Format::CloudEventsStructured,
    ];

    /// The name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Aurora => "aurora",
            Format::KafkaRestV2 => "kafka-rest-v2",
            Format::CloudEventsBinary => "cloudevents-binary",
            Format::CloudEventsStructured => "cloudevents-structured",
        }
    }
}

/// What is promised of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// Queued on disk, retried, and a dead letter in the end.
    #[default]
    Reliable,
    /// One attempt, and no disk.
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
