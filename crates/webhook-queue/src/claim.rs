//! Which part of a queue this process may deliver.
//!
//! A queue that several processes share divides its keys into *slots*. One process at a time has a
//! claim to a slot. A queue of one process has one slot, which is always its own.

use std::sync::Arc;

/// A claim to a slot: its number, and the fence, which grows each time the slot gets another owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "made by queues")]
pub struct Claim {
    /// The slot of a key.
    pub slot: u16,
    /// The fence at the time of the claim.
    pub fence: u64,
}

impl Claim {
    /// The claim to the only slot of a queue that is not shared.
    pub const SOLE: Claim = Claim { slot: 0, fence: 0 };
}

/// Permission to deliver an entry, from [`Queue::guard`](crate::Queue::guard). While it or a clone
/// exists, the queue does not give the slot to another process, unless this one loses its lease. It
/// goes with the [`Settlement`](crate::Settlement), so that the outcome is committed before.
#[derive(Clone, Debug)]
pub struct SlotGuard {
    claim: Claim,
    /// Counts the guards of the slot.
    _users: Option<Arc<()>>,
}

impl SlotGuard {
    /// For a queue that is not shared, and for settlements that concern no entry.
    pub const SOLE: SlotGuard = SlotGuard {
        claim: Claim::SOLE,
        _users: None,
    };

    /// A guard that is counted by the references to `users`.
    #[must_use]
    pub fn counted(claim: Claim, users: Arc<()>) -> SlotGuard {
        SlotGuard {
            claim,
            _users: Some(users),
        }
    }

    /// The claim that it was given for.
    #[must_use]
    pub fn claim(&self) -> Claim {
        self.claim
    }
}

/// What has happened to a shared queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by queues")]
pub struct News {
    /// Entries were appended after those read so far, by this process or another.
    pub appended: bool,
    /// Entries before those read so far are owed now: slots were claimed, or dead letters replayed.
    /// Read from the beginning again.
    pub reread: bool,
}

impl News {
    /// Whether nothing has happened.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == News::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_has_its_claim_and_is_counted_with_its_clones() {
        let claim = Claim { slot: 3, fence: 9 };
        let users = Arc::new(());
        let guard = SlotGuard::counted(claim, Arc::clone(&users));
        let clone = guard.clone();
        assert_eq!((guard.claim(), clone.claim()), (claim, claim));
        assert_eq!(Arc::strong_count(&users), 3);
        drop((guard, clone));
        assert_eq!(Arc::strong_count(&users), 1);
        assert_eq!(SlotGuard::SOLE.claim(), Claim::SOLE);
    }

    #[test]
    fn there_is_news_of_what_was_appended_and_of_what_is_to_be_read_again() {
        for (appended, reread) in [(true, false), (false, true), (true, true)] {
            assert!(!News { appended, reread }.is_none());
        }
        assert!(News::default().is_none());
    }
}
