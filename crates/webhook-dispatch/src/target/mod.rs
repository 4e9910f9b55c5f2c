//! The state of one target and every decision about it: lanes, retry, breaker, rate, hold. May use
//! the types of delivery, and shared.
//!
//! Pure: no clock, I/O or thread. The worker passes the time in, reads the queue, and carries out
//! decisions. `worker/tests.rs` checks this room against a naive model, with a crash possible
//! between any two operations.

pub(crate) mod attempt;
pub(crate) mod backlog;
mod breaker;
mod composition;
mod decision;
mod failure_record;
mod follow_up;
pub(crate) mod gate;
pub(crate) mod lanes;
mod rate;
pub mod retry;
mod slots;
mod state_change;
pub(crate) mod unsynced;

pub(crate) use self::decision::{Decision, EventDecision, Step};
pub use self::failure_record::FailureRecord;
pub(crate) use self::state_change::StateChange;

use self::attempt::Attempt;
use self::backlog::Backlog;
use self::composition::Composition;
use self::gate::{Gate, Permit};
use self::lanes::{Batch, BatchRoom, Bounds, Delivery, Due, Kind};
use self::slots::Slots;
use crate::shared::clock::Moment;
use crate::shared::{Hold, HoldReason, Reason};
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_config::{BreakerPolicy, RetryPolicy, Target};
use webhook_queue::{Claim, Settlement, SlotGuard};

/// Bytes of bodies that a target's lanes may hold; the channel to the worker may hold as many
/// again.
pub(crate) const WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// Events that one lane may hold in memory, unless a batch has more.
const PER_LANE: usize = 32;
/// Tasks that may have a lane at once, most of them waiting for a retry without a body.
const LANES: usize = 32_768;
/// How often ready events are scanned for expired ones while the target is down.
const SCAN: Duration = Duration::from_secs(1);
/// The smallest limit of jobs that wait for a sender: one that finds its next job waiting neither
/// sleeps nor has to be woken.
const WAITING_JOBS: usize = 64;

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
    /// The events of these attempts.
    in_flight: usize,
    /// How events are put together, if several may share an attempt.
    composition: Option<Composition>,
    /// Whether the next probe is of the newest event instead of the oldest.
    probes_newest: bool,
    next_scan: Instant,
    /// A hold that began or ended, and is to be stored.
    hold_changed: Option<Hold>,
    /// Whether the claim of a ready event had ended.
    claim_ended: bool,
    /// The number of attempts that were aborted.
    aborted: u64,
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
            limit: outstanding_limit(target),
            limit_after_failure: limit_after_failure(target),
            delivering: false,
            slots: Slots::new(target.concurrency().get()),
            in_flight: 0,
            composition: Composition::of(target),
            probes_newest: true,
            next_scan: now,
            hold_changed: None,
            claim_ended: false,
            aborted: 0,
        };
        state.backlog.set_batches(state.composition.is_some());
        state
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
        self.composition = Composition::of(target);
        self.backlog.set_batches(self.composition.is_some());
        self.backlog
            .set_longest_wait(retry::longest_wait(&self.policy));
        let per_lane = per_lane(target, self.reliable);
        self.backlog.set_window(target.window().get(), per_lane);
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
        let limit = if self.delivering {
            self.limit
        } else {
            self.limit_after_failure
        };
        let mut room = usize::MAX;
        if self.reliable {
            room = self.backlog.unsynced.room().saturating_sub(self.in_flight);
        }
        if self.slots.outstanding() >= limit || room == 0 {
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
            let Some(kind) = next else {
                return Step::Nothing;
            };
            // Of a burst of failing tasks, the oldest events all fail.
            let newest = self.gate.is_down() && self.probes_newest;
            let (room, wanted) = match &mut self.composition {
                None => (BatchRoom::ONE, 1),
                Some(composition) => {
                    let outstanding = self.slots.outstanding();
                    if let Some(step) = composition.wait(kind, lanes, outstanding, now) {
                        return step;
                    }
                    let room = composition.room(kind, room);
                    (room, lanes.next_batch(kind, newest, room.events))
                }
            };
            let permit = match self.gate.ask(now, wanted) {
                Err(blocked) => return Step::Blocked(blocked),
                Ok(permit) => permit,
            };
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
            self.slots.take(kind, retry);
            self.in_flight += batch.len();
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
        self.slots.give_back(batch.kind());
        self.in_flight -= batch.len();
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
        let mut due = due;
        due.guard = guard;
        let settlement = self.give_up_as(&due, &due.delivery, &record, at);
        Some((due.delivery, settlement))
    }

    /// When to scan for expired events again.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let scans = self.reliable && self.gate.is_down() && self.backlog.lanes.has_ready();
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

/// The limit of outstanding attempts: those under way, and some that wait for a sender.
pub(crate) fn outstanding_limit(target: &Target) -> usize {
    let concurrency = target.concurrency().get();
    match (target.max_per_second(), target.batch()) {
        // A rate limit counts attempts when they are handed out, so none should wait.
        (Some(_), _) => concurrency,
        // Full batches wait for a sender; others grow meanwhile.
        (None, Some(_)) => concurrency * 2,
        (None, None) => concurrency + concurrency.max(WAITING_JOBS),
    }
}

/// The limit after a failure: no more attempts wait than are under way.
fn limit_after_failure(target: &Target) -> usize {
    outstanding_limit(target).min(target.concurrency().get() * 2)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The delivery of an event after an attempt.
pub(crate) fn tried(due: &Due, attempt: &Attempt) -> Delivery {
    let mut delivery = due.delivery;
    if delivery.attempts == 0 {
        delivery.first_attempt_at = Some(attempt.started_at);
    }
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery
}
