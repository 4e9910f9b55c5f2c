//! The queue's writer. After a commit it announces events to workers and completes submissions.

use crate::intake::news::PendingCounts;
use crate::intake::receipt::Receipt;
use crate::intake::routing_table::{RoutingTable, TargetEntry, Wanted};
use crate::intake::undecided::Undecided;
use crate::shared::clock::{Clock, FOREVER, epoch_ms};
use crate::shared::stats::add;
use crate::shared::{InputCounters, Refusal};
use crate::target::backlog::LiveEvent;
use crate::target::lanes::Content;
use crate::target::unsynced::Synced;
use crate::worker::SettlementSink;
use crate::worker::handle::{ReliableHandles, TargetHandle};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use webhook_queue::{
    Accepted, Appended, Committed, EntryId, Event, EventId, GroupWriter, Limits, Queue, QueueError,
    Refused, Sequence, Settled, Settlement, WriterHandle, WriterStatistics,
};

/// Longer than any body: the queue has room.
const ROOM: usize = usize::MAX;

/// How long settlements wait for others, or for events: most of a small commit's cost does not depend
/// on its size, and one of a shared queue keeps those of all its processes waiting. The events may be
/// repeated after a crash; a worker that has half a window of them does not wait.
const SETTLE_WITHIN: Duration = Duration::from_millis(5);

/// How long events wait at most for those of other callers, a fraction of a request's time. See
/// [`Limits::gather_within`].
const GATHER_WITHIN: Duration = Duration::from_micros(500);

/// Called once, when an event is durable or was refused.
pub(crate) type Completion = Box<dyn FnOnce(Result<Receipt, Refusal>) + Send>;

/// What accompanies an event through the queue's writer.
pub(crate) struct Ticket {
    /// The event's reliable targets.
    pub(crate) handles: Arc<[Arc<TargetHandle>]>,
    /// The best-effort targets that get it after the commit, unless it is refused or a duplicate.
    /// The worker of one that is removed meanwhile waits for it.
    pub(crate) best_effort: Vec<TargetEntry>,
    /// Dropped once they have got it, or will not.
    pub(crate) undecided: Option<Undecided>,
    pub(crate) submitted: Instant,
    /// That of its [`Content`].
    pub(crate) summary: Option<Arc<[u8]>>,
    pub(crate) receipt: Receipt,
    pub(crate) rejects_reused_key: bool,
    pub(crate) input: Arc<InputCounters>,
    pub(crate) routing_table: Arc<RoutingTable>,
    /// The targets whose filters accept it; the others count it after the commit.
    pub(crate) wanted: Wanted,
    pub(crate) completion: Completion,
}

/// The dead letters in the queue, which have bounds.
#[derive(Clone)]
struct DeadLetters {
    queue: Arc<dyn Queue>,
    handles: ReliableHandles,
    clock: Arc<dyn Clock>,
}

impl DeadLetters {
    /// Removes some of those over a bound, and counts them. Returns how many.
    fn trim(&self) -> Result<u64, QueueError> {
        let now = epoch_ms(self.clock.wall());
        let removed = self.queue.trim_dead_letters(now)?;
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        for (target, count) in &removed {
            if let Some(handle) = handles.get(target) {
                add(&handle.counters.dead_letters_removed, *count);
            }
        }
        Ok(removed.iter().map(|(_, count)| count).sum())
    }
}

/// The one thread that writes to the queue, `webhook-queue`.
pub(crate) struct Writer {
    handle: WriterHandle<Ticket>,
    group: Mutex<Option<GroupWriter<Ticket>>>,
    dead_letters: DeadLetters,
    unwritten: Arc<AtomicU64>,
    /// The length of the body that the queue had no room for last, if nothing was settled or
    /// stored since; else [`ROOM`].
    full: Arc<AtomicUsize>,
    /// Whether events that a full queue has no room for are refused at once.
    rejects: bool,
}

impl Writer {
    /// Starts the thread. `counts` are those of a shared queue.
    pub(crate) fn start(
        queue: Arc<dyn Queue>,
        handles: ReliableHandles,
        when_full: webhook_config::WhenFull,
        clock: Arc<dyn Clock>,
        counts: Option<Arc<PendingCounts>>,
    ) -> std::io::Result<Writer> {
        let unwritten = Arc::new(AtomicU64::new(0));
        let full = Arc::new(AtomicUsize::new(ROOM));
        let limits = Limits {
            when_full: match when_full {
                webhook_config::WhenFull::Block => webhook_queue::WhenFull::Block,
                _ => webhook_queue::WhenFull::Fail,
            },
            settle_within: SETTLE_WITHIN,
            gather_within: match queue.is_shared() {
                true => Duration::ZERO,
                false => GATHER_WITHIN,
            },
            ..Limits::default()
        };
        let rejects = limits.when_full == webhook_queue::WhenFull::Fail;
        let (counted, is_full) = (Arc::clone(&unwritten), Arc::clone(&full));
        let known = Arc::clone(&queue);
        let dead_letters = DeadLetters {
            queue: Arc::clone(&queue),
            handles: Arc::clone(&handles),
            clock,
        };
        let bounded = dead_letters.clone();
        let group = GroupWriter::start(queue, limits, move |committed| {
            let settled = committed.settled.iter();
            let any_dead = settled.map(|it| &it.outcome).any(Settled::is_dead);
            if let Some(counts) = &counts {
                // An event counts as pending before it stops counting as unwritten.
                counts.update();
            }
            on_commit(committed, &*known, &handles, &counted, &is_full);
            if any_dead {
                // If it fails, the next commit or `trim_dead_letters` tries again.
                drop(bounded.trim());
            }
        })?;
        Ok(Writer {
            handle: group.handle(),
            group: Mutex::new(Some(group)),
            dead_letters,
            unwritten,
            full,
            rejects,
        })
    }

    /// Hands an event to the queue, blocking up to `deadline`. The ticket's completion is called
    /// unless this fails. If the configuration lets events wait for room
    /// in a full queue, this one waits until `room_until`, or without end.
    pub(crate) fn append(
        &self,
        event: Event,
        ticket: Ticket,
        deadline: Option<Instant>,
        (room_until, sequence): (Option<Instant>, Option<Sequence>),
    ) -> Result<(), Refusal> {
        let is_full = self.full.load(Ordering::SeqCst) <= stored_length(&event);
        if deadline.is_none() && self.rejects && is_full {
            // It would be refused only after it was handed over. There may be room for a shorter one.
            return Err(Refusal::Full);
        }
        self.unwritten.fetch_add(1, Ordering::SeqCst);
        let room_until = room_until.unwrap_or_else(|| Instant::now() + FOREVER);
        self.handle
            .append_patiently(event, ticket, deadline, room_until, sequence)
            .map_err(|refused| {
                self.unwritten.fetch_sub(1, Ordering::SeqCst);
                match refused {
                    Refused::Closed(_) => Refusal::ShuttingDown,
                    _ => Refusal::Full,
                }
            })
    }

    /// Events handed over whose commit has not ended.
    pub(crate) fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::SeqCst)
    }

    /// Whether the queue had no room for the last event and nothing was settled since.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst) != ROOM
    }

    /// Clears `full`: an operator deleted entries from the queue.
    pub(crate) fn made_room(&self) {
        self.full.store(ROOM, Ordering::SeqCst);
    }

    /// Removes some of the dead letters over a bound. Returns how many.
    pub(crate) fn trim_dead_letters(&self) -> Result<u64, QueueError> {
        let removed = self.dead_letters.trim()?;
        if removed > 0 {
            self.made_room();
        }
        Ok(removed)
    }

    /// What the writer has done so far.
    pub(crate) fn statistics(&self) -> WriterStatistics {
        self.handle.statistics()
    }

    /// Writes what is waiting, and ends the thread. Events whose settlement cannot be written are
    /// delivered once more after the next start, under their old ids.
    pub(crate) fn shutdown(&self) {
        let group = self
            .group
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(group) = group {
            drop(group.shutdown());
        }
    }
}

impl SettlementSink for Writer {
    fn settle(&self, settlement: Settlement) {
        self.handle.settle(settlement);
    }

    fn flush(&self) {
        self.handle.flush();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("unwritten", &self.unwritten())
            .finish_non_exhaustive()
    }
}

/// Runs on the writer's thread after each commit.
fn on_commit(
    committed: Committed<Ticket>,
    queue: &dyn Queue,
    handles: &ReliableHandles,
    unwritten: &AtomicU64,
    full: &AtomicUsize,
) {
    if !committed.settled.is_empty() {
        full.store(ROOM, Ordering::SeqCst);
    }
    let handles = handles.read().unwrap_or_else(PoisonError::into_inner);
    // A group has mostly one run for each target: a worker settles many events before it waits.
    let runs = committed.settled.chunk_by(|a, b| a.target == b.target);
    for run in runs {
        if let Some(handle) = run.first().and_then(|first| handles.get(&first.target)) {
            handle.synced(
                run.iter()
                    .filter_map(|settlement| match settlement.outcome {
                        Settled::Held { .. } => None,
                        Settled::Attempted { .. } => Some(Synced::Noted),
                        _ => Some(Synced::Settled(settlement.entry)),
                    }),
            );
        }
    }
    drop(handles);
    for Appended {
        event,
        ticket,
        result,
        ..
    } in committed.appended
    {
        let result = match result {
            Ok(accepted) if accepted.entry().is_some() || !accepted.over_quota().is_empty() => {
                full.store(ROOM, Ordering::SeqCst);
                announce(&accepted, &event, &ticket, queue.is_shared())
            }
            Ok(accepted) if accepted.is_unchanged() => {
                add(&ticket.input.unchanged, 1);
                Ok(ticket.receipt.clone().unchanged())
            }
            Ok(repeated) => {
                let first = repeated.duplicate_of().unwrap_or(event.id);
                check_repetition(queue, &event, &ticket, first).map(|()| Receipt {
                    id: first,
                    duplicate: true,
                    ..ticket.receipt.clone()
                })
            }
            Err(error) => Err(match *error {
                QueueError::Full { .. } => {
                    full.store(stored_length(&event), Ordering::SeqCst);
                    Refusal::Full
                }
                QueueError::Unknown { .. } => Refusal::Unconfirmed,
                _ => Refusal::Queue(error),
            }),
        };
        // The completion may submit the task's next event.
        drop(ticket.undecided);
        let completion = ticket.completion;
        // A panic of the completion must not end the writer.
        drop(catch_unwind(AssertUnwindSafe(|| completion(result))));
        unwritten.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Checks that a duplicate has the body of the event that had its key, if that is asked for.
fn check_repetition(
    queue: &dyn Queue,
    event: &Event,
    ticket: &Ticket,
    first: EventId,
) -> Result<(), Refusal> {
    let key = event.idempotency_key.as_deref();
    let Some(key) = key.filter(|_| ticket.rejects_reused_key) else {
        return Ok(());
    };
    match queue.is_repetition(key, &event.body) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::KeyReused { first }),
        Err(error) => Err(Refusal::Queue(Arc::new(error))),
    }
}

/// The length of the body that the queue stores.
fn stored_length(event: &Event) -> usize {
    match event.targets.is_empty() {
        true => 0,
        false => event.body.len(),
    }
}

/// Announces an event to the workers of those of its targets that get it. Fails if there is none.
/// Reliable targets read the events of a shared queue from there: those of other processes, too, and
/// in one order.
fn announce(
    accepted: &Accepted,
    event: &Event,
    ticket: &Ticket,
    is_shared: bool,
) -> Result<Receipt, Refusal> {
    let over_quota: Arc<[Arc<str>]> = accepted.over_quota().into();
    // A best-effort target gets an event that was not stored. Its handle replaces the entry.
    let entry = accepted.entry().unwrap_or(EntryId(0));
    let previous = accepted.previous_state().map(|state| &**state);
    let changes_only = event.last_state.as_deref().map(|it| &*it.changes_only);
    let changes_only = changes_only.filter(|_| previous.is_none());
    let changes_only = changes_only.unwrap_or_default();
    let after = event.after(previous);
    let event = after.as_ref().unwrap_or(event);
    let mut receipt = ticket.receipt.clone();
    ticket.routing_table.count_filtered(&ticket.wanted);
    for handle in &*ticket.handles {
        if changes_only.contains(&handle.name) {
            receipt.targets -= 1;
            receipt.reliable -= 1;
            add(&handle.counters.filtered, 1);
            continue;
        }
        if over_quota.contains(&handle.name) {
            add(&handle.counters.over_quota, 1);
            continue;
        }
        add(&handle.counters.accepted, 1);
        if !is_shared {
            // In this order: a worker knows of every event that is counted as pending.
            handle.announce(live(entry, event, ticket));
            handle.counters.pending.fetch_add(1, Ordering::SeqCst);
        }
    }
    for target in &ticket.best_effort {
        if changes_only.contains(&target.handle.name) {
            receipt.targets -= 1;
            add(&target.handle.counters.filtered, 1);
            continue;
        }
        target.handle.give_or_drop(&live(entry, event, ticket));
    }
    receipt.reliable -= over_quota.len();
    if accepted.entry().is_none() && receipt.targets == over_quota.len() {
        let targets = over_quota;
        return Err(Refusal::OverQuota { targets });
    }
    receipt.over_quota = over_quota;
    Ok(receipt)
}

fn live(entry: EntryId, event: &Event, ticket: &Ticket) -> LiveEvent {
    LiveEvent {
        entry,
        id: event.id,
        key: Arc::clone(&event.key),
        content: Content {
            summary: ticket.summary.clone(),
            ..Content::of(&event.body, &event.attributes)
        },
        accepted_at: event.accepted_at,
        submitted: ticket.submitted,
    }
}
