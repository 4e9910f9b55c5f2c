//! The worker of a target: the thread that owns the target's state and senders. May use target and
//! the layers below it.
//!
//! A worker carries out what the [`TargetState`] decides: it hands attempts to senders, settlements
//! to the queue's writer and incidents to the observer, and counts. It blocks only to wait for
//! work.

mod context;
pub(crate) mod handle;
mod job;
mod job_queue;
#[cfg(all(test, loom))]
mod models;
pub(crate) mod reader;
mod recorder;
mod sender;
mod senders;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod traced;
mod wakeup;

pub(crate) use self::context::{QueueAccess, SettlementSink, WorkerContext};

use self::handle::{Command, Inspection, TargetHandle};
use self::job::Report;
use self::recorder::Recorder;
use self::senders::Senders;
use self::wakeup::WakeReasons;
use crate::delivery::Endpoint;
use crate::shared::clock::Moment;
use crate::shared::stats::add;
use crate::shared::{Clock, NextStep, Reason};
use crate::target::attempt::Attempt;
use crate::target::backlog::LiveEvent;
use crate::target::gate::Blocked;
use crate::target::lanes::{BatchTag, Delivery, Due, LaneReport};
use crate::target::retry::Retry;
use crate::target::{Decision, EventDecision, Step, TargetState, tried};
use crossbeam_channel::{Receiver, Select};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use webhook_queue::{Claim, QueueError, Settlement, SlotGuard};

/// The pause after the queue could not be read or a thread could not be started.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a retiring worker checks whether a routing table with its target is still in use.
const LEASE_POLL: Duration = Duration::from_millis(10);
/// The pause before lanes are read back whose claim has ended: the queue may show their entries for
/// a moment longer.
const CLAIM_PAUSE: Duration = Duration::from_millis(10);
/// How long reports and events accumulate while the senders have enough jobs.
const GATHERING: Duration = Duration::from_millis(1);
/// How often the worker yields the processor before it sleeps.
const YIELDS: u32 = 8;
/// The longest time that the yields take, if each gives a time slice to another thread.
const YIELDS_TAKE: Duration = Duration::from_millis(20);

/// The thread of one target.
pub(crate) struct Worker {
    handle: Arc<TargetHandle>,
    queue_access: Option<QueueAccess>,
    /// Whether other processes use its queue, too.
    is_shared: bool,
    retry: Arc<dyn Retry>,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    events: Receiver<LiveEvent>,
    commands: Receiver<Command>,
    state: TargetState,
    senders: Senders,
    /// When to look for work even without a wake-up.
    alarm: Option<Instant>,
    /// Not to read the queue before this time: the last read failed, or a claim has ended.
    read_after: Option<Instant>,
    /// Whether the queue may have a hold from before the start that was not read yet.
    may_be_held: bool,
    /// Settled events that are still counted as pending.
    settled: i64,
    stopping: bool,
    predecessors: Vec<Receiver<Infallible>>,
    /// The number of the retirement, if the target was removed.
    retirement: Option<u64>,
}

impl Worker {
    pub(crate) fn new(context: WorkerContext) -> Worker {
        let clock = Arc::clone(&context.endpoint.clock);
        let reliable = context.queue_access.is_some();
        let mut state = TargetState::new(context.endpoint.target(), reliable, clock.now());
        state
            .gate
            .pause(context.handle.paused.load(Ordering::SeqCst));
        Worker {
            events: context.handle.events(),
            commands: context.handle.commands(),
            senders: Senders::new(Arc::clone(&context.handle), context.endpoint),
            recorder: Recorder::new(Arc::clone(&context.handle), context.observer),
            handle: context.handle,
            is_shared: (context.queue_access.as_ref())
                .is_some_and(|access| access.queue.is_shared()),
            queue_access: context.queue_access,
            retry: context.retry,
            clock,
            state,
            alarm: None,
            read_after: None,
            may_be_held: reliable,
            settled: 0,
            stopping: false,
            predecessors: context.predecessors,
            retirement: None,
        }
    }

    /// Works until a command stops it, which aborts the attempts under way, or until it has
    /// retired, with none under way.
    pub(crate) fn run(mut self) {
        self.wait_for_predecessors();
        self.load_hold(Moment::of(&*self.clock));
        let mut was_busy = false;
        while !self.stopping {
            let at = Moment::of(&*self.clock);
            self.alarm = None;
            let mut busy = self.take_reports(at);
            // Events before commands: a command applies to the events accepted after it.
            busy |= self.take_events(at);
            busy |= self.take_commands(at);
            busy |= self.read(at);
            busy |= self.hand_out(at);
            self.count_damaged();
            self.publish();
            if self.has_retired(at.now) {
                break;
            }
            if !busy && !self.stopping {
                self.wait(at.now, was_busy);
            }
            was_busy = busy;
        }
        self.finish();
    }

    /// Waits until the earlier workers of this target name have ended: events of theirs that are
    /// under way come before all of its own.
    fn wait_for_predecessors(&mut self) {
        for ended in std::mem::take(&mut self.predecessors) {
            loop {
                self.take_commands(Moment::of(&*self.clock));
                self.publish();
                let mut select = Select::new();
                let has_ended = select.recv(&ended);
                select.recv(&self.commands);
                if self.stopping || select.ready() == has_ended {
                    break;
                }
            }
        }
    }

    fn take_reports(&mut self, at: Moment) -> bool {
        // Before the queue is read: synced settlements no longer show in a read that follows.
        let synced = self.handle.take_synced();
        let mut any = !synced.is_empty();
        self.state.backlog.synced(&synced);
        for _ in 0..self.senders.reports() {
            let Some(report) = self.senders.report() else {
                break;
            };
            any = true;
            self.take_report(report, at);
        }
        self.publish_settled();
        any
    }

    /// Removes settled events from the pending ones, and notifies waiting threads. Those of a shared
    /// queue are pending until the commit.
    fn publish_settled(&mut self) {
        let settled = std::mem::take(&mut self.settled);
        if settled > 0 && !self.is_shared {
            let pending = &self.handle.counters.pending;
            pending.fetch_sub(settled, Ordering::SeqCst);
            self.handle.progress.notify();
        }
    }

    fn take_report(&mut self, report: Report, at: Moment) {
        match report {
            Report::Attempted(attempt) => self.on_attempt(&attempt, at),
            Report::MadeAgain(attempt) => self.on_made_again(&attempt),
            Report::Untried(batch, permit) => self.state.untried(&batch, permit, at.now),
            Report::Ended(number) => self.senders.ended(number),
        }
    }

    /// Counts an attempt over a stale connection, which is made again at once.
    fn on_made_again(&mut self, attempt: &Attempt) {
        let follows = |_: &Due| EventDecision {
            follows: Some(NextStep::Retry(Duration::ZERO)),
            ..EventDecision::default()
        };
        let decision = Decision::of(&attempt.batch, follows);
        self.state.gate.charge(attempt.permit);
        self.recorder.attempted(attempt, &decision);
        // After a crash during the next attempt, this one's number is not used again.
        for due in attempt.batch.iter() {
            let not_before = due.delivery.batch.map_or(0, BatchTag::get);
            let note = self
                .state
                .note(&tried(due, attempt), not_before, &due.guard);
            self.settle(note);
        }
    }

    /// Carries out the decision on an attempt.
    fn on_attempt(&mut self, attempt: &Attempt, at: Moment) {
        let decision = self.state.on_attempt(attempt, at, &*self.retry);
        if !attempt.result.stopped {
            self.recorder.attempted(attempt, &decision);
            if decision.recall {
                self.senders.recall();
            }
        }
        for (due, decision) in attempt.batch.iter().zip(decision) {
            if decision.settled {
                self.settled(&due.delivery, at);
            }
            if let Some(settlement) = decision.settlement {
                self.settle(settlement);
            }
        }
        self.store_hold();
    }

    /// Counts an event that was delivered or given up.
    fn settled(&mut self, delivery: &Delivery, at: Moment) {
        self.recorder.settled(delivery, at);
        self.settled += 1;
    }

    /// Stores a hold that began or ended.
    fn store_hold(&mut self) {
        if let Some(settlement) = self.state.take_hold() {
            self.settle(settlement);
        }
    }

    /// Goes on with a hold from before the start. False if the queue cannot be read.
    fn load_hold(&mut self, at: Moment) -> bool {
        let Some(access) = self.queue_access.as_ref().filter(|_| self.may_be_held) else {
            return true;
        };
        let hold = match access.queue.hold(&self.handle.name) {
            Ok(hold) => hold,
            Err(error) => {
                self.on_unreadable(&error, at.now);
                return false;
            }
        };
        self.may_be_held = false;
        if let Some(hold) = hold.filter(|hold| hold.until > at.epoch_ms()) {
            let detail = String::from_utf8_lossy(&hold.note).into_owned();
            self.state.hold(hold.until, detail, at);
        }
        true
    }

    fn settle(&self, settlement: Settlement) {
        if let Some(access) = &self.queue_access {
            access.settlements.settle(settlement);
        }
    }

    fn take_commands(&mut self, at: Moment) -> bool {
        let mut handled = 0;
        while let Ok(command) = self.commands.try_recv() {
            handled += 1;
            match command {
                Command::OwedAgain(keys) => self.state.backlog.owe_again(keys),
                Command::Reread => self.state.backlog.reread(),
                Command::Pause(paused) => {
                    self.handle.paused.store(paused, Ordering::SeqCst);
                    self.state.pause(paused, at.now);
                    self.senders.recall();
                }
                Command::Restart => {
                    self.may_be_held = false;
                    self.state.restart(at.now);
                }
                Command::Reopen => self.state.reopen(at.now),
                Command::Reconfigure(endpoint) => self.reconfigure(endpoint, at.now),
                Command::Retire(number) => self.retire(number, at.now),
                Command::Revive(endpoint) => {
                    self.retirement = None;
                    self.state
                        .gate
                        .pause(self.handle.paused.load(Ordering::SeqCst));
                    self.reconfigure(endpoint, at.now);
                }
                Command::Stop => self.stopping = true,
                Command::Inspect(inspection, reply) => {
                    // The reader may have given up.
                    drop(reply.try_send(self.inspect(&inspection, at)));
                }
            }
        }
        if handled > 0 {
            self.store_hold();
            self.publish();
            self.handle.handled(handled);
        }
        if !self.state.backlog.readmit() {
            self.set_alarm(at.now + PAUSE);
        }
        handled > 0
    }

    /// The lanes that an operator asks for.
    fn inspect(&self, inspection: &Inspection, at: Moment) -> Vec<LaneReport> {
        let epoch_ms = |until: Instant| {
            let left = until.saturating_duration_since(at.now);
            at.epoch_ms() + u64::try_from(left.as_millis()).unwrap_or(0)
        };
        let backlog = &self.state.backlog;
        match inspection {
            Inspection::Stuck(most) => backlog.stuck(*most, epoch_ms),
            Inspection::Keys(keys) => {
                let reports = keys.iter().filter_map(|key| backlog.report(key, epoch_ms));
                reports.collect()
            }
        }
    }

    /// Continues under other settings. Attempts under way end under the old ones; waiting jobs are
    /// taken back.
    fn reconfigure(&mut self, endpoint: Arc<Endpoint>, now: Instant) {
        self.take_back(now);
        self.may_be_held = false;
        self.state.reconfigure(endpoint.target(), now);
        self.senders.reconfigure(endpoint);
    }

    fn take_back(&mut self, now: Instant) {
        while let Some(job) = self.senders.take_back() {
            self.state.untried(&job.batch, job.permit, now);
        }
    }

    fn take_events(&mut self, at: Moment) -> bool {
        let mut any = false;
        // Takes all that were announced so far, before the queue is read again.
        for _ in 0..=self.events.len() {
            if self.queue_access.is_none() && !self.state.backlog.has_room() {
                // These events are in no queue, so they wait in the channel.
                break;
            }
            let Ok(live) = self.events.try_recv() else {
                break;
            };
            any = true;
            self.handle.taken(&live);
            if !self.state.backlog.take(live, at.now) || self.is_leaving() {
                self.handle.behind.store(true, Ordering::SeqCst);
            }
        }
        if self.state.backlog.follows() && self.handle.behind.load(Ordering::SeqCst) {
            self.state.backlog.fall_behind();
            any |= !self.state.backlog.follows();
        }
        any
    }

    /// Reads events from the queue as far as there is room.
    fn read(&mut self, at: Moment) -> bool {
        if self.is_leaving() {
            return false;
        }
        if let Some(after) = self.read_after.filter(|after| *after > at.now) {
            self.set_alarm(after);
            return false;
        }
        self.read_after = None;
        // Before any event: none may be sent while the target is held.
        if !self.load_hold(at) {
            return false;
        }
        let Some(access) = &self.queue_access else {
            return false;
        };
        self.state.wake(at.now);
        let (handle, backlog) = (&self.handle, &mut self.state.backlog);
        let read = reader::read(backlog, &handle.name, &*access.queue, &handle.behind, at);
        read.unwrap_or_else(|error| {
            self.on_unreadable(&error, at.now);
            false
        })
    }

    fn on_unreadable(&mut self, error: &QueueError, now: Instant) {
        self.recorder.queue_unreadable(error);
        self.pause_reads(now + PAUSE);
    }

    fn pause_reads(&mut self, until: Instant) {
        self.read_after = self.read_after.max(Some(until));
        self.set_alarm(until);
    }

    /// Counts events that are pending but no longer in the queue: their records were damaged, and
    /// were quarantined. Those of a shared queue may be in the slots of other processes.
    fn count_damaged(&mut self) {
        if self.is_shared
            || self.queue_access.is_none()
            || self.is_leaving()
            || !self.state.backlog.is_done()
        {
            return;
        }
        // In this order: an event is announced before it is counted.
        let missing = self.handle.counters.pending();
        let announced = self.events.is_empty() && self.commands.is_empty();
        if missing == 0 || !announced || self.handle.behind.load(Ordering::SeqCst) {
            return;
        }
        self.recorder.damaged(missing);
        self.handle.progress.notify();
    }

    /// Hands out ready events as far as the gate permits.
    fn hand_out(&mut self, at: Moment) -> bool {
        if self.is_leaving() {
            return false;
        }
        let mut any = false;
        loop {
            let access = self.queue_access.as_ref();
            match self.state.next(at.now, |claim| guard(access, claim)) {
                Step::Nothing => break,
                Step::Blocked(blocked) => {
                    any |= self.expire(at);
                    if let Blocked::Until(until) = blocked {
                        self.set_alarm(until);
                    }
                    break;
                }
                Step::Attempt(batch, permit) => {
                    any = true;
                    self.senders.hand_out(batch, permit);
                }
            }
        }
        if self.state.take_claim_ended() {
            self.pause_reads(at.now + CLAIM_PAUSE);
        }
        self.supply_senders(at);
        any
    }

    /// Wakes or starts senders for the waiting jobs.
    fn supply_senders(&mut self, at: Moment) {
        match self.senders.supply(self.state.outstanding()) {
            Ok(None) => {}
            Ok(Some(look_within)) => self.set_alarm(at.now + look_within),
            Err(error) => {
                self.recorder.sender_not_started(&error);
                self.set_alarm(at.now + PAUSE);
            }
        }
    }

    /// Gives up expired events.
    fn expire(&mut self, at: Moment) -> bool {
        let mut any = false;
        loop {
            let access = self.queue_access.as_ref();
            let expired = self.state.expire(at, |claim| guard(access, claim));
            let Some((delivery, settlement)) = expired else {
                break;
            };
            any = true;
            self.handle.counters.dead_lettered(Reason::TooOld);
            self.settled(&delivery, at);
            self.settle(settlement);
        }
        if let Some(at) = self.state.next_expiry() {
            self.set_alarm(at);
        }
        self.publish_settled();
        any
    }

    /// Publishes the state in the target's counters.
    fn publish(&self) {
        let announced = self.events.len();
        self.recorder.publish(&self.state, announced, &*self.clock);
    }

    /// Schedules a look for work at this time, even without a wake-up.
    fn set_alarm(&mut self, at: Instant) {
        self.alarm = Some(self.alarm.map_or(at, |alarm| alarm.min(at)));
    }

    /// Blocks until there is work. `was_busy` says that the last turn had work.
    fn wait(&mut self, now: Instant, was_busy: bool) {
        let wants_sync =
            self.state.backlog.wants_sync() || (self.is_leaving() && !self.state.is_settled());
        if wants_sync {
            self.handle.wake_on_sync();
        }
        if (wants_sync || self.state.backlog.wants_flush())
            && let Some(access) = &self.queue_access
        {
            access.settlements.flush();
        }
        // A lane that wakes is read from the queue, which is not possible before `read_after`.
        let reads = !self.is_leaving() && self.read_after.is_none();
        let next = self.state.next_wake().filter(|_| reads);
        let held = self.state.gate.hold_end().filter(|end| *end > now);
        // The time left by the injected clock; the sleep itself uses the system's.
        let alarms = [self.alarm, next, held].into_iter().flatten();
        let left = alarms.map(|at| at.saturating_duration_since(now)).min();
        let wakeup = &self.handle.wakeup;
        let busy = || self.senders.are_busy(self.state.outstanding());
        if was_busy && busy() {
            let within = left.map_or(GATHERING, |left| left.min(GATHERING));
            return wakeup.wait(WakeReasons::URGENT, Some(within), || {
                !wakeup.was_urgent() && self.commands.is_empty() && busy()
            });
        }
        // Without room, a best-effort target's events wait in the channel.
        let takes_events = self.queue_access.is_some() || self.state.backlog.has_room();
        let no_news = || {
            let behind = self.queue_access.is_some() && self.handle.behind.load(Ordering::SeqCst);
            let gap = behind && self.state.backlog.follows();
            let events = takes_events && !self.events.is_empty();
            let synced = wants_sync && self.handle.has_synced();
            !(gap || events || synced) && self.commands.is_empty()
        };
        if takes_events && was_busy && self.deliveries_can_wait() {
            let within = left.map_or(GATHERING, |left| left.min(GATHERING));
            let idle = || !wakeup.was_urgent() && no_news();
            return wakeup.wait(WakeReasons::NEW_WORK, Some(within), idle);
        }
        let reasons = if takes_events {
            WakeReasons::ALL
        } else {
            WakeReasons::REPORTS
        };
        let idle = || no_news() && self.senders.reports() == 0;
        let due_soon = left.is_some_and(|left| left < YIELDS_TAKE);
        for _ in 0..if was_busy && !due_soon { YIELDS } else { 0 } {
            // Other threads may publish work meanwhile, which then costs no wake-up.
            std::thread::yield_now();
            if !idle() {
                return;
            }
        }
        wakeup.wait(reasons, left, idle);
    }

    /// Whether nothing follows from a delivery but its settlement, and the next one is expected
    /// within [`GATHERING`].
    fn deliveries_can_wait(&self) -> bool {
        let outstanding = self.state.outstanding();
        let no_other =
            outstanding > 0 && self.state.held() <= outstanding && self.state.backlog.follows();
        no_other && self.senders.are_faster_than(GATHERING)
    }

    /// Begins to retire: the target was removed. A reliable target's events stay in the queue; a
    /// best-effort target's are delivered, even if it is paused.
    fn retire(&mut self, number: u64, now: Instant) {
        self.retirement = Some(number);
        if self.queue_access.is_some() {
            // Events announced from now on are for the next worker.
            self.state.backlog.fall_behind();
            self.take_back(now);
        } else {
            self.state.gate.pause(false);
        }
    }

    /// Whether it retires and starts no more attempts, since the target's events stay in the queue.
    fn is_leaving(&self) -> bool {
        self.queue_access.is_some() && self.retirement.is_some()
    }

    /// Whether it has retired: nothing is under way or unsynced, and no more events can come.
    fn has_retired(&mut self, now: Instant) -> bool {
        let Some(number) = self.retirement else {
            return false;
        };
        if self.queue_access.is_some() {
            if !self.state.is_settled() {
                return false;
            }
            // Makes the next worker read the queue first.
            self.handle.behind.store(true, Ordering::SeqCst);
        } else if self.handle.is_leased() {
            self.set_alarm(now + LEASE_POLL);
            return false;
        } else if !self.state.backlog.is_done() || !self.events.is_empty() {
            return false;
        }
        self.handle.end_by(number)
    }

    /// Aborts the attempts under way, and joins every sender.
    fn finish(mut self) {
        self.senders.stop();
        while let Some(report) = self.senders.last_report() {
            self.take_report(report, Moment::of(&*self.clock));
        }
        self.publish_settled();
        let counters = &self.handle.counters;
        if !self.stopping {
            // It has retired: its events are in the queue, and the handle may belong to another
            // worker by now.
            counters.clear_memory();
            self.handle.progress.notify();
            return;
        }
        if self.queue_access.is_none() {
            let unfinished = counters.pending.swap(0, Ordering::SeqCst);
            add(&counters.unfinished, u64::try_from(unfinished).unwrap_or(0));
        }
        self.publish();
        self.handle.end();
    }
}

/// Permission to deliver an event that was read under this claim.
fn guard(access: Option<&QueueAccess>, claim: Claim) -> Option<SlotGuard> {
    access.map_or(Some(SlotGuard::SOLE), |access| access.queue.guard(claim))
}
