//! Several workers deliver what is appended meanwhile, and a record of all deliveries is judged.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use testkit::{DEADLINE, Postgres, Stop};
use webhook_queue::{
    Claim, EntryId, Event, EventId, Owed, Queue, QueueError, Settled, Settlement, SettlementResult,
};

use super::support::wait_for;
use crate::queue::PostgresQueue;
use crate::settings::{Role, Settings};

const TARGET: &str = "one";
const KEYS: u64 = 60;

/// What was accepted and delivered.
#[derive(Default)]
struct Record {
    /// The events of each key, in the order accepted.
    accepted: Mutex<BTreeMap<u64, Vec<u64>>>,
    /// The events in the order delivered.
    delivered: Mutex<Vec<(u64, u64)>>,
    stop: AtomicBool,
}

impl Record {
    fn accepted(&self) -> usize {
        self.accepted
            .lock()
            .expect("no test panicked")
            .values()
            .map(Vec::len)
            .sum()
    }

    fn delivered(&self) -> usize {
        self.delivered.lock().expect("no test panicked").len()
    }

    fn distinct(&self) -> usize {
        let delivered = self.delivered.lock().expect("no test panicked");
        delivered.iter().collect::<HashSet<_>>().len()
    }

    /// Checks that each event was delivered, those of a key in the order accepted; returns how many
    /// were delivered more than once.
    fn judge(&self) -> usize {
        let accepted = self.accepted.lock().expect("no test panicked");
        let delivered = self.delivered.lock().expect("no test panicked");
        let mut first: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (key, number) in delivered.iter() {
            if seen.insert((*key, *number)) {
                first.entry(*key).or_default().push(*number);
            }
        }
        for (key, numbers) in accepted.iter() {
            assert_eq!(first.get(key), Some(numbers), "the events of key {key}");
        }
        delivered.len() - seen.len()
    }
}

fn event(number: u64, writer: u64) -> Event {
    let key = number % KEYS * 4 + writer;
    Event {
        id: EventId((u128::from(number) << 8 | u128::from(writer)).to_be_bytes()),
        key: key.to_string().into_bytes().into(),
        body: number.to_string().into_bytes().into(),
        attributes: Arc::default(),
        accepted_at: 1,
        targets: Arc::new([TARGET.into()]),
        idempotency_key: None,
        last_state: None,
    }
}

/// Appends events of all keys in turn, each again until it is accepted.
fn append(queue: &PostgresQueue, record: &Record, writer: u64) {
    let mut number = 0;
    while !record.stop.load(Ordering::Acquire) {
        let numbers: Vec<u64> = (number..number + 8).collect();
        number += 8;
        // Two writers never append for one key at once, so that the order accepted is known.
        let key = |number: &u64| number % KEYS * 4 + writer;
        let events: Vec<Event> = numbers.iter().map(|it| event(*it, writer)).collect();
        // Before the commit: an event can be delivered before its writer knows that it is accepted.
        {
            let mut accepted = record.accepted.lock().expect("no test panicked");
            for number in &numbers {
                accepted.entry(key(number)).or_default().push(*number);
            }
        }
        let deadline = Instant::now() + DEADLINE;
        while let Err(error) = queue.commit(&events, &[]) {
            assert!(
                error.is_retryable() && Instant::now() < deadline,
                "{error:?}"
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

type Key = Vec<u8>;

/// One worker: reads, delivers the first event of each key, and settles.
#[derive(Default)]
struct Deliverer {
    cursor: Option<EntryId>,
    lanes: HashMap<Key, VecDeque<(EntryId, u64, Claim)>>,
    /// Deliveries whose settlement is to be committed, again if that failed.
    settling: Vec<Settlement>,
    fenced: usize,
}

impl Deliverer {
    fn run(queue: &PostgresQueue, record: &Record, stop: &AtomicBool) -> usize {
        let mut deliverer = Deliverer::default();
        while !stop.load(Ordering::Acquire) {
            match deliverer.step(queue, record) {
                Ok(()) => {}
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
        deliverer.fenced
    }

    fn step(&mut self, queue: &PostgresQueue, record: &Record) -> Result<(), QueueError> {
        let news = queue.wait_for_news(Duration::from_millis(5));
        if news.reread {
            self.cursor = None;
        }
        self.settle(queue)?;
        let mut read = 0;
        let (cursor, lanes) = (&mut self.cursor, &mut self.lanes);
        queue.owed(TARGET, *cursor, &mut |owed| {
            let lane: &mut VecDeque<_> = lanes.entry(owed.key.to_vec()).or_default();
            if lane.back().is_none_or(|last| last.0 < owed.entry) {
                lane.push_back(in_lane(&owed));
            }
            *cursor = Some(owed.entry);
            read += 1;
            match read < 300 {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        let mut ended: Vec<Arc<[u8]>> = Vec::new();
        for (key, lane) in &self.lanes {
            let Some((entry, number, claim)) = lane.front().copied() else {
                continue;
            };
            let Some(guard) = queue.guard(claim) else {
                ended.push(key.as_slice().into());
                continue;
            };
            let key = String::from_utf8_lossy(key)
                .parse()
                .expect("a key is a number");
            record
                .delivered
                .lock()
                .expect("no test panicked")
                .push((key, number));
            self.settling.push(Settlement {
                target: TARGET.into(),
                entry,
                outcome: Settled::Delivered,
                guard,
            });
        }
        // Between a delivery and its settlement a slot must not change its owner.
        std::thread::park_timeout(Duration::from_millis(1));
        self.settle(queue)?;
        self.lanes.retain(|_, lane| !lane.is_empty());
        for key in &ended {
            self.lanes.remove(&**key);
        }
        let lanes = &mut self.lanes;
        queue.owed_of_keys(TARGET, &ended, &mut |index, owed| {
            lanes
                .entry(ended[index].to_vec())
                .or_default()
                .push_back(in_lane(&owed));
            ControlFlow::Continue(())
        })
    }

    fn settle(&mut self, queue: &PostgresQueue) -> Result<(), QueueError> {
        if self.settling.is_empty() {
            return Ok(());
        }
        let results = queue.commit(&[], &self.settling)?.settled;
        let settled: HashSet<EntryId> = self.settling.iter().map(|it| it.entry).collect();
        self.fenced += results
            .iter()
            .filter(|it| **it == SettlementResult::Fenced)
            .count();
        for lane in self.lanes.values_mut() {
            while lane.front().is_some_and(|it| settled.contains(&it.0)) {
                lane.pop_front();
            }
        }
        self.settling.clear();
        Ok(())
    }
}

fn in_lane(owed: &Owed<'_>) -> (EntryId, u64, Claim) {
    let number = String::from_utf8_lossy(owed.body)
        .parse()
        .expect("a body is a number");
    (owed.entry, number, owed.claim)
}

/// A worker that appends and delivers.
struct Running {
    queue: Arc<PostgresQueue>,
    appends: JoinHandle<()>,
    delivers: JoinHandle<usize>,
    stop: Arc<AtomicBool>,
}

/// Workers on one database, and what they do.
struct Stage {
    postgres: Postgres,
    record: Arc<Record>,
    writers: u64,
}

impl Stage {
    fn new() -> Option<Stage> {
        Some(Stage {
            postgres: Postgres::start(&["fsync = off"])?,
            record: Arc::default(),
            writers: 0,
        })
    }

    fn join(&mut self) -> Running {
        let mut settings = Settings::new(self.postgres.url());
        settings.lease = Duration::from_secs(2);
        settings.segment_bytes = 64 << 10;
        let queue = Arc::new(PostgresQueue::open(settings).expect("it opens"));
        let (record, stop) = (self.record.clone(), Arc::new(AtomicBool::new(false)));
        let writer = self.writers;
        self.writers += 1;
        let appends = {
            let (queue, record) = (queue.clone(), record.clone());
            std::thread::spawn(move || append(&queue, &record, writer))
        };
        let delivers = {
            let (queue, stop) = (queue.clone(), stop.clone());
            std::thread::spawn(move || Deliverer::run(&queue, &record, &stop))
        };
        Running {
            queue,
            appends,
            delivers,
            stop,
        }
    }

    /// Waits until this many events more were delivered.
    fn wait_for_deliveries(&self, count: usize) {
        let begun = self.record.delivered();
        wait_for("deliveries", || self.record.delivered() >= begun + count);
    }

    /// Ends the appends, waits until all is delivered, and judges it; returns how many events were
    /// delivered more than once, and how many settlements were fenced.
    fn end(self, workers: Vec<Running>) -> (usize, usize) {
        self.record.stop.store(true, Ordering::Release);
        let mut delivering = Vec::new();
        for worker in workers {
            worker.appends.join().expect("it appends");
            delivering.push((worker.queue, worker.delivers, worker.stop));
        }
        let accepted = self.record.accepted();
        wait_for("all deliveries", || self.record.distinct() >= accepted);
        let mut fenced = 0;
        for (queue, delivers, stop) in delivering {
            stop.store(true, Ordering::Release);
            fenced += delivers.join().expect("it delivers");
            queue.close().expect("it closes");
        }
        (self.record.judge(), fenced)
    }
}

impl Running {
    /// Delivers nothing more, and gives the slots back. It still appends.
    fn leave(self) -> JoinHandle<()> {
        self.stop.store(true, Ordering::Release);
        self.delivers.join().expect("it delivers");
        self.queue.close().expect("it closes");
        self.appends
    }
}

#[test]
fn no_entry_appears_before_one_that_was_read() {
    // A number drawn before the wait for the append lock, or a read of a segment that is not the
    // current one any more, would let a reader go past entries that are committed later.
    const WRITERS: u64 = 3;
    const GROUPS: u64 = 100;
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let mut settings = Settings::new(postgres.url());
    settings.segment_bytes = 32 << 10;
    let reader = PostgresQueue::open(settings.clone()).expect("it opens");
    wait_for("the claims", || reader.worker.claims().len() == 64);
    settings.role = Role::Operator;
    let has_turned = &|| postgres.query("SELECT max(ordinal) > 2 FROM webhook.segment") == "t";
    let (written, mut read) = (&AtomicUsize::new(0), Vec::new());
    std::thread::scope(|scope| {
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let queue = PostgresQueue::open(settings.clone()).expect("it opens");
            writers.push(scope.spawn(move || {
                let deadline = Instant::now() + DEADLINE;
                let mut groups = 0;
                // Until segments were begun meanwhile.
                while groups == 0 || groups % GROUPS > 0 || !has_turned() {
                    assert!(Instant::now() < deadline, "no segment was begun");
                    let events = [0, 1, 2].map(|it| event(groups * 3 + it, writer));
                    queue.commit(&events, &[]).expect("it is accepted");
                    groups += 1;
                    written.fetch_add(3, Ordering::SeqCst);
                }
            }));
        }
        wait_for("all entries", || {
            let all_written = writers.iter().all(|writer| writer.is_finished());
            reader.wait_for_news(Duration::from_millis(20));
            let after = read.last().copied();
            let visit = &mut |owed: Owed<'_>| {
                read.push(owed.entry);
                ControlFlow::Continue(())
            };
            reader.owed(TARGET, after, visit).expect("it can be read");
            all_written && read.len() >= written.load(Ordering::SeqCst)
        });
    });
    assert!(read.is_sorted());
    assert_eq!(read.iter().collect::<HashSet<_>>().len(), read.len());
}

#[test]
fn a_worker_learns_of_a_target_that_another_process_adds() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let mut settings = Settings::new(postgres.url());
    let worker = PostgresQueue::open(settings.clone()).expect("it opens");
    wait_for("the claims", || worker.worker.claims().len() == 64);
    let news = || worker.wait_for_news(Duration::from_millis(10));
    wait_for("the news of the claims", || news().reread);
    settings.role = Role::Operator;
    let other = PostgresQueue::open(settings).expect("it opens");
    other.commit(&[event(1, 0)], &[]).expect("it is accepted");
    let owed = || {
        let mut owed = 0;
        let visit = &mut |_: Owed<'_>| {
            owed += 1;
            ControlFlow::Continue(())
        };
        worker.owed(TARGET, None, visit).expect("it can be read");
        owed
    };
    // A look before the worker knows of the target finds nothing; later news has it look again.
    wait_for("the event", || {
        let news = news();
        (news.reread || news.appended) && owed() == 1
    });
}

#[test]
fn a_rebalance_under_load_repeats_and_loses_nothing() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let first = stage.join();
    stage.wait_for_deliveries(200);
    let second = stage.join();
    stage.wait_for_deliveries(500);
    let third = stage.join();
    stage.wait_for_deliveries(500);
    let left = second.leave();
    stage.wait_for_deliveries(500);
    let last = stage.join();
    stage.wait_for_deliveries(500);
    let used = stage
        .postgres
        .query("SELECT max(ordinal) > 2 FROM webhook.segment");
    assert_eq!(used, "t", "segments are begun and truncated meanwhile");
    let (repeated, fenced) = stage.end(vec![first, third, last]);
    left.join().expect("it appends");
    assert_eq!((repeated, fenced), (0, 0));
}

#[test]
fn a_worker_that_stalls_under_load_repeats_what_was_under_way_at_most() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let workers = vec![stage.join(), stage.join()];
    stage.wait_for_deliveries(300);
    let stalled = &workers[0].queue.worker.lease;
    {
        let _pause = stalled.pause();
        let other = &workers[1].queue.worker;
        wait_for("the takeover", || other.claims().len() == 64);
        stage.wait_for_deliveries(300);
    }
    wait_for("the loss", || stalled.lost() == 1);
    stage.wait_for_deliveries(300);
    let queues: Vec<_> = workers.iter().map(|it| it.queue.clone()).collect();
    let (repeated, fenced) = stage.end(workers);
    assert_were_under_way(repeated, fenced, &queues);
}

#[test]
fn a_crash_of_the_server_under_load_loses_nothing() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let workers = vec![stage.join(), stage.join()];
    stage.wait_for_deliveries(300);
    stage.postgres.stop(Stop::Immediate);
    stage.postgres.start_again();
    stage.wait_for_deliveries(300);
    for _ in 0..3 {
        stage.postgres.terminate_connections();
        stage.wait_for_deliveries(100);
    }
    let queues: Vec<_> = workers.iter().map(|it| it.queue.clone()).collect();
    let (repeated, fenced) = stage.end(workers);
    assert_were_under_way(repeated, fenced, &queues);
}

/// An event is repeated only if the claim ended under which it was delivered, so that its settlement
/// was fenced. Each time that a worker loses its lease, one delivery of each key can be under way. A
/// busy machine, or a server that starts slowly, costs more leases than one.
fn assert_were_under_way(repeated: usize, fenced: usize, queues: &[Arc<PostgresQueue>]) {
    let losses: u64 = queues.iter().map(|it| it.worker.lease.lost()).sum();
    let under_way = KEYS * queues.len() as u64 * losses.max(1);
    assert!(repeated <= fenced, "{repeated} of {fenced}");
    assert!(fenced as u64 <= under_way, "{fenced} at {losses} losses");
}
