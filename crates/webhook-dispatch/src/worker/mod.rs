//! The courier of a target: the thread that owns its agenda and its senders.
//!
//! It carries news to the [`Agenda`] and its decisions to the senders, the queue's writer, the
//! counters and the observer. It never blocks but to wait for news.

pub(crate) mod handle;
pub(crate) mod job_queue;
pub(crate) mod sender;
pub(crate) mod wakeup;

mod rest;
mod senders;
mod succession;

use self::senders::{Hired, job_channel};
use crate::shared::clock::{Clock, Moment};
use crate::shared::incident::{Incident, NextStep, Observer};
use crate::shared::stats::add;
use crate::target::gate::Shut;
use crate::target::lanes::Delivery;
use crate::target::retry::Retry;
use crate::target::{Agenda, Ruling, Step};
use crate::worker::handle::{Command, Line, Live};
use crate::worker::sender::{Attempt, Bench, Job, Report};
use crossbeam_channel::{Receiver, Sender};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use webhook_queue::{Queue, QueueError, Settlement};

/// How long an unreadable queue, or a thread that cannot be started, is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a reliable target's events are read and settled.
#[derive(Clone)]
pub(crate) struct Backing {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) ledger: Arc<dyn Ledger>,
}

/// Takes settlements, to be synced soon.
pub(crate) trait Ledger: Send + Sync {
    fn settle(&self, settlement: Settlement);
}

/// What a courier is given.
pub(crate) struct Supplies {
    pub(crate) line: Arc<Line>,
    pub(crate) bench: Arc<Bench>,
    pub(crate) backing: Option<Backing>,
    pub(crate) retry: Arc<dyn Retry>,
    pub(crate) observer: Arc<dyn Observer>,
    /// The couriers that served a target of this name before: each holds the other end until it
    /// has ended, and nothing is sent before.
    pub(crate) after: Vec<Receiver<Infallible>>,
}

pub(crate) struct Courier {
    line: Arc<Line>,
    bench: Arc<Bench>,
    backing: Option<Backing>,
    retry: Arc<dyn Retry>,
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
    events: Receiver<Live>,
    commands: Receiver<Command>,
    agenda: Agenda,
    jobs: Option<Sender<Job>>,
    jobs_in: Receiver<Job>,
    reports: Receiver<Report>,
    reports_out: Sender<Report>,
    /// All that run, those of former settings included.
    senders: HashMap<usize, Hired>,
    /// How many of them have the settings of now.
    current: usize,
    next_sender: usize,
    /// When there may be something to do although nobody says so.
    alarm: Option<Instant>,
    /// The queue could not be read: not to be tried before.
    read_after: Option<Instant>,
    /// Events that were settled and are counted as pending yet.
    settled: i64,
    stopping: bool,
    /// Who has to end before it begins.
    after: Vec<Receiver<Infallible>>,
    /// The number of its retirement, if its target is none any more.
    retirement: Option<u64>,
}

impl Courier {
    pub(crate) fn new(supplies: Supplies) -> Courier {
        let target = &supplies.bench.target;
        let (jobs, jobs_in) = job_channel(&supplies.bench);
        // As many as are handed out at most, whatever the settings become; and who has something
        // to say need not wait until it can ring.
        let (reports_out, reports) = crossbeam_channel::unbounded();
        let clock = Arc::clone(&supplies.bench.clock);
        let agenda = Agenda::new(target, supplies.backing.is_some(), clock.now());
        Courier {
            events: supplies.line.events(),
            commands: supplies.line.commands(),
            line: supplies.line,
            bench: supplies.bench,
            backing: supplies.backing,
            retry: supplies.retry,
            observer: supplies.observer,
            clock,
            agenda,
            jobs: Some(jobs),
            jobs_in,
            reports,
            reports_out,
            senders: HashMap::new(),
            current: 0,
            next_sender: 0,
            alarm: None,
            read_after: None,
            settled: 0,
            stopping: false,
            after: supplies.after,
            retirement: None,
        }
    }

    /// Works until it is told to stop, when every attempt under way is cut short, or until it has
    /// retired, when there is none.
    pub(crate) fn run(mut self) {
        self.let_others_end();
        let mut moved = false;
        while !self.stopping {
            let at = Moment::of(&*self.clock);
            self.alarm = None;
            let mut busy = self.take_reports(at);
            // Events before commands: what was accepted after a command is sent as it says.
            busy |= self.take_events(at);
            busy |= self.take_commands(at);
            busy |= self.read(at);
            busy |= self.hand_out(at);
            self.miss();
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

    fn take_reports(&mut self, at: Moment) -> bool {
        // Before the queue is read: what was synced by now is not shown any more.
        let synced = self.line.take_synced();
        let mut any = !synced.is_empty();
        self.agenda.synced(&synced);
        for _ in 0..self.reports.len() {
            let Ok(report) = self.reports.try_recv() else {
                break;
            };
            any = true;
            self.take_report(report, at);
        }
        self.tell_progress();
        any
    }

    /// Counts what was settled as pending no more, and tells those who wait for that.
    fn tell_progress(&mut self) {
        let settled = std::mem::take(&mut self.settled);
        if settled > 0 {
            self.line
                .counters
                .pending
                .fetch_sub(settled, Ordering::SeqCst);
            self.line.tally.progressed();
        }
    }

    fn take_report(&mut self, report: Report, at: Moment) {
        match report {
            Report::Attempted(attempt) => self.follow(&attempt, at),
            Report::Untried(due, pass) => self.agenda.untried(due.lane, pass, at.now),
            Report::Ended(number) => {
                if let Some(sender) = self.senders.remove(&number) {
                    self.current -= usize::from(Arc::ptr_eq(&sender.bench, &self.bench));
                    // It has said its last word; a panic outside an attempt shows here.
                    drop(sender.thread.join());
                }
            }
        }
    }

    /// Carries out what follows from an attempt.
    fn follow(&mut self, attempt: &Attempt, at: Moment) {
        let ruling = self.agenda.judge(attempt, at, &*self.retry);
        if attempt.stopped {
            if let Some(settlement) = ruling.settlement {
                self.settle(settlement);
            }
            return;
        }
        self.line.counters.attempted(attempt.outcome, attempt.took);
        if ruling.recall {
            self.recall();
        }
        self.tell(attempt, &ruling);
        let counters = &self.line.counters;
        match ruling.follows {
            None => add(&counters.delivered, 1),
            Some(NextStep::Retry(_)) => add(&counters.retried, 1),
            Some(NextStep::DeadLetter(reason)) => counters.died(reason),
            Some(NextStep::Nothing) => add(&counters.failed, 1),
            Some(NextStep::Stop) => {}
        }
        if ruling.over {
            self.settled(&attempt.due.delivery, at);
        }
        if let Some(settlement) = ruling.settlement {
            self.settle(settlement);
        }
    }

    /// Has attempts that were handed out and have not begun come back.
    fn recall(&self) {
        self.bench.gate.fetch_add(1, Ordering::SeqCst);
    }

    fn tell(&self, attempt: &Attempt, ruling: &Ruling) {
        let target = &*self.line.name;
        if let Some(follows) = ruling.follows
            && (follows != NextStep::Stop || ruling.stopped)
        {
            self.observer.incident(&Incident::AttemptFailed {
                target,
                task: &String::from_utf8_lossy(&attempt.due.key),
                id: attempt.due.delivery.id,
                attempt: attempt.due.delivery.attempts.saturating_add(1),
                outcome: attempt.outcome,
                detail: &attempt.detail,
                follows,
            });
        }
        if ruling.stopped {
            self.observer.incident(&Incident::TargetStopped { target });
        }
        if let Some(back_off) = ruling.opened {
            let opened = Incident::BreakerOpened { target, back_off };
            self.observer.incident(&opened);
        }
        if ruling.closed {
            self.observer.incident(&Incident::BreakerClosed { target });
        }
    }

    /// Counts an event that the target has, or will never have.
    fn settled(&mut self, delivery: &Delivery, at: Moment) {
        let took = delivery.submitted.map_or_else(
            || Duration::from_millis(at.epoch_ms().saturating_sub(delivery.accepted_at)),
            |submitted| at.now.saturating_duration_since(submitted),
        );
        self.line.counters.settled_after(took);
        self.settled += 1;
    }

    fn settle(&self, settlement: Settlement) {
        if let Some(backing) = &self.backing {
            backing.ledger.settle(settlement);
        }
    }

    fn take_commands(&mut self, at: Moment) -> bool {
        let mut any = false;
        let mut heeded = 0;
        while let Ok(command) = self.commands.try_recv() {
            any = true;
            heeded += 1;
            match command {
                Command::OwedAgain(keys) => self.agenda.owe_again(keys),
                Command::Pause(paused) => {
                    self.agenda.gate_mut().pause(paused);
                    self.recall();
                }
                Command::Restart => self.agenda.gate_mut().restart(),
                Command::Reopen => self.agenda.gate_mut().reopen(),
                Command::Reconfigure(bench) => self.reconfigure(bench, at.now),
                Command::Retire(number) => self.retire(number, at.now),
                Command::Revive(bench) => {
                    self.retirement = None;
                    self.agenda.gate_mut().pause(false);
                    self.reconfigure(bench, at.now);
                }
                Command::Stop => self.stopping = true,
            }
        }
        if heeded > 0 {
            self.show();
            self.line.heeded(heeded);
        }
        if !self.agenda.readmit() {
            self.set_alarm(at.now + PAUSE);
        }
        any
    }

    fn take_events(&mut self, at: Moment) -> bool {
        let mut any = false;
        // What was said before the queue is read again is to be heard before.
        for _ in 0..=self.events.len() {
            if self.backing.is_none() && !self.agenda.has_room() {
                // Nobody else has these: they wait in the channel.
                break;
            }
            let Ok(live) = self.events.try_recv() else {
                break;
            };
            any = true;
            self.line.taken(&live);
            if !self.agenda.learn(live, at.now) || self.is_leaving() {
                self.line.behind.store(true, Ordering::SeqCst);
            }
        }
        if self.agenda.follows() && self.line.behind.load(Ordering::SeqCst) {
            self.agenda.fall_behind();
            any |= !self.agenda.follows();
        }
        any
    }

    /// Reads from the queue what there is room for: first the tasks that have waited.
    fn read(&mut self, at: Moment) -> bool {
        let Some(backing) = &self.backing else {
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
        let queue = &*backing.queue;
        let read = self.agenda.read_back(queue, at).and_then(|back| {
            let on = self.agenda.read_on(queue, &self.line.behind, at)?;
            Ok(back || on)
        });
        read.unwrap_or_else(|error| {
            self.unreadable(&error, at.now);
            false
        })
    }

    fn unreadable(&mut self, error: &QueueError, now: Instant) {
        self.observer.incident(&Incident::QueueUnreadable {
            target: &self.line.name,
            error,
        });
        self.read_after = Some(now + PAUSE);
        self.set_alarm(now + PAUSE);
    }

    /// Finds out what the queue no longer shows although it was to be delivered: it was set aside,
    /// its record being damaged, and is owed to nobody.
    fn miss(&mut self) {
        if self.backing.is_none() || self.is_leaving() || !self.agenda.is_done() {
            return;
        }
        // In this order: what is counted was told before.
        let missing = self.line.counters.pending();
        let told = self.events.is_empty() && self.commands.is_empty();
        if missing == 0 || !told || self.line.behind.load(Ordering::SeqCst) {
            return;
        }
        self.line.counters.miss(missing);
        self.observer.incident(&Incident::RecordsDamaged {
            target: &self.line.name,
            events: missing,
        });
        self.line.tally.progressed();
    }

    /// Hands out what is ready, as far as the gate lets it through.
    fn hand_out(&mut self, at: Moment) -> bool {
        let Some(jobs) = self.jobs.clone() else {
            return false;
        };
        if self.is_leaving() {
            return false;
        }
        let mut any = false;
        loop {
            match self.agenda.next(at.now) {
                Step::Nothing => break,
                Step::Shut(shut) => {
                    any |= self.expire(at);
                    if let Shut::Until(until) = shut {
                        self.set_alarm(until);
                    }
                    break;
                }
                Step::Attempt(due, pass) => {
                    any = true;
                    let gate = self.bench.gate.load(Ordering::SeqCst);
                    jobs.try_send(Job { due, pass, gate })
                        .expect("the channel holds as many jobs as are handed out");
                }
            }
        }
        self.start_senders(at.now);
        any
    }

    fn expire(&mut self, at: Moment) -> bool {
        let mut any = false;
        while let Some((delivery, settlement)) = self.agenda.expire(at) {
            any = true;
            self.line
                .counters
                .died(crate::target::failure_record::Reason::TooOld);
            self.settled(&delivery, at);
            self.settle(settlement);
        }
        if let Some(at) = self.agenda.next_expiry() {
            self.set_alarm(at);
        }
        self.tell_progress();
        any
    }

    fn show(&self) {
        let counters = &self.line.counters;
        let set = |counter: &AtomicU64, value: usize| {
            counter.store(value as u64, Ordering::Relaxed);
        };
        set(&counters.in_flight, self.agenda.outstanding());
        set(&counters.waiting_tasks, self.agenda.waiting());
        set(&counters.in_memory, self.agenda.held() + self.events.len());
        counters.show_gate(self.agenda.gate());
    }
}
