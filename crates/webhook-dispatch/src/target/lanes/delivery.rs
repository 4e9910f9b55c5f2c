//! An event on its way to its target.

use super::content::Content;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;
use webhook_queue::{Claim, EntryId, EventId, SlotGuard};

/// One event on its way to one target, without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The number of its entry in the queue.
    pub(crate) entry: EntryId,
    /// The claim under which it was read.
    pub(crate) claim: Claim,
    /// Its `webhook-id`.
    pub(crate) id: EventId,
    /// When it was accepted, epoch milliseconds.
    pub(crate) accepted_at: u64,
    /// Attempts made.
    pub(crate) attempts: u32,
    /// How many of them were made before `not_before`, to find out whether the receiver works
    /// again. They do not count towards `maxAttempts`. Forgotten at a restart.
    pub(crate) early: u32,
    /// How often a recovery of the receiver cut its back-off short; forgotten at a restart.
    pub(crate) recovered: u8,
    /// The breaker's number of recoveries at the first failure; `None` before it, and after a
    /// restart.
    pub(crate) failed_in: Option<u32>,
    /// When it was submitted to this process; `None` if it was read from the queue.
    pub(crate) submitted: Option<Instant>,
    /// When it was first attempted, epoch milliseconds; unknown after a restart.
    pub(crate) first_attempt_at: Option<u64>,
    /// When its back-off has passed.
    pub(crate) not_before: Option<Instant>,
    /// The batch in which it failed, whose next attempt has the same events.
    pub(crate) batch: Option<BatchTag>,
}

impl Delivery {
    /// An event that was never attempted.
    pub(crate) fn new(entry: EntryId, claim: Claim, id: EventId, accepted_at: u64) -> Delivery {
        Delivery {
            entry,
            claim,
            id,
            accepted_at,
            attempts: 0,
            early: 0,
            recovered: 0,
            failed_in: None,
            submitted: None,
            first_attempt_at: None,
            not_before: None,
            batch: None,
        }
    }

    /// Takes over how often the batch was attempted, and when it is to be again.
    pub(super) fn join(&mut self, first: &Delivery) {
        *self = Delivery {
            entry: self.entry,
            claim: self.claim,
            id: self.id,
            accepted_at: self.accepted_at,
            submitted: self.submitted,
            ..*first
        };
    }
}

/// A lane's first event, to be attempted.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) lane: LaneId,
    /// Identifies the key among those of the same lanes.
    pub(crate) key_hash: u64,
    pub(crate) kind: Kind,
    pub(crate) key: Arc<[u8]>,
    pub(crate) delivery: Delivery,
    pub(crate) content: Content,
    /// The permission to deliver it.
    pub(crate) guard: SlotGuard,
}

/// Identifies a lane as long as the lane exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneId(pub(super) usize);

/// Whether a lane's first event was attempted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    First,
    Retry,
}

impl Kind {
    pub(crate) fn of(delivery: &Delivery) -> Kind {
        if delivery.attempts == 0 {
            Kind::First
        } else {
            Kind::Retry
        }
    }
}

/// Identifies a batch that failed: the time of its next attempt, epoch milliseconds, unique among the
/// target's waiting batches. The queue keeps it as each event's `not_before`, so that the batch has
/// the same events after a restart, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BatchTag(NonZeroU64);

impl BatchTag {
    /// `None` for 0, which is no time of a retry.
    pub(crate) fn new(epoch_ms: u64) -> Option<BatchTag> {
        NonZeroU64::new(epoch_ms).map(BatchTag)
    }

    /// Epoch milliseconds.
    pub(crate) fn get(self) -> u64 {
        self.0.get()
    }

    /// The tag for a millisecond later.
    pub(crate) fn next(self) -> BatchTag {
        BatchTag(self.0.saturating_add(1))
    }
}
