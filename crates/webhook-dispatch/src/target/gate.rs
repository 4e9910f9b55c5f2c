//! Whether an attempt may start: circuit breaker, rate limit, `Retry-After`, 410 and pause.

use crate::shared::BreakerState;
use crate::target::breaker::{Admission, Breaker};
use crate::target::rate::RateLimit;
use std::time::Instant;

/// The gate of a target. A best-effort target's gate gets no results of attempts, so only the rate
/// limit and a pause block it.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    breaker: Breaker,
    rate: Option<RateLimit>,
    hold_until: Option<Instant>,
    gone: bool,
    paused: bool,
    /// The number of changes of settings.
    era: u32,
}

/// The permission to make one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    /// The probe's number, if the attempt is the probe of a half-open breaker.
    probe: Option<u64>,
    /// The gate's era when the permit was granted.
    era: u32,
}

/// Why an attempt may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Ask again at this time.
    Until(Instant),
    /// Ask again when an attempt has ended or an operator has acted.
    UntilChange,
}

impl Gate {
    pub(crate) fn new(per_second: Option<f64>, now: Instant) -> Gate {
        Gate {
            breaker: Breaker::new(),
            rate: per_second.map(|per_second| RateLimit::new(per_second, now)),
            hold_until: None,
            gone: false,
            paused: false,
            era: 0,
        }
    }

    /// Asks for a permit. Use it for an attempt, or give it back by [`unused`](Self::unused).
    pub(crate) fn ask(&mut self, now: Instant) -> Result<Permit, Blocked> {
        if self.gone || self.paused {
            return Err(Blocked::UntilChange);
        }
        if let Some(until) = self.hold_until {
            if now < until {
                return Err(Blocked::Until(until));
            }
            self.hold_until = None;
        }
        if let Some(rate) = &mut self.rate {
            rate.take(now).map_err(Blocked::Until)?;
        }
        let blocked = match self.breaker.ask(now) {
            Admission::Granted => return Ok(self.permit(None)),
            Admission::Probe(number) => return Ok(self.permit(Some(number))),
            Admission::NotBefore(until) => Blocked::Until(until),
            Admission::Probing => Blocked::UntilChange,
        };
        if let Some(rate) = &mut self.rate {
            rate.give_back();
        }
        Err(blocked)
    }

    /// Counts an attempt that was made without a permit of its own into the rate.
    pub(crate) fn charge(&mut self) {
        if let Some(rate) = &mut self.rate {
            rate.charge();
        }
    }

    fn permit(&self, probe: Option<u64>) -> Permit {
        Permit {
            probe,
            era: self.era,
        }
    }

    /// Whether the permit was granted under the current settings. The result of an attempt under
    /// old settings does not describe the current receiver.
    pub(crate) fn is_current(&self, permit: Permit) -> bool {
        permit.era == self.era
    }

    /// Gives back the permit of an attempt that was not made.
    pub(crate) fn unused(&mut self, permit: Permit, now: Instant) {
        if let Some(probe) = permit.probe {
            self.breaker.unused(probe, now);
        }
        if let Some(rate) = &mut self.rate
            && permit.era == self.era
        {
            rate.give_back();
        }
    }

    /// Records that the receiver works. True if this closed the breaker.
    pub(crate) fn succeeded(&mut self, permit: Permit) -> bool {
        if !self.is_current(permit) {
            return false;
        }
        let recovered = self.breaker.state() != BreakerState::Closed;
        self.breaker.succeeded();
        recovered
    }

    /// Records a failed attempt. True if this opened the breaker.
    pub(crate) fn failed(
        &mut self,
        permit: Permit,
        now: Instant,
        back_off: impl FnOnce(u32) -> Instant,
    ) -> bool {
        self.is_current(permit) && self.breaker.failed(permit.probe, now, back_off)
    }

    /// Blocks all attempts before `until`.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.hold_until = Some(self.hold_until.map_or(until, |held| held.max(until)));
    }

    /// Blocks all attempts until the target is restarted. True if it was not stopped before.
    pub(crate) fn stop(&mut self) -> bool {
        !std::mem::replace(&mut self.gone, true)
    }

    /// Pauses or resumes.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Ends a stop by a 410.
    pub(crate) fn reopen(&mut self) {
        self.gone = false;
    }

    /// Continues under other settings: the receiver may be another, so its state is forgotten.
    pub(crate) fn reconfigure(&mut self, per_second: Option<f64>, now: Instant) {
        self.restart();
        self.era = self.era.wrapping_add(1);
        if self.rate.as_ref().map(RateLimit::per_second) != per_second {
            self.rate = per_second.map(|per_second| RateLimit::new(per_second, now));
        }
    }

    /// Whether an operator has paused it.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Closes the breaker, and ends a hold and a stop.
    pub(crate) fn restart(&mut self) {
        self.breaker.succeeded();
        self.hold_until = None;
        self.gone = false;
    }

    /// Whether the breaker is not closed.
    pub(crate) fn is_down(&self) -> bool {
        self.breaker.state() != BreakerState::Closed
    }

    /// Whether nothing is sent until an operator acts.
    pub(crate) fn is_held(&self) -> bool {
        self.gone || self.paused
    }

    /// The state for statistics.
    pub(crate) fn state(&self) -> BreakerState {
        if self.gone {
            BreakerState::Stopped
        } else {
            self.breaker.state()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::breaker::Breaker;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_hold_lasts_as_long_as_the_longest_asked_for() {
        let now = Instant::now();
        let mut gate = Gate::new(None, now);
        gate.hold(now + 3 * SECOND);
        gate.hold(now + SECOND);
        assert_eq!(
            gate.ask(now + 2 * SECOND),
            Err(Blocked::Until(now + 3 * SECOND))
        );
        assert!(gate.ask(now + 3 * SECOND).is_ok());
    }

    #[test]
    fn an_attempt_that_the_breaker_blocks_does_not_count_into_the_rate() {
        let now = Instant::now();
        let mut gate = Gate::new(Some(1.0), now);
        let permit = gate.ask(now).unwrap();
        for _ in 0..Breaker::RUN {
            gate.failed(permit, now, |_| now + SECOND);
        }
        assert!(gate.is_down());
        for _ in 0..5 {
            assert!(gate.ask(now + SECOND / 2).is_err());
        }
        assert!(gate.ask(now + SECOND).is_ok(), "the probe");
    }

    #[test]
    fn a_stop_blocks_until_the_restart_and_a_pause_until_its_end() {
        let now = Instant::now();
        let mut gate = Gate::new(None, now);
        assert!(gate.stop());
        assert!(!gate.stop(), "it was stopped before");
        assert_eq!(gate.state(), BreakerState::Stopped);
        assert_eq!(gate.ask(now + 1_000 * SECOND), Err(Blocked::UntilChange));
        gate.restart();
        gate.pause(true);
        assert!(gate.is_held());
        assert_eq!(gate.ask(now), Err(Blocked::UntilChange));
        gate.pause(false);
        assert!(gate.ask(now).is_ok());
    }

    #[test]
    fn an_unused_permit_gives_its_probe_and_its_token_back() {
        let now = Instant::now();
        let mut gate = Gate::new(Some(1.0), now);
        let permit = gate.ask(now).unwrap();
        for _ in 0..Breaker::RUN {
            gate.failed(permit, now, |_| now);
        }
        let later = now + SECOND;
        let probe = gate.ask(later).unwrap();
        gate.unused(probe, later);
        assert!(gate.ask(later).is_ok());
    }
}
