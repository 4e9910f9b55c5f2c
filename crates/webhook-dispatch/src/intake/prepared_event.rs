//! An event that was submitted, on its way to the queue or to couriers.

use crate::intake::routing_table::{Roster, Seat, Wanted};
use crate::intake::submission::Submission;
use crate::intake::writer::{Completion, Ticket};
use crate::intake::{Inner, Receipt, Refusal, Route, SubmitError};
use crate::shared::clock::epoch_ms;
use crate::worker::handle::Live;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use webhook_model::EventHeader;
use webhook_queue::{EntryId, Event, EventId};

/// What is known of an event once its header is read.
struct Arrival {
    roster: Arc<Roster>,
    wanted: Wanted,
    /// Its task.
    task: Arc<[u8]>,
    accepted_at: u64,
    submitted: Instant,
    receipt: Receipt,
}

impl Arrival {
    fn chosen(&self) -> impl Iterator<Item = &Seat> {
        self.roster.chosen(&self.wanted)
    }

    /// As couriers hear of it.
    fn live(&self, body: Arc<[u8]>) -> Live {
        Live {
            entry: EntryId(0),
            id: self.receipt.id,
            key: Arc::clone(&self.task),
            body,
            accepted_at: self.accepted_at,
            submitted: self.submitted,
        }
    }

    /// The reliable targets that want it.
    fn route(&self) -> Route {
        if self.receipt.reliable == self.roster.reliable.lines.len() {
            return self.roster.reliable.clone();
        }
        let lines = self.chosen().map(|seat| &seat.line);
        Route::new(lines.filter(|line| line.is_reliable()).cloned().collect())
    }
}

impl Inner {
    /// Has an event delivered. `completion` is called unless this fails.
    pub(crate) fn hand_over(
        &self,
        submission: Submission,
        deadline: Option<Instant>,
        completion: impl FnOnce(Result<Receipt, Refusal>) + Send + 'static,
    ) -> Result<EventId, SubmitError> {
        let arrival = match self.arrive(&submission) {
            Ok(arrival) => arrival,
            Err(refusal) => {
                let event = submission.event;
                return Err(SubmitError { event, refusal });
            }
        };
        let id = arrival.receipt.id;
        if arrival.receipt.reliable == 0 {
            let receipt = self.give_once(arrival, submission, deadline)?;
            completion(Ok(receipt));
            return Ok(receipt.id);
        }
        let completion = Box::new(completion);
        self.store(&arrival, submission, deadline, completion)?;
        Ok(id)
    }

    /// Finds out who wants an event.
    fn arrive(&self, submission: &Submission) -> Result<Arrival, Refusal> {
        let event = &submission.event;
        if self.closed.load(Ordering::SeqCst) {
            return Err(Refusal::ShuttingDown);
        }
        let roster = self.roster();
        let max = roster.config.max_event_bytes();
        if event.len() > max {
            let length = event.len();
            return Err(Refusal::TooLarge { length, max });
        }
        let header = EventHeader::read(event).map_err(Refusal::NotAnEvent)?;
        if !header.has_task {
            return Err(Refusal::NoTask);
        }
        let wanted = roster.wanted(&header);
        let (mut targets, mut reliable) = (0, 0);
        for seat in roster.chosen(&wanted) {
            targets += 1;
            reliable += usize::from(seat.line.is_reliable());
        }
        let receipt = Receipt {
            id: submission.id.unwrap_or_else(|| self.names.next()),
            targets,
            reliable,
            duplicate: false,
        };
        Ok(Arrival {
            // Events without a task id have one lane together: their order is kept, too.
            task: Arc::from(header.task_id.as_deref().unwrap_or("").as_bytes()),
            roster,
            wanted,
            accepted_at: epoch_ms(self.clock.wall()),
            submitted: self.clock.now(),
            receipt,
        })
    }

    /// An event that only best-effort targets want, unless it repeats one.
    fn give_once(
        &self,
        arrival: Arrival,
        submission: Submission,
        deadline: Option<Instant>,
    ) -> Result<Receipt, SubmitError> {
        let key = submission.key().cloned();
        let receipt = arrival.receipt;
        if let Some(first) = key.as_ref().and_then(|key| self.repeated(key, &arrival)) {
            return Ok(Receipt {
                id: first,
                duplicate: true,
                ..receipt
            });
        }
        if let Err(event) = Inner::give(&arrival, submission.event, deadline) {
            if let Some(key) = key {
                self.recent().forget(&key, receipt.id);
            }
            let refusal = if self.closed.load(Ordering::SeqCst) {
                Refusal::ShuttingDown
            } else {
                Refusal::Full
            };
            return Err(SubmitError { event, refusal });
        }
        arrival.roster.count_filtered(&arrival.wanted);
        Ok(receipt)
    }

    /// Gives an event to best-effort targets, or back if the only one has no room up to the
    /// deadline. One of several is not waited for.
    fn give(
        arrival: &Arrival,
        event: Arc<[u8]>,
        deadline: Option<Instant>,
    ) -> Result<(), Arc<[u8]>> {
        if arrival.receipt.targets == 1
            && let Some(seat) = arrival.chosen().next()
        {
            let given = seat.line.give(arrival.live(event), deadline);
            return given.map_err(|live| live.body);
        }
        let live = arrival.live(event);
        for seat in arrival.chosen() {
            seat.line.give_or_drop(&live);
        }
        Ok(())
    }

    /// An event that reliable targets want, and maybe others.
    fn store(
        &self,
        arrival: &Arrival,
        submission: Submission,
        deadline: Option<Instant>,
        completion: Completion,
    ) -> Result<(), SubmitError> {
        let route = arrival.route();
        let room_until = submission.room_until;
        let key = submission.key().cloned();
        // Whether an event that has a key is a duplicate is known only after the commit.
        let (later, now): (Vec<_>, Vec<_>) = arrival
            .chosen()
            .filter(|seat| !seat.line.is_reliable())
            .cloned()
            .partition(|_| key.is_some());
        let live = (!now.is_empty()).then(|| arrival.live(Arc::clone(&submission.event)));
        let ticket = Ticket {
            lines: route.lines,
            unless_known: later,
            submitted: arrival.submitted,
            receipt: arrival.receipt,
            completion,
        };
        let stored = Event {
            id: arrival.receipt.id,
            key: Arc::clone(&arrival.task),
            body: submission.event,
            accepted_at: arrival.accepted_at,
            targets: route.names,
            idempotency_key: key,
        };
        let storage = self
            .storage()
            .expect("a dispatcher with a reliable target has a queue");
        let appended = storage.writer.append(stored, ticket, deadline, room_until);
        appended.map_err(|(event, refusal)| SubmitError { event, refusal })?;
        arrival.roster.count_filtered(&arrival.wanted);
        if let Some(live) = live {
            for seat in now {
                seat.line.give_or_drop(&live);
            }
        }
        Ok(())
    }

    /// The name of the event that this one, which only best-effort targets want, repeats. If there
    /// is none, it is known from now on.
    fn repeated(&self, key: &[u8], arrival: &Arrival) -> Option<EventId> {
        let mut recent = self.recent();
        let first = recent.find(key, arrival.accepted_at);
        if first.is_none() {
            recent.learn(key, arrival.receipt.id, arrival.accepted_at);
        }
        first
    }
}
