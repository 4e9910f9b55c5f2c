//! The courier of a target: the thread that owns its lanes and gate.
//!
//! It learns of events as they are accepted, as long as it keeps up. When it does not (its window
//! is full, or its channel is), it falls behind: from then on it reads the queue, in order, as
//! room appears, until it has seen all of it and follows again. What is at or before its cursor
//! is in a lane, or lies in the queue behind one, or is settled; what comes after is for later.
//! So the two ways never overtake each other.

use crate::clock::{Clock, epoch_ms};
use crate::dead_letter::{Obituary, Reason};
use crate::gate::{Gate, Shut};
use crate::lane::{Bounds, Delivery, LaneId, Lanes, Offered};
use crate::line::{Command, Line, Live};
use crate::outcome::Verdict;
use crate::retry::{self, Next, Retry};
use crate::sender::{self, Attempt, Bench, Job, Report};
use crate::stats::add;
use crate::trouble::{Follows, Observer, Trouble};
use crossbeam_channel::{Receiver, Select, Sender};
use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use webhook_queue::{EntryId, Owed, Queue, QueueError, Settled, Settlement};

/// Events of one task that are kept in memory behind its first.
const PER_LANE: usize = 32;
/// Tasks that may have a lane at once, most of them waiting for a retry without a body.
const LANES: usize = 32_768;
/// Entries looked at in one reading of the queue, so that reports are not kept waiting.
const READ_AT_ONCE: usize = 512;
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
    pub(crate) events: Receiver<Live>,
    pub(crate) commands: Receiver<Command>,
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
    lanes: Lanes,
    gate: Gate,
    /// The last entry that the lanes know of.
    cursor: Option<EntryId>,
    /// Whether live events continue at the cursor.
    following: bool,
    /// Tasks that are owed something that lies before the cursor.
    owed_again: VecDeque<Box<[u8]>>,
    jobs: Option<Sender<Job>>,
    jobs_in: Receiver<Job>,
    reports: Receiver<Report>,
    reports_out: Sender<Report>,
    senders: HashMap<usize, JoinHandle<()>>,
    next_sender: usize,
    /// Jobs handed out and not reported.
    outstanding: usize,
    /// When there may be something to do although nobody says so.
    alarm: Option<Instant>,
    /// Whether something was settled that nobody was told of yet.
    progress: bool,
    stopping: bool,
}

impl Courier {
    pub(crate) fn new(supplies: Supplies) -> Courier {
        let target = &supplies.bench.target;
        let concurrency = target.concurrency().get();
        // As many again as are under way lie ready, so that a sender need not wait for its next.
        let (jobs, jobs_in) = crossbeam_channel::bounded(concurrency * 2);
        let (reports_out, reports) = crossbeam_channel::bounded(concurrency * 4);
        let clock = Arc::clone(&supplies.bench.clock);
        let gate = Gate::new(
            target.max_per_second().map(|n| f64::from(n.get())),
            clock.now(),
        );
        let backed = supplies.backing.is_some();
        let bounds = Bounds {
            window: target.window().get(),
            window_bytes: Line::WINDOW_BYTES,
            // What is not in the queue cannot be read back from it.
            per_lane: if backed { PER_LANE } else { usize::MAX },
            lanes: if backed { LANES } else { usize::MAX },
        };
        Courier {
            line: supplies.line,
            bench: supplies.bench,
            retry: supplies.retry,
            observer: supplies.observer,
            clock,
            events: supplies.events,
            commands: supplies.commands,
            lanes: Lanes::new(bounds),
            gate,
            cursor: None,
            // What the queue holds from before is read first.
            following: !backed,
            backing: supplies.backing,
            owed_again: VecDeque::new(),
            jobs: Some(jobs),
            jobs_in,
            reports,
            reports_out,
            senders: HashMap::new(),
            next_sender: 0,
            outstanding: 0,
            alarm: None,
            progress: false,
            stopping: false,
        }
    }

    /// Works until it is told to stop; then every attempt under way is cut short.
    pub(crate) fn run(mut self) {
        while !self.stopping {
            let now = self.clock.now();
            self.alarm = None;
            let mut busy = self.take_reports(now);
            busy |= self.take_commands(now);
            busy |= self.take_events(now);
            busy |= self.read_back(now);
            busy |= self.read_on(now);
            busy |= self.hand_out(now);
            self.show();
            if !busy && !self.stopping {
                self.wait(now);
            }
        }
        self.finish();
    }

    fn take_reports(&mut self, now: Instant) -> bool {
        let mut any = false;
        for _ in 0..=self.reports.capacity().unwrap_or(0) {
            let Ok(report) = self.reports.try_recv() else {
                break;
            };
            any = true;
            self.take_report(report, now);
        }
        self.tell_progress();
        any
    }

    /// Tells those who wait for it that something was settled.
    fn tell_progress(&mut self) {
        if std::mem::take(&mut self.progress) {
            self.line.tally.progressed();
        }
    }

    fn take_report(&mut self, report: Report, now: Instant) {
        match report {
            Report::Attempted(attempt) => {
                self.outstanding -= 1;
                self.judge(*attempt, now);
            }
            Report::Untried(due, pass) => {
                self.outstanding -= 1;
                self.gate.unused(pass, now);
                self.lanes.untried(due.lane);
            }
            Report::Ended(number) => {
                if let Some(thread) = self.senders.remove(&number) {
                    // It has said its last word; a panic outside an attempt shows here.
                    drop(thread.join());
                }
            }
        }
    }

    fn judge(&mut self, attempt: Attempt, now: Instant) {
        let lane = attempt.due.lane;
        if attempt.stopped {
            // It may have arrived or not: it stays owed.
            self.lanes.untried(lane);
            return;
        }
        self.line.counters.attempted(attempt.outcome, attempt.took);
        if self.backing.is_none() {
            self.judge_best_effort(&attempt, now);
            return;
        }
        match attempt.verdict {
            Verdict::Delivered => {
                self.receiver_lives();
                add(&self.line.counters.delivered, 1);
                self.settled(lane, attempt.due.delivery, Settled::Delivered, now);
            }
            Verdict::Refused => {
                self.receiver_lives();
                self.give_up(lane, &attempt, Reason::Refused, now);
            }
            Verdict::Gone => {
                if self.gate.stop() {
                    self.bench.gate.fetch_add(1, Ordering::SeqCst);
                    self.tell(&attempt, Follows::Stop);
                    self.observer.trouble(&Trouble::TargetStopped {
                        target: &self.line.name,
                    });
                }
                self.lanes.untried(lane);
            }
            _ => self.try_again(lane, attempt, now),
        }
    }

    fn judge_best_effort(&mut self, attempt: &Attempt, now: Instant) {
        if attempt.verdict == Verdict::Delivered {
            add(&self.line.counters.delivered, 1);
        } else {
            add(&self.line.counters.failed, 1);
            self.tell(attempt, Follows::Nothing);
        }
        self.settled(
            attempt.due.lane,
            attempt.due.delivery,
            Settled::Delivered,
            now,
        );
    }

    fn receiver_lives(&mut self) {
        if self.gate.succeeded() {
            self.observer.trouble(&Trouble::BreakerClosed {
                target: &self.line.name,
            });
        }
    }

    /// A reliable target's event failed in a way that may pass.
    fn try_again(&mut self, lane: LaneId, attempt: Attempt, now: Instant) {
        let target = Arc::clone(&self.bench.target);
        let policy = target.retry();
        let wall = self.clock.wall();
        let asked = attempt
            .retry_after
            .as_deref()
            .and_then(|value| retry::retry_after(value, wall, policy));
        if let Some(wait) = asked {
            // What the receiver asks for, it asks for all its events.
            self.gate.hold(now + wait);
            self.bench.gate.fetch_add(1, Ordering::SeqCst);
        }
        let mut back_off = Duration::ZERO;
        let retry = &self.retry;
        let opened = self.gate.failed(now, |openings| {
            back_off = retry.breaker(policy, openings);
            now + back_off
        });
        if opened {
            self.bench.gate.fetch_add(1, Ordering::SeqCst);
            self.observer.trouble(&Trouble::BreakerOpened {
                target: &self.line.name,
                back_off,
            });
        }
        let mut delivery = attempt.due.delivery;
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery.first_attempt_at.get_or_insert(attempt.started_at);
        let age = Duration::from_millis(epoch_ms(wall).saturating_sub(delivery.accepted_at));
        match self.retry.next(policy, delivery.attempts, age, asked) {
            Next::After(wait) => {
                add(&self.line.counters.retried, 1);
                self.tell(&attempt, Follows::Retry(wait));
                let at = now + wait;
                delivery.not_before = Some(at);
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.settle(
                    delivery.entry,
                    Settled::Attempted {
                        attempts: delivery.attempts,
                        not_before: epoch_ms(wall).saturating_add(wait_ms),
                    },
                );
                self.lanes.retry(lane, delivery, at);
            }
            Next::AttemptsExhausted => {
                self.give_up(lane, &attempt, Reason::AttemptsExhausted, now);
            }
            Next::TooOld => self.give_up(lane, &attempt, Reason::TooOld, now),
        }
    }

    fn give_up(&mut self, lane: LaneId, attempt: &Attempt, reason: Reason, now: Instant) {
        let delivery = attempt.due.delivery;
        let obituary = Obituary {
            reason,
            outcome: Some(attempt.outcome),
            status: attempt.status,
            detail: attempt.detail.clone(),
            response: attempt.response.clone(),
            first_attempt_at: delivery.first_attempt_at.or(match delivery.attempts {
                0 => Some(attempt.started_at),
                _ => None,
            }),
            last_attempt_at: Some(attempt.started_at),
        };
        self.tell(attempt, Follows::DeadLetter(reason));
        self.bury(lane, delivery, delivery.attempts + 1, &obituary, now);
    }

    fn bury(
        &mut self,
        lane: LaneId,
        delivery: Delivery,
        attempts: u32,
        obituary: &Obituary,
        now: Instant,
    ) {
        self.line.counters.died(obituary.reason);
        let outcome = Settled::Dead {
            attempts,
            died_at: epoch_ms(self.clock.wall()),
            note: obituary.to_note(),
        };
        self.settled(lane, delivery, outcome, now);
    }

    fn settled(&mut self, lane: LaneId, delivery: Delivery, outcome: Settled, now: Instant) {
        let took = delivery.submitted.map_or_else(
            || {
                let ms = epoch_ms(self.clock.wall()).saturating_sub(delivery.accepted_at);
                Duration::from_millis(ms)
            },
            |submitted| now.saturating_duration_since(submitted),
        );
        self.line.counters.settled_after(took);
        if self.backing.is_some() {
            self.line.settling(delivery.entry);
        }
        self.settle(delivery.entry, outcome);
        self.lanes.settled(lane);
        self.progress = true;
        self.line.counters.pending.fetch_sub(1, Ordering::SeqCst);
    }

    fn settle(&self, entry: EntryId, outcome: Settled) {
        if let Some(backing) = &self.backing {
            backing.ledger.settle(Settlement {
                target: Arc::clone(&self.line.name),
                entry,
                outcome,
            });
        }
    }

    fn tell(&self, attempt: &Attempt, follows: Follows) {
        self.observer.trouble(&Trouble::AttemptFailed {
            target: &self.line.name,
            task: &String::from_utf8_lossy(&attempt.due.key),
            id: attempt.due.delivery.id,
            attempt: attempt.due.delivery.attempts.saturating_add(1),
            outcome: attempt.outcome,
            detail: &attempt.detail,
            follows,
        });
    }

    fn take_commands(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Ok(command) = self.commands.try_recv() {
            any = true;
            match command {
                Command::Wake => {}
                Command::OwedAgain(keys) => self.owed_again.extend(keys),
                Command::Pause(paused) => {
                    self.gate.pause(paused);
                    self.bench.gate.fetch_add(1, Ordering::SeqCst);
                }
                Command::Restart => self.gate.restart(),
                Command::Stop => self.stopping = true,
            }
        }
        while let Some(key) = self.owed_again.front() {
            if !self.lanes.owed_again(key) {
                self.set_alarm(now + PAUSE);
                break;
            }
            self.owed_again.pop_front();
        }
        any
    }

    fn take_events(&mut self, now: Instant) -> bool {
        let mut any = false;
        for _ in 0..READ_AT_ONCE {
            if self.backing.is_none() && !self.lanes.has_room() {
                // Nobody else has these: they wait in the channel.
                break;
            }
            let Ok(live) = self.events.try_recv() else {
                break;
            };
            any = true;
            self.line.taken(&live);
            if self.following && self.cursor.is_none_or(|cursor| live.entry > cursor) {
                self.offer_live(live, now);
            }
        }
        if self.following && self.line.behind.load(Ordering::SeqCst) {
            self.following = false;
            any = true;
        }
        any
    }

    fn offer_live(&mut self, live: Live, now: Instant) {
        let delivery = Delivery {
            entry: live.entry,
            id: live.id,
            accepted_at: live.accepted_at,
            attempts: 0,
            submitted: Some(live.submitted),
            first_attempt_at: None,
            not_before: None,
        };
        let (key, body) = (live.key, live.body);
        let offered = self
            .lanes
            .offer(&key, delivery, now, || Arc::clone(&key), || body);
        match offered {
            Offered::Taken | Offered::Held => self.cursor = Some(live.entry),
            Offered::Full => {
                self.following = false;
                self.line.behind.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Reads back the lanes whose turn has come.
    fn read_back(&mut self, now: Instant) -> bool {
        let Some(backing) = self.backing.clone() else {
            return false;
        };
        self.lanes.wake(now);
        let mut any = false;
        while let Some((lane, key)) = self.lanes.to_read() {
            let most = self.lanes.read_at_most();
            let wall = epoch_ms(self.clock.wall());
            let mut events = Vec::new();
            let mut bytes = 0_usize;
            let mut more = false;
            let cursor = self.cursor;
            let line = &self.line;
            let read = backing
                .queue
                .owed_of_key(&line.name, &key, None, &mut |owed| {
                    if cursor.is_none_or(|cursor| owed.entry > cursor) {
                        return ControlFlow::Break(());
                    }
                    if line.is_settling(owed.entry) {
                        return ControlFlow::Continue(());
                    }
                    if events.len() >= most || (bytes > 0 && bytes >= Line::LANE_BYTES) {
                        more = true;
                        return ControlFlow::Break(());
                    }
                    bytes += owed.body.len();
                    events.push((stored(&owed, now, wall), Arc::from(owed.body)));
                    ControlFlow::Continue(())
                });
            if let Err(error) = read {
                self.unreadable(&error, now);
                return any;
            }
            any = true;
            self.lanes.refill(lane, events, more, now);
        }
        any
    }

    /// Reads on from the cursor, and follows again once there is nothing more.
    fn read_on(&mut self, now: Instant) -> bool {
        if self.following || !self.lanes.has_ample_room() {
            return false;
        }
        let Some(backing) = self.backing.clone() else {
            return false;
        };
        let wall = epoch_ms(self.clock.wall());
        let mut seen = 0_usize;
        let mut full = false;
        let (lanes, cursor, line) = (&mut self.lanes, &mut self.cursor, &self.line);
        let read = backing.queue.owed(&line.name, *cursor, &mut |owed| {
            if line.is_settling(owed.entry) {
                *cursor = Some(owed.entry);
                return ControlFlow::Continue(());
            }
            let offered = lanes.offer(
                owed.key,
                stored(&owed, now, wall),
                now,
                || Arc::from(owed.key),
                || Arc::from(owed.body),
            );
            if offered == Offered::Full {
                full = true;
                return ControlFlow::Break(());
            }
            *cursor = Some(owed.entry);
            seen += 1;
            if seen >= READ_AT_ONCE {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = read {
            self.unreadable(&error, now);
            return seen > 0;
        }
        if !full && seen < READ_AT_ONCE {
            // The end. Events accepted from now on are told again; those accepted before this
            // store are in the queue, and the next reading finds them.
            if self.line.behind.swap(false, Ordering::SeqCst) {
                return true;
            }
            if seen == 0 {
                self.following = true;
            }
            return true;
        }
        seen > 0
    }

    fn unreadable(&mut self, error: &QueueError, now: Instant) {
        self.observer.trouble(&Trouble::QueueUnreadable {
            target: &self.line.name,
            error,
        });
        self.set_alarm(now + PAUSE);
    }

    /// Hands out what is ready, as far as the gate lets it through.
    fn hand_out(&mut self, now: Instant) -> bool {
        let Some(jobs) = self.jobs.clone() else {
            return false;
        };
        let mut any = false;
        let mut most = self.bench.target.concurrency().get() * 2;
        if self.backing.is_some() {
            // What a crash could deliver twice is bounded by the window.
            most = most.min(self.line.room_to_settle());
        }
        while self.outstanding < most && self.lanes.has_ready() {
            let pass = match self.gate.ask(now) {
                Ok(pass) => pass,
                Err(shut) => {
                    if let Shut::Until(at) = shut {
                        self.set_alarm(at);
                    }
                    any |= self.expire(now);
                    break;
                }
            };
            let due = self.lanes.take().expect("a lane was ready just now");
            let gate = self.bench.gate.load(Ordering::SeqCst);
            self.outstanding += 1;
            any = true;
            jobs.try_send(Job { due, pass, gate })
                .expect("the channel holds as many jobs as are handed out");
        }
        self.start_senders(now);
        any
    }

    /// Gives up events that have outlived their time while the receiver is known to be down.
    fn expire(&mut self, now: Instant) -> bool {
        if self.backing.is_none() || !self.gate.is_down() {
            return false;
        }
        let wall = epoch_ms(self.clock.wall());
        let max_age = self.bench.target.retry().max_age();
        let mut any = false;
        while let Some(due) = self.lanes.take_if(|delivery| {
            Duration::from_millis(wall.saturating_sub(delivery.accepted_at)) > max_age
        }) {
            any = true;
            let obituary = Obituary {
                reason: Reason::TooOld,
                outcome: None,
                status: None,
                detail: "the receiver has been failing, and the event's time is over".to_owned(),
                response: String::new(),
                first_attempt_at: due.delivery.first_attempt_at,
                last_attempt_at: None,
            };
            self.bury(
                due.lane,
                due.delivery,
                due.delivery.attempts,
                &obituary,
                now,
            );
        }
        self.tell_progress();
        any
    }

    fn start_senders(&mut self, now: Instant) {
        let wanted = self.outstanding.min(self.bench.target.concurrency().get());
        while self.senders.len() < wanted {
            let number = self.next_sender;
            self.next_sender += 1;
            let bench = Arc::clone(&self.bench);
            let jobs = self.jobs_in.clone();
            let reports = self.reports_out.clone();
            let started = std::thread::Builder::new()
                .name(format!("send-{}-{number}", self.line.name))
                .spawn(move || sender::run(number, &bench, &jobs, &reports));
            match started {
                Ok(thread) => {
                    self.senders.insert(number, thread);
                }
                Err(error) => {
                    self.observer.trouble(&Trouble::SenderNotStarted {
                        target: &self.line.name,
                        detail: &error.to_string(),
                    });
                    self.set_alarm(now + PAUSE);
                    break;
                }
            }
        }
    }

    fn set_alarm(&mut self, at: Instant) {
        self.alarm = Some(self.alarm.map_or(at, |alarm| alarm.min(at)));
    }

    /// Blocks until there is something to do.
    fn wait(&mut self, now: Instant) {
        let wake = match (self.alarm, self.lanes.next_wake()) {
            (Some(alarm), Some(wake)) => Some(alarm.min(wake)),
            (alarm, wake) => alarm.or(wake),
        };
        let mut select = Select::new();
        select.recv(&self.reports);
        select.recv(&self.commands);
        if self.backing.is_some() || self.lanes.has_room() {
            select.recv(&self.events);
        }
        match wake {
            None => {
                select.ready();
            }
            // A time-out is news as good as any.
            Some(at) => drop(select.ready_timeout(at.saturating_duration_since(now))),
        }
    }

    fn show(&self) {
        let counters = &self.line.counters;
        let set = |counter: &std::sync::atomic::AtomicU64, value: usize| {
            counter.store(value as u64, Ordering::Relaxed);
        };
        set(&counters.in_flight, self.outstanding);
        set(&counters.waiting_tasks, self.lanes.waiting());
        set(&counters.in_memory, self.lanes.held() + self.events.len());
        counters.set_breaker(self.gate.state());
    }

    /// Cuts short what is under way, and joins every sender.
    fn finish(mut self) {
        self.jobs = None;
        self.bench.stop();
        let now = self.clock.now();
        while !self.senders.is_empty() {
            match self.reports.recv() {
                Ok(report) => self.take_report(report, now),
                Err(_) => break,
            }
        }
        if self.backing.is_none() {
            let unfinished = self.line.counters.pending.swap(0, Ordering::SeqCst);
            add(&self.line.counters.unfinished, unfinished);
        }
        self.show();
        self.line.tally.progressed();
    }
}

/// An entry as the queue knows it.
fn stored(owed: &Owed<'_>, now: Instant, wall: u64) -> Delivery {
    let wait = owed.not_before.saturating_sub(wall);
    Delivery {
        entry: owed.entry,
        id: owed.id,
        accepted_at: owed.accepted_at,
        attempts: owed.attempts,
        submitted: None,
        first_attempt_at: None,
        // A clock that was set back must not hold an event for years.
        not_before: (wait > 0).then(|| now + Duration::from_millis(wait.min(86_400_000))),
    }
}
