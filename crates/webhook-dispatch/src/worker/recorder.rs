//! Counts what a worker does, and reports it in the log of attempts and to the observer.

use crate::shared::clock::{Moment, epoch_ms};
use crate::shared::event_summary::EventSummary;
use crate::shared::stats::add;
use crate::shared::{
    AttemptRecord, Clock, Incident, NextStep, Observer, Outcome, event_key, shown_task,
};
use crate::target::attempt::Attempt;
use crate::target::lanes::{Delivery, Due};
use crate::target::{Decision, StateChange, TargetState};
use crate::worker::handle::TargetHandle;
use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use webhook_queue::QueueError;

/// Counts what a worker does, and reports it.
pub(super) struct Recorder {
    handle: Arc<TargetHandle>,
    observer: Arc<dyn Observer>,
}

impl Recorder {
    pub(super) fn new(handle: Arc<TargetHandle>, observer: Arc<dyn Observer>) -> Recorder {
        Recorder { handle, observer }
    }

    /// Counts and logs an attempt, and reports its failures and the change of the target's state.
    pub(super) fn attempted(&self, attempt: &Attempt, decision: &Decision) {
        let counters = &self.handle.counters;
        counters.requested(attempt.result.outcome, attempt.took);
        for (due, decision) in attempt.batch.iter().zip(decision.events()) {
            self.attempted_event(attempt, due, decision.follows.is_none());
            self.count_next_step(decision.follows);
        }
        self.report_incidents(attempt, decision);
    }

    fn count_next_step(&self, follows: Option<NextStep>) {
        let counters = &self.handle.counters;
        match follows {
            None => add(&counters.delivered, 1),
            Some(NextStep::Retry(_)) => add(&counters.retried, 1),
            Some(NextStep::DeadLetter(reason)) => counters.dead_lettered(reason),
            Some(NextStep::Nothing) => add(&counters.failed, 1),
            Some(NextStep::Stop) => {}
        }
    }

    /// Counts an attempt at an event, and adds it to the target's log.
    fn attempted_event(&self, attempt: &Attempt, due: &Due, is_delivered: bool) {
        let result = &attempt.result;
        // Of a batch, the receiver may have taken a part.
        let (outcome, error, response) = match is_delivered {
            true => (Outcome::Success, "", ""),
            false => (result.outcome, &*result.detail, &*result.response),
        };
        self.handle.counters.attempted(outcome);
        let is_plain = is_delivered && due.delivery.attempts == 0;
        let content = &due.content;
        // The trace of an event of Aurora's is stored in the place of attributes, and is no JSON.
        let attributes = content.attributes.as_ref();
        let attributes = attributes.filter(|stored| stored.starts_with(b"{"));
        let known = content.summary.as_ref().or(attributes);
        // Of a delivery from a backlog the body is not read, which takes a microsecond or two.
        let read = (known.is_none() && !is_plain).then(|| EventSummary::of_body(&content.body));
        let summary = known.map_or_else(
            || read.as_ref().map_or(&[][..], EventSummary::as_slice),
            |known| &**known,
        );
        let key = event_key(&due.key);
        let mut record = AttemptRecord {
            number: 0,
            started_at: attempt.started_at,
            id: due.delivery.id,
            key: key.into(),
            key_bytes: key.len(),
            summary: Cow::Borrowed(summary),
            attempt: due.delivery.attempts.saturating_add(1),
            batch: attempt.batch_id.map(|id| (id, attempt.batch.count())),
            outcome,
            status: result.status,
            error: Cow::Borrowed(error),
            took: attempt.took,
            bytes: content.body.len(),
            response: Cow::Borrowed(response),
        };
        record.number = self.handle.attempts.add(&record);
        self.observer.attempt(&self.handle.name, &record);
    }

    fn report_incidents(&self, attempt: &Attempt, decision: &Decision) {
        let target = &*self.handle.name;
        // Of the events of a batch that go on alike, the first is reported.
        for (follows, index, others) in decision.failures() {
            let Some(due) = attempt.batch.iter().nth(index) else {
                continue;
            };
            if follows == NextStep::Stop && decision.change.is_none() {
                continue;
            }
            self.observer.incident(&Incident::AttemptFailed {
                target,
                task: &shown_task(&due.key),
                id: due.delivery.id,
                others,
                attempt: due.delivery.attempts.saturating_add(1),
                outcome: attempt.result.outcome,
                detail: &attempt.result.detail,
                follows,
            });
        }
        let incident = match decision.change {
            None => return,
            Some(StateChange::Stopped) => Incident::TargetStopped { target },
            Some(StateChange::BreakerOpened(cause, back_off)) => Incident::BreakerOpened {
                target,
                cause,
                back_off,
            },
            Some(StateChange::BreakerClosed) => Incident::BreakerClosed { target },
        };
        self.observer.incident(&incident);
    }

    /// Counts an event that was delivered or given up.
    pub(super) fn settled(&self, delivery: &Delivery, at: Moment) {
        let took = delivery.submitted.map_or_else(
            || Duration::from_millis(at.epoch_ms().saturating_sub(delivery.accepted_at)),
            |submitted| at.now.saturating_duration_since(submitted),
        );
        self.handle.counters.settled_after(took);
    }

    /// Counts pending events that are no longer in the queue.
    pub(super) fn damaged(&self, events: u64) {
        self.handle.counters.count_damaged(events);
        self.observer.incident(&Incident::RecordsDamaged {
            target: &self.handle.name,
            events,
        });
    }

    pub(super) fn queue_unreadable(&self, error: &QueueError) {
        self.observer.incident(&Incident::QueueUnreadable {
            target: &self.handle.name,
            error,
        });
    }

    pub(super) fn sender_not_started(&self, error: &io::Error) {
        self.observer.incident(&Incident::SenderNotStarted {
            target: &self.handle.name,
            detail: &error.to_string(),
        });
    }

    /// Publishes the target's state in its counters. So many `announced` events were not taken yet.
    pub(super) fn publish(&self, state: &TargetState, announced: usize, clock: &dyn Clock) {
        let counters = &self.handle.counters;
        let set = |counter: &AtomicU64, value: usize| {
            counter.store(value as u64, Ordering::Relaxed);
        };
        set(&counters.in_flight, state.outstanding());
        set(&counters.waiting_tasks, state.waiting());
        set(&counters.in_memory, state.held() + announced);
        let next_retry = state.next_wake().map_or(0, |at| {
            let in_time = at.saturating_duration_since(clock.now());
            epoch_ms(clock.wall() + in_time)
        });
        counters.next_retry_at.store(next_retry, Ordering::Relaxed);
        let gate = &state.gate;
        let hold = gate.current_hold(clock.now());
        let breaker = (gate.state(), gate.open_until());
        counters.set_gate(breaker, hold, gate.is_held(), gate.is_paused());
    }
}
