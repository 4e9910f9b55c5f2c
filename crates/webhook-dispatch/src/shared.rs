//! What all layers share: clock, ids, outcomes, incidents, counters. Uses no other layer.

mod attempt_log;
mod attempt_record;
mod batch_id;
mod breaker_state;
mod channel_observer;
pub(crate) mod clock;
pub(crate) mod event_ids;
pub(crate) mod event_summary;
mod hold;
mod incident;
mod input_stats;
mod outcome;
mod progress;
mod reason;
mod refusal;
pub(crate) mod stats;
mod stored_event;
pub(crate) mod sync;
mod tracer;

use self::event_ids::EventIds;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use self::attempt_log::AttemptLog;
pub use self::attempt_log::{ATTEMPTS_KEPT, AttemptFilter, AttemptPage};
pub use self::attempt_record::AttemptRecord;
pub use self::batch_id::BatchId;
pub use self::breaker_state::{BreakerCause, BreakerState};
pub use self::channel_observer::ChannelObserver;
pub use self::clock::{Clock, SystemClock, rfc3339};
pub use self::hold::{Hold, HoldReason};
pub(crate) use self::incident::shown_task;
pub use self::incident::{Incident, NextStep, Observer, Silent};
pub(crate) use self::input_stats::InputCounters;
pub use self::input_stats::InputStats;
pub use self::outcome::Outcome;
pub(crate) use self::progress::ProgressNotifier;
pub use self::reason::Reason;
pub use self::refusal::Refusal;
pub use self::stats::{AuroraCounters, Latencies, Stats, TargetStats};
pub(crate) use self::stored_event::queue_key;
pub use self::stored_event::{event_attributes, event_key};
pub use self::tracer::{TracedAttempt, Tracer};

/// The `User-Agent` of requests whose target sets none.
pub(crate) const DEFAULT_USER_AGENT: &str = concat!("webhookd/", env!("CARGO_PKG_VERSION"));

/// What every layer of one dispatcher shares.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) ids: EventIds,
    pub(crate) progress: Arc<ProgressNotifier>,
    /// Whether the dispatcher refuses new events.
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, observer: Arc<dyn Observer>, ids: EventIds) -> Shared {
        Shared {
            clock,
            observer,
            ids,
            progress: Arc::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Makes the dispatcher refuse new events.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether the dispatcher refuses new events.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}
