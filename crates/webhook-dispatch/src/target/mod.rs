//! The state of one target and every decision about it: lanes, retry, breaker, rate, hold. May use
//! the types of delivery, and shared.
//!
//! Pure: no clock, I/O or thread. The worker passes the time in, reads the queue, and carries out
//! decisions. `worker/tests.rs` checks this layer against a naive model, with a crash possible
//! between any two operations.
//!
//! The events of a batch share its result, unless the receiver reports on each. Those that failed are
//! retried together, so that the next request is the same, until they are too many or some of them
//! spoil the batch.

pub(crate) mod attempt;
pub(crate) mod backlog;
mod breaker;
mod composition;
mod decision;
mod failure_record;
pub(crate) mod gate;
pub(crate) mod lanes;
mod plan;
mod rate;
pub mod retry;
mod slots;
mod state_change;
#[cfg(test)]
mod tests;
pub(crate) mod unsynced;

pub(crate) use self::attempt::tried;
pub(crate) use self::decision::{Decision, EventDecision, Step};
pub use self::failure_record::FailureRecord;
pub(crate) use self::state_change::StateChange;

use self::attempt::{Attempt, millis};
use self::backlog::Backlog;
use self::breaker::{Evidence, Health};
use self::composition::Composition;
use self::gate::{Gate, Permit};
use self::lanes::{Batch, BatchRoom, BatchTag, Bounds, Delivery, Due, Kind};
use self::plan::{Plan, is_spoilt};
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
/// Events that one lane may hold in memory, unless a batch has more.
const PER_LANE: usize = 32;
/// Tasks that may have a lane at once, most of them waiting for a retry without a body.
const LANES: usize = 32_768;
/// How often ready events are scanned for expired ones while the target is down.
const SCAN: Duration = Duration::from_secs(1);
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
    /// Attempts handed out whose result is not known.
    slots: Slots,
    /// How events are put together, if several may share an attempt.
    composition: Option<Composition>,
    /// Whether the next probe is of the newest event instead of the oldest.
    probes_newest: bool,
    next_scan: Instant,
    /// Whether the claim of a ready event had ended.
    claim_ended: bool,
}

impl TargetState {
    pub(crate) fn new(target: &Target, reliable: bool, now: Instant) -> TargetState {
        let bounds = Bounds {
            window: target.window().get(),
            window_bytes: WINDOW_BYTES,
            per_lane: per_lane(target, reliable),
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
        let mut state = TargetState {
            name: Arc::from(target.name().as_str()),
            policy: target.retry().clone(),
            breaker: *target.breaker(),
            reliable,
            retains: target.retain().is_some(),
            backlog: Backlog::new(reliable, bounds, retry::longest_wait(target.retry())),
            gate: Gate::new(target, now),
            slots: Slots::new(target),
            composition: Composition::of(target),
            probes_newest: true,
            next_scan: now,
            claim_ended: false,
        };
        state.backlog.set_batches(state.composition.is_some());
        state
    }

    /// Continues under other settings.
    pub(crate) fn reconfigure(&mut self, target: &Target, now: Instant) {
        self.policy = target.retry().clone();
        self.breaker = *target.breaker();
        self.retains = target.retain().is_some();
        self.slots.reconfigure(target);
        self.composition = Composition::of(target);
        self.backlog.set_batches(self.composition.is_some());
        self.backlog
            .set_longest_wait(retry::longest_wait(&self.policy));
        let per_lane = per_lane(target, self.reliable);
        self.backlog.set_window(target.window().get(), per_lane);
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
        self.gate.restart();
        self.backlog.lanes.wake_all(now);
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
        self.backlog.lacks_room = false;
        let mut left = usize::MAX;
        if self.reliable {
            left = self
                .backlog
                .unsynced
                .room()
                .saturating_sub(self.slots.events());
        }
        if self.slots.are_taken() || left == 0 {
            return Step::Nothing;
        }
        loop {
            let lanes = &mut self.backlog.lanes;
            let (first, retry) = (lanes.has(Kind::First), lanes.has(Kind::Retry));
            let next = if self.gate.is_down() && first {
                // A probe says most if its event is not known to fail.
                Some(Kind::First)
            } else {
                self.slots.next(first, retry)
            };
            let Some(mut kind) = next else {
                return Step::Nothing;
            };
            // Of a burst of failing tasks, the oldest events all fail.
            let newest = self.gate.is_down() && self.probes_newest;
            let (mut room, wanted) = match &mut self.composition {
                None => (BatchRoom::ONE, 1),
                Some(composition) => {
                    let outstanding = self.slots.outstanding();
                    if let Some(step) = composition.wait(kind, lanes, outstanding, now) {
                        // Retries do not wait with it.
                        match self.slots.next(false, retry) {
                            Some(retry) => kind = retry,
                            None => return step,
                        }
                    }
                    let room = composition.room(kind, left);
                    (room, lanes.next_batch(kind, newest, room.events))
                }
            };
            if kind == Kind::Retry && wanted > left {
                // A batch that failed before keeps its events, and waits until all of them have room: it
                // has at most as many as the target's window.
                self.backlog.lacks_room = true;
                return Step::Nothing;
            }
            let permit = match self.gate.ask(now, wanted) {
                Err(blocked) => return Step::Blocked(blocked),
                Ok(permit) => permit,
            };
            if kind == Kind::First {
                // One that failed before keeps its events, and later attempts wait for their tokens.
                room.events = room.events.min(permit.events());
            }
            let lanes = &mut self.backlog.lanes;
            let due = if newest {
                lanes.take_newest(kind)
            } else {
                lanes.take(kind)
            };
            let mut due = due.expect("a lane was ready just now");
            let Some(permission) = guard(due.delivery.claim) else {
                self.gate.unused(permit, now);
                lanes.forget(due.lane);
                self.claim_ended = true;
                continue;
            };
            due.guard = permission;
            let (rest, ended) = lanes.gather(&due, newest, room, &guard);
            self.claim_ended |= ended;
            let batch = Batch::new(due, rest);
            let permit = self.gate.use_for(permit, batch.len());
            self.probes_newest = !newest;
            self.slots.take(kind, batch.len(), retry);
            return Step::Attempt(batch, permit);
        }
    }

    /// Whether the claim of a ready event had ended since the last call.
    pub(crate) fn take_claim_ended(&mut self) -> bool {
        std::mem::take(&mut self.claim_ended)
    }

    /// Wakes the lanes whose retry is due, to be read back; and one early if nothing else is to be
    /// attempted and the receiver may work again.
    pub(crate) fn wake(&mut self, now: Instant) {
        if self.backlog.is_starting() {
            return;
        }
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

    /// Takes back an attempt that was not made: its events are the first of their lanes again.
    pub(crate) fn untried(&mut self, batch: &Batch, permit: Permit, now: Instant) {
        self.slots.give_back(batch.kind(), batch.len());
        self.gate.unused(permit, now);
        self.put_back(batch);
    }

    /// Puts the events of an attempt back to their lanes.
    fn put_back(&mut self, batch: &Batch) {
        let lanes = &mut self.backlog.lanes;
        for due in batch.iter().rev() {
            if lanes.is_in_flight(due.lane) {
                lanes.untried(due.lane);
            }
        }
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
        let batch = &attempt.batch;
        if attempt.result.stopped {
            return self.aborted(attempt, at);
        }
        let delivered = attempt.result.verdict == Verdict::Delivered;
        self.slots.ended(batch.kind(), batch.len(), delivered);
        self.learn(attempt);
        if !self.reliable {
            // One attempt, as Aurora made: `Retry-After` and 410 are ignored.
            let mut taken = attempt.result.taken.iter();
            return Decision::of(batch, |due| {
                self.backlog.lanes.settled(due.lane, at.now);
                let is_taken = delivered || taken.next().is_some_and(|taken| *taken);
                EventDecision {
                    settled: true,
                    follows: (!is_taken).then_some(NextStep::Nothing),
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
                Decision::of(batch, |due| self.delivered(attempt, due, at))
            }
            _ if !self.gate.keeps_refused()
                && is_spoilt(attempt, self.gate.is_down(), self.policy.max_attempts()) =>
            {
                let wake = at.now + asked.unwrap_or_default();
                self.halve(attempt, wake, at)
            }
            Verdict::Refused if batch.len() == 1 && !self.gate.keeps_refused() => {
                Decision::of(batch, |due| self.give_up(attempt, due, Reason::Refused, at))
            }
            Verdict::Gone if self.gate.is_current(attempt.permit) => self.stop(attempt, at),
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

    /// Makes further batches smaller after a failure that may be due to their size or some of their
    /// events, and larger after a delivery.
    fn learn(&mut self, attempt: &Attempt) {
        let Some(composition) = &mut self.composition else {
            return;
        };
        let batch = &attempt.batch;
        match (attempt.result.verdict, attempt.health()) {
            (Verdict::Delivered, _) => composition.delivered(),
            (Verdict::Unsendable, _) => {}
            (_, Health::ServerError | Health::Answered) if batch.len() > 1 => {
                composition.failed(batch.len());
                if attempt.result.status == Some(413) {
                    composition.too_large(batch.iter().map(|due| due.content.len()).sum());
                }
            }
            _ => {}
        }
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
        // Where back-offs are shorter, no event waits for so long.
        let idle = back_off(u32::MAX).max(breaker.max() / 5);
        self.gate.record(
            attempt.permit,
            attempt.health(),
            &evidence,
            now,
            idle,
            back_off,
        )
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
        let plan = self.plan(at.now, at);
        let not_before = plan.batch.map_or(0, BatchTag::get);
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
        let value = String::from_utf8_lossy(value);
        let detail = match attempt.result.status {
            Some(status) => format!("answered {status} with Retry-After: {value}"),
            None => format!("the token endpoint answered with Retry-After: {value}"),
        };
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
        self.gate.hold(at.now + wait, hold);
    }

    /// The settlement that keeps a new hold, or the end of one, over a restart.
    pub(crate) fn take_hold(&mut self) -> Option<Settlement> {
        let hold = self.gate.take_changed_hold()?;
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
    fn stop(&mut self, attempt: &Attempt, at: Moment) -> Decision {
        let stopped = self.gate.stop();
        let plan = self.plan(at.now, at);
        let not_before = plan.batch.map_or(0, BatchTag::get);
        let mut decision = Decision::of(&attempt.batch, |due| {
            let mut delivery = tried(due, attempt);
            delivery.batch = plan.batch;
            self.backlog.lanes.tried(due.lane, delivery);
            EventDecision {
                settlement: Some(self.note(&delivery, not_before, &due.guard)),
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
        let second = first.other_half(at, &mut self.backlog.lanes);
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

    /// A retry at `wake` of events that failed together.
    fn plan(&mut self, wake: Instant, at: Moment) -> Plan {
        let batches = self.composition.is_some();
        Plan::new(wake, at, &mut self.backlog.lanes, batches)
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

    fn give_up_as(
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
            target: Arc::clone(&self.name),
            entry,
            outcome,
            guard: guard.clone(),
        }
    }

    /// Gives up an event older than `maxAgeMsec` while the breaker is not closed. While it is
    /// closed, an old event still gets an attempt.
    pub(crate) fn expire(
        &mut self,
        at: Moment,
        guard: impl Fn(Claim) -> Option<SlotGuard>,
    ) -> Option<(Delivery, Settlement)> {
        if !self.gate.is_down() || at.now < self.next_scan {
            return None;
        }
        let wall = at.epoch_ms();
        let max_age = self.policy.max_age();
        let is_too_old = |delivery: &Delivery| {
            Duration::from_millis(wall.saturating_sub(delivery.accepted_at)) > max_age
        };
        let lanes = &mut self.backlog.lanes;
        let due = loop {
            let Some(due) = lanes.take_where(is_too_old) else {
                self.next_scan = at.now + SCAN;
                return None;
            };
            if let Some(guard) = guard(due.delivery.claim) {
                break Due { guard, ..due };
            }
            lanes.forget(due.lane);
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
        let settlement = self.give_up_as(&due, &due.delivery, &record, at);
        Some((due.delivery, settlement))
    }

    /// When to scan for expired events again.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let scans = self.gate.is_down() && self.backlog.lanes.has_ready();
        scans.then_some(self.next_scan)
    }
}

/// Events that one lane may hold in memory.
fn per_lane(target: &Target, reliable: bool) -> usize {
    let batch = target.batch().map_or(1, |batch| batch.max_events().get());
    // A best-effort target's events are not in the queue, to be read back from there.
    if reliable {
        PER_LANE.max(batch)
    } else {
        usize::MAX
    }
}
