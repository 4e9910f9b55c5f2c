//! What follows from an attempt, and from time.

use super::Agenda;
use crate::delivery::outcome::Verdict;
use crate::shared::clock::Moment;
use crate::shared::incident::NextStep;
use crate::target::failure_record::{FailureRecord, Reason};
use crate::target::lanes::{Delivery, LaneId};
use crate::target::retry::{self, Next, Retry};
use crate::worker::sender::Attempt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_queue::{EntryId, Settled, Settlement};

/// How often events that outlive their time are looked for, while the target is down.
const SCAN: Duration = Duration::from_secs(1);

/// What follows from an attempt.
#[derive(Debug, Default)]
pub(crate) struct Ruling {
    /// What the queue has to be told.
    pub(crate) settlement: Option<Settlement>,
    /// What follows a failure; `None` if there was none.
    pub(crate) follows: Option<NextStep>,
    /// Whether the target has it, or will never have it.
    pub(crate) over: bool,
    /// Whether attempts handed out that have not begun must come back.
    pub(crate) recall: bool,
    /// For how long the target is left alone, if that begins now.
    pub(crate) opened: Option<Duration>,
    /// Whether the target is well again.
    pub(crate) closed: bool,
    /// Whether the target asked for this to be the last, and had not before.
    pub(crate) stopped: bool,
}

impl Agenda {
    /// Decides what follows from an attempt.
    pub(crate) fn judge(&mut self, attempt: &Attempt, at: Moment, retry: &dyn Retry) -> Ruling {
        let lane = attempt.due.lane;
        if attempt.stopped {
            return self.cut_short(attempt, at);
        }
        self.outstanding -= 1;
        self.well = attempt.verdict == Verdict::Delivered;
        if !self.reliable {
            // One attempt, as Aurora made: what the receiver asks for beyond that is not heard.
            self.lanes.settled(lane, at.now);
            return Ruling {
                over: true,
                follows: (attempt.verdict != Verdict::Delivered).then_some(NextStep::Nothing),
                ..Ruling::default()
            };
        }
        match attempt.verdict {
            Verdict::Delivered => {
                let closed = self.gate.succeeded(attempt.pass);
                let delivery = tried(attempt);
                Ruling {
                    settlement: Some(self.settle(lane, &delivery, Settled::Delivered, at)),
                    over: true,
                    closed,
                    ..Ruling::default()
                }
            }
            Verdict::Refused => {
                let asked = self.hold_as_asked(attempt, at);
                let closed = self.gate.succeeded(attempt.pass);
                Ruling {
                    closed,
                    recall: asked.is_some(),
                    ..self.give_up(attempt, Reason::Refused, at)
                }
            }
            Verdict::Gone if self.gate.is_current(attempt.pass) => self.stop(attempt),
            _ => self.try_again(attempt, at, retry),
        }
    }

    /// The dispatcher ends while this is under way. It may have arrived or not: it stays owed, and
    /// the number of the attempt is not used again.
    fn cut_short(&mut self, attempt: &Attempt, at: Moment) -> Ruling {
        let delivery = tried(attempt);
        self.untried(attempt.due.lane, attempt.pass, at.now);
        Ruling {
            settlement: self.reliable.then(|| self.note(&delivery, 0)),
            ..Ruling::default()
        }
    }

    /// What the receiver asks for by `Retry-After`, it asks for all its events.
    fn hold_as_asked(&mut self, attempt: &Attempt, at: Moment) -> Option<Duration> {
        if !self.gate.is_current(attempt.pass) {
            return None;
        }
        let value = attempt.retry_after.as_deref()?;
        let wait = retry::retry_after(value, at.wall, &self.policy)?;
        self.gate.hold(at.now + wait);
        Some(wait)
    }

    /// The receiver wants nothing any more: what it is owed stays owed.
    fn stop(&mut self, attempt: &Attempt) -> Ruling {
        let stopped = self.gate.stop();
        let delivery = tried(attempt);
        self.lanes.again(attempt.due.lane, delivery);
        Ruling {
            settlement: Some(self.note(&delivery, 0)),
            follows: Some(NextStep::Stop),
            recall: stopped,
            stopped,
            ..Ruling::default()
        }
    }

    /// The event failed in a way that may pass.
    fn try_again(&mut self, attempt: &Attempt, at: Moment, retry: &dyn Retry) -> Ruling {
        let asked = self.hold_as_asked(attempt, at);
        let mut back_off = Duration::ZERO;
        let policy = &self.policy;
        let opened = self.gate.failed(attempt.pass, at.now, |openings| {
            back_off = retry.breaker(policy, openings);
            at.now + back_off
        });
        let mut delivery = tried(attempt);
        let age = Duration::from_millis(at.epoch_ms().saturating_sub(delivery.accepted_at));
        let ruling = match retry.next(&self.policy, delivery.attempts, age, asked) {
            Next::After(wait) => {
                let wake = at.now + wait;
                delivery.not_before = Some(wake);
                self.lanes.retry(attempt.due.lane, delivery, wake);
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Ruling {
                    settlement: Some(self.note(&delivery, at.epoch_ms().saturating_add(wait_ms))),
                    follows: Some(NextStep::Retry(wait)),
                    ..Ruling::default()
                }
            }
            Next::AttemptsExhausted => self.give_up(attempt, Reason::AttemptsExhausted, at),
            Next::TooOld => self.give_up(attempt, Reason::TooOld, at),
        };
        Ruling {
            recall: opened || asked.is_some(),
            opened: opened.then_some(back_off),
            ..ruling
        }
    }

    fn give_up(&mut self, attempt: &Attempt, reason: Reason, at: Moment) -> Ruling {
        let delivery = tried(attempt);
        let obituary = FailureRecord {
            reason,
            outcome: Some(attempt.outcome),
            status: attempt.status,
            detail: attempt.detail.clone(),
            response: attempt.response.clone(),
            first_attempt_at: delivery.first_attempt_at,
            last_attempt_at: Some(attempt.started_at),
        };
        Ruling {
            settlement: Some(self.bury(attempt.due.lane, &delivery, &obituary, at)),
            follows: Some(NextStep::DeadLetter(reason)),
            over: true,
            ..Ruling::default()
        }
    }

    /// Gives up an event that has outlived its time while the receiver is known to be down. While
    /// it is not, even an old event gets its attempt.
    pub(crate) fn expire(&mut self, at: Moment) -> Option<(Delivery, Settlement)> {
        if !self.reliable || !self.gate.is_down() || at.now < self.next_scan {
            return None;
        }
        let wall = at.epoch_ms();
        let max_age = self.policy.max_age();
        let due = self.lanes.take_where(|delivery| {
            Duration::from_millis(wall.saturating_sub(delivery.accepted_at)) > max_age
        });
        let Some(due) = due else {
            self.next_scan = at.now + SCAN;
            return None;
        };
        let obituary = FailureRecord {
            reason: Reason::TooOld,
            outcome: None,
            status: None,
            detail: "the receiver has been failing, and the event's time is over".to_owned(),
            response: String::new(),
            first_attempt_at: due.delivery.first_attempt_at,
            last_attempt_at: None,
        };
        let settlement = self.bury(due.lane, &due.delivery, &obituary, at);
        Some((due.delivery, settlement))
    }

    /// When to look again for events that have outlived their time.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let watched = self.reliable && self.gate.is_down() && self.lanes.has_ready();
        watched.then_some(self.next_scan)
    }

    fn bury(
        &mut self,
        lane: LaneId,
        delivery: &Delivery,
        obituary: &FailureRecord,
        at: Moment,
    ) -> Settlement {
        let dead = Settled::Dead {
            attempts: delivery.attempts,
            died_at: at.epoch_ms(),
            note: obituary.to_note(),
        };
        self.settle(lane, delivery, dead, at)
    }

    fn settle(
        &mut self,
        lane: LaneId,
        delivery: &Delivery,
        outcome: Settled,
        at: Moment,
    ) -> Settlement {
        self.settling.insert(delivery.entry);
        self.lanes.settled(lane, at.now);
        self.settlement(delivery.entry, outcome)
    }

    /// Has the queue remember how often an event was tried.
    fn note(&mut self, delivery: &Delivery, not_before: u64) -> Settlement {
        self.noting += 1;
        let attempts = delivery.attempts;
        let noted = Settled::Attempted {
            attempts,
            not_before,
        };
        self.settlement(delivery.entry, noted)
    }

    fn settlement(&self, entry: EntryId, outcome: Settled) -> Settlement {
        Settlement {
            target: Arc::clone(&self.name),
            entry,
            outcome,
        }
    }
}

/// The event in flight after an attempt.
fn tried(attempt: &Attempt) -> Delivery {
    let mut delivery = attempt.due.delivery;
    if delivery.attempts == 0 {
        delivery.first_attempt_at = Some(attempt.started_at);
    }
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery
}
