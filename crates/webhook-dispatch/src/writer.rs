//! The queue's writer, and what follows a commit: couriers are told, submitters are answered.

use crate::courier::Ledger;
use crate::line::{Line, Live};
use crate::stats::add;
use crate::submit::{Receipt, Refusal};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use webhook_queue::{
    Appended, Committed, Event, GroupWriter, Limits, Queue, QueueError, Refused, Settled,
    Settlement, WriterHandle, WriterStatistics,
};

/// Called once an event is durable, or was refused after all.
pub(crate) type Completion = Box<dyn FnOnce(Result<Receipt, Refusal>) + Send>;

/// What goes with an event through the queue's writer.
pub(crate) struct Ticket {
    /// The reliable targets that are owed it.
    pub(crate) lines: Arc<[Arc<Line>]>,
    pub(crate) submitted: Instant,
    pub(crate) receipt: Receipt,
    pub(crate) completion: Completion,
}

/// How long an event that was handed over waits for room in a full queue, if it may wait at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Up to the deadline of the handing over: somebody waits for the result.
    UntilDeadline,
    /// As long as it takes: it was taken, and is not to be given back.
    Endless,
}

/// The one thread that writes to the queue.
pub(crate) struct Writer {
    handle: WriterHandle<Ticket>,
    group: Mutex<Option<GroupWriter<Ticket>>>,
    unwritten: Arc<AtomicU64>,
}

impl Writer {
    pub(crate) fn start(
        queue: Arc<dyn Queue>,
        lines: &[Arc<Line>],
        when_full: webhook_config::WhenFull,
    ) -> std::io::Result<Writer> {
        let unwritten = Arc::new(AtomicU64::new(0));
        let by_name: HashMap<Arc<str>, Arc<Line>> = lines
            .iter()
            .map(|line| (Arc::clone(&line.name), Arc::clone(line)))
            .collect();
        let limits = Limits {
            when_full: match when_full {
                webhook_config::WhenFull::Block => webhook_queue::WhenFull::Block,
                _ => webhook_queue::WhenFull::Fail,
            },
            ..Limits::default()
        };
        let counted = Arc::clone(&unwritten);
        let group = GroupWriter::start(queue, limits, move |committed| {
            follow(committed, &by_name, &counted);
        })?;
        Ok(Writer {
            handle: group.handle(),
            group: Mutex::new(Some(group)),
            unwritten,
        })
    }

    /// Hands an event to the queue. Its ticket's completion is called unless this fails.
    pub(crate) fn append(
        &self,
        event: Event,
        ticket: Ticket,
        deadline: Option<Instant>,
        patience: Patience,
    ) -> Result<(), Refusal> {
        self.unwritten.fetch_add(1, Ordering::SeqCst);
        let appended = match patience {
            Patience::UntilDeadline => self.handle.append(event, ticket, deadline),
            Patience::Endless => self.handle.append_patiently(event, ticket, deadline),
        };
        appended.map_err(|refused| {
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

    /// What it has done so far.
    pub(crate) fn statistics(&self) -> WriterStatistics {
        self.handle.statistics()
    }

    /// Writes what is waiting, and ends the thread. Settlements that cannot be written are made
    /// anew after the next start: their events are delivered once more, under their old names.
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

impl Ledger for Writer {
    fn settle(&self, settlement: Settlement) {
        self.handle.settle(settlement);
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
fn follow(
    committed: Committed<Ticket>,
    lines: &HashMap<Arc<str>, Arc<Line>>,
    unwritten: &AtomicU64,
) {
    for settlement in &committed.settled {
        if matches!(settlement.outcome, Settled::Attempted { .. }) {
            continue;
        }
        if let Some(line) = lines.get(&settlement.target) {
            line.synced(settlement.entry);
        }
    }
    for Appended {
        event,
        ticket,
        result,
        ..
    } in committed.appended
    {
        let result = match result {
            Ok(entry) => {
                let live = Live {
                    entry,
                    id: event.id,
                    key: event.key,
                    body: event.body,
                    accepted_at: event.accepted_at,
                    submitted: ticket.submitted,
                };
                for line in ticket.lines.iter() {
                    add(&line.counters.accepted, 1);
                    line.counters.pending.fetch_add(1, Ordering::SeqCst);
                    line.tell(live.clone());
                }
                Ok(ticket.receipt)
            }
            Err(error) => Err(match *error {
                QueueError::Full { .. } => Refusal::Full,
                _ => Refusal::Queue(error),
            }),
        };
        (ticket.completion)(result);
        unwritten.fetch_sub(1, Ordering::SeqCst);
    }
}
