//! Lanes against a naive model: a list of pending events, of which each task's first may go.

use super::waiting::SPREAD;
use super::*;
use proptest::prelude::*;
use std::time::Duration;
use webhook_queue::EventId;

const BOUNDS: Bounds = Bounds {
    window: 6,
    window_bytes: 60,
    per_lane: 2,
    lanes: 5,
};
const TASKS: u8 = 4;
/// Replayed entries are before it, all others after it.
const FIRST: u64 = 1_000;
/// Bytes of each body.
const BODY: usize = 12;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// The next event of a task is accepted.
    Accept(u8),
    /// Events are read back and offered as long as there is room.
    Fill,
    Take,
    Settle(usize),
    Retry(usize, u64),
    Untried(usize),
    Elapse(u64),
    /// Events are offered again from the first one on.
    Reread,
    /// The claim under which events were offered ends, and another begins.
    Reclaim,
    /// An older event of a task is pending again.
    Replay(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..TASKS).prop_map(Op::Accept),
        6 => Just(Op::Fill),
        6 => Just(Op::Take),
        5 => (0..8_usize).prop_map(Op::Settle),
        3 => (0..8_usize, 1..50_u64).prop_map(|(which, ms)| Op::Retry(which, ms)),
        1 => (0..8_usize).prop_map(Op::Untried),
        3 => (1..30_u64).prop_map(Op::Elapse),
        1 => Just(Op::Reread),
        1 => Just(Op::Reclaim),
        1 => (0..TASKS).prop_map(Op::Replay),
    ]
}

/// A pending event, as a queue would hold it.
#[derive(Clone, Copy)]
struct Stored {
    task: u8,
    delivery: Delivery,
}

struct Model {
    lanes: Lanes,
    /// All pending events, in the order accepted.
    queue: Vec<Stored>,
    /// The last event offered.
    cursor: Option<EntryId>,
    accepted: u64,
    in_flight: Vec<Due>,
    now: Instant,
    claim: Claim,
    /// The last replayed entry, which is before all others.
    replayed: u64,
    /// Whether events were offered again.
    reread: bool,
}

impl Model {
    fn new() -> Model {
        Model {
            lanes: Lanes::new(BOUNDS),
            queue: Vec::new(),
            cursor: None,
            accepted: FIRST,
            in_flight: Vec::new(),
            now: Instant::now(),
            claim: Claim::SOLE,
            replayed: FIRST,
            reread: false,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Accept(task) => {
                self.accepted += 1;
                let stored = self.stored(task, self.accepted);
                self.queue.push(stored);
            }
            Op::Fill => self.fill(),
            Op::Take => self.take(),
            Op::Settle(which) => self.end(which, |model, due| {
                let settles = |stored: &Stored| stored.delivery.is_same(&due.delivery);
                model.queue.retain(|stored| !settles(stored));
                model.lanes.settled(due.lane, model.now);
            }),
            Op::Retry(which, ms) => self.end(which, |model, due| {
                let at = model.now + Duration::from_millis(ms);
                let mut failed = due.delivery;
                failed.attempts += 1;
                failed.not_before = Some(at);
                for stored in &mut model.queue {
                    if stored.delivery.is_same(&failed) {
                        stored.delivery = failed;
                    }
                }
                model.lanes.retry(due.lane, failed, at);
            }),
            Op::Untried(which) => self.end(which, |model, due| model.lanes.untried(due.lane)),
            Op::Elapse(ms) => self.now += Duration::from_millis(ms),
            Op::Reread => self.reread(),
            Op::Reclaim => {
                self.claim.fence += 1;
                for stored in &mut self.queue {
                    stored.delivery.claim = self.claim;
                }
                self.reread();
            }
            Op::Replay(task) => {
                self.replayed -= 1;
                let stored = self.stored(task, self.replayed);
                self.queue.insert(0, stored);
                self.reread();
            }
        }
        self.check();
    }

    fn stored(&self, task: u8, entry: u64) -> Stored {
        let delivery = Delivery {
            claim: self.claim,
            ..delivery(entry)
        };
        Stored { task, delivery }
    }

    fn reread(&mut self) {
        self.cursor = None;
        self.reread = true;
    }

    fn read_back(&mut self, lane: LaneId, key: &[u8], most: usize) {
        let of_task =
            |stored: &&Stored| [stored.task] == *key && Some(stored.delivery.entry) <= self.cursor;
        let owed: Vec<_> = self.queue.iter().filter(of_task).collect();
        let more = owed.len() > most;
        let events = owed
            .into_iter()
            .take(most)
            .map(|stored| (stored.delivery, content()))
            .collect();
        self.lanes.refill(lane, events, more, self.now);
    }

    fn fill(&mut self) {
        let now = self.now;
        self.lanes.wake(now);
        loop {
            let reads = self.lanes.to_read();
            if reads.is_empty() {
                break;
            }
            for (lane, key, most) in reads {
                self.read_back(lane, &key, most);
            }
        }
        for stored in &self.queue {
            if Some(stored.delivery.entry) <= self.cursor {
                continue;
            }
            let key = [stored.task];
            let shared = || Arc::from(key);
            match self
                .lanes
                .offer(&key, stored.delivery, now, shared, content)
            {
                Offered::Taken | Offered::Held => self.cursor = Some(stored.delivery.entry),
                Offered::Full => break,
            }
        }
    }

    fn take(&mut self) {
        let Some(due) = next(&mut self.lanes) else {
            return;
        };
        let task = due.key[0];
        assert!(
            self.in_flight.iter().all(|other| other.key != due.key),
            "one event of a task is in flight at a time"
        );
        if due.delivery.claim != self.claim {
            return self.lanes.forget(due.lane);
        }
        let mut of_task = self.queue.iter().filter(|stored| stored.task == task);
        // A replayed event goes before those of its task that were not in memory.
        let is_first = |stored: &&Stored| match due.delivery.entry.0 < FIRST {
            true => stored.delivery.entry == due.delivery.entry,
            false => stored.delivery.entry.0 > FIRST,
        };
        let first = of_task.find(is_first);
        let first = first.expect("an event in flight is pending").delivery;
        assert_eq!(
            due.delivery.entry, first.entry,
            "a task's first event goes first"
        );
        assert_eq!(due.delivery.attempts, first.attempts);
        assert!(
            self.reread || first.not_before.is_none_or(|at| at <= self.now),
            "it is retried no sooner than agreed"
        );
        self.in_flight.push(due);
    }

    fn end(&mut self, which: usize, how: impl FnOnce(&mut Model, Due)) {
        if !self.in_flight.is_empty() {
            let due = self.in_flight.swap_remove(which % self.in_flight.len());
            how(self, due);
        }
    }

    fn check(&self) {
        let lanes = &self.lanes;
        let (held_events, held_bytes) = lanes.window.held();
        assert!(held_events <= BOUNDS.window);
        assert!(held_bytes < BOUNDS.window_bytes + BOUNDS.per_lane * BODY);
        assert!(lanes.lanes.len() <= BOUNDS.lanes);
        let mut held = 0;
        for (_, lane) in lanes.lanes.iter() {
            held += lane.events.len();
            assert!(lane.events.len() <= BOUNDS.per_lane);
            if !matches!(lane.state, State::Ready | State::InFlight) {
                assert!(lane.events.is_empty(), "a waiting lane holds no bodies");
            }
        }
        assert_eq!(held, held_events);
        assert_eq!(held * BODY, held_bytes);
        let both = |queues: &ByKind| queues.first.len() + queues.retry.len();
        let busy = both(&lanes.ready.lanes) + lanes.waiting.len() + both(&lanes.reading);
        assert_eq!(
            lanes.ready.lanes.retry.len() * BODY,
            lanes.ready.retry_bytes
        );
        assert_eq!(
            busy + self.in_flight.len(),
            lanes.lanes.len(),
            "every lane is in one state"
        );
    }
}

impl Delivery {
    /// Whether a settlement of one has an effect on the other.
    fn is_same(&self, other: &Delivery) -> bool {
        (self.entry, self.claim) == (other.entry, other.claim)
    }
}

fn delivery(entry: u64) -> Delivery {
    let id = EventId(u128::from(entry).to_be_bytes());
    Delivery::new(EntryId(entry), Claim::SOLE, id, 0)
}

/// Takes a first attempt, or else a retry.
fn next(lanes: &mut Lanes) -> Option<Due> {
    lanes.take(Kind::First).or_else(|| lanes.take(Kind::Retry))
}

fn content() -> Content {
    Content::copied(&[0; BODY - 10], &[0; 10])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn lanes_keep_order_lose_nothing_and_bound_memory(
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let mut model = Model::new();
        for op in ops {
            model.apply(op);
        }
        // Under a claim that has ended, an event is settled in vain, and the one after it read again.
        for _ in 0..=model.queue.len() + 2 {
            model.apply(Op::Elapse(1_000));
            model.apply(Op::Fill);
            while model.lanes.has_ready() {
                model.apply(Op::Take);
            }
            while !model.in_flight.is_empty() {
                model.apply(Op::Settle(0));
            }
        }
        prop_assert_eq!(model.queue.len(), 0, "every accepted event is settled in the end");
        prop_assert_eq!(model.lanes.lanes.len(), 0, "a task without pending events has no lane");
    }
}

fn offer(lanes: &mut Lanes, task: u8, entry: u64, now: Instant) -> Offered {
    lanes.offer(&[task], delivery(entry), now, || Arc::from([task]), content)
}

#[test]
fn a_task_waiting_for_its_retry_does_not_hold_another() {
    let now = Instant::now();
    let mut lanes = Lanes::new(BOUNDS);
    offer(&mut lanes, 1, 1, now);
    let stuck = next(&mut lanes).unwrap();
    lanes.retry(stuck.lane, stuck.delivery, now + Duration::from_secs(60));
    for entry in 2..=200 {
        assert_eq!(offer(&mut lanes, 1, 2 * entry, now), Offered::Held);
        assert_eq!(offer(&mut lanes, 2, 2 * entry + 1, now), Offered::Taken);
        let due = next(&mut lanes).unwrap();
        assert_eq!(&*due.key, &[2]);
        lanes.settled(due.lane, now);
        assert_eq!(
            lanes.held(),
            0,
            "events behind the stuck one take no memory"
        );
    }
    assert!(next(&mut lanes).is_none());
}

#[test]
fn a_busy_task_does_not_fill_the_window() {
    let now = Instant::now();
    let mut lanes = Lanes::new(BOUNDS);
    for entry in 1..=50 {
        assert_ne!(offer(&mut lanes, 1, entry, now), Offered::Full);
    }
    assert_eq!(lanes.held(), BOUNDS.per_lane);
    assert_eq!(offer(&mut lanes, 2, 51, now), Offered::Taken);
}

#[test]
fn an_event_larger_than_the_window_still_goes() {
    let now = Instant::now();
    let mut lanes = Lanes::new(BOUNDS);
    let large = || Content::copied(&vec![0; 10 * BOUNDS.window_bytes], &[]);
    let offered = lanes.offer(&[1], delivery(1), now, || Arc::from([1]), large);
    assert_eq!(offered, Offered::Taken);
    assert_eq!(offer(&mut lanes, 2, 2, now), Offered::Full);
    let due = next(&mut lanes).unwrap();
    lanes.settled(due.lane, now);
    assert_eq!(offer(&mut lanes, 2, 2, now), Offered::Taken);
}

#[test]
fn a_waiting_lane_reads_an_entry_that_is_pending_again() {
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let mut lanes = Lanes::new(BOUNDS);
    offer(&mut lanes, 1, 2, now);
    let failed = next(&mut lanes).unwrap();
    let mut tried = failed.delivery;
    tried.not_before = Some(later);
    lanes.retry(failed.lane, tried, later);
    assert!(lanes.owed_again(&[1]));
    lanes.wake(later);
    let (lane, ..) = lanes.to_read().remove(0);
    // Entry 1 is a replayed dead letter, and goes before 2.
    lanes.refill(
        lane,
        vec![(delivery(1), content()), (tried, content())],
        false,
        later,
    );
    let first = next(&mut lanes).unwrap();
    assert_eq!(first.delivery.entry, EntryId(1));
    lanes.settled(first.lane, later);
    assert_eq!(next(&mut lanes).unwrap().delivery.entry, EntryId(2));
}

#[test]
fn retries_take_a_quarter_of_the_window_and_leave_the_rest_to_first_attempts() {
    let bounds = Bounds {
        window: 40,
        lanes: 1_000,
        ..BOUNDS
    };
    let bounds = Bounds {
        window_bytes: 40 * BODY,
        ..bounds
    };
    let now = Instant::now();
    let mut lanes = Lanes::new(bounds);
    let key = |entry: u64| -> Arc<[u8]> { Arc::from(entry.to_be_bytes()) };
    let offer = |lanes: &mut Lanes, entry| {
        lanes.offer(&key(entry), delivery(entry), now, || key(entry), content)
    };
    for entry in 0..100 {
        assert_eq!(offer(&mut lanes, entry), Offered::Taken);
        let due = next(&mut lanes).unwrap();
        let failed = Delivery {
            attempts: 1,
            ..due.delivery
        };
        lanes.retry(due.lane, failed, now);
    }
    lanes.wake(now);
    loop {
        let reads = lanes.to_read();
        if reads.is_empty() {
            break;
        }
        for (lane, key, most) in reads {
            assert_eq!(most, 1);
            let entry = u64::from_be_bytes(key[..].try_into().unwrap());
            lanes.refill(lane, vec![(delivery(entry), content())], false, now);
        }
    }
    assert_eq!(lanes.held(), 10);
    for entry in 100..130 {
        assert_eq!(offer(&mut lanes, entry), Offered::Taken);
    }
    assert!(
        next(&mut lanes).unwrap().delivery.attempts == 0,
        "first attempts first"
    );
}

#[test]
fn an_event_that_failed_under_an_earlier_worker_waits_a_second_at_most() {
    let now = Instant::now();
    let mut lanes = Lanes::new(BOUNDS);
    let failed = Delivery {
        attempts: 9,
        not_before: Some(now + Duration::from_secs(600)),
        ..delivery(1)
    };
    let offered = lanes.offer(&[1], failed, now, || Arc::from([1]), content);
    assert_eq!(offered, Offered::Held);
    assert_eq!(lanes.next_wake(), Some(now + Duration::from_millis(1)));
    // They are spread by the numbers of their entries.
    for (entry, wait) in [(700, 700), (1_999, 999)] {
        let mut lanes = Lanes::new(BOUNDS);
        let failed = Delivery {
            entry: EntryId(entry),
            ..failed
        };
        lanes.offer(&[1], failed, now, || Arc::from([1]), content);
        assert_eq!(lanes.next_wake(), Some(now + Duration::from_millis(wait)));
    }
}

#[test]
fn all_lanes_that_wait_wake_within_a_second() {
    let now = Instant::now();
    let mut lanes = Lanes::new(BOUNDS);
    for task in 1..=4 {
        offer(&mut lanes, task, task.into(), now);
        let due = next(&mut lanes).unwrap();
        let later = now + Duration::from_secs(600) * u32::from(task);
        lanes.retry(due.lane, due.delivery, later);
    }
    lanes.wake_all(now);
    assert_eq!(lanes.waiting(), 4);
    assert_eq!(lanes.next_wake(), Some(now), "the first at once");
    lanes.wake(now + SPREAD);
    assert_eq!(lanes.waiting(), 0);
}

#[test]
fn stuck_tasks_are_reported_from_the_one_whose_event_is_oldest() {
    let now = Instant::now();
    let mut lanes = Lanes::new(BOUNDS);
    let at = now + Duration::from_millis(500);
    let epoch_ms = |at: Instant| u64::try_from((at - now).as_millis()).unwrap();
    for (task, accepted_at) in [(1, 30), (2, 10), (3, 20)] {
        offer(&mut lanes, task, task.into(), now);
        let due = next(&mut lanes).unwrap();
        let failed = Delivery {
            accepted_at,
            attempts: 4,
            not_before: Some(at),
            ..due.delivery
        };
        lanes.retry(due.lane, failed, at);
    }
    offer(&mut lanes, 4, 4, now);
    let keys = |most| {
        let stuck = lanes.stuck(most, epoch_ms);
        stuck.iter().map(|it| it.key[0]).collect::<Vec<_>>()
    };
    assert_eq!(keys(10), [2, 3, 1]);
    assert_eq!(keys(3), [2, 3, 1]);
    assert_eq!(keys(2), [2, 3]);
    assert_eq!(keys(0), [0_u8; 0]);
    let expected = LaneReport {
        key: Arc::from([2]),
        accepted_at: 10,
        attempts: 4,
        in_flight: false,
        next_try_at: Some(500),
    };
    assert_eq!(lanes.report(&[2], epoch_ms), Some(expected));
    assert_eq!(lanes.report(&[9], epoch_ms), None);
    let due = next(&mut lanes).unwrap();
    assert_eq!(&*due.key, &[4]);
    assert!(lanes.report(&[4], epoch_ms).unwrap().in_flight);
}

/// Reads lanes back, each with these events of its own, up to as many as it wants.
fn refill_all(lanes: &mut Lanes, now: Instant, events: impl Fn(&[u8]) -> Vec<Delivery>) -> usize {
    let reads = lanes.to_read();
    let count = reads.len();
    for (lane, key, most) in reads {
        let events = events(&key);
        let more = events.len() > most;
        let events = events.into_iter().take(most).map(|it| (it, content()));
        lanes.refill(lane, events.collect(), more, now);
    }
    count
}

/// Large bounds.
const WIDE: Bounds = Bounds {
    window: 1_000,
    window_bytes: 1 << 30,
    per_lane: 4,
    lanes: 1_000,
};
const MS: Duration = Duration::from_millis(1);

/// An event that failed, in the batch of this tag.
fn failed(entry: u64, batch: u64) -> Delivery {
    Delivery {
        attempts: 1,
        batch: BatchTag::new(batch),
        ..delivery(entry)
    }
}

/// Lets an event of each of these tasks wait until then, in the batch of this tag.
fn wait(lanes: &mut Lanes, tasks: std::ops::Range<u8>, batch: u64, now: Instant, at: Instant) {
    for task in tasks {
        offer(lanes, task, task.into(), now);
        let due = next(lanes).unwrap();
        lanes.retry(due.lane, failed(task.into(), batch), at);
    }
}

fn keys(reads: &[(LaneId, Arc<[u8]>, usize)]) -> Vec<u8> {
    reads.iter().map(|(_, key, _)| key[0]).collect()
}

#[test]
fn an_event_behind_one_in_flight_is_ready_once_that_is_settled() {
    let now = Instant::now();
    let mut lanes = Lanes::new(WIDE);
    assert_eq!(offer(&mut lanes, 1, 1, now), Offered::Taken);
    let due = next(&mut lanes).unwrap();
    assert_eq!(offer(&mut lanes, 1, 2, now), Offered::Taken);
    assert_eq!(lanes.ready_first(), (0, 0));
    lanes.settled(due.lane, now);
    assert_eq!(lanes.ready_first(), (1, BODY));
}

#[test]
fn the_window_is_full_at_its_bound_in_events_or_bytes() {
    let now = Instant::now();
    for (window, window_bytes) in [(3, 1_000), (1_000, 3 * BODY)] {
        let bounds = Bounds {
            window,
            window_bytes,
            ..WIDE
        };
        let mut lanes = Lanes::new(bounds);
        for task in 1..=3 {
            assert_eq!(offer(&mut lanes, task, task.into(), now), Offered::Taken);
        }
        assert_eq!(offer(&mut lanes, 4, 4, now), Offered::Full);
        assert_eq!(lanes.ready_first(), (3, 3 * BODY));
        let due = next(&mut lanes).unwrap();
        assert_eq!(lanes.ready_first(), (2, 2 * BODY));
        lanes.settled(due.lane, now);
        assert_eq!(offer(&mut lanes, 4, 4, now), Offered::Taken);
    }
}

#[test]
fn the_queue_is_read_while_a_quarter_of_the_window_is_free() {
    let now = Instant::now();
    for (window, window_bytes) in [(8, 1_000), (1_000, 8 * BODY)] {
        let bounds = Bounds {
            window,
            window_bytes,
            ..WIDE
        };
        let mut lanes = Lanes::new(bounds);
        for task in 1..=6 {
            offer(&mut lanes, task, task.into(), now);
            assert!(lanes.has_ample_room());
        }
        offer(&mut lanes, 7, 7, now);
        assert!(!lanes.has_ample_room());
    }
}

#[test]
fn no_more_tasks_than_the_bound_have_a_lane() {
    let now = Instant::now();
    let bounds = Bounds { lanes: 2, ..WIDE };
    let mut lanes = Lanes::new(bounds);
    assert_eq!(lanes.offer_suspended(&[1]), Offered::Held);
    assert!(lanes.owed_again(&[2]));
    assert_eq!(lanes.offer_suspended(&[3]), Offered::Full);
    assert_eq!(lanes.offer_suspended(&[2]), Offered::Held, "it has one");
    assert!(!lanes.owed_again(&[3]));
    assert_eq!(offer(&mut lanes, 3, 3, now), Offered::Full);
    assert_eq!(lanes.len(), 2);
}

#[test]
fn lanes_that_failed_together_wake_and_are_read_together_though_they_exceed_their_room() {
    let now = Instant::now();
    let bounds = Bounds { window: 8, ..WIDE };
    let mut lanes = Lanes::new(bounds);
    wait(&mut lanes, 1..5, 7, now, now + MS);
    wait(&mut lanes, 5..8, 8, now, now + MS);
    lanes.wake_next(1);
    assert_eq!(lanes.waiting(), 3, "the other batch waits");
    lanes.wake_next(1);
    assert_eq!(keys(&lanes.to_read()), [1, 2, 3, 4]);
    assert_eq!(
        refill_all(&mut lanes, now, |key| vec![failed(key[0].into(), 7)]),
        4
    );
    assert!(lanes.to_read().is_empty(), "retries have a quarter");
    assert_eq!(lanes.next_batch(Kind::Retry, false, 10), 4);
    assert_eq!(lanes.next_batch(Kind::Retry, false, 3), 3);
}

#[test]
fn the_next_batch_is_that_of_the_oldest_retry_or_of_the_newest() {
    let now = Instant::now();
    let mut lanes = Lanes::new(WIDE);
    wait(&mut lanes, 1..4, 7, now, now);
    wait(&mut lanes, 4..6, 8, now, now);
    lanes.wake(now);
    let batch = |key: &[u8]| if key[0] < 4 { 7 } else { 8 };
    refill_all(&mut lanes, now, |key| {
        vec![failed(key[0].into(), batch(key))]
    });
    assert_eq!(lanes.next_batch(Kind::Retry, false, 10), 3);
    assert_eq!(lanes.next_batch(Kind::Retry, true, 10), 2);
    let room = BatchRoom {
        events: 10,
        bytes: 1_000,
    };
    let newest = lanes.take_newest(Kind::Retry).unwrap();
    let (rest, _) = lanes.gather(&newest, true, room, |_| Some(SlotGuard::SOLE));
    assert_eq!((newest.key[0], rest.len()), (5, 1));
    assert_eq!(lanes.next_batch(Kind::Retry, true, 10), 3);
}

#[test]
fn one_retry_is_read_first_if_none_is_ready_and_then_first_attempts() {
    let now = Instant::now();
    let mut lanes = Lanes::new(WIDE);
    for task in 1..4 {
        offer(&mut lanes, task, task.into(), now);
        let due = next(&mut lanes).unwrap();
        lanes.retry(due.lane, failed(task.into(), 0), now);
    }
    lanes.wake(now);
    for task in 4..6 {
        assert!(lanes.owed_again(&[task]));
    }
    assert_eq!(keys(&lanes.to_read()), [1, 4, 5, 2, 3]);
}

#[test]
fn lanes_are_read_together_up_to_a_bound_and_retries_up_to_a_quarter_of_the_bytes() {
    let now = Instant::now();
    for (bytes, more) in [(4 * READ_TOGETHER, 0), (4 * READ_TOGETHER + 4, 6)] {
        let bounds = Bounds {
            window_bytes: bytes * BODY,
            ..WIDE
        };
        let mut lanes = Lanes::new(bounds);
        for task in 1..=70 {
            wait(&mut lanes, task..task + 1, 0, now, now);
        }
        lanes.wake(now);
        let read = |lanes: &mut Lanes| refill_all(lanes, now, |key| vec![failed(key[0].into(), 0)]);
        assert_eq!(read(&mut lanes), READ_TOGETHER);
        assert_eq!(read(&mut lanes), more);
    }
}

#[test]
fn a_recovery_cuts_the_wait_of_an_event_short_three_times() {
    let now = Instant::now();
    let later = now + Duration::from_secs(600);
    let mut lanes = Lanes::new(WIDE);
    offer(&mut lanes, 1, 1, now);
    for recoveries in 1..=4 {
        let due = next(&mut lanes).unwrap();
        let failed = Delivery {
            attempts: recoveries,
            ..due.delivery
        };
        lanes.retry(due.lane, failed, later);
        lanes.wake_recovered(now);
        let expected = if recoveries <= 3 { now } else { later };
        assert_eq!(lanes.next_wake(), Some(expected), "recovery {recoveries}");
        lanes.wake(now);
        refill_all(&mut lanes, now, |_| vec![failed]);
    }
}

#[test]
fn however_many_lanes_wake_together_they_take_a_second_at_most() {
    let now = Instant::now();
    let later = now + Duration::from_secs(600);
    let mut lanes = Lanes::new(WIDE);
    for task in 0..500_u64 {
        let key: Arc<[u8]> = Arc::from(task.to_be_bytes());
        lanes.offer(&key, delivery(task), now, || Arc::clone(&key), content);
        let due = next(&mut lanes).unwrap();
        lanes.retry(due.lane, failed(task, 0), later);
    }
    lanes.wake_all(now);
    lanes.wake(now + SPREAD / 2);
    assert_eq!(lanes.waiting(), 249, "evenly");
    lanes.wake(now + SPREAD);
    assert_eq!(lanes.waiting(), 0);
}

#[test]
fn lanes_that_wake_together_are_five_milliseconds_apart_and_those_of_a_batch_are_not() {
    let now = Instant::now();
    let later = now + Duration::from_secs(600);
    let mut lanes = Lanes::new(WIDE);
    for (tasks, batch) in [(1..3, 7), (3..5, 8)] {
        wait(&mut lanes, tasks, batch, now, later);
    }
    for task in 5..7 {
        wait(&mut lanes, task..task + 1, 0, now, later + MS);
    }
    lanes.wake_all(now);
    let mut waiting = Vec::new();
    for step in 0..4 {
        lanes.wake(now + 5 * MS * step);
        waiting.push(lanes.waiting());
    }
    waiting.sort_unstable();
    assert_eq!(lanes.waiting(), 0);
    waiting.dedup();
    assert_eq!(waiting.len(), 4, "one batch or lane at a time: {waiting:?}");
}

#[test]
fn an_event_read_back_that_is_not_due_waits() {
    let now = Instant::now();
    for (not_before, waits) in [(now, false), (now + MS, true)] {
        let mut lanes = Lanes::new(WIDE);
        assert!(lanes.owed_again(&[1]));
        let stored = Delivery {
            not_before: Some(not_before),
            ..failed(1, 0)
        };
        refill_all(&mut lanes, now, |_| vec![stored]);
        assert_eq!(lanes.has(Kind::Retry), !waits);
        assert_eq!(lanes.next_wake(), waits.then_some(not_before));
    }
}

#[test]
fn behind_a_replayed_event_one_that_failed_waits_for_its_time_with_its_batch() {
    let now = Instant::now();
    for (batch, together) in [(7, 2), (0, 1)] {
        let mut lanes = Lanes::new(WIDE);
        assert!(lanes.owed_again(&[1]));
        let waiting = |entry, batch| Delivery {
            not_before: Some(now + MS),
            ..failed(entry, batch)
        };
        let events = [
            delivery(1),
            waiting(2, batch),
            waiting(3, batch),
            waiting(4, 9),
        ];
        refill_all(&mut lanes, now, |_| events.to_vec());
        let replayed = next(&mut lanes).unwrap();
        lanes.settled(replayed.lane, now);
        assert!(next(&mut lanes).is_none());
        assert_eq!(lanes.next_wake(), Some(now + MS));
        lanes.wake(now + MS);
        let (_, _, most) = lanes.to_read().remove(0);
        assert_eq!(most, together);
    }
}

#[test]
fn events_of_a_batch_are_read_back_once_each_with_what_is_known_of_the_batch() {
    let now = Instant::now();
    let mut lanes = Lanes::new(WIDE);
    offer(&mut lanes, 1, 1, now);
    let due = next(&mut lanes).unwrap();
    let waiting = Delivery {
        attempts: 5,
        early: 2,
        ..failed(1, 7)
    };
    lanes.retry(due.lane, waiting, now + MS);
    // It may be offered more than once, and fails with the first one.
    for _ in 0..2 {
        lanes.retry(due.lane, failed(2, 7), now + MS);
    }
    lanes.retry(due.lane, failed(3, 8), now + MS);
    lanes.wake(now + MS);
    let (lane, _, most) = lanes.to_read().remove(0);
    assert_eq!(most, 2);
    let stored = |entry| Delivery {
        accepted_at: entry,
        submitted: Some(now),
        claim: Claim {
            fence: 3,
            ..Claim::SOLE
        },
        ..failed(entry, 7)
    };
    let first = Delivery {
        claim: Claim::SOLE,
        ..stored(1)
    };
    let read = [first, stored(2)].map(|delivery| (delivery, content()));
    lanes.refill(lane, read.into(), true, now);
    assert_eq!(lanes.ready.retry_bytes, 2 * BODY, "both go together");
    let first = next(&mut lanes).unwrap();
    assert_eq!(first.delivery, waiting);
    assert_eq!(lanes.ready.retry_bytes, 0);
    let room = BatchRoom {
        events: 10,
        bytes: 1_000,
    };
    let (rest, _) = lanes.gather(&first, false, room, |_| Some(SlotGuard::SOLE));
    let expected = Delivery {
        attempts: 5,
        early: 2,
        ..stored(2)
    };
    assert_eq!(rest[0].delivery, expected);
}

#[test]
fn an_event_of_a_batch_that_is_found_after_the_one_before_it_goes_next() {
    let now = Instant::now();
    let mut lanes = Lanes::new(WIDE);
    assert!(lanes.owed_again(&[1]));
    refill_all(&mut lanes, now, |_| vec![failed(1, 7)]);
    let offer = |lanes: &mut Lanes, entry| {
        let event = failed(entry, 7);
        let offered = lanes.offer(&[1], event, now, || Arc::from([1]), content);
        assert_eq!(offered, Offered::Taken);
    };
    let first = next(&mut lanes).unwrap();
    offer(&mut lanes, 2);
    lanes.settled(first.lane, now);
    assert_eq!(lanes.ready.retry_bytes, BODY);
    offer(&mut lanes, 3);
    assert_eq!(lanes.ready.retry_bytes, 2 * BODY, "it goes with the second");
    for entry in 2..=3 {
        let due = next(&mut lanes).unwrap();
        assert_eq!(due.delivery.entry, EntryId(entry));
        lanes.settled(due.lane, now);
    }
    assert_eq!(
        (lanes.ready.retry_bytes, lanes.held(), lanes.len()),
        (0, 0, 0)
    );
}

#[test]
fn an_event_in_memory_that_is_offered_again_is_not_read_again_unless_its_claim_is_another() {
    let now = Instant::now();
    let other = Claim {
        fence: 3,
        ..Claim::SOLE
    };
    for (claim, reads) in [(Claim::SOLE, 0), (other, 1)] {
        let mut lanes = Lanes::new(WIDE);
        offer(&mut lanes, 1, 1, now);
        let again = Delivery {
            claim,
            ..delivery(1)
        };
        let offered = lanes.offer(&[1], again, now, || Arc::from([1]), content);
        assert_eq!(offered, Offered::Held);
        let due = next(&mut lanes).unwrap();
        lanes.settled(due.lane, now);
        assert_eq!(lanes.to_read().len(), reads);
    }
}
