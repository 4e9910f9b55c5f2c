//! Configuration from code, with the checks of the file.

use crate::Config;
use crate::filter::{JobFilter, StatusFilter};
use crate::header::{Header, InvalidHeader, header_map};
use crate::limits;
use crate::name::TargetName;
use crate::proxy::ProxyUrl;
use crate::queue::QueueSettings;
use crate::retry::RetryPolicy;
use crate::secret::SecretSource;
use crate::signing::Signing;
use crate::target::{Delivery, Format, Target};
use crate::tls::Tls;
use crate::url::TargetUrl;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// Why settings made in code are not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A header cannot be sent.
    #[error("header {name:?}: {reason}")]
    Header {
        /// The name as given.
        name: String,
        /// Why it cannot be sent.
        reason: InvalidHeader,
    },
    /// A number or duration is outside its range.
    #[error("{key} must be from {least} to {most}")]
    OutOfRange {
        /// The key that it has in the file.
        key: &'static str,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// There is no target.
    #[error("there is no target")]
    NoTargets,
    /// Two targets have the same name.
    #[error("two targets are named {0}")]
    DuplicateName(TargetName),
}

/// Makes a [`Target`].
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
    header_error: Option<BuildError>,
}

impl Target {
    /// Starts from the defaults, a connect time-out of 5 s, and no headers.
    pub fn builder(url: TargetUrl) -> TargetBuilder {
        let target = Target {
            name: TargetName::default(),
            url,
            headers: Vec::new(),
            header_map: http::HeaderMap::new(),
            connect_timeout: limits::DEFAULT_RESPONSE_TIMEOUT,
            response_timeout: limits::DEFAULT_RESPONSE_TIMEOUT,
            statuses: StatusFilter::All,
            jobs: JobFilter::All,
            initial_events: true,
            format: Format::Aurora,
            delivery: Delivery::Reliable,
            retry: RetryPolicy::default(),
            concurrency: limits::DEFAULT_CONCURRENCY,
            window: limits::DEFAULT_WINDOW_RELIABLE,
            max_response_bytes: limits::DEFAULT_MAX_RESPONSE_BYTES,
            max_per_second: None,
            signing: None,
            tls: Tls::default(),
            proxy: None,
        };
        TargetBuilder {
            target,
            response_timeout: None,
            window: None,
            header_error: None,
        }
    }
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
        /// How long connecting may take, TLS included; 1 ms to 2147483647 ms.
        connect_timeout: Duration
        /// Which new states it gets; all if not set.
        statuses: StatusFilter
        /// Which jobs' events it gets; all if not set.
        jobs: JobFilter
        /// Whether it gets events without an old state; it does if not set.
        initial_events: bool
        /// What a delivery's body is.
        format: Format
        /// What is promised of a delivery.
        delivery: Delivery
        /// When a failed delivery is tried again.
        retry: RetryPolicy
        /// The most attempts under way at once; 16 if not set, 4096 at most.
        concurrency: NonZeroUsize
        /// The most bytes of an answer's body that are read; 65536 if not set, 64 MiB at most.
        max_response_bytes: u64
        /// The most attempts that are begun in a second; no bound if not set.
        max_per_second: Option<NonZeroU32>
        /// How its deliveries are signed; not at all if not set.
        signing: Option<Signing>
        /// What its TLS connections trust and present.
        tls: Tls
        /// The proxy that it is reached through; none if not set.
        proxy: Option<ProxyUrl>
    }

    /// How long the answer's status line may take, from connected; the larger of the connect
    /// time-out and 5 s if not set.
    pub fn response_timeout(mut self, response_timeout: Duration) -> Self {
        self.response_timeout = Some(response_timeout);
        self
    }

    /// The most of its events that are held in memory; 1048576 at most. If not set, 4096, and 256
    /// for a best-effort target.
    pub fn window(mut self, window: NonZeroUsize) -> Self {
        self.window = Some(window);
        self
    }

    /// Adds a header; [`Self::build`] says if it cannot be sent.
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

    /// Sets all headers, from wherever their values are.
    pub fn headers(mut self, headers: Vec<Header>) -> Self {
        self.target.headers = headers;
        self
    }

    /// The target.
    ///
    /// # Errors
    /// When a header cannot be sent or a number is outside its range; the first such is named.
    pub fn build(self) -> Result<Target, BuildError> {
        if let Some(error) = self.header_error {
            return Err(error);
        }
        let mut target = self.target;
        target.response_timeout = self
            .response_timeout
            .unwrap_or_else(|| target.connect_timeout.max(limits::DEFAULT_RESPONSE_TIMEOUT));
        target.window = self.window.unwrap_or(match target.delivery {
            Delivery::BestEffort => limits::DEFAULT_WINDOW_BEST_EFFORT,
            _ => limits::DEFAULT_WINDOW_RELIABLE,
        });
        limits::TIMEOUT_MSEC.check_duration("timeoutMsec", target.connect_timeout)?;
        limits::TIMEOUT_MSEC.check_duration("responseTimeoutMsec", target.response_timeout)?;
        limits::CONCURRENCY.check("concurrency", target.concurrency.get() as u64)?;
        limits::WINDOW.check("window", target.window.get() as u64)?;
        limits::MAX_RESPONSE_BYTES.check("maxResponseBytes", target.max_response_bytes)?;
        if let Some(rate) = target.max_per_second {
            limits::MAX_PER_SECOND.check("maxPerSecond", u64::from(rate.get()))?;
        }
        target.header_map = header_map(&target.headers);
        Ok(target)
    }
}

/// Makes a [`Config`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ConfigBuilder {
    targets: Vec<Target>,
    queue: QueueSettings,
    max_event_bytes: usize,
}

impl Config {
    /// Starts from the defaults, and no target.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder {
            targets: Vec::new(),
            queue: QueueSettings::default(),
            max_event_bytes: limits::DEFAULT_MAX_EVENT_BYTES,
        }
    }
}

impl ConfigBuilder {
    /// Adds a target.
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Where undelivered events wait.
    pub fn queue(mut self, queue: QueueSettings) -> Self {
        self.queue = queue;
        self
    }

    /// The most bytes that an event has; 1 MiB if not set.
    pub fn max_event_bytes(mut self, max_event_bytes: usize) -> Self {
        self.max_event_bytes = max_event_bytes;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// When there is no target, two have the same name, or a number is outside its range.
    pub fn build(self) -> Result<Config, BuildError> {
        let ConfigBuilder {
            targets,
            queue,
            max_event_bytes,
        } = self;
        if targets.is_empty() {
            return Err(BuildError::NoTargets);
        }
        let mut names = std::collections::HashSet::new();
        if let Some(twice) = targets
            .iter()
            .find(|target| !names.insert(target.name.clone()))
        {
            return Err(BuildError::DuplicateName(twice.name.clone()));
        }
        limits::QUEUE_BYTES.check("queue.maxBytes", queue.max_bytes)?;
        limits::MAX_EVENT_BYTES.check("maxEventBytes", max_event_bytes as u64)?;
        Ok(Config {
            targets,
            queue,
            max_event_bytes,
        })
    }
}
