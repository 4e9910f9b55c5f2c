//! Exit statuses besides 0 and 1.

/// Bad usage, an unusable configuration or unreadable input.
pub(crate) const UNUSABLE: u8 = 2;
/// Events are left in the queue, to be delivered by the next run.
pub(crate) const OWED: u8 = 3;
