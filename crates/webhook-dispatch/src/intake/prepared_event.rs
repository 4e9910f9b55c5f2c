//! An event whose fields were read and whose targets are known.

use crate::intake::read_event::ReadEvent;
use crate::intake::receipt::Receipt;
use crate::intake::routing_table::{Route, RoutingTable, TargetEntry, Wanted};
use crate::intake::submission::Submission;
use crate::shared::clock::epoch_ms;
use crate::shared::stats::add;
use crate::shared::{InputCounters, Refusal, Shared};
use crate::target::backlog::LiveEvent;
use crate::target::lanes::Content;
use std::sync::Arc;
use std::time::Instant;
use webhook_event::TraceContext;
use webhook_queue::{EntryId, Event, LastState};

/// An event whose fields were read and whose targets are known.
pub(crate) struct PreparedEvent {
    pub(crate) routing_table: Arc<RoutingTable>,
    pub(crate) wanted: Wanted,
    /// The key that orders it in the queue.
    pub(crate) task: Arc<[u8]>,
    pub(crate) idempotency_key: Option<Arc<[u8]>>,
    /// If it is dropped unless it changes the last state of its key.
    pub(crate) last_state: Option<Box<LastState>>,
    pub(crate) input: Arc<InputCounters>,
    /// What is delivered.
    pub(crate) content: Content,
    /// Epoch milliseconds.
    pub(crate) accepted_at: u64,
    pub(crate) submitted: Instant,
    pub(crate) receipt: Receipt,
}

/// What becomes of a submission that is not refused at once.
pub(crate) enum Prepared {
    Event(PreparedEvent),
    /// Its input ignores it.
    Ignored(Receipt),
}

impl Prepared {
    /// Reads an event's fields, and finds the targets whose filters accept it.
    ///
    /// # Errors
    /// The bytes are no event of their input, or too many.
    pub(crate) fn new(
        submission: &Submission,
        routing_table: Arc<RoutingTable>,
        shared: &Shared,
    ) -> Result<Prepared, Refusal> {
        let mut receipt = Receipt {
            id: submission.id.unwrap_or_else(|| shared.ids.next()),
            targets: 0,
            reliable: 0,
            over_quota: Arc::default(),
            duplicate: false,
            ignored: false,
            unchanged: false,
        };
        let input = routing_table.inputs.of(submission)?;
        let max = routing_table.config.max_event_bytes();
        input.check_submitted(submission, max)?;
        let Some(read) = ReadEvent::new(submission, input)? else {
            add(&input.counters.ignored, 1);
            receipt.ignored = true;
            return Ok(Prepared::Ignored(receipt));
        };
        let task = read.queue_key();
        let mut last_state = read.last_state(&task)?;
        // Whether the state before it is known is found out where the event is stored.
        let is_initial = read.is_initial() && last_state.is_none();
        let wanted = read.filtered(is_initial, |fields| routing_table.wanted(fields));
        for entry in routing_table.chosen(&wanted) {
            receipt.targets += 1;
            receipt.reliable += usize::from(entry.handle.is_reliable());
        }
        if let Some(last_state) = last_state.as_mut().filter(|_| read.is_initial()) {
            let chosen = routing_table.chosen(&wanted);
            let changes_only = chosen.filter(|entry| !entry.target.initial_events());
            let names = changes_only.map(|entry| Arc::clone(&entry.handle.name));
            last_state.changes_only = names.collect();
        }
        let attributes = match (read.attributes(), submission.trace.as_deref()) {
            (Some(mut attributes), trace) => {
                attributes.trace = trace.cloned();
                Some(attributes.encode())
            }
            (None, trace) => trace.map(TraceContext::encode),
        };
        Ok(Prepared::Event(PreparedEvent {
            task,
            last_state: last_state.map(Box::new),
            input: Arc::clone(&input.counters),
            idempotency_key: submission.key_or(|| read.idempotency_key()),
            content: Content {
                body: read.body(max)?,
                attributes: attributes.map(Into::into),
                summary: read.summary(),
            },
            wanted,
            accepted_at: epoch_ms(shared.clock.wall()),
            submitted: shared.clock.now(),
            receipt,
            routing_table,
        }))
    }
}

impl PreparedEvent {
    /// The targets whose filters accept it.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &TargetEntry> {
        self.routing_table.chosen(&self.wanted)
    }

    /// Brings an event without reliable targets to the state in which it is given, after this state of
    /// its key.
    pub(crate) fn follow(&mut self, state: &LastState, previous: Option<&[u8]>) {
        let receipt = &mut self.receipt;
        if previous.is_none() {
            let removed = self
                .routing_table
                .exclude(&mut self.wanted, &state.changes_only);
            receipt.targets -= removed;
        } else if let (Some(previous), true) = (previous, state.append_previous) {
            let attributes = self.content.attributes.as_deref().unwrap_or_default();
            self.content.attributes = Some([attributes, previous].concat().into());
        }
    }

    /// The reliable ones of these targets.
    pub(crate) fn route(&self) -> Route {
        if self.receipt.reliable == self.routing_table.reliable.handles.len() {
            return self.routing_table.reliable.clone();
        }
        Route::new(self.chosen())
    }

    /// The event as the queue stores it.
    pub(crate) fn stored(&self, targets: Arc<[Arc<str>]>) -> Event {
        Event {
            id: self.receipt.id,
            key: Arc::clone(&self.task),
            body: Arc::clone(&self.content.body),
            attributes: self.content.attributes.clone().unwrap_or_default(),
            accepted_at: self.accepted_at,
            targets,
            idempotency_key: self.idempotency_key.clone(),
            last_state: self.last_state.clone(),
        }
    }

    /// The event for a best-effort target. The target's handle replaces the entry.
    pub(crate) fn live(&self) -> LiveEvent {
        LiveEvent {
            entry: EntryId(0),
            id: self.receipt.id,
            key: Arc::clone(&self.task),
            content: self.content.clone(),
            accepted_at: self.accepted_at,
            submitted: self.submitted,
        }
    }
}
