//! The bounds of a writer.

use std::time::Duration;

/// The bounds of a [`GroupWriter`](crate::GroupWriter).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by callers, `..Default::default()`"
)]
pub struct Limits {
    /// Events that may wait for the writer. As many again may wait for room in a full queue while
    /// others pass them.
    pub waiting_events: usize,
    /// Bytes of keys, bodies and attributes that may wait, and again that may wait for room in a full queue; one
    /// event may always wait, however large.
    pub waiting_bytes: usize,
    /// Events in a group.
    pub group_events: usize,
    /// Bytes of keys, bodies and attributes in a group; one event may always be one. Until a group is on the
    /// disk, it is in memory as pages of 4 KiB: those of its bodies, and at worst some four of the
    /// tables for each settlement.
    pub group_bytes: usize,
    /// Settlements in a group.
    pub group_settlements: usize,
    /// How long settlements wait for others, or for events, before they are a group without events.
    /// They do not wait while events wait for room.
    pub settle_within: Duration,
    /// How many settlements are a group without events at once.
    pub settle_count: usize,
    /// How long events wait, after a commit, for others of the callers that it answered: at most so
    /// long, at most half as long as that commit took, and only until there are as many events as it
    /// had and as came meanwhile. So the event of a caller that is alone does not wait.
    pub gather_within: Duration,
    /// What happens to events that the queue cannot store now.
    pub when_full: WhenFull,
}

impl Default for Limits {
    /// 1024 events and 8 MiB waiting; 512 events, 4 MiB and 768 settlements a group, which is at
    /// most some 16 MiB of pages; settlements and events do not wait for others; `Block`.
    fn default() -> Limits {
        Limits {
            waiting_events: 1024,
            waiting_bytes: 8 << 20,
            group_events: 512,
            group_bytes: 4 << 20,
            group_settlements: 768,
            settle_within: Duration::ZERO,
            settle_count: 256,
            gather_within: Duration::ZERO,
            when_full: WhenFull::Block,
        }
    }
}

/// What happens to events that the queue cannot store now: it is full, or its storage fails in a way
/// that [`is_retryable`](crate::QueueError::is_retryable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// They fail at once, with the error of the commit.
    Fail,
    /// They wait in order, each up to its own deadline; then it fails with the error of the last
    /// commit, or of one that may have taken effect. The commit is tried again after a settlement, and at least each second. An event without
    /// a deadline does not wait. One that finds no room for a second lets shorter ones pass, but
    /// none of its key or its [`Sequence`](crate::Sequence).
    Block,
}
