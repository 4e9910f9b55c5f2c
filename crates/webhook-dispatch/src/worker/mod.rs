//! The worker of a target: the thread that owns its state and its senders.
//!
//! It carries out what the [`TargetState`] decides: hands attempts to senders, settlements to the
//! queue's writer, figures to the counters and incidents to the observer. It blocks only to wait
//! for work.

mod context;
pub(crate) mod handle;
mod reader;
mod sender;
mod senders;
#[cfg(test)]
mod tests;
mod wakeup;

pub(crate) use self::context::{QueueAccess, SettlementSink, WorkerContext};

use self::handle::{Command, TargetHandle};
use self::sender::Report;
use self::senders::Senders;
use self::wakeup::WakeReasons;
use crate::delivery::Endpoint;
use crate::shared::clock::Moment;
use crate::shared::stats::add;
use crate::shared::{Clock, Incident, NextStep, Observer, Reason};
use crate::target::attempt::Attempt;
use crate::target::backlog::LiveEvent;
use crate::target::gate::Blocked;
use crate::target::lanes::Delivery;
use crate::target::retry::Retry;
use crate::target::{Decision, Step, TargetState};
use crossbeam_channel::{Receiver, Select};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use webhook_queue::{QueueError, Settlement};

/// The pause after the queue could not be read, or a thread not be started.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a worker that retires looks whether a replaced routing table is still in use.
const LEASE_STEP: Duration = Duration::from_millis(10);
/// How long deliveries and events gather while the senders have enough jobs.
const GATHERING: Duration = Duration::from_millis(1);
/// How often the worker yields before it sleeps.
const YIELDS: u32 = 8;
/// How long that may take where each yield gives others a slice of the processor.
const YIELDS_TAKE: Duration = Duration::from_millis(20);

/// The thread of one target.
pub(crate) struct Worker {
    handle: Arc<TargetHandle>,
    queue_access: Option<QueueAccess>,
    retry: Arc<dyn Retry>,
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
    events: Receiver<LiveEvent>,
    commands: Receiver<Command>,
    state: TargetState,
    senders: Senders,
    /// When to look for work without being woken.
    alarm: Option<Instant>,
    /// The queue could not be read: not to be read before.
    read_after: Option<Instant>,
    /// Events that were settled and are still counted as pending.
    settled: i64,
    stopping: bool,
    predecessors: Vec<Receiver<Infallible>>,
    /// The number of its retirement, if its target was removed.
    retirement: Option<u64>,
}

impl Worker {
    pub(crate) fn new(context: WorkerContext) -> Worker {
        let clock = Arc::clone(&context.endpoint.clock);
        let reliable = context.queue_access.is_some();
        let state = TargetState::new(context.endpoint.target(), reliable, clock.now());
        Worker {
            events: context.handle.events(),
            commands: context.handle.commands(),
            senders: Senders::new(Arc::clone(&context.handle), context.endpoint),
            handle: context.handle,
            queue_access: context.queue_access,
            retry: context.retry,
            observer: context.observer,
            clock,
            state,
            alarm: None,
            read_after: None,
            settled: 0,
            stopping: false,
            predecessors: context.predecessors,
            retirement: None,
        }
    }

    /// Works until it is told to stop, which cuts short every attempt under way, or until it has
    /// retired, when none is under way.
    pub(crate) fn run(mut self) {
        self.wait_for_predecessors();
        let mut moved = false;
        while !self.stopping {
            let at = Moment::of(&*self.clock);
            self.alarm = None;
            let mut busy = self.take_reports(at);
            // Events before commands: an event accepted after a command is sent as it says.
            busy |= self.take_events(at);
            busy |= self.take_commands(at);
            busy |= self.read(at);
            busy |= self.hand_out(at);
            self.count_damaged();
            self.show();
            if self.has_retired(at.now) {
                break;
            }
            if !busy && !self.stopping {
                self.wait(at.now, moved);
            }
            moved = busy;
        }
        self.finish();
    }

    /// Waits until the workers have ended that served this target's name before: their attempts
    /// under way are older than any of its own.
    fn wait_for_predecessors(&mut self) {
        for ended in std::mem::take(&mut self.predecessors) {
            loop {
                self.take_commands(Moment::of(&*self.clock));
                self.show();
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
        // Before the queue is read: it does not show any more what is synced by now.
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
        self.show_settled();
        any
    }

    /// Counts settled events as pending no more, and notifies those who wait for that.
    fn show_settled(&mut self) {
        let settled = std::mem::take(&mut self.settled);
        if settled > 0 {
            let pending = &self.handle.counters.pending;
            pending.fetch_sub(settled, Ordering::SeqCst);
            self.handle.progress.notify();
        }
    }

    fn take_report(&mut self, report: Report, at: Moment) {
        match report {
            Report::Attempted(attempt) => self.on_attempt(&attempt, at),
            Report::Untried(due, permit) => self.state.untried(due.lane, permit, at.now),
            Report::Ended(number) => self.senders.ended(number),
        }
    }

    /// Carries out what follows from an attempt.
    fn on_attempt(&mut self, attempt: &Attempt, at: Moment) {
        let decision = self.state.on_attempt(attempt, at, &*self.retry);
        if !attempt.result.stopped {
            self.count(attempt, &decision);
            self.report_incidents(attempt, &decision);
            if decision.recall {
                self.senders.recall();
            }
            if decision.settled {
                self.settled(&attempt.due.delivery, at);
            }
        }
        if let Some(settlement) = decision.settlement {
            self.settle(settlement);
        }
    }

    fn count(&self, attempt: &Attempt, decision: &Decision) {
        let counters = &self.handle.counters;
        counters.attempted(attempt.result.outcome, attempt.took);
        match decision.follows {
            None => add(&counters.delivered, 1),
            Some(NextStep::Retry(_)) => add(&counters.retried, 1),
            Some(NextStep::DeadLetter(reason)) => counters.dead_lettered(reason),
            Some(NextStep::Nothing) => add(&counters.failed, 1),
            Some(NextStep::Stop) => {}
        }
    }

    fn report_incidents(&self, attempt: &Attempt, decision: &Decision) {
        let target = &*self.handle.name;
        if let Some(follows) = decision.follows
            && (follows != NextStep::Stop || decision.stopped)
        {
            self.observer.incident(&Incident::AttemptFailed {
                target,
                task: &String::from_utf8_lossy(&attempt.due.key),
                id: attempt.due.delivery.id,
                attempt: attempt.due.delivery.attempts.saturating_add(1),
                outcome: attempt.result.outcome,
                detail: &attempt.result.detail,
                follows,
            });
        }
        if decision.stopped {
            self.observer.incident(&Incident::TargetStopped { target });
        }
        if let Some(back_off) = decision.opened {
            let opened = Incident::BreakerOpened { target, back_off };
            self.observer.incident(&opened);
        }
        if decision.closed {
            self.observer.incident(&Incident::BreakerClosed { target });
        }
    }

    /// Counts an event that was delivered or given up.
    fn settled(&mut self, delivery: &Delivery, at: Moment) {
        let took = delivery.submitted.map_or_else(
            || Duration::from_millis(at.epoch_ms().saturating_sub(delivery.accepted_at)),
            |submitted| at.now.saturating_duration_since(submitted),
        );
        self.handle.counters.settled_after(took);
        self.settled += 1;
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
                Command::Pause(paused) => {
                    self.state.gate.pause(paused);
                    self.senders.recall();
                }
                Command::Restart => self.state.gate.restart(),
                Command::Reopen => self.state.gate.reopen(),
                Command::Reconfigure(endpoint) => self.reconfigure(endpoint, at.now),
                Command::Retire(number) => self.retire(number, at.now),
                Command::Revive(endpoint) => {
                    self.retirement = None;
                    self.state.gate.pause(false);
                    self.reconfigure(endpoint, at.now);
                }
                Command::Stop => self.stopping = true,
            }
        }
        if handled > 0 {
            self.show();
            self.handle.handled(handled);
        }
        if !self.state.backlog.readmit() {
            self.set_alarm(at.now + PAUSE);
        }
        handled > 0
    }

    /// Goes on under other settings. Attempts under way end under theirs; jobs that were not begun
    /// are taken back.
    fn reconfigure(&mut self, endpoint: Arc<Endpoint>, now: Instant) {
        self.take_back(now);
        self.state.reconfigure(endpoint.target(), now);
        self.senders.reconfigure(endpoint);
    }

    fn take_back(&mut self, now: Instant) {
        while let Some(job) = self.senders.take_back() {
            self.state.untried(job.due.lane, job.permit, now);
        }
    }

    fn take_events(&mut self, at: Moment) -> bool {
        let mut any = false;
        // All that were announced before the queue is read again.
        for _ in 0..=self.events.len() {
            if self.queue_access.is_none() && !self.state.backlog.has_room() {
                // No queue has these: they wait in the channel.
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

    /// Reads from the queue what there is room for.
    fn read(&mut self, at: Moment) -> bool {
        let Some(access) = &self.queue_access else {
            return false;
        };
        if self.is_leaving() {
            return false;
        }
        if let Some(after) = self.read_after.filter(|after| *after > at.now) {
            self.set_alarm(after);
            return false;
        }
        self.read_after = None;
        let (handle, backlog) = (&self.handle, &mut self.state.backlog);
        let read = reader::read(backlog, &handle.name, &*access.queue, &handle.behind, at);
        read.unwrap_or_else(|error| {
            self.on_unreadable(&error, at.now);
            false
        })
    }

    fn on_unreadable(&mut self, error: &QueueError, now: Instant) {
        self.observer.incident(&Incident::QueueUnreadable {
            target: &self.handle.name,
            error,
        });
        self.read_after = Some(now + PAUSE);
        self.set_alarm(now + PAUSE);
    }

    /// Counts pending events that the queue no longer shows: their records were damaged, and were
    /// quarantined.
    fn count_damaged(&mut self) {
        if self.queue_access.is_none() || self.is_leaving() || !self.state.backlog.is_done() {
            return;
        }
        // In this order: an event is announced before it is counted.
        let missing = self.handle.counters.pending();
        let announced = self.events.is_empty() && self.commands.is_empty();
        if missing == 0 || !announced || self.handle.behind.load(Ordering::SeqCst) {
            return;
        }
        self.handle.counters.count_damaged(missing);
        self.observer.incident(&Incident::RecordsDamaged {
            target: &self.handle.name,
            events: missing,
        });
        self.handle.progress.notify();
    }

    /// Hands out what is ready, as far as the gate permits it.
    fn hand_out(&mut self, at: Moment) -> bool {
        if self.is_leaving() {
            return false;
        }
        let mut any = false;
        loop {
            match self.state.next(at.now) {
                Step::Nothing => break,
                Step::Blocked(blocked) => {
                    any |= self.expire(at);
                    if let Blocked::Until(until) = blocked {
                        self.set_alarm(until);
                    }
                    break;
                }
                Step::Attempt(due, permit) => {
                    any = true;
                    self.senders.hand_out(due, permit);
                }
            }
        }
        if let Err(error) = self.senders.start(self.state.outstanding()) {
            self.observer.incident(&Incident::SenderNotStarted {
                target: &self.handle.name,
                detail: &error.to_string(),
            });
            self.set_alarm(at.now + PAUSE);
        }
        any
    }

    /// Gives up expired events.
    fn expire(&mut self, at: Moment) -> bool {
        let mut any = false;
        while let Some((delivery, settlement)) = self.state.expire(at) {
            any = true;
            self.handle.counters.dead_lettered(Reason::TooOld);
            self.settled(&delivery, at);
            self.settle(settlement);
        }
        if let Some(at) = self.state.next_expiry() {
            self.set_alarm(at);
        }
        self.show_settled();
        any
    }

    fn show(&self) {
        let counters = &self.handle.counters;
        let set = |counter: &AtomicU64, value: usize| {
            counter.store(value as u64, Ordering::Relaxed);
        };
        set(&counters.in_flight, self.state.outstanding());
        set(&counters.waiting_tasks, self.state.waiting());
        set(&counters.in_memory, self.state.held() + self.events.len());
        let gate = &self.state.gate;
        counters.set_gate(gate.state(), gate.is_held(), gate.is_paused());
    }

    /// Looks for work at this time without being woken.
    fn set_alarm(&mut self, at: Instant) {
        self.alarm = Some(self.alarm.map_or(at, |alarm| alarm.min(at)));
    }

    /// Blocks until there is work. `moved` says that there was some before.
    fn wait(&mut self, now: Instant, moved: bool) {
        let wants_sync =
            self.state.backlog.wants_sync() || (self.is_leaving() && !self.state.is_settled());
        if wants_sync {
            self.handle.wake_on_sync();
        }
        // A retry cannot be read before `read_after`.
        let reads = !self.is_leaving() && self.read_after.is_none();
        let next = self.state.next_wake().filter(|_| reads);
        // All by the clock that the alarms were set by, of which only what is left counts.
        let alarms = [self.alarm, next].into_iter().flatten();
        let left = alarms.map(|at| at.saturating_duration_since(now)).min();
        let wakeup = &self.handle.wakeup;
        let busy = || self.senders.are_busy(self.state.outstanding());
        if moved && busy() {
            let within = left.map_or(GATHERING, |left| left.min(GATHERING));
            return wakeup.wait(WakeReasons::URGENT, Some(within), || {
                !wakeup.was_urgent() && self.commands.is_empty() && busy()
            });
        }
        // Where there is no room, events wait in the channel.
        let takes_events = self.queue_access.is_some() || self.state.backlog.has_room();
        let reasons = if takes_events {
            WakeReasons::ALL
        } else {
            WakeReasons::REPORTS
        };
        let idle = || {
            let behind = self.queue_access.is_some() && self.handle.behind.load(Ordering::SeqCst);
            let gap = behind && self.state.backlog.follows();
            let events = takes_events && !self.events.is_empty();
            let synced = wants_sync && self.handle.has_synced();
            !(gap || events || synced) && self.commands.is_empty() && self.senders.reports() == 0
        };
        let hurries = left.is_some_and(|left| left < YIELDS_TAKE);
        for _ in 0..if moved && !hurries { YIELDS } else { 0 } {
            // Where others wait for this processor, more work comes meanwhile, without a wake-up.
            std::thread::yield_now();
            if !idle() {
                return;
            }
        }
        wakeup.wait(reasons, left, idle);
    }

    /// The target was removed. What the queue holds stays there; what is in memory alone is
    /// delivered, paused or not.
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

    /// Whether it begins nothing more: the queue keeps what its target is owed.
    fn is_leaving(&self) -> bool {
        self.queue_access.is_some() && self.retirement.is_some()
    }

    /// Whether it has ended: nothing is under way or unsettled, and no more events can come.
    fn has_retired(&mut self, now: Instant) -> bool {
        let Some(number) = self.retirement else {
            return false;
        };
        if self.queue_access.is_some() {
            if !self.state.is_settled() {
                return false;
            }
            // The next worker reads the queue first.
            self.handle.behind.store(true, Ordering::SeqCst);
        } else if self.handle.is_leased() {
            self.set_alarm(now + LEASE_STEP);
            return false;
        } else if !self.state.backlog.is_done() || !self.events.is_empty() {
            return false;
        }
        self.handle.end_by(number)
    }

    /// Cuts short what is under way, and joins every sender.
    fn finish(mut self) {
        self.senders.stop();
        while let Some(report) = self.senders.last_report() {
            self.take_report(report, Moment::of(&*self.clock));
        }
        self.show_settled();
        let counters = &self.handle.counters;
        if !self.stopping {
            // It has retired: the queue holds what it knows of, and the handle may be another
            // worker's by now.
            counters.clear_memory();
            self.handle.progress.notify();
            return;
        }
        if self.queue_access.is_none() {
            let unfinished = counters.pending.swap(0, Ordering::SeqCst);
            add(&counters.unfinished, u64::try_from(unfinished).unwrap_or(0));
        }
        self.show();
        self.handle.end();
    }
}
