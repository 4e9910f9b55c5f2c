//! The slots of this process, and until when it may send their events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use webhook_queue::{Claim, SlotGuard};

/// No claim: fences begin at 1.
const UNCLAIMED: u64 = 0;

/// No lease.
const LAPSED: u64 = 0;

/// The claims of this process. Reading them takes no lock.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Box<[Slot]>,
    /// When the permission to send ends, nanoseconds of [`boot_time`].
    send_until: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    /// The fence of the claim.
    fence: AtomicU64,
    /// Cloned for each guard.
    users: Arc<()>,
}

impl Slots {
    pub(crate) fn new(count: u16) -> Slots {
        Slots {
            slots: (0..count).map(|_| Slot::default()).collect(),
            send_until: AtomicU64::new(0),
        }
    }

    /// How many slots the queue has.
    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.slots.len()).unwrap_or(u16::MAX)
    }

    /// Permission to send an event that was read under this claim, at a time of [`boot_time`].
    pub(crate) fn guard(&self, claim: Claim, now: Duration) -> Option<SlotGuard> {
        let slot = self.slots.get(usize::from(claim.slot))?;
        // The guard counts before the claim is looked at, and `end` ends the claim before
        // `is_unused` looks at the count. So one of them sees the other.
        let guard = SlotGuard::counted(claim, Arc::clone(&slot.users));
        fence(Ordering::SeqCst);
        let is_claimed = claim.fence != UNCLAIMED && self.is_current(claim);
        (is_claimed && self.is_leased(now)).then_some(guard)
    }

    /// Whether a claim has not ended.
    pub(crate) fn is_current(&self, claim: Claim) -> bool {
        let slot = self.slots.get(usize::from(claim.slot));
        slot.is_some_and(|it| it.fence.load(Ordering::Acquire) == claim.fence)
    }

    /// The fence of each slot for reading at a time of [`boot_time`]; 0 without a claim. What must
    /// not be sent need not be read.
    pub(crate) fn fences(&self, now: Duration) -> Vec<u64> {
        match self.is_leased(now) {
            true => self.all_fences(),
            false => vec![UNCLAIMED; self.slots.len()],
        }
    }

    fn all_fences(&self) -> Vec<u64> {
        let fences = self.slots.iter().map(|it| it.fence.load(Ordering::Acquire));
        fences.collect()
    }

    /// Whether sending is allowed. Once it was found to be not, the lease has lapsed, and only
    /// [`extend`](Slots::extend) begins another: events that a reader was not shown meanwhile would
    /// otherwise be behind its cursor.
    fn is_leased(&self, now: Duration) -> bool {
        let mut until = self.send_until.load(Ordering::Acquire);
        while nanoseconds(now) >= until {
            let lapsed = self.send_until.compare_exchange(
                until,
                LAPSED,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match lapsed {
                Ok(_) | Err(LAPSED) => return false,
                Err(extended) => until = extended,
            }
        }
        true
    }

    /// The claims, also while the lease is not known to be renewed.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let all = (0..).zip(self.all_fences());
        all.filter(|(_, fence)| *fence != UNCLAIMED)
            .map(|(slot, fence)| Claim { slot, fence })
            .collect()
    }

    /// Allows sending up to a time of [`boot_time`]. If the lease has lapsed, all claims end: false.
    pub(crate) fn extend(&self, send_until: Duration) -> bool {
        let send_until = nanoseconds(send_until);
        let longer = |until| match until {
            LAPSED => None,
            until => Some(send_until.max(until)),
        };
        let extended = self
            .send_until
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, longer);
        if extended.is_err() {
            self.end_all();
            self.send_until.store(send_until, Ordering::Release);
        }
        extended.is_ok()
    }

    /// Begins a claim. All settlements of earlier owners are known by now.
    pub(crate) fn begin(&self, claim: Claim) {
        if let Some(slot) = self.slots.get(usize::from(claim.slot)) {
            slot.fence.store(claim.fence, Ordering::Release);
        }
    }

    /// Ends the claim to a slot: no guard is given from now on.
    pub(crate) fn end(&self, slot: u16) {
        if let Some(slot) = self.slots.get(usize::from(slot)) {
            slot.fence.store(UNCLAIMED, Ordering::SeqCst);
        }
    }

    /// Ends all claims.
    pub(crate) fn end_all(&self) {
        for slot in &self.slots {
            slot.fence.store(UNCLAIMED, Ordering::SeqCst);
        }
    }

    /// Whether no guard of a slot exists. Once its claim has [ended](Slots::end), this stays so.
    pub(crate) fn is_unused(&self, slot: u16) -> bool {
        fence(Ordering::SeqCst);
        let slot = self.slots.get(usize::from(slot));
        slot.is_none_or(|it| Arc::strong_count(&it.users) == 1)
    }
}

/// A clock that goes on while the machine is suspended and is not set.
pub(crate) fn boot_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    const NOW: Duration = Duration::from_secs(100);

    fn claim(slot: u16, fence: u64) -> Claim {
        Claim { slot, fence }
    }

    fn leased(slots: u16) -> Slots {
        let slots = Slots::new(slots);
        slots.extend(NOW + Duration::from_secs(1));
        slots
    }

    #[test]
    fn a_guard_needs_the_current_claim_and_a_lease() {
        let slots = leased(2);
        assert!(slots.guard(claim(1, 0), NOW).is_none());
        slots.begin(claim(1, 3));
        assert!(slots.guard(claim(1, 3), NOW).is_some());
        for other in [claim(1, 2), claim(1, 4), claim(0, 3), claim(2, 3)] {
            assert!(slots.guard(other, NOW).is_none(), "{other:?}");
        }
        let expired = NOW + Duration::from_secs(1);
        let later = expired + Duration::from_secs(1);
        assert!(slots.extend(expired) && slots.extend(later));
        assert!(slots.guard(claim(1, 3), expired).is_some());
        assert!(slots.guard(claim(1, 3), later).is_none());
        assert!(
            !slots.extend(later + Duration::from_secs(1)),
            "it has lapsed"
        );
        assert!(slots.guard(claim(1, 3), later).is_none());
        assert_eq!(slots.fences(later), [0, 0]);
        slots.begin(claim(1, 4));
        assert_eq!(slots.fences(later), [0, 4]);
        slots.end_all();
        assert!(slots.guard(claim(1, 3), expired).is_none());
        assert_eq!(slots.claims(), []);
    }

    #[test]
    fn a_slot_is_used_as_long_as_a_guard_or_a_clone_exists() {
        let slots = leased(1);
        slots.begin(claim(0, 1));
        let guard = slots.guard(claim(0, 1), NOW).expect("it is claimed");
        let clone = guard.clone();
        slots.end(0);
        drop(guard);
        assert!(!slots.is_unused(0));
        drop(clone);
        assert!(slots.is_unused(0));
    }

    #[test]
    fn no_guard_is_given_after_a_slot_was_found_unused() {
        let slots = leased(1);
        let given = AtomicBool::new(false);
        for fence in 1..2_000 {
            slots.begin(claim(0, fence));
            given.store(false, Ordering::SeqCst);
            thread::scope(|scope| {
                scope.spawn(|| {
                    if let Some(guard) = slots.guard(claim(0, fence), NOW) {
                        given.store(true, Ordering::SeqCst);
                        drop(guard);
                        given.store(false, Ordering::SeqCst);
                    }
                });
                slots.end(0);
                if slots.is_unused(0) {
                    // A guard that was dropped before may still be marked as given.
                    assert!(slots.guard(claim(0, fence), NOW).is_none());
                }
            });
            assert!(slots.is_unused(0));
        }
    }
}
