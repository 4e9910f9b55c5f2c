//! What follows from an attempt: for each of its events, and for the target.
//!
//! The events of a batch share its result, unless the receiver reports on each. Those that failed are
//! retried together, so that the next request is the same. A batch that some of its events spoil is
//! halved, and its halves again, until those events are alone: at once if the receiver refuses it
//! (400, 413, 422, 431) or no request can be made of it, and from the third failure on if the receiver
//! fails to take it otherwise.

use super::attempt::Attempt;
use super::breaker::{Evidence, Health};
use super::decision::{Decision, EventDecision};
use super::failure_record::FailureRecord;
use super::lanes::{BatchTag, Delivery, Due, Kind};
use super::retry::{self, Next, Retry};
use super::state_change::StateChange;
use super::{TargetState, millis, tried};
use crate::delivery::Verdict;
use crate::shared::clock::Moment;
use crate::shared::{Hold, HoldReason, NextStep, Outcome, Reason};
use std::time::{Duration, Instant};
use webhook_queue::{EntryId, Settled, Settlement, SlotGuard};

/// Waiting events that a delivery lets be attempted early, if its event had failed before: while
/// these are delivered, too, their number grows from one to the next.
const EARLY_AFTER_RETRY: usize = 4;
/// Failed attempts after which a batch is halved: the receiver may fail at one of its events.
const HALVED_AFTER: u32 = 3;

/// How the events of an attempt are retried.
#[derive(Clone, Copy, Debug)]
struct Plan {
    wake: Instant,
    wait: Duration,
    /// The same in epoch milliseconds.
    not_before: u64,
    batch: Option<BatchTag>,
}

impl TargetState {
    /// Decides what follows from an attempt.
    pub(crate) fn on_attempt(
        &mut self,
        attempt: &Attempt,
        at: Moment,
        retry: &dyn Retry,
    ) -> Decision {
        let batch = &attempt.batch;
        if attempt.result.stopped {
            return self.aborted(attempt, at);
        }
        let delivered = attempt.result.verdict == Verdict::Delivered;
        self.slots.ended(batch.kind(), delivered);
        self.in_flight -= batch.len();
        self.delivering = delivered;
        if !self.reliable {
            // One attempt, as Aurora made: `Retry-After` and 410 are ignored.
            return Decision::of(batch, |due| {
                self.backlog.lanes.settled(due.lane, at.now);
                EventDecision {
                    settled: true,
                    follows: (!delivered).then_some(NextStep::Nothing),
                    settlement: None,
                }
            });
        }
        if attempt.result.verdict == Verdict::Unsendable {
            // It says nothing about the receiver.
            self.gate.unused(attempt.permit, at.now);
            if batch.len() > 1 {
                return self.halve(attempt, at.now, at);
            }
            return Decision::of(batch, |due| {
                self.give_up(attempt, due, Reason::Unsendable, at)
            });
        }
        let failing = self.gate.is_failing();
        let change = self.record(attempt, at.now, retry);
        let asked = self.hold_as_asked(attempt, at);
        let mut decision = match attempt.result.verdict {
            Verdict::Delivered => {
                self.wake_after_delivery(attempt);
                if let Some(composition) = &mut self.composition {
                    composition.delivered();
                }
                Decision::of(batch, |due| self.delivered(attempt, due, at))
            }
            _ if self.is_spoilt(attempt) => {
                if matches!(attempt.result.status, Some(413))
                    && let Some(composition) = &mut self.composition
                {
                    composition.too_large(batch.iter().map(|due| due.content.len()).sum());
                }
                let wake = at.now + asked.unwrap_or_default();
                self.halve(attempt, wake, at)
            }
            Verdict::Refused if batch.len() == 1 && !self.gate.keeps_refused() => {
                Decision::of(batch, |due| self.give_up(attempt, due, Reason::Refused, at))
            }
            Verdict::Gone if self.gate.is_current(attempt.permit) => self.stop(attempt),
            _ => self.try_again(attempt, at, asked, retry),
        };
        if change == Some(StateChange::BreakerClosed) || delivered && failing {
            self.backlog.lanes.wake_recovered(at.now);
        }
        let opened = matches!(change, Some(StateChange::BreakerOpened(..)));
        decision.recall |= opened || asked.is_some();
        decision.change = decision.change.or(change);
        decision
    }

    /// Whether a batch failed for what some of its events are, or for their number.
    fn is_spoilt(&self, attempt: &Attempt) -> bool {
        let result = &attempt.result;
        if attempt.batch.len() == 1 || self.gate.keeps_refused() {
            return false;
        }
        match result.verdict {
            Verdict::Refused => return true,
            Verdict::Delivered | Verdict::Gone | Verdict::Unsendable => return false,
            Verdict::Failed => {}
        }
        if result.status == Some(431) {
            // The ids of the events are in the head.
            return true;
        }
        let may_be_spoilt = match result.outcome {
            // The receiver asks for a pause.
            _ if matches!(result.status, Some(408 | 429 | 503)) => false,
            Outcome::Connect => false,
            // The receiver has named the events that failed.
            Outcome::RecordError => result.taken.is_empty(),
            _ => true,
        };
        let attempts = attempt.batch.first.delivery.attempts.saturating_add(1);
        may_be_spoilt && attempts >= HALVED_AFTER && !self.gate.is_down()
    }

    /// Lets the breaker know the result.
    fn record(
        &mut self,
        attempt: &Attempt,
        now: Instant,
        retry: &dyn Retry,
    ) -> Option<StateChange> {
        let first = &attempt.batch.first;
        let evidence = Evidence {
            key: first.key_hash,
            // A batch stands for so many tasks.
            keys: self.backlog.lanes.len().div_ceil(attempt.batch.len()),
            failed_in: first.delivery.failed_in,
        };
        let (policy, breaker) = (&self.policy, &self.breaker);
        let back_off = |openings| retry.breaker(policy, breaker, openings);
        let health = attempt.health();
        let idle = match health {
            Health::Delivered => Duration::ZERO,
            // Where back-offs are shorter, no event waits for so long.
            _ => back_off(u32::MAX).max(breaker.max() / 5),
        };
        self.gate
            .record(attempt.permit, health, &evidence, now, idle, back_off)
    }

    /// Attempts waiting events early, if the delivery shows that they may be delivered, too.
    fn wake_after_delivery(&mut self, attempt: &Attempt) {
        if attempt.batch.kind() == Kind::Retry {
            self.backlog.lanes.wake_next(EARLY_AFTER_RETRY);
        }
    }

    /// The dispatcher aborted the attempt. The events may have arrived or not: they stay pending, and
    /// the attempt's number is not used again. After a restart, a batch has the same events.
    fn aborted(&mut self, attempt: &Attempt, at: Moment) -> Decision {
        self.untried(&attempt.batch, attempt.permit, at.now);
        if !self.reliable {
            return Decision::of(&attempt.batch, |_| EventDecision::default());
        }
        let tag = self.composition.as_ref().and_then(|_| {
            self.aborted += 1;
            BatchTag::new(at.epoch_ms().saturating_sub(self.aborted))
        });
        let not_before = tag.map_or(0, BatchTag::get);
        Decision::of(&attempt.batch, |due| EventDecision {
            settlement: Some(self.note(&tried(due, attempt), not_before, &due.guard)),
            ..EventDecision::default()
        })
    }

    /// Holds all events of the target as long as `Retry-After` asks.
    fn hold_as_asked(&mut self, attempt: &Attempt, at: Moment) -> Option<Duration> {
        let heeded =
            self.gate.is_current(attempt.permit) && attempt.result.verdict != Verdict::Gone;
        let value = attempt.result.retry_after.as_deref().filter(|_| heeded)?;
        let wait = retry::retry_after(value, at.wall, &self.policy)?;
        let until = at.epoch_ms().saturating_add(millis(wait));
        let status = attempt.result.status.unwrap_or_default();
        let value = String::from_utf8_lossy(value);
        let detail = format!("answered {status} with Retry-After: {value}");
        self.hold(until, detail, at);
        Some(wait)
    }

    /// Holds all events of the target until a time, epoch milliseconds.
    pub(crate) fn hold(&mut self, until: u64, detail: String, at: Moment) {
        // Longer only if the wall clock was set back since, which must not hold the target up.
        let longest = retry::longest_wait(&self.policy);
        let wait = Duration::from_millis(until.saturating_sub(at.epoch_ms())).min(longest);
        let hold = Hold {
            reason: HoldReason::RetryAfter,
            until: Some(at.epoch_ms().saturating_add(millis(wait))),
            detail,
        };
        let longer = self.gate.hold(at.now + wait, hold.clone());
        if longer {
            self.hold_changed = Some(hold);
        }
    }

    /// The settlement that keeps a new hold, or the end of one, over a restart.
    pub(crate) fn take_hold(&mut self) -> Option<Settlement> {
        let hold = self.hold_changed.take()?;
        let held = Settled::Held {
            until: hold.until.unwrap_or(0),
            note: hold.detail.into_bytes(),
        };
        Some(self.settlement(EntryId(0), held, &SlotGuard::SOLE))
    }

    fn delivered(&mut self, attempt: &Attempt, due: &Due, at: Moment) -> EventDecision {
        let delivery = tried(due, attempt);
        let outcome = match self.retains {
            false => Settled::Delivered,
            true => Settled::Kept {
                attempts: delivery.attempts,
                delivered_at: at.epoch_ms(),
            },
        };
        EventDecision {
            settlement: Some(self.settle(due, &delivery, outcome, at)),
            settled: true,
            follows: None,
        }
    }

    /// The receiver answered 410: the target stops, and its events stay pending.
    fn stop(&mut self, attempt: &Attempt) -> Decision {
        let stopped = self.gate.stop();
        let mut decision = Decision::of(&attempt.batch, |due| {
            let delivery = tried(due, attempt);
            self.backlog.lanes.tried(due.lane, delivery);
            EventDecision {
                settlement: Some(self.note(&delivery, 0, &due.guard)),
                follows: Some(NextStep::Stop),
                settled: false,
            }
        });
        self.put_back(&attempt.batch);
        decision.recall = stopped;
        decision.change = stopped.then_some(StateChange::Stopped);
        decision
    }

    /// The attempt failed, and another may succeed.
    fn try_again(
        &mut self,
        attempt: &Attempt,
        at: Moment,
        asked: Option<Duration>,
        retry: &dyn Retry,
    ) -> Decision {
        let first = &attempt.batch.first.delivery;
        let due_at = first.not_before;
        let was_early =
            due_at.is_some_and(|due_at| at.now.checked_sub(attempt.took) < Some(due_at));
        // Neither an attempt to find out about the receiver, nor a refusal by a receiver that
        // refuses all, uses up the event's attempts.
        let counts = !was_early && attempt.result.verdict != Verdict::Refused;
        let mut plan = None;
        let mut taken = attempt.result.taken.iter();
        Decision::of(&attempt.batch, |due| {
            let is_taken = taken.next().is_some_and(|taken| *taken);
            // An event is sent again, though taken, if one of its task before it is.
            let goes_on = self.backlog.lanes.is_in_flight(due.lane);
            if is_taken && goes_on {
                return self.delivered(attempt, due, at);
            }
            let mut delivery = tried(due, attempt);
            delivery.failed_in.get_or_insert(self.gate.recoveries());
            delivery.early += u32::from(!counts);
            let attempts = delivery.attempts.saturating_sub(delivery.early).max(1);
            let age = Duration::from_millis(at.epoch_ms().saturating_sub(delivery.accepted_at));
            let wait = match retry.next(&self.policy, attempts, age, asked) {
                Next::After(wait) => wait,
                Next::AttemptsExhausted if goes_on && counts => {
                    return self.give_up(attempt, due, Reason::AttemptsExhausted, at);
                }
                Next::TooOld if goes_on => {
                    return self.give_up(attempt, due, Reason::TooOld, at);
                }
                Next::AttemptsExhausted | Next::TooOld => Duration::ZERO,
            };
            let plan = *plan.get_or_insert_with(|| {
                // Its back-off goes on.
                let wake = match due_at {
                    Some(due_at) if was_early => due_at.max(at.now + asked.unwrap_or_default()),
                    _ => at.now + wait,
                };
                self.plan(wake, at)
            });
            self.retry(due, delivery, &plan)
        })
    }

    /// Halves a batch; both halves are retried from then on.
    fn halve(&mut self, attempt: &Attempt, wake: Instant, at: Moment) -> Decision {
        let half = attempt.batch.len().div_ceil(2);
        let first = self.plan(wake, at);
        let mut second = first;
        second.batch = first.batch.map(BatchTag::next);
        second.not_before = second.batch.map_or(first.not_before, BatchTag::get);
        let mut index = 0;
        Decision::of(&attempt.batch, |due| {
            let plan = if index < half { &first } else { &second };
            index += 1;
            let mut delivery = tried(due, attempt);
            delivery.failed_in.get_or_insert(self.gate.recoveries());
            // It does not use up the attempts of the other events.
            delivery.early += 1;
            self.retry(due, delivery, plan)
        })
    }

    /// When to retry the events of an attempt, and under which tag.
    fn plan(&self, wake: Instant, at: Moment) -> Plan {
        let wait = wake.saturating_duration_since(at.now);
        let not_before = at.epoch_ms().saturating_add(millis(wait));
        let mut batch = BatchTag::new(not_before).filter(|_| self.composition.is_some());
        while let Some(tag) = batch
            && self.backlog.lanes.has_batch(tag, wake)
        {
            batch = Some(tag.next());
        }
        Plan {
            wake,
            wait,
            not_before: batch.map_or(not_before, BatchTag::get),
            batch,
        }
    }

    /// Lets an event wait for its retry.
    fn retry(&mut self, due: &Due, mut delivery: Delivery, plan: &Plan) -> EventDecision {
        delivery.not_before = Some(plan.wake);
        delivery.batch = plan.batch;
        self.backlog.lanes.retry(due.lane, delivery, plan.wake);
        EventDecision {
            settlement: Some(self.note(&delivery, plan.not_before, &due.guard)),
            follows: Some(NextStep::Retry(plan.wait)),
            settled: false,
        }
    }

    fn give_up(
        &mut self,
        attempt: &Attempt,
        due: &Due,
        reason: Reason,
        at: Moment,
    ) -> EventDecision {
        let delivery = tried(due, attempt);
        let record = FailureRecord {
            reason,
            outcome: Some(attempt.result.outcome),
            status: attempt.result.status,
            detail: attempt.result.detail.clone(),
            response: attempt.result.response.clone(),
            first_attempt_at: delivery.first_attempt_at,
            last_attempt_at: Some(attempt.started_at),
        };
        EventDecision {
            settlement: Some(self.give_up_as(due, &delivery, &record, at)),
            follows: Some(NextStep::DeadLetter(reason)),
            settled: true,
        }
    }

    pub(super) fn give_up_as(
        &mut self,
        due: &Due,
        delivery: &Delivery,
        record: &FailureRecord,
        at: Moment,
    ) -> Settlement {
        let dead = Settled::Dead {
            attempts: delivery.attempts,
            died_at: at.epoch_ms(),
            note: record.to_note(),
        };
        self.settle(due, delivery, dead, at)
    }

    fn settle(
        &mut self,
        due: &Due,
        delivery: &Delivery,
        outcome: Settled,
        at: Moment,
    ) -> Settlement {
        self.backlog.unsynced.settle(delivery.entry, delivery.claim);
        self.backlog.lanes.settled(due.lane, at.now);
        self.settlement(delivery.entry, outcome, &due.guard)
    }

    /// Records in the queue how often an event was attempted, and when it may be again.
    pub(crate) fn note(
        &mut self,
        delivery: &Delivery,
        not_before: u64,
        guard: &SlotGuard,
    ) -> Settlement {
        self.backlog.unsynced.note();
        let attempts = delivery.attempts;
        let noted = Settled::Attempted {
            attempts,
            not_before,
        };
        self.settlement(delivery.entry, noted, guard)
    }

    fn settlement(&self, entry: EntryId, outcome: Settled, guard: &SlotGuard) -> Settlement {
        Settlement {
            target: std::sync::Arc::clone(&self.name),
            entry,
            outcome,
            guard: guard.clone(),
        }
    }
}
