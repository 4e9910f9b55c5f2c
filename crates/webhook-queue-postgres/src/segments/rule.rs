//! When the oldest segment is copied out and truncated.

use std::time::Duration;

use crate::schema::SEGMENTS;

/// A segment is not copied out while its events are being settled: it is empty soon. This is how long
/// next to nothing was settled.
const STALLED: Duration = Duration::from_secs(5);

/// The state of the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring {
    /// The size from which the next segment begins.
    pub(super) segment_bytes: u64,
    /// Segments in use.
    pub(super) used: usize,
    /// The size of the current one, which grows on while no other is free.
    pub(super) current_bytes: u64,
}

/// What to do about the oldest segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Wait,
    /// Copy events out.
    Park,
    /// Truncate it.
    Truncate,
}

impl Ring {
    /// What to do if `owed` of the `total` entries of the oldest segment are owed, and next to none of
    /// them was settled for as long as `stalled`.
    ///
    /// A copy costs a write, and later a deletion, so it must free much more room than it takes:
    /// at most a tenth is copied. If the ring is full, the current segment grows by what is settled
    /// and by what is owed, so up to three quarters are copied; and any part once the current one is
    /// as large as all the others should be, so that a target that is stuck on one segment does not
    /// keep the settled events of all others.
    pub(super) fn step(&self, owed: u64, total: u64, stalled: Duration) -> Step {
        if owed == 0 {
            return Step::Truncate;
        }
        if stalled < STALLED {
            return Step::Wait;
        }
        let ring = usize::from(SEGMENTS);
        let is_full = self.used >= ring;
        let is_huge = self.current_bytes >= self.segment_bytes.saturating_mul(u64::from(SEGMENTS));
        let may_park = match is_full {
            true => is_huge || owed <= total / 4 * 3,
            false => owed <= total / 10,
        };
        match may_park {
            true => Step::Park,
            false => Step::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(used: usize, current_bytes: u64) -> Ring {
        Ring {
            segment_bytes: 100,
            used,
            current_bytes,
        }
    }

    #[test]
    fn a_segment_is_truncated_once_nothing_of_it_is_owed() {
        assert_eq!(ring(2, 0).step(0, 1000, Duration::ZERO), Step::Truncate);
        assert_eq!(ring(2, 0).step(1, 1000, Duration::ZERO), Step::Wait);
    }

    #[test]
    fn a_tenth_is_copied_out_and_more_if_the_ring_is_full() {
        assert_eq!(ring(2, 0).step(100, 1000, STALLED), Step::Park);
        assert_eq!(ring(7, 0).step(101, 1000, STALLED), Step::Wait);
        assert_eq!(ring(8, 100).step(750, 1000, STALLED), Step::Park);
        assert_eq!(ring(8, 799).step(751, 1000, STALLED), Step::Wait);
        assert_eq!(ring(8, 800).step(1000, 1000, STALLED), Step::Park);
        let settling = STALLED / 2;
        assert_eq!(ring(8, 800).step(10, 1000, settling), Step::Wait);
    }
}
