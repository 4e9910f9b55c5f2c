//! The couriers of a dispatcher: who has one, who gets one, and whose ends.
//!
//! A configuration takes effect in two steps. First all is made ready that may fail: the settings
//! of each target are tried, the queue is opened, threads are started that do not begin. Then
//! the roster is replaced, and nothing can fail any more.

pub(crate) mod guarded;

use crate::control::{ReloadError, Reloaded};
use crate::http::transport::Connector;
use crate::intake::routing_table::{Roster, Seat};
use crate::intake::writer::{Lines, Writer};
use crate::intake::{Inner, Storage};
use crate::target::retry::Retry;
use crate::worker::handle::{Command, Line};
use crate::worker::sender::Bench;
use crate::worker::{Backing, Courier, Ledger, Supplies};
use crossbeam_channel::{Receiver, Sender};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use webhook_config::{Config, Delivery, QueueSettings, Target};
use webhook_queue::{DiskQueue, Options, Queue};

/// Events on their way to a courier, at most: its channel is allocated whole.
const LIVE: usize = 1024;

/// A target's name, and whether it is reliable: a target whose `delivery` changes is another one.
type Key = (Arc<str>, bool);

/// The couriers, and what new ones are given.
pub(crate) struct Fleet {
    connector: Arc<dyn Connector>,
    retry: Arc<dyn Retry>,
    /// A queue to be used instead of the one that the configuration names.
    given: Option<Arc<dyn Queue>>,
    /// The settings of the queue, once it is open.
    settings: Option<QueueSettings>,
    /// Every line that there has been.
    lines: HashMap<Key, Arc<Line>>,
    /// The reliable ones, as the queue's writer sees them.
    reliable: Lines,
    couriers: HashMap<Key, Hired>,
    /// Couriers that another one has replaced.
    replaced: Vec<JoinHandle<()>>,
    retirements: u64,
}

/// A courier at work.
struct Hired {
    thread: JoinHandle<()>,
    /// Disconnected once it has ended.
    over: Receiver<Infallible>,
}

/// A courier that has not begun, and never does if this is dropped.
struct Recruit {
    begin: Sender<()>,
    hired: Hired,
}

/// What a target of the new configuration needs.
enum Step {
    /// Nothing but another try, if it said that it is gone.
    Keep,
    /// Other settings.
    Reconfigure(Arc<Bench>),
    /// A courier.
    Hire(Recruit),
    /// The courier of before, which is about to end, or, if it has ended, another one.
    Revive(Arc<Bench>, Recruit),
}

/// A target of the new configuration, and what it needs before there is a courier for it.
struct Need {
    seat: Seat,
    /// Other settings than before; none if there is nothing to be done.
    bench: Option<Arc<Bench>>,
    courier: Wanted,
}

/// Where a target's courier comes from.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    /// It is there.
    Present,
    /// It may be there yet.
    Leaving,
    /// It is to be started.
    None,
}

/// All that may fail, done.
struct Plan {
    roster: Roster,
    steps: Vec<Step>,
    opened: Opened,
    told: Reloaded,
}

/// A queue that was opened for a plan; closed again if the plan comes to nothing.
struct Opened(Option<Storage>);

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(storage) = &self.0 {
            storage.writer.shutdown();
        }
    }
}

/// Says of a courier that panics that it has ended.
struct Ending(Arc<Line>);

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

impl Fleet {
    pub(crate) fn new(
        connector: Arc<dyn Connector>,
        retry: Arc<dyn Retry>,
        given: Option<Arc<dyn Queue>>,
    ) -> Fleet {
        Fleet {
            connector,
            retry,
            given,
            settings: None,
            lines: HashMap::new(),
            reliable: Lines::default(),
            couriers: HashMap::new(),
            replaced: Vec::new(),
            retirements: Line::RETIREMENTS,
        }
    }

    /// The line of a reliable target that there has been: its own if it was removed.
    pub(crate) fn former(&self, target: &str) -> Option<&Arc<Line>> {
        self.lines.get(&(Arc::from(target), true))
    }

    /// Puts a configuration in force.
    pub(crate) fn deploy(
        &mut self,
        inner: &Arc<Inner>,
        config: Config,
    ) -> Result<Reloaded, ReloadError> {
        let plan = self.plan(inner, config)?;
        Ok(self.carry_out(inner, plan))
    }

    /// Joins every courier: each has been told to stop.
    pub(crate) fn join(&mut self) {
        let couriers = self.couriers.drain().map(|(_, hired)| hired.thread);
        for thread in couriers.chain(self.replaced.drain(..)) {
            // A courier that panicked has left its events in the queue.
            drop(thread.join());
        }
    }

    fn plan(&self, inner: &Inner, config: Config) -> Result<Plan, ReloadError> {
        let mut told = Reloaded::default();
        let config = Arc::new(self.with_queue_of_now(config, &mut told));
        let before = inner.roster();
        let needs = config
            .targets()
            .iter()
            .map(|target| self.need(inner, &before, target, &mut told))
            .collect::<Result<Vec<_>, _>>()?;
        let opened = self.open(inner, &config)?;
        let storage = opened.0.as_ref().or(inner.storage());
        self.count_owed(storage, &needs)?;
        let mut seats = Vec::new();
        let mut steps = Vec::new();
        for need in needs {
            seats.push(need.seat.clone());
            steps.push(self.step(inner, storage, need)?);
        }
        let is_seated = |line: &Arc<Line>| seats.iter().any(|seat| Arc::ptr_eq(&seat.line, line));
        for seat in before.seats.iter().filter(|seat| !is_seated(&seat.line)) {
            told.removed.push(seat.line.name.to_string());
        }
        let mut former: Vec<Arc<Line>> = self.lines.values().cloned().collect();
        former.retain(|line| !is_seated(line));
        former.sort_by(|a, b| (&a.name, a.is_reliable()).cmp(&(&b.name, b.is_reliable())));
        Ok(Plan {
            roster: Roster::new(config, seats, former),
            steps,
            opened,
            told,
        })
    }

    /// A queue that is open stays as it is.
    fn with_queue_of_now(&self, config: Config, told: &mut Reloaded) -> Config {
        let Some(now) = &self.settings else {
            return config;
        };
        let wanted = config.queue();
        let mut kept = |key: &str, now: String, wanted: String| {
            if now != wanted {
                told.kept.push(format!(
                    "{key} stays {now}: {wanted} needs another start of the program"
                ));
            }
        };
        if self.given.is_none() {
            let shown = |settings: &QueueSettings| settings.dir().display().to_string();
            kept("queue.dir", shown(now), shown(wanted));
            let shown = |settings: &QueueSettings| settings.max_bytes().to_string();
            kept("queue.maxBytes", shown(now), shown(wanted));
        }
        let shown = |settings: &QueueSettings| settings.when_full().name().to_owned();
        kept("queue.whenFull", shown(now), shown(wanted));
        config.with_queue(now.clone())
    }

    /// Compares a target with what there is, and tries its settings.
    fn need(
        &self,
        inner: &Inner,
        before: &Roster,
        target: &Target,
        told: &mut Reloaded,
    ) -> Result<Need, ReloadError> {
        let name = target.name().as_str();
        let key = key_of(target);
        let seat = before.seat(name);
        let seat = seat.filter(|seat| seat.line.is_reliable() == key.1);
        if let Some(seat) = seat
            && *seat.target == *target
            && seat.line.is_running()
        {
            told.unchanged.push(name.to_owned());
            return Ok(Need {
                seat: seat.clone(),
                bench: None,
                courier: Wanted::Present,
            });
        }
        let target = Arc::new(target.clone());
        let bench = Some(self.bench(inner, &target)?);
        let line = self.lines.get(&key).cloned();
        let courier = match &line {
            Some(line) if !line.is_running() => Wanted::None,
            Some(_) if seat.is_some() => Wanted::Present,
            Some(_) => Wanted::Leaving,
            None => Wanted::None,
        };
        let other = self.lines.get(&(Arc::clone(&key.0), !key.1));
        if courier == Wanted::Leaving && other.is_some_and(|other| other.is_running()) {
            return Err(ReloadError::StillEnding {
                target: name.to_owned(),
            });
        }
        match seat {
            Some(_) => told.changed.push(name.to_owned()),
            None => told.added.push(name.to_owned()),
        }
        let line = line.unwrap_or_else(|| {
            let live = target.window().get().min(LIVE);
            Arc::new(Line::new(key.0, key.1, live, Arc::clone(&inner.tally)))
        });
        Ok(Need {
            seat: Seat::new(line, target),
            bench,
            courier,
        })
    }

    /// What a target's senders share, unless its settings are such that none could send.
    fn bench(&self, inner: &Inner, target: &Arc<Target>) -> Result<Arc<Bench>, ReloadError> {
        let unusable = |detail| ReloadError::Target {
            target: target.name().to_string(),
            detail,
        };
        let transport = self.connector.transport(target);
        drop(transport.map_err(|error| unusable(error.message))?);
        let connector = Arc::clone(&self.connector);
        let bench = Bench::new(Arc::clone(target), connector, Arc::clone(&inner.clock));
        Ok(Arc::new(bench.map_err(unusable)?))
    }

    /// Opens the queue, if this is the first configuration with a reliable target.
    fn open(&self, inner: &Inner, config: &Config) -> Result<Opened, ReloadError> {
        let mut targets = config.targets().iter();
        let wanted = targets.any(|target| target.delivery() == Delivery::Reliable);
        if !wanted || inner.storage().is_some() {
            return Ok(Opened(None));
        }
        let settings = config.queue();
        let queue = match &self.given {
            Some(queue) => Arc::clone(queue),
            None => {
                let options = Options::with_max_bytes(settings.max_bytes());
                let queue = DiskQueue::open(settings.dir(), &options);
                Arc::new(queue.map_err(ReloadError::Queue)?)
            }
        };
        let lines = Arc::clone(&self.reliable);
        let writer = Writer::start(Arc::clone(&queue), lines, settings.when_full());
        let writer = Arc::new(writer.map_err(ReloadError::System)?);
        Ok(Opened(Some(Storage { queue, writer })))
    }

    /// Counts what the queue holds for targets that nobody has heard of before.
    fn count_owed(&self, storage: Option<&Storage>, needs: &[Need]) -> Result<(), ReloadError> {
        let lines = needs.iter().map(|need| &need.seat.line);
        let is_new = |line: &&Arc<Line>| {
            line.is_reliable() && !self.lines.contains_key(&(Arc::clone(&line.name), true))
        };
        let mut new = lines.filter(is_new).peekable();
        let (Some(_), Some(storage)) = (new.peek(), storage) else {
            return Ok(());
        };
        let statistics = storage.queue.statistics().map_err(ReloadError::Queue)?;
        let owed: HashMap<String, u64> = statistics
            .targets
            .into_iter()
            .map(|target| (target.target, target.pending))
            .collect();
        for line in new {
            let owed = owed.get(&*line.name).copied().unwrap_or(0);
            let owed = i64::try_from(owed).unwrap_or(i64::MAX);
            line.counters.pending.store(owed, Ordering::SeqCst);
        }
        Ok(())
    }

    fn step(
        &self,
        inner: &Inner,
        storage: Option<&Storage>,
        need: Need,
    ) -> Result<Step, ReloadError> {
        let Some(bench) = need.bench else {
            return Ok(Step::Keep);
        };
        if need.courier == Wanted::Present {
            return Ok(Step::Reconfigure(bench));
        }
        let recruit = self
            .recruit(inner, storage, need.seat.line, Arc::clone(&bench))
            .map_err(ReloadError::System)?;
        Ok(match need.courier {
            Wanted::Leaving => Step::Revive(bench, recruit),
            _ => Step::Hire(recruit),
        })
    }

    /// Starts a thread that becomes a courier when it is told to begin.
    fn recruit(
        &self,
        inner: &Inner,
        storage: Option<&Storage>,
        line: Arc<Line>,
        bench: Arc<Bench>,
    ) -> std::io::Result<Recruit> {
        let backing = storage.filter(|_| line.is_reliable());
        let backing = backing.map(|storage| Backing {
            queue: Arc::clone(&storage.queue),
            ledger: Arc::clone(&storage.writer) as Arc<dyn Ledger>,
        });
        let before = [true, false].map(|reliable| (Arc::clone(&line.name), reliable));
        let before = before.iter().filter_map(|key| self.couriers.get(key));
        let supplies = Supplies {
            line: Arc::clone(&line),
            bench,
            backing,
            retry: Arc::clone(&self.retry),
            observer: Arc::clone(&inner.observer),
            after: before.map(|hired| hired.over.clone()).collect(),
        };
        let (begin, begins) = crossbeam_channel::bounded(1);
        let (ended, over) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new()
            .name(format!("lane-{}", line.name))
            .spawn(move || {
                let _ended: Sender<Infallible> = ended;
                if begins.recv().is_ok() {
                    let _ending = Ending(line);
                    Courier::new(supplies).run();
                }
            })?;
        let hired = Hired { thread, over };
        Ok(Recruit { begin, hired })
    }

    fn carry_out(&mut self, inner: &Arc<Inner>, mut plan: Plan) -> Reloaded {
        if let Some(storage) = plan.opened.0.take() {
            self.settings = Some(plan.roster.config.queue().clone());
            inner.store_in(storage);
        }
        let lines: Vec<_> = plan.roster.seats.iter().map(|seat| &seat.line).collect();
        let lines: Vec<Arc<Line>> = lines.into_iter().cloned().collect();
        self.remember(&lines);
        let before = inner.replace_roster(plan.roster);
        for line in before.seats.iter().map(|seat| &seat.line) {
            if !lines.iter().any(|kept| Arc::ptr_eq(kept, line)) {
                line.retire(self.retirements);
                self.retirements += 1;
            }
        }
        for (line, step) in lines.iter().zip(plan.steps) {
            self.take(line, step);
        }
        self.reap();
        if inner.closed.load(Ordering::SeqCst) {
            // Whoever said so may not have seen the couriers that are new.
            inner.stop();
        }
        plan.told
    }

    fn remember(&mut self, lines: &[Arc<Line>]) {
        let mut reliable = self
            .reliable
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for line in lines {
            let key = (Arc::clone(&line.name), line.is_reliable());
            self.lines.entry(key).or_insert_with(|| Arc::clone(line));
            if line.is_reliable() {
                let entry = reliable.entry(Arc::clone(&line.name));
                entry.or_insert_with(|| Arc::clone(line));
            }
        }
    }

    fn take(&mut self, line: &Arc<Line>, step: Step) {
        match step {
            Step::Keep => drop(line.command(Command::Reopen)),
            Step::Reconfigure(bench) => drop(line.command(Command::Reconfigure(bench))),
            Step::Hire(recruit) => self.begin(line, recruit),
            Step::Revive(bench, recruit) => {
                if line.stay() {
                    line.command(Command::Revive(bench));
                    self.replaced.push(recruit.hired.thread);
                } else {
                    self.begin(line, recruit);
                }
            }
        }
    }

    fn begin(&mut self, line: &Arc<Line>, recruit: Recruit) {
        line.begin();
        recruit
            .begin
            .send(())
            .expect("a recruit waits for its beginning");
        let key = (Arc::clone(&line.name), line.is_reliable());
        if let Some(old) = self.couriers.insert(key, recruit.hired) {
            self.replaced.push(old.thread);
        }
    }

    /// Joins the couriers that have ended.
    fn reap(&mut self) {
        let couriers = std::mem::take(&mut self.couriers);
        for (key, hired) in couriers {
            if hired.thread.is_finished() {
                self.replaced.push(hired.thread);
            } else {
                self.couriers.insert(key, hired);
            }
        }
        for thread in std::mem::take(&mut self.replaced) {
            if thread.is_finished() {
                drop(thread.join());
            } else {
                self.replaced.push(thread);
            }
        }
    }
}

fn key_of(target: &Target) -> Key {
    let reliable = target.delivery() == Delivery::Reliable;
    (Arc::from(target.name().as_str()), reliable)
}
