//! The circuit breaker of a target: a receiver that is down gets one attempt per back-off, not one
//! per task.
//!
//! Closed, it admits all attempts and counts failures in a row, over all tasks. After
//! [`Breaker::RUN`] of them it opens. When its back-off has passed it is half open and admits one
//! attempt, the probe. A successful probe closes it; a failed one opens it again, for longer.

use crate::shared::BreakerState;
use std::time::Instant;

/// The circuit breaker of a target.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    state: State,
    /// Failures in a row.
    failures: u32,
    /// How often it has opened since it was last closed; each time is longer.
    openings: u32,
    /// Probes admitted so far; the last one's number.
    probes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

/// A breaker's answer to the question whether an attempt may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Yes.
    Granted,
    /// Yes, as the probe of this number.
    Probe(u64),
    /// No, not before this time.
    NotBefore(Instant),
    /// No, not while the probe is under way.
    Probing,
}

impl Breaker {
    /// Failures in a row that open it.
    pub(crate) const RUN: u32 = 10;

    /// A closed breaker.
    #[must_use]
    pub(crate) fn new() -> Breaker {
        Breaker {
            state: State::Closed,
            failures: 0,
            openings: 0,
            probes: 0,
        }
    }

    /// Asks for an attempt. It is the probe if the breaker is open and its back-off has passed.
    pub(crate) fn ask(&mut self, now: Instant) -> Admission {
        match self.state {
            State::Closed => Admission::Granted,
            State::Probing => Admission::Probing,
            State::Open { until } if now < until => Admission::NotBefore(until),
            State::Open { .. } => {
                self.state = State::Probing;
                self.probes += 1;
                Admission::Probe(self.probes)
            }
        }
    }

    /// Gives back the permit of a probe that was not made.
    pub(crate) fn unused(&mut self, probe: u64, now: Instant) {
        if self.is_current(probe) {
            self.state = State::Open { until: now };
        }
    }

    /// Records that the receiver works: closes the breaker.
    pub(crate) fn succeeded(&mut self) {
        *self = Breaker {
            probes: self.probes,
            ..Breaker::new()
        };
    }

    /// Records a failed attempt, that of `probe` if it was one. `back_off` computes from the number
    /// of openings in a row (from 1) until when the breaker stays open. True if it was closed and
    /// opened.
    pub(crate) fn failed(
        &mut self,
        probe: Option<u64>,
        now: Instant,
        back_off: impl FnOnce(u32) -> Instant,
    ) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.state {
            State::Closed => self.failures >= Breaker::RUN,
            // The attempt was under way when the breaker opened.
            State::Open { .. } => false,
            State::Probing => probe.is_some_and(|probe| self.is_current(probe)),
        };
        if !opens {
            return false;
        }
        let first = self.state == State::Closed;
        self.openings = self.openings.saturating_add(1);
        self.state = State::Open {
            until: back_off(self.openings).max(now),
        };
        first
    }

    fn is_current(&self, probe: u64) -> bool {
        self.state == State::Probing && probe == self.probes
    }

    /// The state for statistics.
    #[must_use]
    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(breaker: &mut Breaker, probe: Option<u64>, now: Instant) -> bool {
        breaker.failed(probe, now, |openings| now + SECOND * openings)
    }

    /// A breaker that opened at `now`, for a second.
    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 1..Breaker::RUN {
            assert!(!fail(&mut breaker, None, now));
            assert_eq!(breaker.ask(now), Admission::Granted);
        }
        assert!(fail(&mut breaker, None, now));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_resets_the_count() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..100 {
            for _ in 1..Breaker::RUN {
                assert!(!fail(&mut breaker, None, now));
            }
            breaker.succeeded();
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        let mut breaker = open(now);
        assert_eq!(breaker.ask(now), Admission::NotBefore(now + SECOND));
    }

    #[test]
    fn half_open_it_admits_one_probe_whose_success_closes_it() {
        let now = Instant::now();
        let mut breaker = open(now);
        let later = now + SECOND;
        assert_eq!(breaker.ask(later), Admission::Probe(1));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.ask(later), Admission::Probing);
        breaker.succeeded();
        assert_eq!(breaker.ask(later), Admission::Granted);
    }

    #[test]
    fn a_failed_probe_opens_it_for_longer() {
        let now = Instant::now();
        let mut breaker = open(now);
        let later = now + SECOND;
        assert_eq!(breaker.ask(later), Admission::Probe(1));
        assert!(!fail(&mut breaker, Some(1), later), "it was open before");
        assert_eq!(breaker.ask(later), Admission::NotBefore(later + 2 * SECOND));
        assert_eq!(breaker.ask(later + 2 * SECOND), Admission::Probe(2));
    }

    #[test]
    fn failures_of_attempts_under_way_at_the_opening_are_ignored() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert!(!fail(&mut breaker, None, now));
        assert_eq!(breaker.ask(now), Admission::NotBefore(now + SECOND));
        let later = now + SECOND;
        assert_eq!(breaker.ask(later), Admission::Probe(1));
        assert!(!fail(&mut breaker, None, later));
        assert_eq!(breaker.state(), BreakerState::HalfOpen, "the probe decides");
    }

    #[test]
    fn a_probe_that_was_not_made_is_granted_again() {
        let now = Instant::now();
        let mut breaker = open(now);
        let later = now + SECOND;
        assert_eq!(breaker.ask(later), Admission::Probe(1));
        breaker.unused(1, later);
        assert_eq!(breaker.ask(later), Admission::Probe(2));
        breaker.unused(1, later);
        assert_eq!(
            breaker.ask(later),
            Admission::Probing,
            "an old probe gives no permit back"
        );
    }
}
