//! A change of a target's state.

use crate::shared::BreakerCause;
use std::time::Duration;

/// A change of a target's state by an attempt's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateChange {
    /// The breaker opened, for this time at least.
    BreakerOpened(BreakerCause, Duration),
    /// The breaker closed.
    BreakerClosed,
    /// The target stopped, by a 410.
    Stopped,
}
