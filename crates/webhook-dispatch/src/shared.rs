//! What all rooms share.

pub(crate) mod clock;
pub(crate) mod event_ids;
pub(crate) mod incident;
pub(crate) mod progress;
pub(crate) mod stats;
