//! The writer thread: its groups, its bounds, and what it does when a commit fails.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use webhook_queue::{
    Accepted, CommitResult, Committed, DeadLetter, EntryId, Event, EventId, GroupWriter, Limits,
    MemoryQueue, Owed, Queue, QueueError, Quotas, Refused, Sequence, Settlement, SettlementResult,
    Statistics, WhenFull,
};

use crate::support::{self, delivered, event, number};

/// A queue in memory whose commits wait to be let through, and fail when told to.
struct Gate {
    inner: MemoryQueue,
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    /// Commits that may pass; none means all.
    permits: Option<usize>,
    /// Commits that have arrived.
    arrived: usize,
    /// The most settlements that a commit has room for, and an entry whose settlement has none.
    room: Option<(usize, EntryId)>,
    /// An entry whose claim has ended.
    fenced: Option<EntryId>,
    /// What the next commits fail with.
    failures: VecDeque<QueueError>,
    /// Events of commits that took effect, though they failed with an unknown outcome.
    unconfirmed: HashMap<EventId, Accepted>,
    /// Events and settlements of each commit that succeeded.
    groups: Vec<(usize, usize)>,
}

impl Gate {
    fn new(max_bytes: u64, permits: Option<usize>) -> Arc<Gate> {
        Arc::new(Gate {
            inner: MemoryQueue::new(max_bytes),
            state: Mutex::new(GateState {
                permits,
                ..GateState::default()
            }),
            changed: Condvar::new(),
        })
    }

    fn open(&self) {
        self.state.lock().unwrap().permits = None;
        self.changed.notify_all();
    }

    fn let_through(&self, commits: usize) {
        self.state.lock().unwrap().permits = Some(commits);
        self.changed.notify_all();
    }

    fn fail(&self, error: QueueError) {
        self.state.lock().unwrap().failures.push_back(error);
    }

    /// From now on commits succeed.
    fn mend(&self) {
        self.state.lock().unwrap().failures.clear();
    }

    fn until_arrived(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let wait = Duration::from_secs(30);
        let arrived = |state: &mut GateState| state.arrived < count;
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(state, wait, arrived)
            .unwrap();
        assert!(!timeout.timed_out());
    }

    fn groups(&self) -> Vec<(usize, usize)> {
        self.state.lock().unwrap().groups.clone()
    }
}

impl Queue for Gate {
    fn commit(
        &self,
        appends: &[Event],
        settlements: &[Settlement],
    ) -> Result<CommitResult, QueueError> {
        let mut state = self.state.lock().unwrap();
        state.arrived += 1;
        self.changed.notify_all();
        let mut state = self
            .changed
            .wait_while(state, |state| state.permits == Some(0))
            .unwrap();
        if let Some(permits) = &mut state.permits {
            *permits -= 1;
        }
        if let Some(error) = state.failures.pop_front() {
            if let QueueError::Unknown { .. } = error {
                let stored = self.inner.commit(appends, settlements)?.accepted;
                let ids = appends.iter().map(|event| event.id);
                state.unconfirmed.extend(ids.zip(stored));
            }
            return Err(error);
        }
        if let Some((most, stuck)) = state.room
            && (settlements.len() > most || settlements.iter().any(|it| it.entry == stuck))
        {
            return Err(QueueError::Full { used: 1, max: 1 });
        }
        let new = appends.iter();
        let new = new.filter(|event| !state.unconfirmed.contains_key(&event.id));
        let new: Vec<Event> = new.cloned().collect();
        let mut committed = self.inner.commit(&new, settlements)?;
        let mut accepted = committed.accepted.into_iter();
        let of = |event: &Event| state.unconfirmed.get(&event.id).cloned();
        let all = appends
            .iter()
            .map(|event| of(event).or_else(|| accepted.next()));
        committed.accepted = all.collect::<Option<_>>().unwrap();
        for (result, settlement) in committed.settled.iter_mut().zip(settlements) {
            if state.fenced == Some(settlement.entry) {
                *result = SettlementResult::Fenced;
            }
        }
        state.groups.push((appends.len(), settlements.len()));
        Ok(committed)
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.inner.set_quotas(quotas);
    }

    fn trim_dead_letters(&self, now: u64) -> Result<Vec<(Arc<str>, u64)>, QueueError> {
        self.inner.trim_dead_letters(now)
    }

    fn owed(
        &self,
        target: &str,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.inner.owed(target, after, visit)
    }

    fn owed_of_keys(
        &self,
        target: &str,
        keys: &[Arc<[u8]>],
        visit: &mut dyn FnMut(usize, Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.inner.owed_of_keys(target, keys, visit)
    }

    fn dead_letters(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.inner.dead_letters(target, after, visit)
    }

    fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        self.inner.replay(target, entries)
    }

    fn drop_dead(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        self.inner.drop_dead(target, entries)
    }

    fn drop_target(&self, target: &str) -> Result<u64, QueueError> {
        self.inner.drop_target(target)
    }

    fn statistics(&self) -> Result<Statistics, QueueError> {
        self.inner.statistics()
    }
}

/// What a writer reported of one event: its ticket, and its handle or the error.
type Report = (u64, Result<EntryId, Arc<QueueError>>);

struct Reports(mpsc::Receiver<Committed<u64>>);

impl Reports {
    fn next(&self) -> Committed<u64> {
        self.0.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    fn events(&self, count: usize) -> Vec<Report> {
        let mut found = Vec::new();
        while found.len() < count {
            found.extend(self.next().appended.into_iter().map(|appended| {
                assert_eq!(number(appended.event.id), appended.ticket);
                (
                    appended.ticket,
                    appended.result.map(|accepted| accepted.entry().unwrap()),
                )
            }));
        }
        found
    }

    fn settlements(&self, count: usize) -> usize {
        let mut found = 0;
        while found < count {
            found += self.next().settled.len();
        }
        found
    }
}

fn start(queue: &Arc<Gate>, limits: Limits) -> (GroupWriter<u64>, Reports) {
    let (sender, receiver) = mpsc::channel();
    let on_commit = move |committed| sender.send(committed).unwrap_or_default();
    (
        GroupWriter::start(queue.clone(), limits, on_commit).unwrap(),
        Reports(receiver),
    )
}

fn small(number: u64) -> Event {
    event(number, b"key", 10, ["t"])
}

fn append(writer: &GroupWriter<u64>, number: u64) {
    writer.append(small(number), number, None).unwrap();
}

fn no_space() -> QueueError {
    QueueError::NoSpace {
        source: io::ErrorKind::StorageFull.into(),
    }
}

fn unknown() -> QueueError {
    QueueError::Unknown {
        source: "the connection was lost".into(),
    }
}

fn unavailable() -> QueueError {
    QueueError::Unavailable {
        storage: "the server".to_owned(),
        source: "it cannot be reached".into(),
    }
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(20))
}

fn late() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(60))
}

#[test]
fn what_comes_during_a_commit_is_the_next_group() {
    let queue = Gate::new(1 << 20, Some(0));
    let (writer, reports) = start(&queue, Limits::default());
    append(&writer, 0);
    queue.until_arrived(1);
    for number in 1..=50 {
        append(&writer, number);
    }
    writer.settle(delivered("t", EntryId(1)));
    queue.open();
    let reported = reports.events(51);
    assert_eq!(queue.groups(), [(1, 0), (50, 1)]);
    assert!(reported.iter().map(|(ticket, _)| *ticket).eq(0..=50));
    let entries: Vec<EntryId> = reported
        .into_iter()
        .map(|(_, result)| result.unwrap())
        .collect();
    assert!(entries.is_sorted());
    let statistics = writer.statistics();
    assert_eq!((statistics.events, statistics.settlements), (51, 1));
    assert_eq!(
        (statistics.group_size.count, statistics.group_size.max),
        (2, 51)
    );
    assert_eq!(statistics.commit_micros.count, 2);
    writer.shutdown().unwrap();
}

#[test]
fn settlements_wait_for_others_and_go_with_the_next_event() {
    let queue = Gate::new(1 << 20, None);
    let limits = Limits {
        settle_within: Duration::from_secs(3600),
        ..Limits::default()
    };
    let (writer, reports) = start(&queue, limits);
    writer.settle(delivered("t", EntryId(1)));
    writer.settle(delivered("t", EntryId(2)));
    append(&writer, 0);
    assert_eq!(reports.settlements(2), 2);
    writer.settle(delivered("t", EntryId(3)));
    // It does not wait for others that cannot come any more.
    writer.shutdown().unwrap();
    assert_eq!(queue.groups(), [(1, 2), (0, 1)]);
}

#[test]
fn settlements_that_are_asked_for_or_enough_do_not_wait_for_others() {
    let queue = Gate::new(1 << 20, None);
    let limits = Limits {
        settle_within: Duration::from_secs(3600),
        settle_count: 3,
        ..Limits::default()
    };
    let (writer, reports) = start(&queue, limits);
    let settle = |entry| writer.settle(delivered("t", EntryId(entry)));
    settle(1);
    writer.handle().flush();
    assert_eq!(reports.settlements(1), 1);
    // It was for those that waited.
    (2..=4).for_each(settle);
    assert_eq!(reports.settlements(3), 3);
    settle(5);
    writer.shutdown().unwrap();
    assert_eq!(queue.groups(), [(0, 1), (0, 3), (0, 1)]);
}

#[test]
fn settlements_without_others_wait_no_longer_than_asked_for() {
    let queue = Gate::new(1 << 20, None);
    let limits = Limits {
        settle_within: Duration::from_millis(1),
        ..Limits::default()
    };
    let (writer, reports) = start(&queue, limits);
    for entry in 1..=3 {
        writer.settle(delivered("t", EntryId(entry)));
        assert_eq!(reports.settlements(1), 1);
    }
    writer.shutdown().unwrap();
}

#[test]
fn a_group_is_bounded_in_events_bytes_and_settlements() {
    let queue = Gate::new(1 << 20, Some(0));
    let limits = Limits {
        group_events: 4,
        group_bytes: 100,
        group_settlements: 3,
        ..Limits::default()
    };
    let (writer, reports) = start(&queue, limits);
    append(&writer, 0);
    queue.until_arrived(1);
    for number in 1..=5 {
        append(&writer, number);
    }
    writer
        .append(event(6, b"key", 1000, ["t"]), 6, None)
        .unwrap();
    writer.append(event(7, b"key", 60, ["t"]), 7, None).unwrap();
    writer.append(event(8, b"key", 60, ["t"]), 8, None).unwrap();
    for entry in 1..=7 {
        writer.settle(delivered("t", EntryId(entry)));
    }
    queue.open();
    reports.events(9);
    assert_eq!(
        queue.groups(),
        [(1, 0), (4, 3), (1, 3), (1, 1), (1, 0), (1, 0)]
    );
    writer.shutdown().unwrap();
}

#[test]
fn an_event_comes_back_when_too_much_waits() {
    let queue = Gate::new(1 << 20, Some(0));
    let limits = Limits {
        waiting_events: 2,
        waiting_bytes: 1000,
        ..Limits::default()
    };
    let (writer, reports) = start(&queue, limits);
    append(&writer, 0);
    queue.until_arrived(1);
    append(&writer, 1);
    let Err(Refused::Busy((back, 2))) = writer.append(event(2, b"key", 990, ["t"]), 2, None) else {
        panic!("too many bytes were taken");
    };
    assert_eq!((number(back.id), back.body.len()), (2, 990));
    append(&writer, 2);
    let before = Instant::now();
    let deadline = soon();
    assert!(matches!(
        writer.append(small(3), 3, deadline),
        Err(Refused::Busy((_, 3)))
    ));
    assert!(
        Some(Instant::now()) >= deadline,
        "gave up {:?} after",
        before.elapsed()
    );
    // Settlements are not held up by events.
    for entry in 0..10_000 {
        writer.settle(delivered("t", EntryId(entry)));
    }
    queue.open();
    // One that waits gets the room that the commit makes.
    writer.append(small(3), 3, late()).unwrap();
    let tickets: Vec<u64> = reports
        .events(4)
        .iter()
        .map(|(ticket, _)| *ticket)
        .collect();
    assert_eq!(tickets, [0, 1, 2, 3]);
    let handle = writer.handle();
    writer.shutdown().unwrap();
    assert!(matches!(
        handle.append(small(9), 9, late()),
        Err(Refused::Closed((_, 9)))
    ));
}

/// The writer sleeps and wakes all the while, and so do callers that find no room.
#[test]
fn every_wait_for_room_or_for_work_ends() {
    let queue = Gate::new(1 << 20, None);
    let limits = Limits {
        waiting_events: 2,
        group_events: 2,
        ..Limits::default()
    };
    let (writer, reports) = start(&queue, limits);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for number in thread * 50..(thread + 1) * 50 {
                    writer.append(small(number), number, late()).unwrap();
                    writer.settle(delivered("t", EntryId(number)));
                }
            });
        }
    });
    assert_eq!(reports.events(200).len(), 200);
    writer.shutdown().unwrap();
    assert_eq!(
        queue.groups().iter().map(|group| group.1).sum::<usize>(),
        200
    );
}

#[test]
fn settling_from_the_callback_does_not_lock_up() {
    let queue = Gate::new(1 << 30, None);
    let (sender, receiver) = mpsc::channel();
    let (give, handle) = mpsc::channel::<webhook_queue::WriterHandle<u64>>();
    let mut own = None;
    let on_commit = move |committed: Committed<u64>| {
        let own = own.get_or_insert_with(|| handle.recv().unwrap());
        for appended in committed.appended {
            own.settle(delivered("t", appended.result.unwrap().entry().unwrap()));
        }
        sender.send(committed.settled.len()).unwrap_or_default();
    };
    let limits = Limits {
        waiting_events: 1,
        group_settlements: 1,
        ..Limits::default()
    };
    let writer = GroupWriter::start(queue.clone(), limits, on_commit).unwrap();
    give.send(writer.handle()).unwrap();
    for number in 0..100 {
        writer.append(small(number), number, late()).unwrap();
    }
    let mut settled = 0;
    while settled < 100 {
        settled += receiver.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    assert_eq!(queue.statistics().unwrap().events, 0);
    writer.shutdown().unwrap();
}

/// A queue with room for two events, which are in it.
fn full(when_full: WhenFull) -> (Arc<Gate>, GroupWriter<u64>, Reports) {
    let queue = Gate::new(2 * (64 + 32 + 13), None);
    let (writer, reports) = start(
        &queue,
        Limits {
            when_full,
            ..Limits::default()
        },
    );
    for number in 0..2 {
        append(&writer, number);
        reports.events(1).pop().unwrap().1.unwrap();
    }
    (queue, writer, reports)
}

#[test]
fn a_full_queue_refuses_events_and_takes_settlements() {
    let (queue, writer, reports) = full(WhenFull::Fail);
    writer.append(small(2), 2, late()).unwrap();
    let (ticket, result) = reports.events(1).pop().unwrap();
    assert_eq!(ticket, 2);
    assert!(matches!(&*result.unwrap_err(), QueueError::Full { .. }));
    writer.settle(delivered("t", EntryId(1)));
    assert_eq!(reports.settlements(1), 1);
    append(&writer, 3);
    reports.events(1).pop().unwrap().1.unwrap();
    assert_eq!(queue.statistics().unwrap().events, 2);
    writer.shutdown().unwrap();
}

#[test]
fn an_event_that_is_appended_patiently_outlasts_its_deadline() {
    let (queue, writer, reports) = full(WhenFull::Block);
    let handle = writer.handle();
    // Both deadlines are over at once; only one of them is about the room in the queue.
    let over = Instant::now();
    let patience = over + Duration::from_secs(3600);
    handle
        .append_patiently(small(2), 2, Some(over), patience, None)
        .unwrap();
    handle.append(small(3), 3, Some(over)).unwrap();
    let (ticket, result) = reports.events(1).pop().unwrap();
    assert!(ticket == 3 && result.is_err());
    writer.settle(delivered("t", EntryId(1)));
    let (ticket, result) = reports.events(1).pop().unwrap();
    assert!(ticket == 2 && result.is_ok());
    assert_eq!(queue.statistics().unwrap().events, 2);
    writer.shutdown().unwrap();
}

#[test]
fn no_event_of_a_sequence_is_accepted_after_one_that_a_full_queue_refused() {
    let (queue, writer, reports) = full(WhenFull::Fail);
    let handle = writer.handle();
    let sequence = Sequence::default();
    let append_next = |number| {
        let sequence = Some(sequence.clone());
        handle
            .append_patiently(small(number), number, late(), Instant::now(), sequence)
            .unwrap();
        reports.events(1).pop().unwrap()
    };
    let (ticket, result) = append_next(2);
    assert!(ticket == 2 && result.is_err());
    writer.settle(delivered("t", EntryId(1)));
    assert_eq!(reports.settlements(1), 1);
    // There is room now, but the sender repeats event 2.
    let (ticket, result) = append_next(3);
    assert_eq!(ticket, 3);
    assert!(matches!(&*result.unwrap_err(), QueueError::Full { .. }));
    append(&writer, 4);
    reports.events(1).pop().unwrap().1.unwrap();
    assert_eq!(queue.statistics().unwrap().events, 2);
    writer.shutdown().unwrap();
}

#[test]
fn events_wait_in_order_for_room_in_a_full_queue() {
    let (queue, writer, reports) = full(WhenFull::Block);
    for number in 2..6 {
        writer.append(small(number), number, late()).unwrap();
    }
    // One that may not wait fails at once, and overtakes none.
    append(&writer, 6);
    let (ticket, result) = reports.events(1).pop().unwrap();
    assert!(ticket == 6 && result.is_err());
    while !writer.statistics().blocked {
        std::thread::yield_now();
    }
    for entry in [1, 2] {
        writer.settle(delivered("t", EntryId(entry)));
        assert_eq!(reports.settlements(1), 1);
        let (ticket, result) = reports.events(1).pop().unwrap();
        assert_eq!((ticket, result.is_ok()), (entry + 1, true));
    }
    let kept: Vec<u64> = support::owed(&*queue, "t", None)
        .iter()
        .map(|owed| number(owed.id))
        .collect();
    assert_eq!(kept, [2, 3]);
    // Shutting down does not wait for room that is never made.
    writer.shutdown().unwrap();
    let failed = reports.events(2);
    assert!(failed.iter().map(|(ticket, _)| *ticket).eq([4, 5]));
    assert!(failed.iter().all(|(_, result)| result.is_err()));
}

#[test]
fn an_event_waits_for_room_no_longer_than_its_deadline() {
    let (_queue, writer, reports) = full(WhenFull::Block);
    let deadline = soon();
    writer.append(small(2), 2, deadline).unwrap();
    let (ticket, result) = reports.events(1).pop().unwrap();
    assert!(Some(Instant::now()) >= deadline);
    assert_eq!(ticket, 2);
    assert!(matches!(&*result.unwrap_err(), QueueError::Full { .. }));
    writer.shutdown().unwrap();
}

#[test]
fn events_wait_in_order_until_the_disk_works_again() {
    let queue = Gate::new(1 << 20, None);
    let (writer, reports) = start(&queue, Limits::default());
    queue.fail(no_space());
    queue.fail(QueueError::Storage {
        action: "commit to",
        source: "an I/O error".into(),
    });
    for number in 0..3 {
        writer.append(small(number), number, late()).unwrap();
    }
    let accepted = reports.events(3);
    assert!(accepted.iter().map(|(ticket, _)| *ticket).eq(0..3));
    assert!(accepted.iter().all(|(_, result)| result.is_ok()));
    let statistics = writer.statistics();
    assert_eq!((statistics.failures, statistics.refused), (2, 0));
    assert_eq!((statistics.failing, statistics.blocked), (None, false));
    writer.shutdown().unwrap();
}

#[test]
fn an_event_waits_for_a_failing_disk_no_longer_than_its_deadline() {
    let queue = Gate::new(1 << 20, None);
    let (writer, reports) = start(&queue, Limits::default());
    let sequence = Sequence::default();
    let handle = writer.handle();
    let append_next = |number, until: Option<Instant>| {
        let sequence = Some(sequence.clone());
        handle
            .append_patiently(small(number), number, late(), until.unwrap(), sequence)
            .unwrap();
        reports.events(1).pop().unwrap()
    };
    for _ in 0..1_000 {
        queue.fail(no_space());
    }
    let (_, result) = append_next(0, soon());
    assert!(matches!(&*result.unwrap_err(), QueueError::NoSpace { .. }));
    queue.mend();
    // The disk works again, but the sender repeats event 0 first.
    let (_, result) = append_next(1, late());
    assert!(matches!(&*result.unwrap_err(), QueueError::NoSpace { .. }));
    assert_eq!(queue.statistics().unwrap().events, 0);
    writer.shutdown().unwrap();
}

#[test]
fn events_are_stored_once_over_a_commit_whose_outcome_is_unknown() {
    let queue = Gate::new(1 << 20, None);
    let (writer, reports) = start(&queue, Limits::default());
    queue.fail(unknown());
    queue.fail(unavailable());
    for number in 0..3 {
        writer.append(small(number), number, late()).unwrap();
    }
    let accepted = reports.events(3);
    assert!(accepted.iter().map(|(ticket, _)| *ticket).eq(0..3));
    let entries = accepted.into_iter().map(|(_, result)| result.unwrap().0);
    assert!(entries.eq(1..=3));
    assert_eq!(queue.statistics().unwrap().events, 3);
    writer.shutdown().unwrap();
}

#[test]
fn an_event_that_may_be_stored_is_not_refused_as_one_that_is_not() {
    for when_full in [WhenFull::Fail, WhenFull::Block] {
        let queue = Gate::new(1 << 20, None);
        let limits = Limits {
            when_full,
            ..Limits::default()
        };
        let (writer, reports) = start(&queue, limits);
        queue.fail(unknown());
        for _ in 0..1_000 {
            queue.fail(unavailable());
        }
        let until = Instant::now() + Duration::from_millis(200);
        writer.append(small(0), 0, Some(until)).unwrap();
        let (_, result) = reports.events(1).pop().unwrap();
        assert!(matches!(*result.unwrap_err(), QueueError::Unknown { .. }));
        writer.append(small(1), 1, Some(until)).unwrap();
        let (_, result) = reports.events(1).pop().unwrap();
        assert!(matches!(
            *result.unwrap_err(),
            QueueError::Unavailable { .. }
        ));
        drop(writer);
    }
}

#[test]
fn a_group_is_tried_once_at_a_time_while_the_storage_is_away() {
    let queue = Gate::new(1 << 20, Some(1));
    let (writer, reports) = start(&queue, Limits::default());
    append(&writer, 0);
    let entry = reports.events(1).pop().unwrap().1.unwrap();
    append(&writer, 1);
    queue.until_arrived(2);
    writer.append(small(2), 2, late()).unwrap();
    writer.settle(delivered("t", entry));
    queue.let_through(1);
    queue.until_arrived(3);
    queue.fail(unavailable());
    queue.open();
    for (_, result) in reports.events(2) {
        result.unwrap();
    }
    // The third group failed as a whole, and then succeeded.
    assert_eq!(queue.groups(), [(1, 0), (1, 0), (1, 1)]);
    assert_eq!(queue.state.lock().unwrap().arrived, 4);
    let handle = writer.handle();
    writer.shutdown().unwrap();
    let statistics = handle.statistics();
    assert_eq!((statistics.failures, statistics.failing), (1, None));
}

#[test]
fn one_event_that_never_fits_takes_no_other_with_it() {
    let queue = Gate::new(4000, Some(0));
    let (writer, reports) = start(&queue, Limits::default());
    append(&writer, 0);
    queue.until_arrived(1);
    append(&writer, 1);
    writer
        .append(event(2, b"key", 5000, ["t"]), 2, late())
        .unwrap();
    append(&writer, 3);
    queue.open();
    let reported = reports.events(4);
    let outcomes: Vec<(u64, bool)> = reported
        .iter()
        .map(|(ticket, result)| (*ticket, result.is_ok()))
        .collect();
    assert_eq!(outcomes, [(0, true), (1, true), (2, false), (3, true)]);
    let error = reported[2].1.as_ref().unwrap_err();
    assert!(matches!(**error, QueueError::TooLarge { .. }));
    writer.shutdown().unwrap();
}

#[test]
fn after_a_failed_commit_events_fail_and_settlements_are_kept() {
    let queue = Gate::new(1 << 20, None);
    let (writer, reports) = start(&queue, Limits::default());
    append(&writer, 0);
    let entry = reports.events(1).pop().unwrap().1.unwrap();
    // The group, and then its settlements alone.
    queue.fail(no_space());
    queue.fail(no_space());
    queue.state.lock().unwrap().permits = Some(0);
    append(&writer, 1);
    queue.until_arrived(2);
    // In the same group or the next: it is lost in neither.
    writer.settle(delivered("t", entry));
    queue.open();
    let (ticket, result) = reports.events(1).pop().unwrap();
    assert_eq!(ticket, 1);
    assert!(matches!(&*result.unwrap_err(), QueueError::NoSpace { .. }));
    assert_eq!(reports.settlements(1), 1);
    append(&writer, 2);
    reports.events(1).pop().unwrap().1.unwrap();
    let statistics = writer.statistics();
    assert!(statistics.failures >= 1);
    assert_eq!((statistics.failing, statistics.refused), (None, 1));
    assert_eq!(queue.statistics().unwrap().events, 1);
    writer.shutdown().unwrap();
}

#[test]
fn settlements_that_cannot_be_committed_come_back_from_the_shutdown() {
    let queue = Gate::new(1 << 20, Some(0));
    let (writer, _reports) = start(&queue, Limits::default());
    writer.settle(delivered("t", EntryId(1)));
    queue.until_arrived(1);
    writer.settle(delivered("t", EntryId(2)));
    let closing = std::thread::spawn(|| writer.shutdown());
    for _ in 0..3 {
        queue.fail(no_space());
    }
    queue.open();
    let unsettled: Vec<EntryId> = closing
        .join()
        .unwrap()
        .unwrap_err()
        .iter()
        .map(|settlement| settlement.entry)
        .collect();
    assert_eq!(unsettled, [EntryId(1), EntryId(2)]);
}

#[test]
fn settlements_come_back_from_the_shutdown_after_a_panic_of_the_callback() {
    let queue = Gate::new(1 << 20, Some(0));
    let panicking = |_| panic!("a test's");
    let writer = GroupWriter::start(queue.clone(), Limits::default(), panicking).unwrap();
    append(&writer, 0);
    queue.until_arrived(1);
    writer.settle(delivered("t", EntryId(1)));
    queue.open();
    let unsettled = writer.shutdown().unwrap_err();
    assert!(unsettled.iter().map(|it| it.entry).eq([EntryId(1)]));
}

#[test]
fn a_writer_that_is_dropped_writes_what_waits_and_ends() {
    let queue = Gate::new(1 << 20, Some(0));
    let (writer, reports) = start(&queue, Limits::default());
    append(&writer, 0);
    queue.until_arrived(1);
    append(&writer, 1);
    let handle = writer.handle();
    drop(writer);
    let refused = handle.append(small(2), 2, late());
    assert!(matches!(refused, Err(Refused::Closed((_, 2)))));
    queue.open();
    assert_eq!(reports.events(2).len(), 2);
    let ended = reports.0.recv_timeout(Duration::from_secs(30));
    assert!(matches!(ended, Err(mpsc::RecvTimeoutError::Disconnected)));
}

#[test]
fn settlements_whose_claim_had_ended_are_counted() {
    let queue = Gate::new(1 << 20, None);
    queue.state.lock().unwrap().fenced = Some(EntryId(2));
    let (writer, reports) = start(&queue, Limits::default());
    for entry in 1..=3 {
        writer.settle(delivered("t", EntryId(entry)));
    }
    assert_eq!(reports.settlements(3), 3);
    let statistics = writer.statistics();
    assert_eq!((statistics.settlements, statistics.fenced), (3, 1));
    writer.shutdown().unwrap();
}

#[test]
fn a_queue_that_knows_no_bodies_takes_each_duplicate_for_a_repetition() {
    let queue = Gate::new(1 << 20, None);
    assert!(queue.is_repetition(b"key", b"body").unwrap());
}

#[test]
fn a_panic_of_the_callback_closes_the_writer_and_drops_the_tickets() {
    let queue = Gate::new(1 << 20, None);
    let writer = GroupWriter::start(queue, Limits::default(), |_| panic!("a test's")).unwrap();
    let (ticket, dropped) = mpsc::channel::<()>();
    writer.append(small(0), ticket, None).unwrap();
    let closed = dropped.recv_timeout(Duration::from_secs(30));
    assert_eq!(closed, Err(mpsc::RecvTimeoutError::Disconnected));
    let (ticket, _dropped) = mpsc::channel::<()>();
    // The thread may still be ending, but not for long.
    while writer.append(small(1), ticket.clone(), late()).is_ok() {
        std::thread::yield_now();
    }
    writer.shutdown().unwrap();
}

/// A queue with room for two settlements a commit, of whose entries one cannot be settled; its
/// writer has a group of nine settlements.
fn almost_no_room() -> (Arc<Gate>, GroupWriter<u64>, Reports) {
    let queue = Gate::new(1 << 20, Some(0));
    let (writer, reports) = start(&queue, Limits::default());
    append(&writer, 0);
    queue.until_arrived(1);
    for entry in [1, 2, 3, 4, 5, 4, 6, 7, 8] {
        writer.settle(delivered("t", EntryId(entry)));
    }
    queue.state.lock().unwrap().room = Some((2, EntryId(4)));
    (queue, writer, reports)
}

#[test]
fn a_settlement_that_does_not_fit_alone_is_reported_and_holds_up_no_other() {
    let (queue, writer, reports) = almost_no_room();
    queue.open();
    let mut settled = Vec::new();
    while settled.len() < 7 {
        settled.extend(reports.next().settled.iter().map(|it| it.entry.0));
    }
    assert_eq!(settled, [1, 2, 3, 5, 6, 7, 8]);
    // Another commit does not hide what is left.
    append(&writer, 1);
    reports.events(1).pop().unwrap().1.unwrap();
    let unsettled = |count| {
        while writer.statistics().unsettled != count {
            std::thread::yield_now();
        }
        writer.statistics().failing
    };
    let failing = unsettled(2).unwrap();
    assert!(failing.starts_with("2 outcomes of deliveries cannot be written"));
    queue.state.lock().unwrap().room = None;
    assert_eq!(reports.settlements(2), 2);
    assert_eq!(unsettled(0), None);
    writer.shutdown().unwrap();
}

#[test]
fn a_shutdown_settles_what_fits_and_returns_the_rest() {
    let (queue, writer, reports) = almost_no_room();
    let closing = std::thread::spawn(|| writer.shutdown());
    queue.open();
    assert_eq!(reports.settlements(7), 7);
    let unsettled = closing.join().unwrap().unwrap_err();
    let entries: Vec<u64> = unsettled.iter().map(|it| it.entry.0).collect();
    assert_eq!(entries, [4, 4]);
}

/// A queue with two events and no room for the long one, number 2, that is handed over with the
/// others from 3 on; 3 has the key of the long one.
fn too_long_for_now(when_full: WhenFull) -> (Arc<Gate>, GroupWriter<u64>, Reports) {
    let queue = Gate::new(1000, None);
    let limits = Limits {
        when_full,
        ..Limits::default()
    };
    let (writer, reports) = start(&queue, limits);
    for number in 0..2 {
        append(&writer, number);
        reports.events(1).pop().unwrap().1.unwrap();
    }
    queue.state.lock().unwrap().permits = Some(0);
    let arrived = queue.state.lock().unwrap().arrived;
    writer.settle(delivered("t", EntryId(99)));
    queue.until_arrived(arrived + 1);
    let handle = writer.handle();
    for event in [
        event(2, b"long", 690, ["t"]),
        event(3, b"long", 10, ["t"]),
        event(4, b"key", 10, ["t"]),
    ] {
        let number = number(event.id);
        handle.append(event, number, late()).unwrap();
    }
    queue.open();
    (queue, writer, reports)
}

#[test]
fn an_event_that_finds_no_room_lets_shorter_ones_of_other_keys_pass() {
    let (queue, writer, reports) = too_long_for_now(WhenFull::Block);
    let (ticket, result) = reports.events(1).pop().unwrap();
    assert!(ticket == 4 && result.is_ok());
    assert!(writer.statistics().blocked);
    assert_eq!(writer.statistics().waiting_events, 2);
    // It holds up none that comes later, either.
    writer
        .append(event(5, b"key", 50, ["t"]), 5, late())
        .unwrap();
    let (ticket, result) = reports.events(1).pop().unwrap();
    assert!(ticket == 5 && result.is_ok());
    // A settlement makes room, first for those that waited longest.
    queue.state.lock().unwrap().permits = Some(0);
    let arrived = queue.state.lock().unwrap().arrived;
    for entry in support::handles(&*queue, "t") {
        writer.settle(delivered("t", entry));
    }
    queue.until_arrived(arrived + 1);
    writer
        .append(event(6, b"key", 0, ["t"]), 6, late())
        .unwrap();
    queue.open();
    let reported = reports.events(3);
    assert!(reported.iter().map(|(ticket, _)| *ticket).eq([2, 3, 6]));
    assert!(reported.iter().all(|(_, result)| result.is_ok()));
    assert!(!writer.statistics().blocked);
    writer.shutdown().unwrap();
}

#[test]
fn an_event_that_let_others_pass_waits_no_longer_than_its_deadline_or_the_writer() {
    let (_queue, writer, reports) = too_long_for_now(WhenFull::Block);
    assert_eq!(reports.events(1).pop().unwrap().0, 4);
    let deadline = soon();
    writer
        .append(event(6, b"other", 850, ["t"]), 6, deadline)
        .unwrap();
    let (ticket, result) = reports.events(1).pop().unwrap();
    assert!(Some(Instant::now()) >= deadline);
    assert!(ticket == 6 && result.is_err());
    writer.shutdown().unwrap();
    let failed = reports.events(2);
    assert!(failed.iter().map(|(ticket, _)| *ticket).eq([2, 3]));
    assert!(failed.iter().all(|(_, result)| result.is_err()));
}

#[test]
fn an_event_that_a_full_queue_refuses_takes_no_shorter_one_of_another_key_with_it() {
    let (_queue, writer, reports) = too_long_for_now(WhenFull::Fail);
    let mut outcomes: Vec<(u64, bool)> = reports
        .events(3)
        .iter()
        .map(|(ticket, result)| (*ticket, result.is_ok()))
        .collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [(2, false), (3, false), (4, true)]);
    writer.shutdown().unwrap();
}
