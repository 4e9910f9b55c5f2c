//! What the rules of a target's state come to over hours: a target and its receiver, in virtual
//! time, with a seed, so that each run is the same.
//!
//! The senders are as many as `concurrency`, with the queue of jobs before them; commits take no
//! time.

use crate::delivery::AttemptResult;
use crate::http::transport::{Answer, TransportError, TransportErrorKind};
use crate::shared::clock::Moment;
use crate::target::attempt::Attempt;
use crate::target::backlog::LiveEvent;
use crate::target::gate::{Blocked, Permit};
use crate::target::lanes::{Batch, Content};
use crate::target::retry::{Next, Retry, breaker_wait, next_attempt};
use crate::target::unsynced::Synced;
use crate::target::{Step, TargetState};
use crate::worker::reader;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use webhook_config::{BreakerPolicy, Format, RetryPolicy, SecretMask, Target, TargetUrl};
use webhook_queue::{Event, EventId, MemoryQueue, Queue, Settled, SlotGuard};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// The default schedule, with a seed.
struct Seeded(Mutex<fastrand::Rng>);

impl Retry for Seeded {
    fn next(
        &self,
        policy: &RetryPolicy,
        attempts: u32,
        age: Duration,
        retry_after: Option<Duration>,
    ) -> Next {
        let draw = self.0.lock().unwrap().f64();
        next_attempt(policy, attempts, age, retry_after, draw)
    }

    fn breaker(&self, policy: &RetryPolicy, breaker: &BreakerPolicy, openings: u32) -> Duration {
        let draw = self.0.lock().unwrap().f64();
        breaker_wait(policy, breaker, openings, draw)
    }
}

/// An answer, and how long it takes; `None` for a time-out.
#[derive(Clone, Copy)]
struct Reply(Option<u16>, Duration);

const GOOD: Reply = Reply(Some(200), Duration::from_millis(5));

/// What the receiver answers to a task at a time.
type Receiver<'a> = dyn Fn(&str, Duration) -> Reply + 'a;

/// When a task's event was accepted, and when it was delivered.
#[derive(Clone, Copy, Debug)]
struct Course {
    accepted: Duration,
    delivered: Option<Duration>,
}

struct Simulation<'a> {
    receiver: &'a Receiver<'a>,
    target: Target,
    state: TargetState,
    queue: MemoryQueue,
    behind: AtomicBool,
    retry: Seeded,
    start: Instant,
    /// The time since the start.
    time: Duration,
    next_id: u128,
    jobs: VecDeque<(Batch, Permit)>,
    /// By the time of their end, and a number.
    under_way: BTreeMap<(Duration, u64), (Batch, Permit, Reply, Duration)>,
    attempts: RefCell<Vec<Duration>>,
    started: u64,
    courses: HashMap<EventId, (String, Course)>,
}

impl<'a> Simulation<'a> {
    fn new(seed: u64, receiver: &'a Receiver<'a>) -> Simulation<'a> {
        let target = Target::builder(TargetUrl::parse("http://localhost:1/").unwrap());
        let target = target.build().unwrap();
        let start = Instant::now();
        Simulation {
            receiver,
            state: TargetState::new(&target, true, start),
            target,
            queue: MemoryQueue::new(1 << 40),
            behind: AtomicBool::new(true),
            retry: Seeded(Mutex::new(fastrand::Rng::with_seed(seed))),
            start,
            time: Duration::ZERO,
            next_id: 0,
            jobs: VecDeque::new(),
            under_way: BTreeMap::new(),
            attempts: RefCell::default(),
            started: 0,
            courses: HashMap::new(),
        }
    }

    fn at(&self) -> Moment {
        Moment {
            now: self.start + self.time,
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000) + self.time,
        }
    }

    /// The next event.
    fn event(&mut self, task: &str) -> Event {
        self.next_id += 1;
        Event {
            id: EventId(self.next_id.to_be_bytes()),
            key: Arc::from(task.as_bytes()),
            body: Arc::from(&b"{}"[..]),
            accepted_at: self.at().epoch_ms(),
            targets: Arc::from([Arc::from(self.target.name().as_str())]),
            attributes: Arc::default(),
            idempotency_key: None,
            last_state: None,
        }
    }

    /// Adds events of as many tasks to the queue, as if they were accepted before the start.
    fn store(&mut self, events: usize) {
        let tasks = (0..events).map(|number| format!("task-{number}"));
        let events: Vec<_> = tasks.map(|task| self.event(&task)).collect();
        self.queue.commit(&events, &[]).unwrap();
    }

    /// Accepts an event.
    fn submit(&mut self, task: &str) {
        let event = self.event(task);
        let id = event.id;
        let accepted = self
            .queue
            .commit(std::slice::from_ref(&event), &[])
            .unwrap()
            .accepted;
        let live = LiveEvent {
            entry: accepted[0].entry().unwrap(),
            id,
            key: event.key,
            content: Content::of(&event.body, &event.attributes),
            accepted_at: event.accepted_at,
            submitted: self.start + self.time,
        };
        if !self.state.backlog.take(live, self.start + self.time) {
            self.behind.store(true, Ordering::SeqCst);
        }
        let course = Course {
            accepted: self.time,
            delivered: None,
        };
        self.courses.insert(id, (task.to_owned(), course));
    }

    /// Lets time pass until then.
    fn run(&mut self, until: Duration) {
        loop {
            let next = self.turn();
            let ends = self.under_way.keys().next().map(|(end, _)| *end);
            let next = next.into_iter().chain(ends).min();
            match next.filter(|next| *next < until) {
                Some(next) => self.time = self.time.max(next),
                None => break,
            }
        }
        self.time = until;
    }

    /// One turn of the worker and the senders, repeated until nothing is left to be done now.
    /// Returns when there is more.
    fn turn(&mut self) -> Option<Duration> {
        loop {
            let mut busy = self.take_reports();
            let at = self.at();
            if self.state.backlog.follows() && self.behind.load(Ordering::SeqCst) {
                self.state.backlog.fall_behind();
            }
            self.state.wake(at.now);
            let name = self.target.name().as_str();
            let backlog = &mut self.state.backlog;
            busy |= reader::read(backlog, name, &self.queue, &self.behind, at).unwrap();
            let mut blocked = None;
            loop {
                match self.state.next(at.now, |_| Some(SlotGuard::SOLE)) {
                    Step::Nothing => break,
                    Step::Blocked(Blocked::UntilChange) => break,
                    Step::Blocked(Blocked::Until(until)) => {
                        blocked = Some(until);
                        break;
                    }
                    Step::Attempt(batch, permit) => {
                        busy = true;
                        self.jobs.push_back((batch, permit));
                    }
                }
            }
            self.start_jobs();
            if !busy {
                let next = self.state.next_wake().into_iter().chain(blocked).min();
                return next.map(|next| next - self.start);
            }
        }
    }

    fn start_jobs(&mut self) {
        while self.under_way.len() < self.target.concurrency().get() {
            let Some((batch, permit)) = self.jobs.pop_front() else {
                break;
            };
            let tasks = batch.iter();
            let replies = tasks.map(|due| {
                let task = std::str::from_utf8(&due.key).unwrap();
                (self.receiver)(task, self.time)
            });
            // One event spoils its batch.
            let reply = replies
                .max_by_key(|reply| reply.0.unwrap_or(u16::MAX))
                .unwrap();
            self.attempts.borrow_mut().push(self.time);
            self.started += 1;
            let key = (self.time + reply.1, self.started);
            self.under_way
                .insert(key, (batch, permit, reply, self.time));
        }
    }

    fn take_reports(&mut self) -> bool {
        let mut any = false;
        while let Some(first) = self.under_way.first_entry() {
            if first.key().0 > self.time {
                break;
            }
            any = true;
            let (batch, permit, Reply(status, took), started) = first.remove();
            let result = match status {
                Some(status) => Ok(Answer {
                    status,
                    retry_after: None,
                    body: Vec::new(),
                    complete: true,
                }),
                None => Err(TransportError::new(TransportErrorKind::Timeout, "")),
            };
            assert_eq!(self.start + started + took, self.start + self.time);
            let attempt = Attempt {
                batch_id: None,
                result: AttemptResult::of(
                    Format::Aurora,
                    &SecretMask::default(),
                    batch.len(),
                    &result,
                ),
                batch,
                permit,
                started_at: 0,
                took,
            };
            self.on_attempt(&attempt);
            self.start_jobs();
        }
        any
    }

    fn on_attempt(&mut self, attempt: &Attempt) {
        let at = self.at();
        let decision = self.state.on_attempt(attempt, at, &self.retry);
        if decision.recall {
            for (batch, permit) in std::mem::take(&mut self.jobs) {
                self.state.untried(&batch, permit, at.now);
            }
        }
        for (due, decision) in attempt.batch.iter().zip(decision) {
            let settlement = decision.settlement.unwrap();
            let synced = match &settlement.outcome {
                Settled::Attempted { .. } => Synced::Noted,
                _ => Synced::Settled(settlement.entry),
            };
            if matches!(settlement.outcome, Settled::Delivered) {
                let (_, course) = self.courses.get_mut(&due.delivery.id).unwrap();
                course.delivered = Some(self.time);
            }
            self.queue.commit(&[], &[settlement]).unwrap();
            self.state.backlog.synced(&[synced]);
        }
    }

    /// Submits an event of a new task at this rate, which is bad by this chance.
    fn feed(&mut self, per_second: u32, bad: f64, until: Duration) {
        let mut random = fastrand::Rng::with_seed(7);
        while self.time < until {
            let kind = if random.f64() < bad { "bad" } else { "good" };
            let task = format!("{kind}-{}", self.next_id);
            self.submit(&task);
            let next = self.time + SECOND / per_second;
            self.run(next);
        }
    }

    /// How long each good event took that was accepted at least so long ago.
    fn good(&self, ago: Duration) -> Vec<Option<Duration>> {
        let of = |(task, course): &(String, Course)| {
            (task.starts_with("good") && course.accepted + ago <= self.time)
                .then(|| course.delivered.map(|at| at - course.accepted))
        };
        self.courses.values().filter_map(of).collect()
    }

    fn attempts_since(&self, since: Duration) -> Vec<Duration> {
        let attempts = self.attempts.borrow();
        attempts.iter().copied().filter(|at| *at >= since).collect()
    }

    /// The first delivery since then, and when all of the events accepted before had arrived.
    fn recovery(&self, since: Duration) -> (Option<Duration>, Option<Duration>) {
        let delivered = self.courses.values().map(|(_, course)| course.delivered);
        let later: Vec<_> = delivered.flatten().filter(|at| *at >= since).collect();
        let first = later.iter().min().map(|first| *first - since);
        let mut before = self.courses.values();
        let all = before.try_fold(since, |last, (_, course)| {
            let counts = course.accepted < since;
            match course.delivered {
                Some(at) if counts => Some(last.max(at)),
                None if counts => None,
                _ => Some(last),
            }
        });
        (first, all.map(|all| all - since))
    }
}

/// Whether good events arrive, though so many tasks' events get such an answer.
fn check_starvation(bad: f64, answer: Reply) {
    let receiver = move |task: &str, _| match task.starts_with("bad") {
        true => answer,
        false => GOOD,
    };
    let mut simulation = Simulation::new(1, &receiver);
    simulation.feed(5, bad, 400 * SECOND);
    let good = simulation.good(10 * SECOND);
    let late = |took: &&Option<Duration>| took.is_none_or(|took| took > 10 * SECOND);
    let late = good.iter().filter(late).count();
    assert!(good.len() > 150, "{}", good.len());
    assert!(
        late * 20 <= good.len(),
        "{late} of {} good events were late: {bad} bad, {:?}",
        good.len(),
        answer.0
    );
}

#[test]
fn good_events_arrive_though_most_tasks_get_a_client_error() {
    for took in [5 * MS, 2 * SECOND] {
        for bad in [0.5, 0.7, 0.9] {
            check_starvation(bad, Reply(Some(404), took));
        }
    }
}

#[test]
fn good_events_arrive_though_most_tasks_get_a_server_error() {
    for took in [5 * MS, 2 * SECOND] {
        for bad in [0.5, 0.7, 0.9] {
            check_starvation(bad, Reply(Some(500), took));
        }
    }
}

#[test]
fn good_events_arrive_though_many_tasks_time_out_or_are_refused() {
    for bad in [0.3, 0.5] {
        check_starvation(bad, Reply(None, 5 * SECOND));
        check_starvation(bad, Reply(Some(400), 5 * MS));
    }
    check_starvation(0.7, Reply(Some(400), 5 * MS));
}

#[test]
fn good_events_arrive_behind_a_burst_of_failing_tasks() {
    for (status, burst) in [(500, 300), (503, 100), (422, 100), (404, 300)] {
        let receiver = move |task: &str, _| match task.starts_with("bad") {
            true => Reply(Some(status), 5 * MS),
            false => GOOD,
        };
        let mut simulation = Simulation::new(1, &receiver);
        for number in 0..burst {
            simulation.submit(&format!("bad-burst-{number}"));
        }
        simulation.feed(5, 0.0, 60 * SECOND);
        let good = simulation.good(10 * SECOND);
        let late = |took: &&Option<Duration>| took.is_none_or(|took| took > 10 * SECOND);
        let late = good.iter().filter(late).count();
        assert!(
            late * 20 <= good.len(),
            "{status}: {late} of {} good events were late",
            good.len()
        );
    }
}

#[test]
fn tasks_that_go_on_failing_do_not_delay_the_recovery_of_the_others() {
    for bad in [5, 20, 40] {
        let up = 240 * SECOND;
        let receiver = move |task: &str, now| match task.starts_with("bad") || now < up {
            true => Reply(Some(500), 5 * MS),
            false => GOOD,
        };
        let mut simulation = Simulation::new(1, &receiver);
        for number in 0..bad {
            simulation.submit(&format!("bad-{number}"));
        }
        for number in 0..8 {
            simulation.submit(&format!("good-{number}"));
        }
        simulation.run(up);
        simulation.feed(1, 0.0, up + 60 * SECOND);
        for took in simulation.good(60 * SECOND) {
            let late = took.map(|took| took.saturating_sub(up));
            assert!(
                late.is_some_and(|late| late <= 5 * SECOND),
                "{bad} tasks go on failing: {late:?} after the end of the outage"
            );
        }
    }
}

#[test]
fn a_good_event_among_thirty_failing_tasks_goes_at_once() {
    for status in [404, 500] {
        let receiver = move |task: &str, _| match task.starts_with("bad") {
            true => Reply(Some(status), 5 * MS),
            false => GOOD,
        };
        let mut simulation = Simulation::new(1, &receiver);
        for number in 0..30 {
            simulation.submit(&format!("bad-{number}"));
        }
        for number in 1..=20 {
            simulation.run(20 * number * SECOND);
            simulation.submit(&format!("good-{number}"));
        }
        simulation.run(500 * SECOND);
        for took in simulation.good(Duration::ZERO) {
            assert!(took.unwrap() <= SECOND, "{status}: {took:?}");
        }
    }
}

#[test]
fn an_unreachable_receiver_gets_one_probe_for_each_back_off_whatever_waits() {
    for reply in [Reply(Some(503), 5 * MS), Reply(None, 5 * SECOND)] {
        let receiver = move |_: &str, _| reply;
        let mut simulation = Simulation::new(1, &receiver);
        simulation.store(100_000);
        simulation.run(3_600 * SECOND);
        let opened = 60 * SECOND;
        let before = simulation.attempts.borrow().len() - simulation.attempts_since(opened).len();
        assert!(before < 60, "{before} attempts in the first minute");
        let probes = simulation.attempts_since(opened);
        for pair in probes.windows(2) {
            assert!(pair[1] - pair[0] >= 30 * SECOND / 5, "{pair:?}");
        }
        assert!(probes.len() > 100, "{} probes", probes.len());
    }
}

#[test]
fn a_receiver_that_answers_5xx_to_all_gets_one_event_a_second() {
    let receiver = |_: &str, _| Reply(Some(500), 5 * MS);
    let mut simulation = Simulation::new(1, &receiver);
    simulation.store(10_000);
    simulation.run(600 * SECOND);
    let attempts = simulation.attempts_since(10 * SECOND);
    for pair in attempts.windows(2) {
        assert!(pair[1] - pair[0] >= SECOND, "{pair:?}");
    }
    assert!(attempts.len() > 500);
}

/// When deliveries go on after an outage with such an answer, with so many tasks, for some seeds.
fn recoveries(outage: Duration, answer: Reply, tasks: u32) -> Vec<Duration> {
    let (down, up) = (5 * SECOND, 5 * SECOND + outage);
    let receiver = move |_: &str, now| {
        if (down..up).contains(&now) {
            answer
        } else {
            GOOD
        }
    };
    let context = format!("{:?} to {tasks} tasks for {outage:?}", answer.0);
    let mut firsts = Vec::new();
    for seed in 0..9 {
        let mut simulation = Simulation::new(seed, &receiver);
        simulation.run(down);
        for number in 0..tasks {
            simulation.submit(&format!("task-{number}"));
        }
        simulation.run(up + 120 * SECOND);
        let (first, all) = simulation.recovery(up);
        let (first, all) = (first.expect(&context), all.expect(&context));
        assert!(first <= 25 * SECOND, "{context}: {first:?}");
        let full = all - first;
        assert!(full <= 2 * SECOND, "{context}: {full:?} to the full rate");
        firsts.push(first);
    }
    firsts
}

#[test]
fn deliveries_go_on_within_seconds_of_the_end_of_an_outage() {
    let mut firsts = Vec::new();
    for outage in [90 * SECOND, 1_800 * SECOND] {
        for answer in [
            Reply(Some(503), 5 * MS),
            Reply(None, SECOND),
            Reply(Some(500), 5 * MS),
            Reply(Some(404), 5 * MS),
        ] {
            for tasks in [1, 20, 200] {
                firsts.extend(recoveries(outage, answer, tasks));
            }
        }
    }
    firsts.sort_unstable();
    let median = firsts[firsts.len() / 2];
    assert!(median <= 8 * SECOND, "{median:?} in the median");
}
