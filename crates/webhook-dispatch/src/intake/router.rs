//! Routes events to the queue's writer and to the workers of best-effort targets.

use crate::intake::prepared_event::{Prepared, PreparedEvent};
use crate::intake::receipt::{Receipt, SubmitError};
use crate::intake::routing_table::RoutingTable;
use crate::intake::storage::Storage;
use crate::intake::submission::{BEST_EFFORT_WINDOW, Submission};
use crate::intake::undecided::UndecidedTasks;
use crate::intake::writer::{Completion, Ticket};
use crate::shared::stats::add;
use crate::shared::{Refusal, Shared};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;
use webhook_queue::{EventId, LastStates, RecentKeys};

/// Routes each submission by the routing table in force.
pub(crate) struct Router {
    pub(crate) shared: Arc<Shared>,
    routing_table: RwLock<Arc<RoutingTable>>,
    /// Opened with the first reliable target.
    storage: OnceLock<Storage>,
    /// The keys of events that were for best-effort targets alone.
    recent: Mutex<RecentKeys>,
    /// The last states of keys, while there is no queue.
    last_states: Mutex<LastStates>,
    /// The tasks of events in the queue's writer that best-effort targets want, too, and of events
    /// with a state that are given to such targets alone.
    undecided: Arc<UndecidedTasks>,
}

impl Router {
    pub(crate) fn new(shared: Arc<Shared>, routing_table: RoutingTable) -> Router {
        let states = LastStates::new(routing_table.config.queue().max_last_states());
        Router {
            shared,
            routing_table: RwLock::new(Arc::new(routing_table)),
            storage: OnceLock::new(),
            recent: Mutex::new(RecentKeys::new(BEST_EFFORT_WINDOW)),
            last_states: Mutex::new(states),
            undecided: Arc::default(),
        }
    }

    /// The routing table in force.
    pub(crate) fn routing_table(&self) -> Arc<RoutingTable> {
        let table = self.routing_table.read();
        Arc::clone(&table.unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the routing table, and returns the old one.
    pub(crate) fn replace_routing_table(&self, table: RoutingTable) -> Arc<RoutingTable> {
        let max = table.config.queue().max_last_states();
        self.last_states().set_max(max);
        let current = self.routing_table.write();
        let mut current = current.unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, Arc::new(table))
    }

    /// The queue and its writer; `None` until the first reliable target.
    pub(crate) fn storage(&self) -> Option<&Storage> {
        self.storage.get()
    }

    /// Sets the queue for the events of reliable targets. Called once.
    pub(crate) fn set_storage(&self, storage: Storage) {
        // Only the supervisor sets it, under its lock.
        drop(self.storage.set(storage));
    }

    /// Takes an event. `completion` is called unless this fails.
    pub(crate) fn hand_over(
        &self,
        submission: Submission,
        deadline: Option<Instant>,
        completion: impl FnOnce(Result<Receipt, Refusal>) + Send + 'static,
    ) -> Result<EventId, SubmitError> {
        let prepared = match self.prepare(&submission) {
            Ok(Prepared::Event(prepared)) => prepared,
            Ok(Prepared::Ignored(receipt)) => {
                let id = receipt.id;
                complete(completion, receipt);
                return Ok(id);
            }
            Err(refusal) => return Err(SubmitError::new(submission, refusal)),
        };
        let id = prepared.receipt.id;
        // Without a reliable target, too, the state of its key is kept in the queue.
        let has_state = prepared.last_state.is_some() && self.storage().is_some();
        if prepared.receipt.reliable == 0 && !has_state {
            let receipt = self.give_once(prepared, submission, deadline)?;
            complete(completion, receipt);
            return Ok(id);
        }
        self.store(prepared, submission, deadline, Box::new(completion))?;
        Ok(id)
    }

    fn prepare(&self, submission: &Submission) -> Result<Prepared, Refusal> {
        if self.shared.is_closed() {
            return Err(Refusal::ShuttingDown);
        }
        Prepared::new(submission, self.routing_table(), &self.shared)
    }

    /// Gives an event that only best-effort targets want to them, unless it is a duplicate. It waits
    /// for earlier events of its task that they get after the commit.
    fn give_once(
        &self,
        mut prepared: PreparedEvent,
        submission: Submission,
        deadline: Option<Instant>,
    ) -> Result<Receipt, SubmitError> {
        let key = prepared.idempotency_key.clone();
        let receipt = prepared.receipt.clone();
        // Whether an event with a state is a change is known once the one before it was given.
        let alone = match prepared.last_state {
            Some(_) => self.undecided.begin_alone(&prepared.task, deadline),
            None => None,
        };
        let is_blocked = match prepared.last_state {
            Some(_) => alone.is_none(),
            None => self.storage().is_some() && !self.undecided.wait(&prepared.task, deadline),
        };
        if is_blocked {
            return Err(self.no_room(submission));
        }
        let body = &prepared.content.body;
        let first = key
            .as_ref()
            .and_then(|key| self.duplicate_of(key, body, &prepared));
        if let Some(first) = first {
            let reused = key.filter(|key| {
                submission.rejects_reused_key() && !self.recent().is_repetition(key, body)
            });
            if reused.is_some() {
                let refusal = Refusal::KeyReused { first };
                return Err(SubmitError::new(submission, refusal));
            }
            return Ok(Receipt {
                id: first,
                duplicate: true,
                ..receipt
            });
        }
        let state = prepared.last_state.take();
        if let Some(state) = &state {
            let previous = self.last_states().get(&state.key);
            if previous.as_ref() == Some(&state.state) {
                add(&prepared.input.unchanged, 1);
                return Ok(receipt.unchanged());
            }
            prepared.follow(state, previous.as_deref());
        }
        if !give(&prepared, deadline) {
            if let Some(key) = key {
                self.recent().forget(&key, receipt.id);
            }
            return Err(self.no_room(submission));
        }
        if let Some(state) = state {
            self.last_states().set(&state.key, state.state);
        }
        prepared.routing_table.count_filtered(&prepared.wanted);
        Ok(prepared.receipt)
    }

    /// Gives back what found no room in time.
    fn no_room(&self, submission: Submission) -> SubmitError {
        let refusal = if self.shared.is_closed() {
            Refusal::ShuttingDown
        } else {
            Refusal::Full
        };
        SubmitError::new(submission, refusal)
    }

    /// Hands an event that reliable targets want, and maybe others, or whose state is kept, to the
    /// queue's writer.
    fn store(
        &self,
        prepared: PreparedEvent,
        submission: Submission,
        deadline: Option<Instant>,
        completion: Completion,
    ) -> Result<(), SubmitError> {
        let route = prepared.route();
        let room_until = submission.room_until;
        let sequence = submission.sequence.clone();
        // Whether the event is refused or a duplicate is known only after the commit.
        let best_effort: Vec<_> = prepared
            .chosen()
            .filter(|entry| !entry.handle.is_reliable())
            .cloned()
            .collect();
        let undecided = (!best_effort.is_empty()).then(|| self.undecided.begin(&prepared.task));
        let stored = prepared.stored(route.names);
        let ticket = Ticket {
            handles: route.handles,
            best_effort,
            undecided,
            submitted: prepared.submitted,
            summary: prepared.content.summary,
            receipt: prepared.receipt,
            rejects_reused_key: submission.rejects_reused_key(),
            input: prepared.input,
            routing_table: prepared.routing_table,
            wanted: prepared.wanted,
            completion,
        };
        let storage = self
            .storage()
            .expect("a dispatcher with a reliable target has a queue");
        let appended = storage
            .writer
            .append(stored, ticket, deadline, (room_until, sequence));
        appended.map_err(|refusal| SubmitError::new(submission, refusal))
    }

    /// The id of the first event with this key; if there is none, the key is recorded for this one.
    fn duplicate_of(&self, key: &[u8], body: &[u8], prepared: &PreparedEvent) -> Option<EventId> {
        let mut recent = self.recent();
        let first = recent.find(key, prepared.accepted_at);
        if first.is_none() {
            recent.learn(key, body, prepared.receipt.id, prepared.accepted_at);
        }
        first
    }

    /// How many keys' last states are known without a queue.
    pub(crate) fn last_states_in_memory(&self) -> u64 {
        self.last_states().len()
    }

    fn last_states(&self) -> MutexGuard<'_, LastStates> {
        let states = self.last_states.lock();
        states.unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, RecentKeys> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls a completion on this thread. Its panic must not reach the caller, as it does not reach the
/// writer.
fn complete(completion: impl FnOnce(Result<Receipt, Refusal>), receipt: Receipt) {
    drop(catch_unwind(AssertUnwindSafe(|| completion(Ok(receipt)))));
}

/// Gives an event to best-effort targets. A single target is waited for until the deadline; several
/// are not. False if a single one has no room.
fn give(prepared: &PreparedEvent, deadline: Option<Instant>) -> bool {
    if prepared.receipt.targets == 1
        && let Some(entry) = prepared.chosen().next()
    {
        return entry.handle.give(prepared.live(), deadline).is_ok();
    }
    let live = prepared.live();
    for entry in prepared.chosen() {
        entry.handle.give_or_drop(&live);
    }
    true
}
