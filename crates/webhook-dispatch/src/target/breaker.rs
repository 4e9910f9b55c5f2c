//! The circuit breaker of a target. It opens when the receiver fails, not when single events do.
//!
//! Three runs of failures are counted, each of which an answer of another kind ends:
//!
//! - The receiver cannot be *reached*, or asks for a pause. After [`Breaker::UNREACHABLE`] attempts
//!   in a row, over as many tasks as there are, the breaker opens: one attempt for each back-off,
//!   the probe, however many events are pending. Any answer closes it.
//! - It answers with *server errors* alone. Some tasks' events may be the reason, so it takes
//!   [`Breaker::SERVER_ERRORS`] tasks without a success between. Then the breaker *throttles*: one
//!   attempt a second. It is not a back-off, since a success may be one event away.
//! - It *refuses* events of many tasks in a row. The breaker throttles, too, and refused events
//!   are to be kept: it is the receiver that is wrong.
//!
//! All other answers, redirects among them, count for nothing: the receiver works, and the event is
//! the likely reason.

#[cfg(test)]
mod tests;

use crate::shared::{BreakerCause, BreakerState};
use crate::target::state_change::StateChange;
use std::time::{Duration, Instant};

/// What an attempt's result says about the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It accepted the event.
    Delivered,
    /// It refused the event for good.
    Refused,
    /// It answered, and the event is the likely reason that it did not accept it.
    Answered,
    /// It answered that it failed.
    ServerError,
    /// It did not answer, or asked for a pause.
    Unreachable,
}

/// The attempt that a result is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    /// Identifies the event's task.
    pub(crate) key: u64,
    /// Tasks with pending events.
    pub(crate) keys: usize,
    /// The number of recoveries at the event's first failure, if it failed before.
    pub(crate) failed_in: Option<u32>,
}

/// The circuit breaker of a target.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    state: State,
    unreachable: Run,
    server_errors: Run,
    refusals: Run,
    /// How many tasks in a row are to be refused.
    max_refusals: usize,
    /// Failures of any kind since the last delivery.
    failures: u32,
    /// When a waiting event is attempted early, if nothing was delivered or attempted until then.
    early: Option<Instant>,
    /// How often it opened since it last closed; each time is longer.
    openings: u32,
    /// Probes admitted so far; the last one's number.
    probes: u64,
    /// How often the receiver has shown that it works.
    recoveries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
    Throttling { next: Instant },
}

/// Failures of one kind in a row.
#[derive(Clone, Debug, Default)]
struct Run {
    attempts: usize,
    /// The tasks that they are of, up to as many as matter.
    keys: Vec<u64>,
    /// Whether it is long enough.
    full: bool,
}

impl Run {
    fn add(&mut self, key: u64, most: usize) {
        self.attempts = self.attempts.saturating_add(1);
        if self.keys.len() < most && !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }

    fn end(&mut self) {
        *self = Run::default();
    }
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
    /// Attempts in a row without an answer that open it.
    pub(crate) const UNREACHABLE: usize = 10;
    /// Tasks answered by server errors in a row that open it.
    pub(crate) const SERVER_ERRORS: usize = 50;
    /// The time between two attempts while it throttles.
    pub(crate) const THROTTLE: Duration = Duration::from_secs(1);

    /// A closed breaker.
    #[must_use]
    pub(crate) fn new(max_refusals: usize) -> Breaker {
        Breaker {
            state: State::Closed,
            unreachable: Run::default(),
            server_errors: Run::default(),
            refusals: Run::default(),
            max_refusals,
            failures: 0,
            early: None,
            openings: 0,
            probes: 0,
            recoveries: 0,
        }
    }

    /// Asks for an attempt. It is the probe if the breaker is open and its back-off has passed.
    pub(crate) fn ask(&mut self, now: Instant) -> Admission {
        match self.state {
            State::Closed => Admission::Granted,
            State::Probing => Admission::Probing,
            State::Open { until } | State::Throttling { next: until } if now < until => {
                Admission::NotBefore(until)
            }
            State::Open { .. } => {
                self.state = State::Probing;
                self.probes += 1;
                Admission::Probe(self.probes)
            }
            State::Throttling { .. } => {
                let next = now + Breaker::THROTTLE;
                self.state = State::Throttling { next };
                Admission::Granted
            }
        }
    }

    /// Gives back the permit of an attempt that was not made.
    pub(crate) fn unused(&mut self, probe: Option<u64>, now: Instant) {
        match self.state {
            State::Probing if probe == Some(self.probes) => {
                self.state = State::Open { until: now };
            }
            State::Throttling { .. } => self.state = State::Throttling { next: now },
            _ => {}
        }
    }

    /// Forgets everything about the receiver: closes the breaker.
    pub(crate) fn reset(&mut self, max_refusals: usize) {
        *self = Breaker {
            probes: self.probes,
            recoveries: self.recoveries.wrapping_add(1),
            ..Breaker::new(max_refusals)
        };
    }

    /// Records an attempt's result, that of `probe` if it was one. `back_off` computes how long the
    /// breaker stays open from the number of openings in a row (from 1); `idle` is how long nothing
    /// is to be delivered or attempted before an event is attempted early.
    pub(crate) fn record(
        &mut self,
        health: Health,
        evidence: &Evidence,
        probe: Option<u64>,
        now: Instant,
        idle: Duration,
        back_off: impl FnOnce(u32) -> Duration,
    ) -> Option<StateChange> {
        let before = self.state;
        self.failures = self.failures.saturating_add(1);
        self.early = Some(now + idle);
        // What failed before the last success, and fails again, says nothing new.
        let is_news = evidence.failed_in.is_none_or(|at| at == self.recoveries);
        let mut wait = Breaker::THROTTLE;
        let mut cause = BreakerCause::ServerErrors;
        match health {
            Health::Delivered => {
                self.reset(self.max_refusals);
            }
            Health::Refused => {
                if is_news {
                    self.refusals.add(evidence.key, self.max_refusals);
                }
                self.refusals.full |= self.refusals.keys.len() >= self.max_refusals;
                cause = BreakerCause::Refusals;
                self.recoveries = self.recoveries.wrapping_add(1);
                self.server_errors.end();
                self.answered(now);
            }
            Health::Answered => self.answered(now),
            Health::ServerError => {
                if is_news {
                    self.server_errors.add(evidence.key, Breaker::SERVER_ERRORS);
                }
                // A receiver that was unreachable does not work yet.
                self.server_errors.full |= self.server_errors.keys.len() >= Breaker::SERVER_ERRORS
                    || matches!(self.state, State::Open { .. } | State::Probing);
                self.answered(now);
            }
            Health::Unreachable => {
                self.unreachable.add(evidence.key, Breaker::UNREACHABLE);
                let keys = evidence.keys.min(Breaker::UNREACHABLE);
                let opens = match self.state {
                    State::Closed | State::Throttling { .. } => {
                        self.unreachable.attempts >= Breaker::UNREACHABLE
                            && self.unreachable.keys.len() >= keys
                    }
                    // The attempt was under way when the breaker opened.
                    State::Open { .. } => false,
                    State::Probing => probe == Some(self.probes),
                };
                if opens {
                    cause = BreakerCause::Unreachable;
                    self.openings = self.openings.saturating_add(1);
                    wait = back_off(self.openings);
                    self.state = State::Open { until: now + wait };
                }
            }
        }
        self.change(before, cause, wait)
    }

    /// Whether nothing was delivered for so long that the receiver may be the reason.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures as usize >= Breaker::UNREACHABLE
    }

    /// The receiver answered: it can be reached.
    fn answered(&mut self, now: Instant) {
        self.unreachable.end();
        self.openings = 0;
        let throttles = self.server_errors.full || self.refusals.full;
        self.state = match self.state {
            _ if !throttles => State::Closed,
            State::Throttling { next } => State::Throttling { next },
            _ => State::Throttling {
                next: now + Breaker::THROTTLE,
            },
        };
    }

    fn change(&self, before: State, cause: BreakerCause, wait: Duration) -> Option<StateChange> {
        match (before, self.state) {
            (State::Closed, State::Closed) => None,
            (State::Closed, _) => Some(StateChange::BreakerOpened(cause, wait)),
            (_, State::Closed) => Some(StateChange::BreakerClosed),
            _ => None,
        }
    }

    /// When an event may be attempted before its back-off has passed, if nothing else is to be
    /// attempted.
    pub(crate) fn early_at(&self) -> Option<Instant> {
        let early = self.early?;
        match self.state {
            State::Closed => Some(early),
            State::Open { until } | State::Throttling { next: until } => Some(until.max(early)),
            State::Probing => None,
        }
    }

    /// Whether so many events in a row were refused that no more are to be given up.
    pub(crate) fn keeps_refused(&self) -> bool {
        self.refusals.full
    }

    /// How often the receiver has shown that it works.
    pub(crate) fn recoveries(&self) -> u32 {
        self.recoveries
    }

    /// When it admits the next attempt, while it is open.
    #[must_use]
    pub(crate) fn open_until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until: at } | State::Throttling { next: at } => Some(at),
            State::Closed | State::Probing => None,
        }
    }

    /// The state for statistics.
    #[must_use]
    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } | State::Throttling { .. } => BreakerState::Open,
            State::Probing => BreakerState::HalfOpen,
        }
    }
}
