//! Commits a group, or parts of it if that fails.

use std::sync::Arc;

use super::committed::{Appended, Committed};
use super::statistics::WriterStatistics;
use super::sync::now;
use super::waiting::{Wait, Waiting};
use super::write_queue::{Work, WriteQueue};
use crate::{Accepted, CommitResult, Event, Queue, QueueError, Settlement, SettlementResult};

/// The state of the writer's thread.
pub(super) struct Writer<T, F> {
    queue: Arc<dyn Queue>,
    write_queue: Arc<WriteQueue<T>>,
    on_commit: F,
}

/// The uncommitted events of a group, as a queue takes them, and their tickets.
struct Events<T> {
    events: Vec<Event>,
    tickets: Vec<Ticket<T>>,
}

/// A ticket, and how its event waits for room.
type Ticket<T> = (T, Wait);

/// Stops the write queue when the thread ends, by a panic of the callback too.
struct Stop<T>(Arc<WriteQueue<T>>);

impl<T> Drop for Stop<T> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<T, F: FnMut(Committed<T>)> Writer<T, F> {
    pub(super) fn new(
        queue: Arc<dyn Queue>,
        write_queue: Arc<WriteQueue<T>>,
        on_commit: F,
    ) -> Writer<T, F> {
        Writer {
            queue,
            write_queue,
            on_commit,
        }
    }

    /// Writes until the write queue is closed and empty. Returns the settlements that could not be
    /// committed.
    pub(super) fn run(mut self) -> Vec<Settlement> {
        let _stop = Stop(self.write_queue.clone());
        let mut unsettled = Vec::new();
        loop {
            match self.write_queue.next() {
                Work::End => return unsettled,
                Work::GiveUp(events, error) => self.fail(Events::new(events), &error),
                Work::Write(events, settlements) => {
                    let events = self.fail_overtaking(events);
                    if let Err(left) = self.write(events, settlements) {
                        unsettled.extend(left);
                    }
                }
            }
        }
    }

    /// Fails the events that would overtake a refused one of their sequence, and returns the others.
    fn fail_overtaking(&mut self, events: Vec<Waiting<T>>) -> Events<T> {
        let events = Events::new(events);
        let overtakes = |(_, wait): &Ticket<T>| wait.error().is_some();
        if !events.tickets.iter().any(overtakes) {
            return events;
        }
        let (failing, others): (Vec<_>, Vec<_>) = events
            .into_waiting()
            .into_iter()
            .partition(|waiting| waiting.error().is_some());
        for waiting in failing {
            if let Some(error) = waiting.error() {
                self.fail(Events::new(vec![waiting]), &error);
            }
        }
        Events::new(others)
    }

    /// Commits a group: whole if possible, else the settlements first, which may make room. Once
    /// closed, returns the settlements that could not be committed.
    fn write(
        &mut self,
        mut events: Events<T>,
        settlements: Vec<Settlement>,
    ) -> Result<(), Vec<Settlement>> {
        let all = events.len();
        let any_settled = !settlements.is_empty();
        let (error, settlements) = match self.commit(&mut events, all, settlements) {
            Ok(()) => {
                if any_settled {
                    self.write_queue.count(WriterStatistics::all_settled);
                }
                return Ok(());
            }
            Err(failed) => failed,
        };
        if settlements.is_empty() {
            self.append(events, Some(error));
            return Ok(());
        }
        if events.is_empty() {
            return self.settle(settlements, Some(error));
        }
        if error.is_away() {
            // A second commit would keep its callers waiting for the same failure.
            let count = settlements.len();
            self.write_queue.count(|counted| counted.unsettled = count);
            let kept = self.write_queue.keep(settlements);
            self.append(events, Some(error));
            return kept;
        }
        let settled = self.settle(settlements, None);
        // The room that the settlements made may be enough for the events.
        self.append(events, Some(error).filter(|error| !is_want_of_room(error)));
        settled
    }

    /// Commits settlements, in smaller groups if there is no room for all at once: a commit copies
    /// each page that it changes. `error` says why a commit of all failed, if one was tried. Keeps
    /// those that failed for the next try; once closed, returns them.
    fn settle(
        &mut self,
        mut settlements: Vec<Settlement>,
        mut error: Option<QueueError>,
    ) -> Result<(), Vec<Settlement>> {
        let mut count = settlements.len();
        let mut failed = None;
        let mut unsettled: Vec<Settlement> = Vec::new();
        while !settlements.is_empty() {
            let found = match error.take() {
                Some(error) => error,
                None => {
                    let rest = settlements.split_off(count);
                    let mut none = Events::new(Vec::new());
                    match self.commit(&mut none, 0, settlements) {
                        Ok(()) => {
                            settlements = rest;
                            count = count.min(settlements.len());
                            continue;
                        }
                        Err((error, first)) => {
                            settlements = first;
                            settlements.extend(rest);
                            error
                        }
                    }
                }
            };
            let is_full = matches!(found, QueueError::Full { .. });
            if count > 1 && (is_full || matches!(found, QueueError::NoSpace { .. })) {
                count /= 2;
                continue;
            }
            failed = Some(found);
            if !is_full {
                unsettled.append(&mut settlements);
                break;
            }
            // The others may need less room. Those of the same entry keep their order.
            let first = settlements.remove(0);
            let same = |other: &mut Settlement| {
                (other.entry, &other.target) == (first.entry, &first.target)
            };
            let later: Vec<_> = settlements.extract_if(.., same).collect();
            unsettled.push(first);
            unsettled.extend(later);
            count = count.min(settlements.len());
        }
        match failed {
            None => {
                self.write_queue.count(WriterStatistics::all_settled);
                Ok(())
            }
            Some(error) => {
                let count = unsettled.len();
                self.write_queue
                    .count(|counted| counted.unsettled(count, &error));
                self.write_queue.keep(unsettled)
            }
        }
    }

    /// Commits events, or the first of them if there is no room for all. `error` says why a commit
    /// of all failed, if one was tried.
    fn append(&mut self, mut events: Events<T>, mut error: Option<QueueError>) {
        let mut count = events.len();
        while !events.is_empty() {
            let failed = match error.take() {
                Some(error) => error,
                None => match self.commit(&mut events, count, Vec::new()) {
                    Ok(()) => {
                        count = events.len();
                        continue;
                    }
                    Err((error, _)) => error,
                },
            };
            if is_want_of_room(&failed) && count > 1 {
                count /= 2;
                continue;
            }
            if let QueueError::TooLarge { .. } = failed {
                let first = events.split_first();
                self.fail(first, &Arc::new(failed));
                count = events.len();
                continue;
            }
            if !is_want_of_room(&failed) {
                self.write_queue.count(|counted| counted.failed(&failed));
            }
            let error = Arc::new(failed);
            let left = self.write_queue.block(events.into_waiting(), &error);
            if !left.refused.is_empty() {
                self.fail(Events::new(left.refused), &error);
            }
            events = Events::new(left.passing);
            count = events.len();
        }
    }

    /// Makes one commit of the first `count` events and of settlements, and returns the settlements
    /// if it fails.
    fn commit(
        &mut self,
        events: &mut Events<T>,
        count: usize,
        settlements: Vec<Settlement>,
    ) -> Result<(), (QueueError, Vec<Settlement>)> {
        let begun = now();
        match self.queue.commit(&events.events[..count], &settlements) {
            Err(error) => Err((error, settlements)),
            Ok(CommitResult { accepted, settled }) => {
                let took = now().saturating_duration_since(begun);
                assert_eq!(
                    accepted.len(),
                    count,
                    "a queue tells what became of each event"
                );
                let repeated = accepted.iter().filter_map(Accepted::duplicate_of).count();
                let unchanged = accepted.iter().filter(|it| it.is_unchanged()).count();
                let stored = accepted.iter().filter_map(Accepted::entry).count();
                let is_fenced = |result: &&SettlementResult| **result == SettlementResult::Fenced;
                let fenced = settled.iter().filter(is_fenced).count();
                self.write_queue.count(|counted| {
                    counted.committed(took, stored, settlements.len());
                    counted.duplicates += repeated as u64;
                    counted.unchanged += unchanged as u64;
                    counted.fenced += fenced as u64;
                });
                self.write_queue
                    .unblock(count, took, !settlements.is_empty());
                let appended = events.split(count).appended(accepted.into_iter().map(Ok));
                (self.on_commit)(Committed {
                    appended,
                    settled: settlements,
                    results: settled,
                });
                Ok(())
            }
        }
    }

    fn fail(&mut self, events: Events<T>, error: &Arc<QueueError>) {
        let count = events.len() as u64;
        self.write_queue.count(|counted| counted.refused += count);
        let refused = events.tickets.iter();
        let errors: Vec<_> = refused.map(|(_, wait)| wait.refuse(error)).collect();
        let appended = events.appended(errors.into_iter().map(Err));
        (self.on_commit)(Committed {
            appended,
            settled: Vec::new(),
            results: Vec::new(),
        });
    }
}

/// Whether there may be room for fewer events, or for these later.
fn is_want_of_room(error: &QueueError) -> bool {
    matches!(error, QueueError::Full { .. } | QueueError::TooLarge { .. })
}

impl<T> Events<T> {
    fn new(waiting: Vec<Waiting<T>>) -> Events<T> {
        let (events, tickets) = waiting.into_iter().map(Waiting::into_parts).unzip();
        Events { events, tickets }
    }

    fn len(&self) -> usize {
        self.events.len()
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes the first `count` out.
    fn split(&mut self, count: usize) -> Events<T> {
        // Mostly nothing stays, and then nothing is moved.
        let events = self.events.split_off(count);
        let tickets = self.tickets.split_off(count);
        Events {
            events: std::mem::replace(&mut self.events, events),
            tickets: std::mem::replace(&mut self.tickets, tickets),
        }
    }

    fn split_first(&mut self) -> Events<T> {
        self.split(1.min(self.len()))
    }

    fn into_waiting(self) -> Vec<Waiting<T>> {
        let parts = self.events.into_iter().zip(self.tickets);
        parts
            .map(|(event, (ticket, wait))| Waiting::new(event, ticket, wait))
            .collect()
    }

    fn appended(
        self,
        results: impl Iterator<Item = Result<Accepted, Arc<QueueError>>>,
    ) -> Vec<Appended<T>> {
        self.events
            .into_iter()
            .zip(self.tickets)
            .zip(results)
            .map(|((event, (ticket, _)), result)| Appended {
                event,
                ticket,
                result,
            })
            .collect()
    }
}
