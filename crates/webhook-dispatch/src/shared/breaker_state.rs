//! The state of a target's circuit breaker, and why it opens.

/// The state of a target's circuit breaker, for statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Attempts go through.
    Closed,
    /// No attempt is made until the back-off has passed, or one a second.
    Open,
    /// One attempt, the probe, is under way. Its result closes or opens the breaker.
    HalfOpen,
    /// The receiver answered 410 Gone. No attempt is made until the target is restarted
    /// ([`Control::restart`](crate::Control::restart)) or the configuration reloaded.
    Stopped,
}

/// Why a target's circuit breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerCause {
    /// Ten attempts in a row had no answer, or were answered by 408, 429 or 503. After a back-off,
    /// one event is attempted, the probe; any answer closes the breaker.
    Unreachable,
    /// The events of fifty tasks in a row were answered by other 5xx, and none was delivered. One
    /// event a second is attempted, until one is delivered.
    ServerErrors,
    /// The events of `breaker.maxRefusals` tasks in a row were refused. One event a second is
    /// attempted, until one is delivered; refused events are kept meanwhile, not given up.
    Refusals,
}

impl BreakerCause {
    /// Every cause.
    pub const ALL: &'static [BreakerCause] = &[
        BreakerCause::Unreachable,
        BreakerCause::ServerErrors,
        BreakerCause::Refusals,
    ];

    /// Its name in listings and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            BreakerCause::Unreachable => "unreachable",
            BreakerCause::ServerErrors => "server-errors",
            BreakerCause::Refusals => "refusals",
        }
    }
}
