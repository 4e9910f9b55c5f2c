//! Whether a target may be attempted now: its circuit breaker, its rate limit, and what it asked
//! for itself by `Retry-After` and 410.

use crate::shared::BreakerState;
use crate::target::breaker::{Admission, Breaker};
use crate::target::rate::RateLimit;
use std::time::Instant;

/// The gate of a target. That of a best-effort target hears of no failures, so that the rate limit
/// and a pause are all that shuts it.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    breaker: Breaker,
    rate: Option<RateLimit>,
    hold_until: Option<Instant>,
    gone: bool,
    paused: bool,
    /// Goes up with each change of settings.
    era: u32,
}

/// Leave to make one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    /// The number of the probe, if it is the one attempt of a half-open breaker.
    probe: Option<u64>,
    /// That of the gate when it was granted.
    era: u32,
}

/// Why an attempt may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Ask again at this time.
    Until(Instant),
    /// Ask again when an attempt has ended, or somebody has opened the gate.
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

    /// Asks for one attempt; a granted one must be made, or given back by [`unused`](Self::unused).
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

    fn permit(&self, probe: Option<u64>) -> Permit {
        Permit {
            probe,
            era: self.era,
        }
    }

    /// Whether this attempt was made under the settings of now: what comes of one that was not
    /// says nothing of the receiver that there is now.
    pub(crate) fn is_current(&self, permit: Permit) -> bool {
        permit.era == self.era
    }

    /// A granted attempt was not made.
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

    /// The receiver is alive; true if it was not taken to be before.
    pub(crate) fn succeeded(&mut self, permit: Permit) -> bool {
        if !self.is_current(permit) {
            return false;
        }
        let recovered = self.breaker.state() != BreakerState::Closed;
        self.breaker.succeeded();
        recovered
    }

    /// An attempt failed; true if this blocked the gate.
    pub(crate) fn failed(
        &mut self,
        permit: Permit,
        now: Instant,
        back_off: impl FnOnce(u32) -> Instant,
    ) -> bool {
        self.is_current(permit) && self.breaker.failed(permit.probe, now, back_off)
    }

    /// Lets nothing through before `until`.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.hold_until = Some(self.hold_until.map_or(until, |held| held.max(until)));
    }

    /// Lets nothing through until the target is started again; true if it did so far.
    pub(crate) fn stop(&mut self) -> bool {
        !std::mem::replace(&mut self.gone, true)
    }

    /// Lets nothing through, or again.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// The receiver is tried again, although it said that it is gone.
    pub(crate) fn reopen(&mut self) {
        self.gone = false;
    }

    /// Goes on under other settings, maybe to another receiver: nothing is known of it.
    pub(crate) fn reconfigure(&mut self, per_second: Option<f64>, now: Instant) {
        self.restart();
        self.era = self.era.wrapping_add(1);
        if self.rate.as_ref().map(RateLimit::per_second) != per_second {
            self.rate = per_second.map(|per_second| RateLimit::new(per_second, now));
        }
    }

    /// Whether somebody has paused it.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Forgets what the receiver asked for and how it failed.
    pub(crate) fn restart(&mut self) {
        self.breaker.succeeded();
        self.hold_until = None;
        self.gone = false;
    }

    /// Whether the receiver is taken to be down.
    pub(crate) fn is_down(&self) -> bool {
        self.breaker.state() != BreakerState::Closed
    }

    /// Whether nothing gets through until somebody says so.
    pub(crate) fn is_held(&self) -> bool {
        self.gone || self.paused
    }

    /// Its state, to be shown.
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
    fn what_the_breaker_refuses_costs_nothing_of_the_rate() {
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
    fn gone_stays_shut_until_it_is_started_again_and_a_pause_until_it_ends() {
        let now = Instant::now();
        let mut gate = Gate::new(None, now);
        assert!(gate.stop());
        assert!(!gate.stop(), "once is enough");
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
    fn an_unused_pass_gives_its_probe_and_its_place_in_the_rate_back() {
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
