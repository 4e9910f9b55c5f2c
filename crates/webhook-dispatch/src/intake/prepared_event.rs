//! An event whose header was read and whose targets are known.

use crate::intake::receipt::Receipt;
use crate::intake::routing_table::{Route, RoutingTable, TargetEntry, Wanted};
use crate::intake::submission::Submission;
use crate::shared::clock::epoch_ms;
use crate::shared::{Refusal, Shared};
use crate::target::backlog::LiveEvent;
use std::sync::Arc;
use std::time::Instant;
use webhook_model::EventHeader;
use webhook_queue::EntryId;

/// An event whose header was read and whose targets are known.
pub(crate) struct PreparedEvent {
    pub(crate) routing_table: Arc<RoutingTable>,
    pub(crate) wanted: Wanted,
    pub(crate) task: Arc<[u8]>,
    /// Epoch milliseconds.
    pub(crate) accepted_at: u64,
    pub(crate) submitted: Instant,
    pub(crate) receipt: Receipt,
}

impl PreparedEvent {
    /// Reads an event's header, and finds the targets whose filters accept it.
    ///
    /// # Errors
    /// The bytes are no event, or too many.
    pub(crate) fn new(
        submission: &Submission,
        routing_table: Arc<RoutingTable>,
        shared: &Shared,
    ) -> Result<PreparedEvent, Refusal> {
        let event = &submission.event;
        let max = routing_table.config.max_event_bytes();
        if event.len() > max {
            let length = event.len();
            return Err(Refusal::TooLarge { length, max });
        }
        let header = EventHeader::read(event).map_err(Refusal::NotAnEvent)?;
        if !header.has_task {
            return Err(Refusal::NoTask);
        }
        let wanted = routing_table.wanted(&header);
        let (mut targets, mut reliable) = (0, 0);
        for entry in routing_table.chosen(&wanted) {
            targets += 1;
            reliable += usize::from(entry.handle.is_reliable());
        }
        let receipt = Receipt {
            id: submission.id.unwrap_or_else(|| shared.ids.next()),
            targets,
            reliable,
            over_quota: Arc::default(),
            duplicate: false,
        };
        Ok(PreparedEvent {
            // Events without a task id share one lane, so their order is kept, too.
            task: Arc::from(header.task_id.as_deref().unwrap_or("").as_bytes()),
            routing_table,
            wanted,
            accepted_at: epoch_ms(shared.clock.wall()),
            submitted: shared.clock.now(),
            receipt,
        })
    }

    /// The targets whose filters accept it.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &TargetEntry> {
        self.routing_table.chosen(&self.wanted)
    }

    /// The reliable ones of these targets.
    pub(crate) fn route(&self) -> Route {
        if self.receipt.reliable == self.routing_table.reliable.handles.len() {
            return self.routing_table.reliable.clone();
        }
        Route::new(self.chosen())
    }

    /// The event for a best-effort target. The target's handle replaces the entry.
    pub(crate) fn live(&self, body: Arc<[u8]>) -> LiveEvent {
        LiveEvent {
            entry: EntryId(0),
            id: self.receipt.id,
            key: Arc::clone(&self.task),
            body,
            accepted_at: self.accepted_at,
            submitted: self.submitted,
        }
    }
}
