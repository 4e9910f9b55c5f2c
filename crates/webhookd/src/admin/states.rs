//! Names of states.

use webhook_dispatch::BreakerState;

/// The states of a circuit breaker.
pub(super) const BREAKER_STATES: [(BreakerState, &str); 4] = [
    (BreakerState::Closed, "closed"),
    (BreakerState::Open, "open"),
    (BreakerState::HalfOpen, "half-open"),
    (BreakerState::Stopped, "stopped"),
];

/// A breaker's state, by name.
pub(super) fn breaker_name(state: BreakerState) -> &'static str {
    let found = BREAKER_STATES.iter().find(|(known, _)| *known == state);
    found.map_or("unknown", |(_, name)| name)
}
