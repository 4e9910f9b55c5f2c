//! Committing a group, and what becomes of it if that fails.

use std::sync::Arc;
use std::time::Instant;

use super::line::{Line, Waiting, Work};
use super::{Appended, Committed};
use crate::{Accepted, Event, Queue, QueueError, Settlement};

/// What the thread runs.
pub(super) struct Writer<T, F> {
    queue: Arc<dyn Queue>,
    line: Arc<Line<T>>,
    on_commit: F,
}

/// The events of a group that are yet to be committed, as a queue wants them, and their tickets.
struct Events<T> {
    events: Vec<Event>,
    tickets: Vec<Ticket<T>>,
}

/// A ticket, and until when its event may wait.
type Ticket<T> = (T, Option<Instant>);

/// Stops the line when the thread ends, even by a panic of the callback.
struct Stop<T>(Arc<Line<T>>);

impl<T> Drop for Stop<T> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<T, F: FnMut(Committed<T>)> Writer<T, F> {
    pub(super) fn new(queue: Arc<dyn Queue>, line: Arc<Line<T>>, on_commit: F) -> Writer<T, F> {
        Writer {
            queue,
            line,
            on_commit,
        }
    }

    /// Writes until the line is closed and empty; the settlements that could not be committed.
    pub(super) fn run(mut self) -> Vec<Settlement> {
        let _stop = Stop(self.line.clone());
        loop {
            match self.line.next() {
                Work::End => return Vec::new(),
                Work::GiveUp(events, full) => self.fail(Events::new(events), &full),
                Work::Write(events, settlements) => {
                    if let Err(unsettled) = self.write(Events::new(events), settlements) {
                        return unsettled;
                    }
                }
            }
        }
    }

    /// Commits a group: at once if possible, else the settlements first, which may make room.
    fn write(
        &mut self,
        mut events: Events<T>,
        settlements: Vec<Settlement>,
    ) -> Result<(), Vec<Settlement>> {
        let all = events.len();
        let error = match self.commit(&mut events, all, settlements) {
            Ok(()) => return Ok(()),
            Err((error, settlements)) if events.is_empty() => {
                self.line.count(|counted| counted.failed(&error));
                return self.line.keep(settlements);
            }
            Err((error, settlements)) if settlements.is_empty() => error,
            Err((error, settlements)) => {
                let retry = is_want_of_room(&error);
                match self.commit(&mut events, 0, settlements) {
                    Err((unsettled, settlements)) => {
                        self.append(events, Some(error));
                        self.line.count(|counted| counted.failed(&unsettled));
                        return self.line.keep(settlements);
                    }
                    Ok(()) if retry => {
                        self.append(events, None);
                        return Ok(());
                    }
                    Ok(()) => error,
                }
            }
        };
        self.append(events, Some(error));
        Ok(())
    }

    /// Commits events, or as many of the first of them as there is room for. `error` is why all of
    /// them could not be committed at once, if that was tried.
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
            match failed {
                QueueError::TooLarge { .. } => {
                    let first = events.split_first();
                    self.fail(first, &Arc::new(failed));
                    count = events.len();
                }
                QueueError::Full { .. } => {
                    let full = Arc::new(failed);
                    if let Err(refused) = self.line.block(events.into_waiting(), full.clone()) {
                        self.fail(Events::new(refused), &full);
                    }
                    return;
                }
                failed => {
                    self.line.count(|counted| counted.failed(&failed));
                    return self.fail(events, &Arc::new(failed));
                }
            }
        }
    }

    /// One commit of the first `count` events and of settlements, which come back if it fails.
    fn commit(
        &mut self,
        events: &mut Events<T>,
        count: usize,
        settlements: Vec<Settlement>,
    ) -> Result<(), (QueueError, Vec<Settlement>)> {
        let begun = Instant::now();
        match self.queue.commit(&events.events[..count], &settlements) {
            Err(error) => Err((error, settlements)),
            Ok(accepted) => {
                let took = begun.elapsed();
                assert_eq!(
                    accepted.len(),
                    count,
                    "a queue tells what became of each event"
                );
                let repeated = accepted.iter().filter_map(Accepted::duplicate_of).count();
                self.line.count(|counted| {
                    counted.committed(took, count - repeated, settlements.len());
                    counted.duplicates += repeated as u64;
                });
                if !settlements.is_empty() {
                    self.line.unblock();
                }
                let appended = events.split(count).appended(accepted.into_iter().map(Ok));
                (self.on_commit)(Committed {
                    appended,
                    settled: settlements,
                });
                Ok(())
            }
        }
    }

    fn fail(&mut self, events: Events<T>, error: &Arc<QueueError>) {
        let count = events.len() as u64;
        self.line.count(|counted| counted.refused += count);
        let appended = events.appended(std::iter::repeat_with(|| Err(error.clone())));
        (self.on_commit)(Committed {
            appended,
            settled: Vec::new(),
        });
    }
}

/// Whether fewer events, or the same ones later, may find room.
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
        // What stays is mostly nothing, and then nothing is moved.
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
            .map(|(event, (ticket, deadline))| Waiting::new(event, ticket, deadline))
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
