//! The state of one target and every decision about it: lanes, retry, breaker, rate, hold. May use
//! the types of delivery, and shared.
//!
//! Pure: no clock, I/O or thread. The worker passes the time in, reads the queue, and carries out
//! decisions. `worker/tests.rs` checks this room against a naive model, with a crash possible
//! between any two operations.

pub(crate) mod attempt;
pub(crate) mod backlog;
mod breaker;
mod decision;
mod failure_record;
pub(crate) mod gate;
pub(crate) mod lanes;
mod rate;
pub mod retry;
mod slots;
mod state_change;
pub(crate) mod unsynced;

pub(crate) use self::decision::{Decision, Step};
pub use self::failure_record::FailureRecord;
pub(crate) use self::state_change::StateChange;

use self::attempt::Attempt;
use self::backlog::Backlog;
use self::breaker::{Evidence, Health};
use self::gate::{Gate, Permit};
use self::lanes::{Bounds, Delivery, Kind, LaneId};
use self::retry::{Next, Retry};
use self::slots::Slots;
use crate::delivery::Verdict;
use crate::shared::clock::Moment;
use crate::shared::{Hold, HoldReason, NextStep, Reason};
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_config::{BreakerPolicy, RetryPolicy, Target};
use webhook_queue::{Claim, EntryId, Settled, Settlement, SlotGuard};

/// Bytes of bodies that a target's lanes may hold; the channel to the worker may hold as many
/// again.
pub(crate) const WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// Events that one lane may hold in memory.
const PER_LANE: usize = 32;
/// Tasks that may have a lane at once, most of them waiting for a retry without a body.
const LANES: usize = 32_768;
/// How often ready events are scanned for expired ones while the target is down.
const SCAN: Duration = Duration::from_secs(1);
/// The smallest limit of jobs that wait for a sender: one that finds its next job waiting neither
/// sleeps nor has to be woken.
const WAITING_JOBS: usize = 64;
/// Waiting events that a delivery lets be attempted early, if its event had failed before: while
/// these are delivered, too, their number grows from one to the next.
const EARLY_AFTER_RETRY: usize = 4;

/// The state of one target: its events in memory, its gate, and how many attempts are outstanding.
#[derive(Debug)]
pub(crate) struct TargetState {
    name: Arc<str>,
    policy: RetryPolicy,
    breaker: BreakerPolicy,
    reliable: bool,
    /// Whether its deliveries are kept.
    retains: bool,
    pub(crate) backlog: Backlog,
    pub(crate) gate: Gate,
    /// The limit of outstanding attempts after a delivery.
    limit: usize,
    /// The limit of outstanding attempts after a failure, and at the start: a receiver that is down
    /// gets no more than these before its failure is known.
    limit_after_failure: usize,
    /// Whether the last attempt was a delivery.
    delivering: bool,
    /// Attempts handed out whose result is not known.
    slots: Slots,
    /// Whether the next probe is of the newest event instead of the oldest.
    probes_newest: bool,
    next_scan: Instant,
    /// A hold that began or ended, and is to be stored.
    hold_changed: Option<Hold>,
    /// Whether the claim of a ready event had ended.
    claim_ended: bool,
}

impl TargetState {
    pub(crate) fn new(target: &Target, reliable: bool, now: Instant) -> TargetState {
        let bounds = Bounds {
            window: target.window().get(),
            window_bytes: WINDOW_BYTES,
            // A best-effort target's events are not in the queue, to be read back from there.
            per_lane: if reliable { PER_LANE } else { usize::MAX },
            lanes: if reliable { LANES } else { usize::MAX },
        };
        TargetState::with_bounds(target, reliable, bounds, now)
    }

    pub(crate) fn with_bounds(
        target: &Target,
        reliable: bool,
        bounds: Bounds,
        now: Instant,
    ) -> TargetState {
        TargetState {
            name: Arc::from(target.name().as_str()),
            policy: target.retry().clone(),
            breaker: *target.breaker(),
            reliable,
            retains: target.retain().is_some(),
            backlog: Backlog::new(reliable, bounds, retry::longest_wait(target.retry())),
            gate: Gate::new(target, now),
            limit: outstanding_limit(target),
            limit_after_failure: limit_after_failure(target),
            delivering: false,
            slots: Slots::new(target.concurrency().get()),
            probes_newest: true,
            next_scan: now,
            hold_changed: None,
            claim_ended: false,
        }
    }

    /// Continues under other settings.
    pub(crate) fn reconfigure(&mut self, target: &Target, now: Instant) {
        self.policy = target.retry().clone();
        self.breaker = *target.breaker();
        self.retains = target.retain().is_some();
        self.slots.set_concurrency(target.concurrency().get());
        self.limit = outstanding_limit(target);
        self.limit_after_failure = limit_after_failure(target);
        self.delivering = false;
        self.backlog
            .set_longest_wait(retry::longest_wait(&self.policy));
        self.backlog.set_window(target.window().get());
        self.end_hold();
        self.gate.reconfigure(target, now);
        self.backlog.lanes.wake_all(now);
    }

    /// Pauses, or resumes and attempts waiting events at once.
    pub(crate) fn pause(&mut self, paused: bool, now: Instant) {
        self.gate.pause(paused);
        if !paused {
            self.backlog.lanes.wake_all(now);
        }
    }

    /// Forgets what is known of the receiver, and attempts waiting events at once.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.end_hold();
        self.gate.restart();
        self.backlog.lanes.wake_all(now);
    }

    /// Forgets a hold, here and over a restart.
    fn end_hold(&mut self) {
        if self.gate.hold_end().is_some() {
            self.hold_changed = Some(Hold {
                reason: HoldReason::RetryAfter,
                until: None,
                detail: String::new(),
            });
        }
    }

    /// Ends a stop by a 410, and attempts waiting events at once.
    pub(crate) fn reopen(&mut self, now: Instant) {
        if self.gate.reopen() {
            self.backlog.lanes.wake_all(now);
        }
    }

    /// Whether nothing is under way, and every settlement is synced.
    pub(crate) fn is_settled(&self) -> bool {
        self.slots.outstanding() == 0 && self.backlog.unsynced.len() == 0
    }

    /// Decides what to do next. `guard` gives permission to deliver an entry of a claim. Without
    /// it, the event's lane is to be read back.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        guard: impl Fn(Claim) -> Option<SlotGuard>,
    ) -> Step {
        let mut limit = if self.delivering {
            self.limit
        } else {
            self.limit_after_failure
        };
        if self.reliable {
            limit = limit.min(self.backlog.unsynced.room());
        }
        if self.slots.outstanding() >= limit {
            return Step::Nothing;
        }
        let lanes = &mut self.backlog.lanes;
        loop {
            let (first, retry) = (lanes.has(Kind::First), lanes.has(Kind::Retry));
            let next = if self.gate.is_down() && first {
                // A probe says most if its event is not known to fail.
                Some(Kind::First)
            } else {
                self.slots.next(first, retry)
            };
            let Some(kind) = next else {
                return Step::Nothing;
            };
            let permit = match self.gate.ask(now) {
                Err(blocked) => return Step::Blocked(blocked),
                Ok(permit) => permit,
            };
            // Of a burst of failing tasks, the oldest events all fail.
            let newest = self.gate.is_down() && self.probes_newest;
            let due = if newest {
                lanes.take_newest(kind)
            } else {
                lanes.take(kind)
            };
            let due = due.expect("a lane was ready just now");
            let Some(guard) = guard(due.delivery.claim) else {
                self.gate.unused(permit, now);
                lanes.forget(due.lane);
                self.claim_ended = true;
                continue;
            };
            self.probes_newest = !newest;
            self.slots.take(kind, retry);
            return Step::Attempt(due, permit, guard);
        }
    }

    /// Whether the claim of a ready event had ended since the last call.
    pub(crate) fn take_claim_ended(&mut self) -> bool {
        std::mem::take(&mut self.claim_ended)
    }

    /// Wakes the lanes whose retry is due, to be read back; and one early if nothing else is to be
    /// attempted and the receiver may work again.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.backlog.lanes.wake(now);
        if self.early_at().is_some_and(|at| at <= now) {
            self.backlog.lanes.wake_next(1);
        }
    }

    /// When to attempt a waiting event early.
    fn early_at(&self) -> Option<Instant> {
        let lanes = &self.backlog.lanes;
        let idle = self.slots.outstanding() == 0 && lanes.is_idle() && lanes.waiting() > 0;
        idle.then(|| self.gate.early_at()).flatten()
    }

    /// Takes back an attempt that was not made: its event is the first of its lane again.
    pub(crate) fn untried(&mut self, lane: LaneId, kind: Kind, permit: Permit, now: Instant) {
        self.slots.give_back(kind);
        self.gate.unused(permit, now);
        self.backlog.lanes.untried(lane);
    }

    /// When the first waiting lane wakes.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let next = self.backlog.lanes.next_wake();
        next.into_iter().chain(self.early_at()).min()
    }

    /// Attempts handed out whose result is not known.
    pub(crate) fn outstanding(&self) -> usize {
        self.slots.outstanding()
    }

    /// Tasks that wait for a retry.
    pub(crate) fn waiting(&self) -> usize {
        self.backlog.lanes.waiting()
    }

    /// Events in memory.
    pub(crate) fn held(&self) -> usize {
        self.backlog.lanes.held()
    }

    /// Decides what follows from an attempt.
    pub(crate) fn on_attempt(
        &mut self,
        attempt: &Attempt,
        at: Moment,
        retry: &dyn Retry,
    ) -> Decision {
        let lane = attempt.due.lane;
        if attempt.result.stopped {
            return self.aborted(attempt, at);
        }
        let delivered = attempt.result.verdict == Verdict::Delivered;
        self.slots.ended(attempt.due.kind, delivered);
        self.delivering = delivered;
        if !self.reliable {
            // One attempt, as Aurora made: `Retry-After` and 410 are ignored.
            self.backlog.lanes.settled(lane, at.now);
            return Decision {
                settled: true,
                follows: (!delivered).then_some(NextStep::Nothing),
                ..Decision::default()
            };
        }
        if attempt.result.verdict == Verdict::Unsendable {
            // It says nothing about the receiver.
            self.gate.unused(attempt.permit, at.now);
            return self.give_up(attempt, Reason::Unsendable, at);
        }
        let failing = self.gate.is_failing();
        let change = self.record(attempt, at.now, retry);
        let asked = self.hold_as_asked(attempt, at);
        let decision = match attempt.result.verdict {
            Verdict::Delivered => {
                self.wake_after_delivery(attempt);
                let delivery = tried(attempt);
                let outcome = match self.retains {
                    false => Settled::Delivered,
                    true => Settled::Kept {
                        attempts: delivery.attempts,
                        delivered_at: at.epoch_ms(),
                    },
                };
                Decision {
                    settlement: Some(self.settle(lane, &delivery, outcome, &attempt.guard, at)),
                    settled: true,
                    ..Decision::default()
                }
            }
            Verdict::Refused if !self.gate.keeps_refused() => {
                self.give_up(attempt, Reason::Refused, at)
            }
            Verdict::Gone if self.gate.is_current(attempt.permit) => self.stop(attempt),
            _ => self.try_again(attempt, at, asked, retry),
        };
        if change == Some(StateChange::BreakerClosed) || delivered && failing {
            self.backlog.lanes.wake_recovered(at.now);
        }
        let opened = matches!(change, Some(StateChange::BreakerOpened(..)));
        Decision {
            recall: decision.recall || opened || asked.is_some(),
            change: decision.change.or(change),
            ..decision
        }
    }

    /// Lets the breaker know the result.
    fn record(
        &mut self,
        attempt: &Attempt,
        now: Instant,
        retry: &dyn Retry,
    ) -> Option<StateChange> {
        let evidence = Evidence {
            key: attempt.due.key_hash,
            keys: self.backlog.lanes.len(),
            failed_in: attempt.due.delivery.failed_in,
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
        if attempt.due.kind == Kind::Retry {
            self.backlog.lanes.wake_next(EARLY_AFTER_RETRY);
        }
    }

    /// The dispatcher aborted the attempt. The event may have arrived or not: it stays pending, and
    /// the attempt's number is not used again.
    fn aborted(&mut self, attempt: &Attempt, at: Moment) -> Decision {
        let delivery = tried(attempt);
        self.untried(attempt.due.lane, attempt.due.kind, attempt.permit, at.now);
        Decision {
            settlement: self
                .reliable
                .then(|| self.note(&delivery, 0, &attempt.guard)),
            ..Decision::default()
        }
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

    /// The receiver answered 410: the target stops, and its events stay pending.
    fn stop(&mut self, attempt: &Attempt) -> Decision {
        let stopped = self.gate.stop();
        let delivery = tried(attempt);
        self.backlog.lanes.again(attempt.due.lane, delivery);
        Decision {
            settlement: Some(self.note(&delivery, 0, &attempt.guard)),
            follows: Some(NextStep::Stop),
            recall: stopped,
            change: stopped.then_some(StateChange::Stopped),
            ..Decision::default()
        }
    }

    /// The attempt failed, and another may succeed.
    fn try_again(
        &mut self,
        attempt: &Attempt,
        at: Moment,
        asked: Option<Duration>,
        retry: &dyn Retry,
    ) -> Decision {
        let mut delivery = tried(attempt);
        delivery.failed_in.get_or_insert(self.gate.recoveries());
        let due_at = delivery.not_before;
        let was_early =
            due_at.is_some_and(|due_at| at.now.checked_sub(attempt.took) < Some(due_at));
        // Neither an attempt to find out about the receiver, nor a refusal by a receiver that
        // refuses all, uses up the event's attempts.
        let counts = !was_early && attempt.result.verdict != Verdict::Refused;
        delivery.early += u32::from(!counts);
        let attempts = delivery.attempts.saturating_sub(delivery.early).max(1);
        let age = Duration::from_millis(at.epoch_ms().saturating_sub(delivery.accepted_at));
        let next = match retry.next(&self.policy, attempts, age, asked) {
            Next::AttemptsExhausted if !counts => Next::After(Duration::ZERO),
            next => next,
        };
        let wait = match next {
            Next::AttemptsExhausted => {
                return self.give_up(attempt, Reason::AttemptsExhausted, at);
            }
            Next::TooOld => return self.give_up(attempt, Reason::TooOld, at),
            Next::After(wait) => wait,
        };
        // Its back-off goes on.
        let wake = match due_at {
            Some(due_at) if was_early => due_at.max(at.now + asked.unwrap_or_default()),
            _ => at.now + wait,
        };
        let wait = wake.saturating_duration_since(at.now);
        delivery.not_before = Some(wake);
        self.backlog.lanes.retry(attempt.due.lane, delivery, wake);
        let not_before = at.epoch_ms().saturating_add(millis(wait));
        Decision {
            settlement: Some(self.note(&delivery, not_before, &attempt.guard)),
            follows: Some(NextStep::Retry(wait)),
            ..Decision::default()
        }
    }

    fn give_up(&mut self, attempt: &Attempt, reason: Reason, at: Moment) -> Decision {
        let delivery = tried(attempt);
        let record = FailureRecord {
            reason,
            outcome: Some(attempt.result.outcome),
            status: attempt.result.status,
            detail: attempt.result.detail.clone(),
            response: attempt.result.response.clone(),
            first_attempt_at: delivery.first_attempt_at,
            last_attempt_at: Some(attempt.started_at),
        };
        Decision {
            settlement: Some(self.give_up_as(
                attempt.due.lane,
                &delivery,
                &record,
                &attempt.guard,
                at,
            )),
            follows: Some(NextStep::DeadLetter(reason)),
            settled: true,
            ..Decision::default()
        }
    }

    /// Gives up an event older than `maxAgeMsec` while the breaker is not closed. While it is
    /// closed, an old event still gets an attempt.
    pub(crate) fn expire(
        &mut self,
        at: Moment,
        guard: impl Fn(Claim) -> Option<SlotGuard>,
    ) -> Option<(Delivery, Settlement)> {
        if !self.reliable || !self.gate.is_down() || at.now < self.next_scan {
            return None;
        }
        let wall = at.epoch_ms();
        let max_age = self.policy.max_age();
        let is_too_old = |delivery: &Delivery| {
            Duration::from_millis(wall.saturating_sub(delivery.accepted_at)) > max_age
        };
        let lanes = &mut self.backlog.lanes;
        let (due, guard) = loop {
            let Some(due) = lanes.take_where(is_too_old) else {
                self.next_scan = at.now + SCAN;
                return None;
            };
            match guard(due.delivery.claim) {
                Some(guard) => break (due, guard),
                None => lanes.forget(due.lane),
            }
            self.claim_ended = true;
        };
        let record = FailureRecord {
            reason: Reason::TooOld,
            outcome: None,
            status: None,
            detail: "the receiver keeps failing, and the event is older than maxAgeMsec".to_owned(),
            response: String::new(),
            first_attempt_at: due.delivery.first_attempt_at,
            last_attempt_at: None,
        };
        let settlement = self.give_up_as(due.lane, &due.delivery, &record, &guard, at);
        Some((due.delivery, settlement))
    }

    /// When to scan for expired events again.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let scans = self.reliable && self.gate.is_down() && self.backlog.lanes.has_ready();
        scans.then_some(self.next_scan)
    }

    fn give_up_as(
        &mut self,
        lane: LaneId,
        delivery: &Delivery,
        record: &FailureRecord,
        guard: &SlotGuard,
        at: Moment,
    ) -> Settlement {
        let dead = Settled::Dead {
            attempts: delivery.attempts,
            died_at: at.epoch_ms(),
            note: record.to_note(),
        };
        self.settle(lane, delivery, dead, guard, at)
    }

    fn settle(
        &mut self,
        lane: LaneId,
        delivery: &Delivery,
        outcome: Settled,
        guard: &SlotGuard,
        at: Moment,
    ) -> Settlement {
        self.backlog.unsynced.settle(delivery.entry, delivery.claim);
        self.backlog.lanes.settled(lane, at.now);
        self.settlement(delivery.entry, outcome, guard)
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
            target: Arc::clone(&self.name),
            entry,
            outcome,
            guard: guard.clone(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The delivery after an attempt.
pub(crate) fn tried(attempt: &Attempt) -> Delivery {
    let mut delivery = attempt.due.delivery;
    if delivery.attempts == 0 {
        delivery.first_attempt_at = Some(attempt.started_at);
    }
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery
}

/// The limit of outstanding attempts: those under way, and some that wait for a sender.
pub(crate) fn outstanding_limit(target: &Target) -> usize {
    let concurrency = target.concurrency().get();
    match target.max_per_second() {
        // A rate limit counts attempts when they are handed out, so none should wait.
        Some(_) => concurrency,
        None => concurrency + concurrency.max(WAITING_JOBS),
    }
}

/// The limit after a failure: no more attempts wait than are under way.
fn limit_after_failure(target: &Target) -> usize {
    outstanding_limit(target).min(target.concurrency().get() * 2)
}
