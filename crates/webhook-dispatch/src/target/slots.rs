//! The attempts handed out, and whether the next one is a first attempt or a retry.
//!
//! First attempts go first, since an event that failed may fail again and take its time to do so.
//! While both kinds are ready, every fourth attempt is a retry, and retries have a quarter of the
//! senders. While only retries are ready they leave a quarter of the senders free, for the next
//! event; when retries succeed, the receiver works again, and they may take all.

use crate::target::lanes::Kind;

/// First attempts between two retries, while both are ready.
const FIRST_IN_ROW: u32 = 3;

/// The attempts of a target that were handed out and whose result is not known.
#[derive(Debug)]
pub(super) struct Slots {
    concurrency: usize,
    first: usize,
    retry: usize,
    /// The most retries while no first attempt is ready.
    most_retries: usize,
    /// First attempts since the last retry, while retries were ready.
    first_in_row: u32,
}

impl Slots {
    pub(super) fn new(concurrency: usize) -> Slots {
        let mut slots = Slots {
            concurrency,
            first: 0,
            retry: 0,
            most_retries: 0,
            first_in_row: 0,
        };
        slots.set_concurrency(concurrency);
        slots
    }

    pub(super) fn set_concurrency(&mut self, concurrency: usize) {
        self.concurrency = concurrency;
        self.most_retries = self.fewest_retries();
    }

    pub(super) fn outstanding(&self) -> usize {
        self.first + self.retry
    }

    /// A quarter of the senders.
    fn share(&self) -> usize {
        (self.concurrency / 4).max(1)
    }

    /// The senders that retries may take while they fail.
    fn fewest_retries(&self) -> usize {
        self.concurrency.saturating_sub(self.share()).max(1)
    }

    /// The kind of the next attempt, if events of these kinds are ready.
    pub(super) fn next(&self, first: bool, retry: bool) -> Option<Kind> {
        if first {
            let retries_turn = retry && self.first_in_row >= FIRST_IN_ROW;
            return Some(if retries_turn && self.retry < self.share() {
                Kind::Retry
            } else {
                Kind::First
            });
        }
        // While retries fail, none waits for a sender: a first attempt would wait behind it.
        let free = self.outstanding() < self.concurrency.max(self.most_retries);
        (retry && self.retry < self.most_retries && free).then_some(Kind::Retry)
    }

    /// Counts an attempt handed out; `retry` says that a retry was ready.
    pub(super) fn take(&mut self, kind: Kind, retry: bool) {
        *self.of(kind) += 1;
        self.first_in_row = match kind {
            Kind::First if retry => self.first_in_row.saturating_add(1),
            _ => 0,
        };
    }

    /// Counts an attempt that was not made.
    pub(super) fn give_back(&mut self, kind: Kind) {
        *self.of(kind) -= 1;
    }

    /// Counts an attempt whose result is known.
    pub(super) fn ended(&mut self, kind: Kind, delivered: bool) {
        *self.of(kind) -= 1;
        if kind == Kind::Retry {
            self.most_retries = if delivered {
                self.most_retries.saturating_add(1)
            } else {
                self.fewest_retries()
            };
        }
    }

    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::First => &mut self.first,
            Kind::Retry => &mut self.retry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many of these kinds as there is room for, up to `most`; returns how many retries.
    fn fill(slots: &mut Slots, first: bool, retry: bool, most: usize) -> usize {
        let mut retries = 0;
        for _ in 0..most {
            let Some(kind) = slots.next(first, retry) else {
                break;
            };
            slots.take(kind, retry);
            retries += usize::from(kind == Kind::Retry);
        }
        retries
    }

    #[test]
    fn retries_get_a_quarter_while_first_attempts_are_ready() {
        for concurrency in [1, 2, 16, 100] {
            let mut slots = Slots::new(concurrency);
            let retries = fill(&mut slots, true, true, 1_000);
            assert_eq!(retries, (concurrency / 4).max(1));
        }
    }

    #[test]
    fn each_kind_takes_the_turns_of_the_other() {
        let mut slots = Slots::new(16);
        let mut retries = 0;
        for _ in 0..400 {
            let kind = slots.next(true, true).unwrap();
            slots.take(kind, true);
            slots.ended(kind, false);
            retries += usize::from(kind == Kind::Retry);
        }
        assert_eq!(retries, 100);
    }

    #[test]
    fn failing_retries_leave_senders_for_the_next_event_and_delivered_ones_take_all() {
        let mut slots = Slots::new(16);
        assert_eq!(fill(&mut slots, false, true, 1_000), 12);
        for _ in 0..12 {
            slots.ended(Kind::Retry, true);
            fill(&mut slots, false, true, 1_000);
        }
        assert_eq!(slots.outstanding(), 24, "a delivery makes room for two");
        slots.ended(Kind::Retry, false);
        assert_eq!(fill(&mut slots, false, true, 1_000), 0);
    }

    #[test]
    fn one_sender_is_enough() {
        let mut slots = Slots::new(1);
        assert_eq!(slots.next(false, true), Some(Kind::Retry));
        slots.take(Kind::Retry, true);
        assert_eq!(
            slots.next(true, true),
            Some(Kind::First),
            "it waits for the sender"
        );
    }

    #[test]
    fn while_first_attempts_have_all_senders_no_retry_waits_for_one() {
        let mut slots = Slots::new(4);
        assert_eq!(fill(&mut slots, true, false, 4), 0);
        assert_eq!(slots.next(false, true), None);
        slots.ended(Kind::First, true);
        assert_eq!(slots.next(false, true), Some(Kind::Retry));
    }

    #[test]
    fn first_attempts_while_no_retry_is_ready_do_not_bring_its_turn_nearer() {
        let mut slots = Slots::new(16);
        assert_eq!(fill(&mut slots, true, false, 10), 0);
        assert_eq!(fill(&mut slots, true, true, 3), 0);
        assert_eq!(fill(&mut slots, true, true, 1), 1);
    }
}
