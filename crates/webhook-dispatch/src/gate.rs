//! Whether a target may be attempted now: its circuit breaker, its rate limit, and what it asked
//! for itself by `Retry-After` and 410.

use crate::breaker::{Breaker, BreakerState, Permit};
use crate::rate::RateLimit;
use std::time::Instant;

/// The gate of a target. Events of a best-effort target pass all but the rate limit.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    breaker: Breaker,
    rate: Option<RateLimit>,
    hold_until: Option<Instant>,
    gone: bool,
    paused: bool,
}

/// Leave to make one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Whether it is the one attempt of a half-open breaker.
    is_probe: bool,
}

/// Why an attempt may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
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
        }
    }

    /// Asks for one attempt; a granted one must be made, or given back by [`unused`](Self::unused).
    pub(crate) fn ask(&mut self, now: Instant) -> Result<Pass, Shut> {
        if self.gone || self.paused {
            return Err(Shut::UntilChange);
        }
        if let Some(until) = self.hold_until {
            if now < until {
                return Err(Shut::Until(until));
            }
            self.hold_until = None;
        }
        if let Some(rate) = &mut self.rate {
            rate.take(now).map_err(Shut::Until)?;
        }
        let shut = match self.breaker.ask(now) {
            Permit::Granted => {
                return Ok(Pass {
                    is_probe: self.breaker.state() == BreakerState::HalfOpen,
                });
            }
            Permit::NotBefore(until) => Shut::Until(until),
            Permit::Probing => Shut::UntilChange,
        };
        if let Some(rate) = &mut self.rate {
            rate.give_back();
        }
        Err(shut)
    }

    /// A granted attempt was not made.
    pub(crate) fn unused(&mut self, pass: Pass, now: Instant) {
        if pass.is_probe {
            self.breaker.unused(now);
        }
        if let Some(rate) = &mut self.rate {
            rate.give_back();
        }
    }

    /// The receiver is alive; true if it was not taken to be before.
    pub(crate) fn succeeded(&mut self) -> bool {
        let recovered = self.breaker.state() != BreakerState::Closed;
        self.breaker.succeeded();
        recovered
    }

    /// An attempt failed; true if this shut the gate.
    pub(crate) fn failed(&mut self, now: Instant, back_off: impl FnOnce(u32) -> Instant) -> bool {
        self.breaker.failed(now, back_off)
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

    /// Forgets what the receiver asked for and how it failed.
    pub(crate) fn restart(&mut self) {
        self.breaker = Breaker::new();
        self.hold_until = None;
        self.gone = false;
    }

    /// Whether the receiver is taken to be down.
    pub(crate) fn is_down(&self) -> bool {
        self.breaker.state() != BreakerState::Closed
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
