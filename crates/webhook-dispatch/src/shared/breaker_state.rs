//! The state of a target's circuit breaker, for statistics.

/// The state of a target's circuit breaker, for statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Attempts go through.
    Closed,
    /// No attempt is made until the back-off has passed.
    Open,
    /// One attempt, the probe, is under way. Its result closes or opens the breaker.
    HalfOpen,
    /// The receiver answered 410 Gone. No attempt is made until the target is restarted
    /// ([`Control::restart`](crate::Control::restart)) or the configuration reloaded.
    Stopped,
}
