//! How far each target has read, and under which claims.

use std::collections::HashMap;
use std::sync::Arc;

use webhook_queue::Claim;

use crate::log::TargetId;

/// The reads of one target since it began at the first entry. It sees the slots that were claimed
/// then: entries of slots claimed later may be before its cursor, so it would read them out of order.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The generation of the tail that it began in.
    generation: u64,
    /// The fence of each slot then.
    fences: Arc<[u64]>,
    /// No entry after the first one, up to the second, is owed.
    gap: (u64, u64),
}

impl Session {
    /// Where a read after `after` begins.
    pub(crate) fn begin(&self, after: u64) -> u64 {
        let (low, high) = self.gap;
        match low <= after && after < high {
            true => high,
            false => after,
        }
    }

    /// The slots with a claim.
    pub(crate) fn slots(&self) -> Vec<i16> {
        let claimed = (0..).zip(self.fences.iter());
        claimed
            .filter(|(_, fence)| **fence > 0)
            .map(|(slot, _)| slot)
            .collect()
    }

    /// The claim to a slot.
    pub(crate) fn claim(&self, slot: u16) -> Claim {
        let fence = self.fences.get(usize::from(slot)).copied();
        Claim {
            slot,
            fence: fence.unwrap_or(0),
        }
    }

    /// Whether the session sees the entries that were read under this claim.
    pub(crate) fn sees(&self, claim: Claim) -> bool {
        self.claim(claim.slot) == claim
    }
}

/// The sessions of all targets.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    targets: HashMap<TargetId, Session>,
}

impl Sessions {
    /// The session for a read after `after`: a new one at the first entry if slots were claimed
    /// since the last one began. `fences` are those of `generation`.
    pub(crate) fn session(
        &mut self,
        target: TargetId,
        after: Option<u64>,
        generation: u64,
        fences: impl FnOnce() -> Vec<u64>,
    ) -> Session {
        match self.targets.get(&target) {
            Some(session) if after.is_some() || session.generation == generation => session.clone(),
            _ => {
                let session = Session {
                    generation,
                    fences: fences().into(),
                    gap: (0, 0),
                };
                self.targets.insert(target, session.clone());
                session
            }
        }
    }

    /// Notes that no entry after `low` up to `high` is owed.
    pub(crate) fn note_gap(&mut self, target: TargetId, read: &Session, (low, high): (u64, u64)) {
        if let Some(session) = self.targets.get_mut(&target)
            && session.generation == read.generation
        {
            session.gap = match low <= session.gap.1 && session.gap.0 <= low {
                // The gap goes on where it ended.
                true => (session.gap.0, high.max(session.gap.1)),
                false => (low, high),
            };
        }
    }

    pub(crate) fn retain(&mut self, exists: impl Fn(TargetId) -> bool) {
        self.targets.retain(|target, _| exists(*target));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_claimed_later_are_seen_after_a_read_from_the_beginning() {
        let mut sessions = Sessions::default();
        let first = sessions.session(1, None, 1, || vec![0, 7]);
        assert_eq!(first.slots(), [1]);
        let on = sessions.session(1, Some(50), 2, || vec![3, 7]);
        assert_eq!(on.slots(), [1]);
        assert!(on.sees(Claim { slot: 1, fence: 7 }) && !on.sees(Claim { slot: 0, fence: 3 }));
        let again = sessions.session(1, None, 2, || vec![3, 7]);
        assert_eq!(again.slots(), [0, 1]);
    }

    #[test]
    fn a_gap_is_not_read_again() {
        let mut sessions = Sessions::default();
        let session = sessions.session(1, None, 1, || vec![1]);
        sessions.note_gap(1, &session, (0, 90));
        let session = sessions.session(1, None, 1, || vec![1]);
        assert_eq!(
            (session.begin(0), session.begin(90), session.begin(95)),
            (90, 90, 95)
        );
        sessions.note_gap(1, &session, (90, 120));
        let session = sessions.session(1, Some(90), 1, || vec![1]);
        assert_eq!((session.begin(0), session.begin(100)), (120, 120));
        sessions.note_gap(1, &session, (130, 140));
        let session = sessions.session(1, Some(130), 1, || vec![1]);
        assert_eq!((session.begin(0), session.begin(130)), (0, 140));
        let session = sessions.session(1, None, 2, || vec![1]);
        assert_eq!(session.begin(0), 0);
    }
}
