//! The decisions of a target's state.

use crate::shared::NextStep;
use crate::target::gate::{Blocked, Permit};
use crate::target::lanes::Due;
use crate::target::state_change::StateChange;
use webhook_queue::{Settlement, SlotGuard};

/// What to do next.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "made for each attempt and taken apart at once"
)]
pub(crate) enum Step {
    /// Make this attempt.
    Attempt(Due, Permit, SlotGuard),
    /// An event is ready, but the gate blocks it.
    Blocked(Blocked),
    /// Nothing is ready, or enough is under way.
    Nothing,
}

/// The decision on an attempt's result.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    /// The settlement or note for the queue.
    pub(crate) settlement: Option<Settlement>,
    /// What follows a failure; `None` after a success.
    pub(crate) follows: Option<NextStep>,
    /// Whether the event is settled: delivered or given up.
    pub(crate) settled: bool,
    /// Whether waiting jobs are recalled.
    pub(crate) recall: bool,
    /// The change of the target's state.
    pub(crate) change: Option<StateChange>,
}
