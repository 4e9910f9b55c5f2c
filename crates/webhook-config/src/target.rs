//! One receiver, and how it is reached.

use crate::filter::{JobFilter, StatusFilter};
use crate::header::Header;
use crate::name::TargetName;
use crate::proxy::ProxyUrl;
use crate::retry::RetryPolicy;
use crate::signing::Signing;
use crate::tls::Tls;
use crate::url::TargetUrl;
use http::HeaderMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;
use webhook_model::EventHeader;

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

/// One receiver, and how it is reached. Made by [`Config::load`](crate::Config::load) or a
/// [`TargetBuilder`](crate::TargetBuilder); every value has passed its checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub(crate) name: TargetName,
    pub(crate) url: TargetUrl,
    pub(crate) headers: Vec<Header>,
    pub(crate) header_map: HeaderMap,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) statuses: StatusFilter,
    pub(crate) jobs: JobFilter,
    pub(crate) initial_events: bool,
    pub(crate) format: Format,
    pub(crate) delivery: Delivery,
    pub(crate) retry: RetryPolicy,
    pub(crate) concurrency: NonZeroUsize,
    pub(crate) window: NonZeroUsize,
    pub(crate) max_response_bytes: u64,
    pub(crate) max_per_second: Option<NonZeroU32>,
    pub(crate) signing: Option<Signing>,
    pub(crate) tls: Tls,
    pub(crate) proxy: Option<ProxyUrl>,
}

impl Target {
    /// Its name, unique in a [`Config`](crate::Config).
    #[must_use]
    pub fn name(&self) -> &TargetName {
        &self.name
    }

    /// Where its events go.
    #[must_use]
    pub fn url(&self) -> &TargetUrl {
        &self.url
    }

    /// The headers of its requests; every value is marked sensitive.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.header_map
    }

    /// The same headers in the file's order, with their names as written and their sources.
    #[must_use]
    pub fn header_list(&self) -> &[Header] {
        &self.headers
    }

    /// How long connecting may take, TLS included.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How long the answer's status line may take, from connected.
    #[must_use]
    pub fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Which new states it gets.
    #[must_use]
    pub fn statuses(&self) -> &StatusFilter {
        &self.statuses
    }

    /// Which jobs' events it gets.
    #[must_use]
    pub fn jobs(&self) -> &JobFilter {
        &self.jobs
    }

    /// Whether it gets events without an old state.
    #[must_use]
    pub fn initial_events(&self) -> bool {
        self.initial_events
    }

    /// What a delivery's body is.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// What is promised of a delivery.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// When a failed delivery is tried again.
    #[must_use]
    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// The most attempts under way at once.
    #[must_use]
    pub fn concurrency(&self) -> NonZeroUsize {
        self.concurrency
    }

    /// The most of its events that are held in memory.
    #[must_use]
    pub fn window(&self) -> NonZeroUsize {
        self.window
    }

    /// The most bytes of an answer's body that are read.
    #[must_use]
    pub fn max_response_bytes(&self) -> u64 {
        self.max_response_bytes
    }

    /// The most attempts that are begun in a second.
    #[must_use]
    pub fn max_per_second(&self) -> Option<NonZeroU32> {
        self.max_per_second
    }

    /// How its deliveries are signed.
    #[must_use]
    pub fn signing(&self) -> Option<&Signing> {
        self.signing.as_ref()
    }

    /// What its TLS connections trust and present.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The proxy that it is reached through.
    #[must_use]
    pub fn proxy(&self) -> Option<&ProxyUrl> {
        self.proxy.as_ref()
    }

    /// Whether it gets this event, by its statuses, its jobs and whether it takes initial events.
    #[must_use]
    pub fn accepts(&self, event: &EventHeader<'_>) -> bool {
        (self.initial_events || event.old_state.is_some())
            && self.statuses.accepts(event.new_state.as_ref())
            && self.jobs.accepts(event)
    }
}
