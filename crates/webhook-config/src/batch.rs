//! Batches: requests with several events.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How many events of a target share a request, and how long one waits for others.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use webhook_config::{BatchPolicy, Format, Target, TargetUrl};
///
/// let [events, bytes] = [100, 1 << 20].map(|it| NonZeroUsize::new(it).unwrap());
/// let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?)
///     .format(Format::Ndjson)
///     .batch(Some(BatchPolicy::new(events, bytes, Duration::from_millis(50))))
///     .build()?;
/// assert_eq!(target.batch().unwrap().max_events(), events);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    max_events: NonZeroUsize,
    max_bytes: NonZeroUsize,
    max_wait: Duration,
}

impl BatchPolicy {
    /// At most so many events (1 to 1000) of so many bytes (1 KiB to 4 MiB) in a request, each of which
    /// waits at most so long for others (60 s at most); a [`TargetBuilder`](crate::TargetBuilder) refuses
    /// other numbers.
    #[must_use]
    pub fn new(max_events: NonZeroUsize, max_bytes: NonZeroUsize, max_wait: Duration) -> Self {
        BatchPolicy {
            max_events,
            max_bytes,
            max_wait,
        }
    }

    /// The most events in a request.
    #[must_use]
    pub fn max_events(&self) -> NonZeroUsize {
        self.max_events
    }

    /// The most bytes of the events in a request, without what the format adds. A longer event is sent alone.
    #[must_use]
    pub fn max_bytes(&self) -> NonZeroUsize {
        self.max_bytes
    }

    /// The longest wait for more events while other requests are under way.
    #[must_use]
    pub fn max_wait(&self) -> Duration {
        self.max_wait
    }
}

impl Default for BatchPolicy {
    /// 100 events, 1 MiB and 5 ms.
    fn default() -> Self {
        BatchPolicy {
            max_events: NonZeroUsize::new(100).expect("100 is not 0"),
            max_bytes: NonZeroUsize::new(1 << 20).expect("1 MiB is not 0"),
            max_wait: Duration::from_millis(5),
        }
    }
}
