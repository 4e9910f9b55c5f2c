//! A receiver of events and the settings of its deliveries.

use crate::batch::BatchPolicy;
use crate::breaker::BreakerPolicy;
use crate::delivery::{Delivery, Format, Method};
use crate::filter::{JobFilter, StatusFilter};
use crate::header::{Header, header_map};
use crate::input::InputFilter;
use crate::limits::{self, BuildError};
use crate::name::TargetName;
use crate::oauth2::OAuth2;
use crate::proxy::ProxyUrl;
use crate::retention::Retention;
use crate::retry::RetryPolicy;
use crate::secret::SecretSource;
use crate::signing::Signing;
use crate::tls::Tls;
use crate::url::TargetUrl;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;
use webhook_event::{CloudEventTemplate, Condition, Template};

/// A receiver of events and the settings of its deliveries. Made by
/// [`Config::load`](crate::Config::load) or a [`TargetBuilder`](crate::TargetBuilder); every value
/// has passed its checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    name: TargetName,
    url: TargetUrl,
    method: Method,
    headers: Vec<Header>,
    header_map: HeaderMap,
    connect_timeout: Duration,
    response_timeout: Duration,
    inputs: InputFilter,
    statuses: StatusFilter,
    jobs: JobFilter,
    conditions: Vec<Condition>,
    initial_events: bool,
    format: Format,
    template: Option<Template>,
    max_body_bytes: usize,
    cloud_events: CloudEventTemplate,
    batch: Option<BatchPolicy>,
    delivery: Delivery,
    retry: RetryPolicy,
    breaker: BreakerPolicy,
    concurrency: NonZeroUsize,
    window: NonZeroUsize,
    max_response_bytes: u64,
    max_connection_age: Duration,
    max_per_second: Option<NonZeroU32>,
    max_owed_bytes: Option<u64>,
    retain: Option<Retention>,
    signing: Option<Signing>,
    oauth2: Option<OAuth2>,
    tls: Tls,
    proxy: Option<ProxyUrl>,
}

impl Target {
    /// Starts with the defaults, a connect time-out of 5 s and no headers.
    pub fn builder(url: TargetUrl) -> TargetBuilder {
        let target = Target {
            name: TargetName::default(),
            url,
            method: Method::default(),
            headers: Vec::new(),
            header_map: http::HeaderMap::new(),
            connect_timeout: limits::DEFAULT_RESPONSE_TIMEOUT,
            response_timeout: limits::DEFAULT_RESPONSE_TIMEOUT,
            inputs: InputFilter::All,
            statuses: StatusFilter::All,
            jobs: JobFilter::All,
            conditions: Vec::new(),
            initial_events: true,
            format: Format::Aurora,
            template: None,
            max_body_bytes: limits::DEFAULT_MAX_BODY_BYTES,
            cloud_events: CloudEventTemplate::default(),
            batch: None,
            delivery: Delivery::Reliable,
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
            concurrency: limits::DEFAULT_CONCURRENCY,
            window: limits::default_window(Delivery::Reliable, false),
            max_response_bytes: limits::default_response_bytes(1),
            max_connection_age: limits::DEFAULT_MAX_CONNECTION_AGE,
            max_per_second: None,
            max_owed_bytes: None,
            retain: None,
            signing: None,
            oauth2: None,
            tls: Tls::default(),
            proxy: None,
        };
        TargetBuilder {
            target,
            response_timeout: None,
            window: None,
            max_response_bytes: None,
            header_error: None,
        }
    }

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

    /// The method of its requests.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The headers of its requests. Every value is marked sensitive.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.header_map
    }

    /// The same headers in the order of the file, with their names as written and their sources.
    #[must_use]
    pub fn header_list(&self) -> &[Header] {
        &self.headers
    }

    /// The connect time-out, TLS handshake included.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The time-out for the response's status line, counted from the connection.
    #[must_use]
    pub fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// The inputs whose events it gets.
    #[must_use]
    pub fn inputs(&self) -> &InputFilter {
        &self.inputs
    }

    /// The new states that it gets.
    #[must_use]
    pub fn statuses(&self) -> &StatusFilter {
        &self.statuses
    }

    /// The jobs whose events it gets.
    #[must_use]
    pub fn jobs(&self) -> &JobFilter {
        &self.jobs
    }

    /// Conditions that all of its events meet.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Whether it gets events without an old state.
    #[must_use]
    pub fn initial_events(&self) -> bool {
        self.initial_events
    }

    /// The format of a delivery's body.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The template of the body, if that is the format.
    #[must_use]
    pub fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    /// The most bytes of a body that the template may make.
    #[must_use]
    pub fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// The templates of a CloudEvent's `source` and `type`.
    #[must_use]
    pub fn cloud_events(&self) -> &CloudEventTemplate {
        &self.cloud_events
    }

    /// How many events share a request; each has its own if not set.
    #[must_use]
    pub fn batch(&self) -> Option<&BatchPolicy> {
        self.batch.as_ref()
    }

    /// The guarantee of a delivery.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// When a failed delivery is retried.
    #[must_use]
    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// The bounds of its circuit breaker.
    #[must_use]
    pub fn breaker(&self) -> &BreakerPolicy {
        &self.breaker
    }

    /// The most concurrent attempts.
    #[must_use]
    pub fn concurrency(&self) -> NonZeroUsize {
        self.concurrency
    }

    /// The most of its events that are in memory.
    #[must_use]
    pub fn window(&self) -> NonZeroUsize {
        self.window
    }

    /// The most bytes of a response's body that are read.
    #[must_use]
    pub fn max_response_bytes(&self) -> u64 {
        self.max_response_bytes
    }

    /// The age at which a connection is replaced by a new one before the next request.
    #[must_use]
    pub fn max_connection_age(&self) -> Duration {
        self.max_connection_age
    }

    /// The most attempts started in a second; one of a batch counts once for each of its events.
    #[must_use]
    pub fn max_per_second(&self) -> Option<NonZeroU32> {
        self.max_per_second
    }

    /// The most bytes of the queue that events owed to it may take. Without a bound, as many as are
    /// free, if there are several reliable targets.
    #[must_use]
    pub fn max_owed_bytes(&self) -> Option<u64> {
        self.max_owed_bytes
    }

    /// What is kept of its deliveries; nothing if not set.
    #[must_use]
    pub fn retain(&self) -> Option<&Retention> {
        self.retain.as_ref()
    }

    /// How its deliveries are signed.
    #[must_use]
    pub fn signing(&self) -> Option<&Signing> {
        self.signing.as_ref()
    }

    /// How the access token of its requests is obtained; they have none if not set.
    #[must_use]
    pub fn oauth2(&self) -> Option<&OAuth2> {
        self.oauth2.as_ref()
    }

    /// The certificates that its TLS connections trust and present.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The proxy for its requests.
    #[must_use]
    pub fn proxy(&self) -> Option<&ProxyUrl> {
        self.proxy.as_ref()
    }
}

/// Builds a [`Target`].
///
/// ```
/// use std::time::Duration;
/// use webhook_config::{Target, TargetUrl};
///
/// let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?)
///     .connect_timeout(Duration::from_millis(500))
///     .header("Content-Type", "application/json")
///     .build()?;
/// assert_eq!(target.response_timeout(), Duration::from_secs(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TargetBuilder {
    target: Target,
    response_timeout: Option<Duration>,
    window: Option<NonZeroUsize>,
    max_response_bytes: Option<u64>,
    header_error: Option<BuildError>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty)*) => {
        $($(#[$doc])*
        pub fn $name(mut self, $name: $type) -> Self {
            self.target.$name = $name;
            self
        })*
    };
}

impl TargetBuilder {
    setters! {
        /// Its name; `default` if not set.
        name: TargetName
        /// The method of its requests; POST if not set.
        method: Method
        /// The connect time-out, TLS handshake included; 1 ms to 2147483647 ms.
        connect_timeout: Duration
        /// The inputs whose events it gets; all if not set.
        inputs: InputFilter
        /// The new states that it gets; all if not set.
        statuses: StatusFilter
        /// The jobs whose events it gets; all if not set.
        jobs: JobFilter
        /// Conditions that all of its events meet; none if not set.
        conditions: Vec<Condition>
        /// Whether it gets events without an old state; it does if not set.
        initial_events: bool
        /// The format of a delivery's body. Use [`Self::template`] for a template.
        format: Format
        /// The most bytes of a body that the template may make; 2 MiB if not set, 64 MiB at most.
        max_body_bytes: usize
        /// The templates of a CloudEvent's `source` and `type`; defaults by the event if not set.
        cloud_events: CloudEventTemplate
        /// How many events share a request; each has its own if not set. The format must have room for
        /// several events, and `max_events` may be a quarter of the window.
        batch: Option<BatchPolicy>
        /// The guarantee of a delivery.
        delivery: Delivery
        /// When a failed delivery is retried.
        retry: RetryPolicy
        /// The bounds of its circuit breaker.
        breaker: BreakerPolicy
        /// The most concurrent attempts; 16 if not set, 4096 at most.
        concurrency: NonZeroUsize
        /// The age at which a connection is replaced by a new one before the next request; 300 s
        /// if not set, 1 ms to 2147483647 ms.
        max_connection_age: Duration
        /// The most attempts started in a second; no bound if not set.
        max_per_second: Option<NonZeroU32>
        /// The most bytes of the queue that events owed to it may take; 16 TiB at most. If not
        /// set, as many as are free, if there are several reliable targets.
        max_owed_bytes: Option<u64>
        /// What is kept of its deliveries; nothing if not set, and of a best-effort target.
        retain: Option<Retention>
        /// How its deliveries are signed; unsigned if not set.
        signing: Option<Signing>
        /// How the access token of its requests is obtained; they have none if not set. Excludes a
        /// header `Authorization`.
        oauth2: Option<OAuth2>
        /// The certificates that its TLS connections trust and present.
        tls: Tls
        /// The proxy for its requests; none if not set.
        proxy: Option<ProxyUrl>
    }

    /// The template of the body; the format is [`Format::Template`].
    pub fn template(mut self, template: Template) -> Self {
        self.target.format = Format::Template;
        self.target.template = Some(template);
        self
    }

    /// The time-out for the response's status line, counted from the connection; the larger of the
    /// connect time-out and 5 s if not set.
    pub fn response_timeout(mut self, response_timeout: Duration) -> Self {
        self.response_timeout = Some(response_timeout);
        self
    }

    /// The most of its events that are in memory; 1048576 at most. If not set, 4096, and 256 for a
    /// best-effort target without batches.
    pub fn window(mut self, window: NonZeroUsize) -> Self {
        self.window = Some(window);
        self
    }

    /// The most bytes of a response's body that are read; 64 MiB at most. If not set, 65536, or 512 for
    /// each event of a batch.
    pub fn max_response_bytes(mut self, max_response_bytes: u64) -> Self {
        self.max_response_bytes = Some(max_response_bytes);
        self
    }

    /// Adds a header; [`Self::build`] fails if it cannot be sent.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match Header::new(name, value, SecretSource::Literal) {
            Ok(header) => self.target.headers.push(header),
            Err(reason) if self.header_error.is_none() => {
                self.header_error = Some(BuildError::Header {
                    name: name.to_owned(),
                    reason,
                });
            }
            Err(_) => {}
        }
        self
    }

    /// Replaces all headers.
    pub fn headers(mut self, headers: Vec<Header>) -> Self {
        self.target.headers = headers;
        self
    }

    /// Builds the target.
    ///
    /// # Errors
    /// When a header cannot be sent or a number is out of range. The error names the first.
    pub fn build(self) -> Result<Target, BuildError> {
        if let Some(error) = self.header_error {
            return Err(error);
        }
        let mut target = self.target;
        target.response_timeout = self
            .response_timeout
            .unwrap_or_else(|| target.connect_timeout.max(limits::DEFAULT_RESPONSE_TIMEOUT));
        let default_window = limits::default_window(target.delivery, target.batch.is_some());
        target.window = self.window.unwrap_or(default_window);
        let events = target.batch.map_or(1, |batch| batch.max_events().get());
        target.max_response_bytes = self
            .max_response_bytes
            .unwrap_or_else(|| limits::default_response_bytes(events));
        if target.delivery == Delivery::BestEffort {
            target.retain = None;
        }
        limits::TIMEOUT_MSEC.check_duration("timeoutMsec", target.connect_timeout)?;
        limits::TIMEOUT_MSEC.check_duration("responseTimeoutMsec", target.response_timeout)?;
        limits::TIMEOUT_MSEC.check_duration("maxConnectionAgeMsec", target.max_connection_age)?;
        limits::RETRY_MSEC.check_duration("breaker.maxMsec", target.breaker.max)?;
        let refusals = u64::from(target.breaker.max_refusals.get());
        limits::MAX_REFUSALS.check("breaker.maxRefusals", refusals)?;
        limits::CONCURRENCY.check("concurrency", target.concurrency.get() as u64)?;
        limits::WINDOW.check("window", target.window.get() as u64)?;
        limits::MAX_RESPONSE_BYTES.check("maxResponseBytes", target.max_response_bytes)?;
        if let Some(rate) = target.max_per_second {
            limits::MAX_PER_SECOND.check("maxPerSecond", u64::from(rate.get()))?;
        }
        if let Some(bytes) = target.max_owed_bytes {
            limits::OWED_BYTES.check("maxOwedBytes", bytes)?;
        }
        if let Some(retain) = &target.retain {
            limits::OWED_BYTES.check("retain.maxBytes", retain.max_bytes())?;
            limits::RETRY_MSEC.check_duration("retain.maxAgeMsec", retain.max_age())?;
        }
        if let Some(batch) = &target.batch {
            check_batch(batch, &target)?;
        }
        limits::MAX_BODY_BYTES.check("maxBodyBytes", target.max_body_bytes as u64)?;
        if target.format == Format::Template && target.template.is_none() {
            return Err(BuildError::NoTemplate);
        }
        target.header_map = header_map(&target.headers);
        if target.oauth2.is_some() && target.header_map.contains_key(AUTHORIZATION) {
            return Err(BuildError::TwoAuthorizations);
        }
        Ok(target)
    }
}

fn check_batch(batch: &BatchPolicy, target: &Target) -> Result<(), BuildError> {
    let (max_events, window) = (batch.max_events().get(), target.window.get());
    limits::BATCH_EVENTS.check("batch.maxEvents", max_events as u64)?;
    limits::BATCH_BYTES.check("batch.maxBytes", batch.max_bytes().get() as u64)?;
    limits::BATCH_WAIT_MSEC.check_duration("batch.maxWaitMsec", batch.max_wait())?;
    if !target.format.can_batch() {
        let format = target.format.name();
        return Err(BuildError::NoBatchFormat { format });
    }
    if max_events > limits::most_batched(window) {
        return Err(BuildError::BatchOverWindow { max_events, window });
    }
    Ok(())
}
