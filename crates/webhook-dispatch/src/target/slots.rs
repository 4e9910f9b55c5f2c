//! The attempts handed out: how many there may be, and whether the next one is a first attempt or a
//! retry.
//!
//! First attempts go first, since an event that failed may fail again and take its time to do so.
//! While both kinds are ready, every fourth attempt is a retry, and retries have a quarter of the
//! senders. While only retries are ready they leave a quarter of the senders free, for the next
//! event; when retries succeed, the receiver works again, and they may take all.

use crate::target::lanes::Kind;
use webhook_config::Target;

/// First attempts between two retries, while both are ready.
const FIRST_IN_ROW: u32 = 3;
/// The smallest limit of attempts that wait for a sender: one that finds its next attempt waiting
/// neither sleeps nor has to be woken.
const WAITING: usize = 64;

/// The attempts of a target that were handed out and whose result is not known.
#[derive(Debug)]
pub(super) struct Slots {
    concurrency: usize,
    /// The limit of outstanding attempts after a delivery.
    limit: usize,
    /// The limit after a failure, and at the start: a receiver that is down gets no more than these
    /// before its failure is known.
    limit_after_failure: usize,
    /// Whether the last attempt was a delivery.
    delivering: bool,
    first: usize,
    retry: usize,
    /// The events of these attempts.
    events: usize,
    /// The most retries while no first attempt is ready.
    most_retries: usize,
    /// First attempts since the last retry, while retries were ready.
    first_in_row: u32,
}

impl Slots {
    pub(super) fn new(target: &Target) -> Slots {
        let mut slots = Slots {
            concurrency: 0,
            limit: 0,
            limit_after_failure: 0,
            delivering: false,
            first: 0,
            retry: 0,
            events: 0,
            most_retries: 0,
            first_in_row: 0,
        };
        slots.reconfigure(target);
        slots
    }

    /// Continues under other settings, as after a failure.
    pub(super) fn reconfigure(&mut self, target: &Target) {
        self.concurrency = target.concurrency().get();
        self.limit = limit(target);
        // No more attempts wait than are under way.
        self.limit_after_failure = self.limit.min(self.concurrency * 2);
        self.delivering = false;
        self.most_retries = self.fewest_retries();
    }

    pub(super) fn outstanding(&self) -> usize {
        self.first + self.retry
    }

    /// The events of the attempts that are outstanding.
    pub(super) fn events(&self) -> usize {
        self.events
    }

    /// Whether as many attempts are outstanding as there may be.
    pub(super) fn are_taken(&self) -> bool {
        let limit = match self.delivering {
            true => self.limit,
            false => self.limit_after_failure,
        };
        self.outstanding() >= limit
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

    /// Counts an attempt at so many events, which is handed out; `retry` says that a retry was ready.
    pub(super) fn take(&mut self, kind: Kind, events: usize, retry: bool) {
        *self.of(kind) += 1;
        self.events += events;
        self.first_in_row = match kind {
            Kind::First if retry => self.first_in_row.saturating_add(1),
            _ => 0,
        };
    }

    /// Counts an attempt at so many events that was not made.
    pub(super) fn give_back(&mut self, kind: Kind, events: usize) {
        *self.of(kind) -= 1;
        self.events -= events;
    }

    /// Counts an attempt at so many events whose result is known.
    pub(super) fn ended(&mut self, kind: Kind, events: usize, delivered: bool) {
        self.give_back(kind, events);
        self.delivering = delivered;
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

/// The limit of outstanding attempts: those under way, and some that wait for a sender.
fn limit(target: &Target) -> usize {
    let concurrency = target.concurrency().get();
    match (target.max_per_second(), target.batch()) {
        // A rate limit counts attempts when they are handed out, so none should wait.
        (Some(_), _) => concurrency,
        // Full batches wait for a sender; others grow meanwhile.
        (None, Some(_)) => concurrency * 2,
        (None, None) => concurrency + concurrency.max(WAITING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;
    use webhook_config::TargetUrl;

    fn slots(concurrency: usize) -> Slots {
        let target = Target::builder(TargetUrl::parse("http://localhost:1/").unwrap())
            .concurrency(NonZeroUsize::new(concurrency).unwrap())
            .build()
            .unwrap();
        Slots::new(&target)
    }

    /// Takes as many of these kinds as there is room for, up to `most`; returns how many retries.
    fn fill(slots: &mut Slots, first: bool, retry: bool, most: usize) -> usize {
        let mut retries = 0;
        for _ in 0..most {
            let Some(kind) = slots.next(first, retry) else {
                break;
            };
            slots.take(kind, 1, retry);
            retries += usize::from(kind == Kind::Retry);
        }
        retries
    }

    #[test]
    fn retries_get_a_quarter_while_first_attempts_are_ready() {
        for concurrency in [1, 2, 16, 100] {
            let mut slots = slots(concurrency);
            let retries = fill(&mut slots, true, true, 1_000);
            assert_eq!(retries, (concurrency / 4).max(1));
        }
    }

    #[test]
    fn each_kind_takes_the_turns_of_the_other() {
        let mut slots = slots(16);
        let mut retries = 0;
        for _ in 0..400 {
            let kind = slots.next(true, true).unwrap();
            slots.take(kind, 1, true);
            slots.ended(kind, 1, false);
            retries += usize::from(kind == Kind::Retry);
        }
        assert_eq!(retries, 100);
    }

    #[test]
    fn failing_retries_leave_senders_for_the_next_event_and_delivered_ones_take_all() {
        let mut slots = slots(16);
        assert_eq!(fill(&mut slots, false, true, 1_000), 12);
        for _ in 0..12 {
            slots.ended(Kind::Retry, 1, true);
            fill(&mut slots, false, true, 1_000);
        }
        assert_eq!(slots.outstanding(), 24, "a delivery makes room for two");
        slots.ended(Kind::Retry, 1, false);
        assert_eq!(fill(&mut slots, false, true, 1_000), 0);
    }

    #[test]
    fn one_sender_is_enough() {
        let mut slots = slots(1);
        assert_eq!(slots.next(false, true), Some(Kind::Retry));
        slots.take(Kind::Retry, 1, true);
        assert_eq!(
            slots.next(true, true),
            Some(Kind::First),
            "it waits for the sender"
        );
    }

    #[test]
    fn while_first_attempts_have_all_senders_no_retry_waits_for_one() {
        let mut slots = slots(4);
        assert_eq!(fill(&mut slots, true, false, 4), 0);
        assert_eq!(slots.next(false, true), None);
        slots.ended(Kind::First, 1, true);
        assert_eq!(slots.next(false, true), Some(Kind::Retry));
    }

    #[test]
    fn first_attempts_while_no_retry_is_ready_do_not_bring_its_turn_nearer() {
        let mut slots = slots(16);
        assert_eq!(fill(&mut slots, true, false, 10), 0);
        assert_eq!(fill(&mut slots, true, true, 3), 0);
        assert_eq!(fill(&mut slots, true, true, 1), 1);
    }
}
