//! The hook for tracing: it keeps tracing libraries and protocols out of this crate.

use crate::shared::outcome::Outcome;
use std::time::{Duration, SystemTime};
use webhook_config::Target;
use webhook_event::TraceContext;
use webhook_queue::EventId;

/// Receives the attempts at events whose trace is sampled.
///
/// With a tracer, a request of such events names its attempt as their parent in `traceparent`; without one,
/// the header goes on as it came.
pub trait Tracer: Send + Sync {
    /// Receives an attempt that has ended. It is called on the thread that delivers, so it must take next to
    /// no time. A panic is caught and ignored.
    fn attempt(&self, attempt: &TracedAttempt<'_>);
}

/// An attempt at events of which at least one belongs to a sampled trace.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TracedAttempt<'a> {
    /// The target.
    pub target: &'a Target,
    /// The id of the attempt's span.
    pub span_id: u64,
    /// The sampled traces of its events, each once.
    pub traces: Vec<TraceContext>,
    /// Whether all its events share the one trace. If not, the request named none.
    pub is_shared: bool,
    /// Its events.
    pub events: usize,
    /// The id of its first event.
    pub id: EventId,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When it began.
    pub started_at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// The class of its result.
    pub outcome: Outcome,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What happened, as text; empty if the events were delivered.
    pub error: &'a str,
}
