//! Why a target is held, for statistics.

/// Why a target is held: it gets no event, or one now and then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hold {
    /// Why.
    pub reason: HoldReason,
    /// Until when, epoch milliseconds; `None` until an event is delivered.
    pub until: Option<u64>,
    /// What happened, as text.
    pub detail: String,
}

/// The kind of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HoldReason {
    /// The receiver asked for a pause by `Retry-After`. No attempt is made.
    RetryAfter,
    /// The receiver refused the events of many tasks in a row
    /// ([`BreakerCause::Refusals`](crate::BreakerCause::Refusals)).
    Refusals,
}

impl HoldReason {
    /// Every reason.
    pub const ALL: &'static [HoldReason] = &[HoldReason::RetryAfter, HoldReason::Refusals];

    /// Its name in listings and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            HoldReason::RetryAfter => "retry-after",
            HoldReason::Refusals => "refusals",
        }
    }
}
