//! The state of a target, its handle, reader and a queue against a naive record of which events
//! were accepted and which arrived, with a crash possible between any two operations and within a
//! commit.
//!
//! *Simulated*, on one thread and without a clock, so that a failing case shrinks: submissions;
//! commits that succeed, fail, or are interrupted by a crash (the group is stored or not, and gave
//! no receipt); reads of the queue between a commit and its announcement, just after one, or
//! overtaken by one, so that the read's snapshot is older; a channel and a window that overflow;
//! attempts that succeed, fail, fail although they arrived, are refused, or come back untried;
//! attempts under way at a crash, which arrived or did not; time, back-off, the breaker; exhausted
//! attempts; replayed dead letters; rereading; and of a shared queue, claims that end, and other
//! processes that deliver meanwhile.
//!
//! *Not simulated*: partial groups, or two groups in the wrong order. LMDB writes a group's pages,
//! syncs, and then writes the one page that makes them valid, so a group is stored as a whole or
//! not at all, after all groups before it; the tests of webhook-queue truncate its file to show it.
//! Nor threads: the dispatcher's tests show that a worker wakes when there is work.

use crate::delivery::{AttemptResult, Verdict};
use crate::shared::clock::Moment;
use crate::shared::{Outcome, ProgressNotifier};
use crate::target::attempt::Attempt;
use crate::target::backlog::LiveEvent;
use crate::target::gate::Permit;
use crate::target::lanes::{Batch, Bounds, Content, Due};
use crate::target::retry::Longest;
use crate::target::unsynced::Synced;
use crate::target::{Step, TargetState};
use crate::worker::handle::TargetHandle;
use crate::worker::reader;
use crossbeam_channel::Receiver;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet, VecDeque};
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};
use webhook_config::{BatchPolicy, Format, RetryPolicy, Target, TargetUrl};
use webhook_queue::{
    Accepted, Claim, CommitResult, DeadLetter, EntryId, Event, EventId, MemoryQueue, Owed, Queue,
    QueueError, Quotas, Settled, Settlement, SlotGuard, Statistics,
};

const WINDOW: usize = 12;
/// The most events in a batch.
const BATCH: usize = 3;
const CHANNEL: usize = 3;
const TASKS: u8 = 4;

/// A commit's effect that is not announced yet.
enum Announcement {
    Accepted(LiveEvent),
    Synced(Synced),
}

/// Operations that wait for a commit, and effects that wait for their announcement.
#[derive(Default)]
struct Staged {
    appends: Vec<Event>,
    settlements: Vec<Settlement>,
    unannounced: VecDeque<Announcement>,
    /// Each stored event's task and id, in order: the naive record of acceptance.
    stored: Vec<(u8, EventId)>,
}

/// The queue and its writer, without the writer's thread.
struct Store {
    queue: MemoryQueue,
    /// The fence of the claim, if other processes use the queue, too: then events are not announced.
    fence: Option<AtomicU64>,
    staged: Mutex<Staged>,
    handle: Mutex<Arc<TargetHandle>>,
    /// Whether a commit follows right after the next read's snapshot.
    overtakes: Mutex<bool>,
    /// An event to be submitted and committed just before the next read.
    precedes: Mutex<Option<Event>>,
}

impl Store {
    fn commit(&self) {
        let mut staged = self.staged.lock().unwrap();
        let Staged {
            appends,
            settlements,
            unannounced,
            stored,
        } = &mut *staged;
        let has_effect = |it: &&Settlement| it.guard.claim() == self.claim();
        let effective: Vec<_> = settlements.iter().filter(has_effect).cloned().collect();
        let entries = self.queue.commit(appends, &effective).unwrap().accepted;
        for settlement in settlements.drain(..) {
            unannounced.push_back(Announcement::Synced(match settlement.outcome {
                Settled::Attempted { .. } => Synced::Noted,
                _ => Synced::Settled(settlement.entry),
            }));
        }
        let entries = entries.iter().filter_map(Accepted::entry);
        for (event, entry) in appends.drain(..).zip(entries) {
            stored.push((event.key[0], event.id));
            unannounced.push_back(Announcement::Accepted(live(entry, &event)));
        }
    }

    fn fail(&self) {
        self.staged.lock().unwrap().appends.clear();
    }

    fn announce(&self, most: usize) {
        let handle = self.handle.lock().unwrap();
        for _ in 0..most {
            match self.staged.lock().unwrap().unannounced.pop_front() {
                None => break,
                Some(Announcement::Accepted(_)) if self.fence.is_some() => handle.read_on(),
                Some(Announcement::Accepted(live)) => handle.announce(live),
                Some(Announcement::Synced(synced)) => handle.synced(std::iter::once(synced)),
            }
        }
    }

    fn claim(&self) -> Claim {
        let fence = self.fence.as_ref();
        Claim {
            slot: 0,
            fence: fence.map_or(0, |fence| fence.load(Ordering::SeqCst)),
        }
    }

    fn commit_preceding(&self) {
        if let Some(event) = self.precedes.lock().unwrap().take() {
            self.submit(event);
            self.commit();
        }
    }

    /// Stages an event for the next commit.
    fn submit(&self, event: Event) {
        self.staged.lock().unwrap().appends.push(event);
    }

    fn commit_overtaking(&self) {
        if std::mem::take(&mut *self.overtakes.lock().unwrap()) {
            self.commit();
            self.announce(usize::MAX);
        }
    }
}

fn live(entry: EntryId, event: &Event) -> LiveEvent {
    LiveEvent {
        entry,
        id: event.id,
        key: Arc::clone(&event.key),
        content: Content::of(&event.body, &event.attributes),
        accepted_at: event.accepted_at,
        submitted: Instant::now(),
    }
}

/// An entry that outlives its snapshot.
struct Kept {
    entry: EntryId,
    id: EventId,
    key: Vec<u8>,
    body: Vec<u8>,
    accepted_at: u64,
    attempts: u32,
    not_before: u64,
    claim: Claim,
}

fn keep(kept: &mut Vec<Kept>, claim: Claim) -> impl FnMut(Owed<'_>) -> ControlFlow<()> {
    move |owed| {
        kept.push(Kept {
            claim,
            entry: owed.entry,
            id: owed.id,
            key: owed.key.to_vec(),
            body: owed.body.to_vec(),
            accepted_at: owed.accepted_at,
            attempts: owed.attempts,
            not_before: owed.not_before,
        });
        ControlFlow::Continue(())
    }
}

fn show(kept: &[Kept], visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>) {
    for kept in kept {
        let owed = Owed {
            entry: kept.entry,
            id: kept.id,
            key: &kept.key,
            body: &kept.body,
            attributes: &[],
            accepted_at: kept.accepted_at,
            attempts: kept.attempts,
            not_before: kept.not_before,
            claim: kept.claim,
        };
        if visit(owed).is_break() {
            break;
        }
    }
}

impl Queue for Store {
    fn commit(&self, _: &[Event], _: &[Settlement]) -> Result<CommitResult, QueueError> {
        unreachable!("a worker does not write")
    }

    fn guard(&self, claim: Claim) -> Option<SlotGuard> {
        (claim == self.claim()).then(|| SlotGuard::counted(claim, Arc::default()))
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.queue.set_quotas(quotas);
    }

    fn trim_dead_letters(&self, now: u64) -> Result<Vec<(Arc<str>, u64)>, QueueError> {
        self.queue.trim_dead_letters(now)
    }

    fn owed(
        &self,
        target: &str,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.commit_preceding();
        let mut kept = Vec::new();
        self.queue
            .owed(target, after, &mut keep(&mut kept, self.claim()))?;
        self.commit_overtaking();
        show(&kept, visit);
        Ok(())
    }

    fn owed_of_keys(
        &self,
        target: &str,
        keys: &[Arc<[u8]>],
        visit: &mut dyn FnMut(usize, Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.commit_preceding();
        let mut kept: Vec<Vec<_>> = keys.iter().map(|_| Vec::new()).collect();
        self.queue.owed_of_keys(target, keys, &mut |index, owed| {
            keep(&mut kept[index], self.claim())(owed)
        })?;
        self.commit_overtaking();
        for (index, kept) in kept.iter().enumerate() {
            show(kept, &mut |owed| visit(index, owed));
        }
        Ok(())
    }

    fn dead_letters(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.queue.dead_letters(target, after, visit)
    }

    fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        self.queue.replay(target, entries)
    }

    fn drop_dead(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        self.queue.drop_dead(target, entries)
    }

    fn drop_target(&self, target: &str) -> Result<u64, QueueError> {
        self.queue.drop_target(target)
    }

    fn statistics(&self) -> Result<Statistics, QueueError> {
        self.queue.statistics()
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Submit {
        task: u8,
    },
    Commit,
    /// The group fails: its events are refused, its settlements kept.
    CommitFails,
    /// Announces this many effects of commits.
    Announce(usize),
    /// One turn of the worker.
    Turn,
    /// A turn whose first read is overtaken by a commit.
    OvertakenTurn,
    /// A turn with an event that is submitted and committed just before the first read.
    PrecededTurn {
        task: u8,
    },
    Finish {
        which: usize,
        how: How,
    },
    Elapse {
        ms: u64,
    },
    /// Everything that was not synced is lost. `group` says whether a commit under way succeeded;
    /// an attempt under way has arrived if its bit is set in `arrived`.
    Crash {
        group: Option<bool>,
        arrived: u8,
    },
    Replay,
    /// The worker reads the queue from the beginning, without need.
    Reread,
    /// The claim ends, another process delivers this many of the events owed, and another claim begins.
    Reclaim {
        delivered: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Delivered,
    Failed,
    FailedButArrived,
    RetryAfter,
    Refused,
    TooLarge,
    ServerError,
    /// Of a batch, the events whose bit is set were taken, and the others failed.
    PartlyTaken(u8),
    Untried,
}

fn op() -> impl Strategy<Value = Op> {
    let how = prop_oneof![
        6 => Just(How::Delivered),
        3 => Just(How::Failed),
        1 => Just(How::FailedButArrived),
        1 => Just(How::RetryAfter),
        1 => Just(How::Refused),
        1 => Just(How::TooLarge),
        1 => Just(How::ServerError),
        2 => any::<u8>().prop_map(How::PartlyTaken),
        1 => Just(How::Untried),
    ];
    prop_oneof![
        12 => (0..TASKS).prop_map(|task| Op::Submit { task }),
        8 => Just(Op::Commit),
        1 => Just(Op::CommitFails),
        8 => (1..6_usize).prop_map(Op::Announce),
        12 => Just(Op::Turn),
        4 => Just(Op::OvertakenTurn),
        4 => (0..TASKS).prop_map(|task| Op::PrecededTurn { task }),
        14 => (0..8_usize, how).prop_map(|(which, how)| Op::Finish { which, how }),
        5 => (1..60_u64).prop_map(|ms| Op::Elapse { ms }),
        1 => (any::<Option<bool>>(), any::<u8>())
            .prop_map(|(group, arrived)| Op::Crash { group, arrived }),
        1 => Just(Op::Replay),
        1 => Just(Op::Reread),
        2 => (0..6_usize).prop_map(|delivered| Op::Reclaim { delivered }),
    ]
}

/// The state that a crash loses, and the record that it does not.
struct World {
    target: Arc<Target>,
    store: Store,
    handle: Arc<TargetHandle>,
    events: Receiver<LiveEvent>,
    state: TargetState,
    under_way: Vec<(Batch, Permit)>,
    at: Moment,
    submitted: u32,
    arrived: HashMap<EventId, u32>,
    /// Events given up at least once.
    died: HashSet<EventId>,
    /// Events settled since the last crash, and not replayed since.
    settled: HashSet<EventId>,
    /// Events replayed at least once. They may arrive after later ones.
    replayed: HashSet<EventId>,
    /// Failed attempts of each event: each may have arrived.
    excused: HashMap<EventId, u32>,
    /// Deliveries that crashes and ends of claims may have repeated.
    crash_excuse: usize,
}

fn target(batches: bool) -> Target {
    let ms = Duration::from_millis;
    let attempts = NonZeroU32::new(4);
    let policy = RetryPolicy::new(ms(10), ms(40), 2.0, ms(86_400_000), attempts).unwrap();
    let target = Target::builder(TargetUrl::parse("http://localhost:1/").unwrap())
        .window(NonZeroUsize::new(WINDOW).unwrap())
        .concurrency(NonZeroUsize::new(2).unwrap())
        .retry(policy);
    if !batches {
        return target.build().unwrap();
    }
    let count = |count| NonZeroUsize::new(count).unwrap();
    let batch = BatchPolicy::new(count(BATCH), count(1 << 10), ms(5));
    target
        .format(Format::Ndjson)
        .batch(Some(batch))
        .build()
        .unwrap()
}

fn incarnation(
    target: &Arc<Target>,
    now: Instant,
) -> (Arc<TargetHandle>, Receiver<LiveEvent>, TargetState) {
    let name = Arc::from(target.name().as_str());
    let handle = TargetHandle::new(name, true, CHANNEL, Arc::new(ProgressNotifier::default()));
    let events = handle.events();
    let bounds = Bounds {
        window: WINDOW,
        window_bytes: 1 << 20,
        per_lane: 2,
        lanes: usize::from(TASKS) - 1,
    };
    let state = TargetState::with_bounds(target, true, bounds, now);
    (Arc::new(handle), events, state)
}

impl World {
    fn new(is_shared: bool, batches: bool) -> World {
        let target = Arc::new(target(batches));
        let at = Moment {
            now: Instant::now(),
            wall: UNIX_EPOCH + Duration::from_secs(1_000_000),
        };
        let (handle, events, state) = incarnation(&target, at.now);
        let store = Store {
            queue: MemoryQueue::new(1 << 30),
            fence: is_shared.then(AtomicU64::default),
            staged: Mutex::default(),
            handle: Mutex::new(Arc::clone(&handle)),
            overtakes: Mutex::new(false),
            precedes: Mutex::default(),
        };
        World {
            target,
            store,
            handle,
            events,
            state,
            under_way: Vec::new(),
            at,
            submitted: 0,
            arrived: HashMap::new(),
            died: HashSet::new(),
            settled: HashSet::new(),
            replayed: HashSet::new(),
            excused: HashMap::new(),
            crash_excuse: 0,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Submit { task } => {
                let event = self.event(task);
                self.store.submit(event);
            }
            Op::Commit => self.store.commit(),
            Op::CommitFails => self.store.fail(),
            Op::Announce(most) => self.store.announce(most),
            Op::Turn => self.turn(),
            Op::OvertakenTurn => {
                *self.store.overtakes.lock().unwrap() = true;
                self.turn();
                *self.store.overtakes.lock().unwrap() = false;
            }
            Op::PrecededTurn { task } => {
                let event = self.event(task);
                *self.store.precedes.lock().unwrap() = Some(event);
                self.turn();
                // If nothing was read, the event is committed now.
                self.store.commit_preceding();
            }
            Op::Finish { which, how } => {
                if !self.under_way.is_empty() {
                    let which = which % self.under_way.len();
                    self.finish(which, how);
                }
            }
            Op::Elapse { ms } => self.elapse(ms),
            Op::Crash { group, arrived } => self.crash(group, arrived),
            Op::Replay => self.replay(),
            // Only a shared queue asks for it; its events are not announced.
            Op::Reread if self.store.fence.is_some() => self.state.backlog.reread(),
            Op::Reread => {}
            Op::Reclaim { delivered } => self.reclaim(delivered),
        }
        assert!(
            self.state.held() <= WINDOW + BATCH,
            "the window bounds the events in memory, but for a batch that is read as a whole"
        );
        let under_way: usize = self.under_way.iter().map(|(batch, _)| batch.len()).sum();
        let unsynced = self.state.backlog.unsynced.len() + under_way;
        assert!(
            unsynced <= WINDOW,
            "a crash may deliver no more than that twice"
        );
    }

    /// The next event.
    fn event(&mut self, task: u8) -> Event {
        self.submitted += 1;
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.submitted.to_be_bytes());
        Event {
            id: EventId(id),
            key: Arc::from([task]),
            body: Arc::from(id),
            accepted_at: self.at.epoch_ms(),
            targets: Arc::from([Arc::from(self.target.name().as_str())]),
            attributes: Arc::default(),
            idempotency_key: None,
            last_state: None,
        }
    }

    fn elapse(&mut self, ms: u64) {
        let step = Duration::from_millis(ms);
        self.at.now += step;
        self.at.wall += step;
    }

    /// What a worker does in one turn.
    fn turn(&mut self) {
        let at = self.at;
        self.state.backlog.synced(&self.handle.take_synced());
        while let Ok(live) = self.events.try_recv() {
            self.handle.taken(&live);
            if !self.state.backlog.take(live, at.now) {
                self.handle.behind.store(true, Ordering::SeqCst);
            }
        }
        if self.state.backlog.follows() && self.handle.behind.load(Ordering::SeqCst) {
            self.state.backlog.fall_behind();
        }
        self.state.backlog.readmit();
        self.state.wake(at.now);
        let (backlog, handle) = (&mut self.state.backlog, &self.handle);
        reader::read(backlog, &handle.name, &self.store, &handle.behind, at).unwrap();
        let guard = |claim| self.store.guard(claim);
        while let Step::Attempt(batch, permit) = self.state.next(at.now, guard) {
            assert!(batch.len() <= self.target.batch().map_or(1, |_| BATCH));
            self.check_batch(&batch);
            self.under_way.push((batch, permit));
        }
    }

    fn check_batch(&self, batch: &Batch) {
        let mut before = HashSet::new();
        let mut last = None;
        for due in batch.iter() {
            assert!(last < Some(due.delivery.entry), "in the order of the queue");
            last = Some(due.delivery.entry);
            self.check_order(due, &before);
            before.insert(due.delivery.id);
        }
    }

    /// Checks that this event was accepted, no other of its task is under way, and all that were
    /// accepted before it have arrived, were given up, or are in the same batch before it.
    fn check_order(&self, due: &Due, in_batch: &HashSet<EventId>) {
        let id = due.delivery.id;
        assert_eq!(
            &due.content.body[..],
            &id.0[..],
            "the body is the event's own"
        );
        for other in self.under_way.iter().flat_map(|(batch, _)| batch.iter()) {
            assert_ne!(other.key, due.key, "two requests of a task are under way");
        }
        assert!(!self.settled.contains(&id), "{id:?} was settled already");
        let owed = self.owed();
        let staged = self.store.staged.lock().unwrap();
        let stored = &staged.stored;
        let at = stored.iter().position(|(_, other)| *other == id);
        let at = at.unwrap_or_else(|| panic!("{id:?} is sent and was not accepted"));
        for &(task, before) in &stored[..at] {
            if [task] == *due.key && !in_batch.contains(&before) {
                assert!(
                    self.arrived.contains_key(&before) || self.died.contains(&before),
                    "{id:?} is sent before {before:?} of its task is settled"
                );
                // If its settlement had no effect, it would arrive after this one.
                assert!(
                    !owed.contains(&before)
                        || self.settled.contains(&before)
                        || self.replayed.contains(&before),
                    "{id:?} is sent before {before:?} of its task, which is owed again"
                );
            }
        }
    }

    fn arrive(&mut self, id: EventId) {
        *self.arrived.entry(id).or_default() += 1;
    }

    fn finish(&mut self, which: usize, how: How) {
        let (batch, permit) = self.under_way.swap_remove(which);
        if how == How::Untried {
            self.state.untried(&batch, permit, self.at.now);
            return;
        }
        let mut taken = Vec::new();
        if let How::PartlyTaken(bits) = how
            && batch.len() > 1
        {
            taken = (0..batch.len())
                .map(|index| bits & 1 << index != 0)
                .collect();
        }
        for (index, due) in batch.iter().enumerate() {
            let is_taken = taken.get(index) == Some(&true);
            if matches!(how, How::Delivered | How::FailedButArrived) || is_taken {
                self.arrive(due.delivery.id);
            }
        }
        let (outcome, verdict, status) = match how {
            How::Delivered => (Outcome::Success, Verdict::Delivered, 200),
            How::Refused => (Outcome::ClientError, Verdict::Refused, 422),
            How::TooLarge => (Outcome::ClientError, Verdict::Refused, 413),
            How::PartlyTaken(_) => (Outcome::RecordError, Verdict::Failed, 200),
            How::ServerError => (Outcome::ServerError, Verdict::Failed, 500),
            _ => (Outcome::ServerError, Verdict::Failed, 503),
        };
        let attempt = Attempt {
            batch,
            batch_id: None,
            permit,
            result: AttemptResult {
                taken,
                outcome,
                verdict,
                detail: String::new(),
                status: Some(status),
                retry_after: (how == How::RetryAfter).then(|| b"1".to_vec()),
                response: String::new(),
                stopped: false,
                stale: false,
            },
            started_at: self.at.epoch_ms(),
            took: Duration::ZERO,
        };
        let decision = self.state.on_attempt(&attempt, self.at, &Longest);
        for (due, decision) in attempt.batch.iter().zip(decision) {
            let id = due.delivery.id;
            if decision.settled {
                if due.guard.claim() == self.store.claim() {
                    self.settled.insert(id);
                }
                if decision.follows.is_some() {
                    self.died.insert(id);
                }
            } else {
                *self.excused.entry(id).or_default() += 1;
            }
            let mut staged = self.store.staged.lock().unwrap();
            assert!(decision.settlement.is_some(), "every decision is stored");
            staged.settlements.extend(decision.settlement);
        }
    }

    fn crash(&mut self, group: Option<bool>, arrived: u8) {
        if group == Some(true) {
            self.store.commit();
        }
        {
            let mut staged = self.store.staged.lock().unwrap();
            // Committed events that were not announced are stored, and so they are accepted.
            staged.appends.clear();
            staged.settlements.clear();
            staged.unannounced.clear();
        }
        self.crash_excuse += WINDOW;
        for (bit, (batch, _)) in std::mem::take(&mut self.under_way).into_iter().enumerate() {
            if arrived & (1 << (bit % 8)) != 0 {
                for due in batch.iter() {
                    self.arrive(due.delivery.id);
                }
            }
        }
        self.settled.clear();
        let (handle, events, state) = incarnation(&self.target, self.at.now);
        *self.store.handle.lock().unwrap() = Arc::clone(&handle);
        self.handle = handle;
        self.events = events;
        self.state = state;
    }

    /// Loses the claim and gets another.
    fn reclaim(&mut self, delivered: usize) {
        let Some(fence) = &self.store.fence else {
            return;
        };
        fence.fetch_add(1, Ordering::SeqCst);
        let lost = self.store.staged.lock().unwrap().settlements.len();
        let under_way: usize = self.under_way.iter().map(|(batch, _)| batch.len()).sum();
        self.crash_excuse += under_way + lost;
        self.settled.clear();
        let name: Arc<str> = Arc::from(self.target.name().as_str());
        let mut owed = Vec::new();
        let queue = &self.store.queue;
        let visited = queue.owed(&name, None, &mut |it| {
            if owed.len() < delivered {
                owed.push((it.entry, it.id));
            }
            ControlFlow::Continue(())
        });
        visited.unwrap();
        for (entry, id) in owed {
            let settlement = Settlement {
                target: Arc::clone(&name),
                entry,
                outcome: Settled::Delivered,
                guard: SlotGuard::SOLE,
            };
            self.store.queue.commit(&[], &[settlement]).unwrap();
            self.arrive(id);
            self.settled.insert(id);
        }
        self.state.backlog.reread();
    }

    /// Replays every dead letter, as an operator may.
    fn replay(&mut self) {
        let name = self.target.name().as_str();
        let mut entries = Vec::new();
        let mut keys = Vec::new();
        let store = &self.store;
        store
            .dead_letters(Some(name), None, &mut |dead| {
                entries.push(dead.owed.entry);
                keys.push(Box::from(dead.owed.key));
                self.settled.remove(&dead.owed.id);
                self.replayed.insert(dead.owed.id);
                ControlFlow::Continue(())
            })
            .unwrap();
        if !entries.is_empty() {
            store.replay(name, &entries).unwrap();
            match self.store.fence {
                Some(_) => self.state.backlog.reread(),
                None => self.state.backlog.owe_again(keys),
            }
        }
    }

    /// The events that the target is owed.
    fn owed(&self) -> HashSet<EventId> {
        let mut owed = HashSet::new();
        let queue = &self.store.queue;
        let visited = queue.owed(self.target.name().as_str(), None, &mut |it| {
            owed.insert(it.id);
            ControlFlow::Continue(())
        });
        visited.unwrap();
        owed
    }

    fn pending(&self) -> usize {
        let statistics = self.store.queue.statistics().unwrap();
        statistics
            .targets
            .iter()
            .map(|target| usize::try_from(target.pending).unwrap())
            .sum()
    }

    /// Lets every attempt succeed until nothing is pending.
    fn drain(&mut self) {
        let most = 20 + 4 * self.submitted;
        for _ in 0..most {
            self.store.commit();
            self.store.announce(usize::MAX);
            self.turn();
            while !self.under_way.is_empty() {
                self.finish(0, How::Delivered);
            }
            self.elapse(1_000);
            if self.pending() == 0 && self.state.backlog.is_done() {
                return;
            }
        }
        panic!(
            "{} events are still pending: {:#?}",
            self.pending(),
            self.state
        );
    }

    fn check_all_arrived(&self) {
        let stored = &self.store.staged.lock().unwrap().stored;
        for (_, id) in stored {
            let arrivals = self.arrived.get(id).copied().unwrap_or(0);
            assert!(
                arrivals > 0 || self.died.contains(id),
                "{id:?} was accepted, did not arrive and was not given up"
            );
        }
        let again: u32 = stored
            .iter()
            .map(|(_, id)| {
                let arrivals = self.arrived.get(id).copied().unwrap_or(0);
                let excused = 1 + self.excused.get(id).copied().unwrap_or(0);
                arrivals.saturating_sub(excused)
            })
            .sum();
        assert!(
            again as usize <= self.crash_excuse,
            "{again} deliveries too many, where crashes excuse {}",
            self.crash_excuse
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_crashes_what_is_accepted_arrives_in_order_or_is_a_dead_letter(
        ops in proptest::collection::vec(op(), 1..250),
        is_shared: bool,
        batches: bool,
    ) {
        let mut world = World::new(is_shared, batches);
        for op in ops {
            world.apply(op);
        }
        world.drain();
        world.check_all_arrived();
        // The dead letters arrive, too, when the next process replays them.
        world.crash(None, 0);
        for _ in 0..3 {
            world.turn();
        }
        world.replay();
        world.drain();
        world.died.clear();
        world.check_all_arrived();
    }
}

/// A target with batches that is owed one event of each of these tasks.
fn owed_batch(tasks: &[u8]) -> World {
    let mut world = World::new(false, true);
    for &task in tasks {
        world.apply(Op::Submit { task });
    }
    world.apply(Op::Commit);
    world.apply(Op::Announce(usize::MAX));
    world.turn();
    world
}

impl World {
    /// The ids of the events of each batch under way.
    fn batches(&self) -> Vec<Vec<u32>> {
        let ids = |(batch, _): &(Batch, Permit)| {
            let ids = batch.iter().map(|due| due.delivery.id.0);
            ids.map(|id| u32::from_be_bytes(id[..4].try_into().unwrap()))
                .collect()
        };
        self.under_way.iter().map(ids).collect()
    }

    /// Lets time pass until something is under way.
    fn wait(&mut self) {
        for _ in 0..10_000 {
            self.store.commit();
            self.store.announce(usize::MAX);
            self.turn();
            if !self.under_way.is_empty() {
                return;
            }
            self.elapse(1);
        }
        panic!("nothing is attempted: {:#?}", self.state);
    }
}

#[test]
fn a_batch_that_failed_keeps_its_events_over_retries_and_restarts() {
    let mut world = owed_batch(&[0, 1, 1]);
    assert_eq!(world.batches(), [[1, 2, 3]]);
    world.finish(0, How::Failed);
    // It does not grow by events that come later.
    world.apply(Op::Submit { task: 2 });
    world.wait();
    assert_eq!(world.batches(), [[4]]);
    world.finish(0, How::Delivered);
    world.wait();
    assert_eq!(world.batches(), [[1, 2, 3]]);
    world.finish(0, How::Failed);
    world.store.commit();
    world.crash(None, 0);
    world.apply(Op::Submit { task: 0 });
    world.wait();
    if world.batches() == [[5]] {
        world.finish(0, How::Delivered);
        world.wait();
    }
    assert_eq!(world.batches(), [[1, 2, 3]]);
    world.finish(0, How::Delivered);
    world.drain();
    world.check_all_arrived();
}

#[test]
fn two_batches_that_fail_together_do_not_become_one() {
    let mut world = owed_batch(&[0, 0, 1]);
    for task in [2, 2] {
        world.apply(Op::Submit { task });
    }
    world.apply(Op::Commit);
    world.apply(Op::Announce(usize::MAX));
    world.turn();
    // Another request is under way, so they wait for others.
    assert_eq!(world.batches(), [[1, 2, 3]]);
    world.elapse(5);
    world.turn();
    assert_eq!(world.batches(), [vec![1, 2, 3], vec![4, 5]]);
    world.finish(0, How::Failed);
    world.finish(0, How::Failed);
    for crash in [false, true] {
        if crash {
            world.store.commit();
            world.crash(None, 0);
        }
        let mut seen = Vec::new();
        while seen.len() < 2 {
            world.wait();
            seen.extend(world.batches());
            while !world.under_way.is_empty() {
                world.finish(0, How::Failed);
            }
        }
        seen.sort();
        assert_eq!(seen, [vec![1, 2, 3], vec![4, 5]], "after a crash: {crash}");
    }
}

#[test]
fn a_refused_batch_is_halved_until_the_refused_event_is_alone() {
    for (poisoned, how) in [(1, How::Refused), (2, How::TooLarge), (3, How::ServerError)] {
        let mut world = owed_batch(&[0, 1, 2]);
        let mut sent = Vec::new();
        while world.died.is_empty() {
            world.wait();
            let batch = world.batches().remove(0);
            let how = match batch.contains(&poisoned) {
                true => how,
                false => How::Delivered,
            };
            sent.push(batch);
            world.finish(0, how);
        }
        let died: Vec<_> = world.died.iter().map(|id| id.0[3]).collect();
        assert_eq!(died, [poisoned as u8], "{how:?}: {sent:?}");
        world.drain();
        world.check_all_arrived();
    }
}

#[test]
fn events_that_were_taken_are_sent_again_only_behind_a_failed_one_of_their_task() {
    let mut world = owed_batch(&[0, 1, 0]);
    // The second event and the third were taken.
    world.finish(0, How::PartlyTaken(0b110));
    world.wait();
    assert_eq!(world.batches(), [[1, 3]]);
    world.finish(0, How::Delivered);
    world.drain();
    world.check_all_arrived();
}
