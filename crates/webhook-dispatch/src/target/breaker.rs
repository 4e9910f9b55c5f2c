//! The circuit breaker of a target: a dead receiver costs one attempt per back-off, not one per
//! task.
//!
//! Closed, it lets all attempts through and counts failures in a row, over all tasks. After
//! [`Breaker::RUN`] of them it opens; once its back-off is over it is half open and lets one
//! attempt through, the probe. A probe that succeeds closes it; one that fails opens it again,
//! for longer.

use crate::shared::BreakerState;
use std::time::Instant;

/// Whether a target may be tried.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    state: State,
    /// Failures in a row.
    failures: u32,
    /// How often it has opened since it was last closed.
    openings: u32,
    /// Probes let through so far: each has its number.
    probes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

/// What a breaker says to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go ahead.
    Granted,
    /// Go ahead, as the probe of this number.
    Probe(u64),
    /// Not before this time.
    NotBefore(Instant),
    /// Not while the probe is under way.
    Probing,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker::new()
    }
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

    /// Asks for an attempt; in an open breaker whose back-off is over, it is the probe.
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

    /// The receiver answered as one that is alive.
    pub(crate) fn succeeded(&mut self) {
        *self = Breaker {
            probes: self.probes,
            ..Breaker::new()
        };
    }

    /// An attempt failed, that of `probe` if it was one. `back_off` tells until when to stay open,
    /// from the number of openings in a row (from 1). True when this opened it from closed.
    pub(crate) fn failed(
        &mut self,
        probe: Option<u64>,
        now: Instant,
        back_off: impl FnOnce(u32) -> Instant,
    ) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.state {
            State::Closed => self.failures >= Breaker::RUN,
            // Attempts that were under way when it opened say nothing new.
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

    /// Its state, to be shown.
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

    /// A breaker that was opened at `now`, for a second.
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
    fn a_run_of_failures_opens_it_and_one_success_in_between_does_not() {
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
    fn half_open_it_lets_one_through_and_its_success_closes_it() {
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
    fn failures_that_were_under_way_when_it_opened_say_nothing_new() {
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
            "an old one gives nothing back"
        );
    }
}
