//! The state of a target's circuit breaker, to be shown.

/// The state of a breaker, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Attempts go through.
    Closed,
    /// Nothing is tried until the back-off is over.
    Open,
    /// One attempt is under way to find out.
    HalfOpen,
    /// The receiver said 410 Gone: nothing is tried until the target is started again
    /// ([`Control::restart`](crate::Control::restart)).
    Stopped,
}
