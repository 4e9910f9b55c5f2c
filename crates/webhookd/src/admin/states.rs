//! Names of states.

use webhook_dispatch::{BreakerState, TargetStats};

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

/// The state of a target, by name: what an operator sees first.
pub(super) fn target_state(target: &TargetStats) -> &'static str {
    match target.breaker {
        _ if target.paused => "paused",
        BreakerState::Stopped => "stopped",
        _ if target.hold.is_some() => "held",
        BreakerState::Open => "breaker-open",
        BreakerState::HalfOpen => "half-open",
        _ if target.waiting_tasks > 0 => "retrying",
        _ => "ok",
    }
}
