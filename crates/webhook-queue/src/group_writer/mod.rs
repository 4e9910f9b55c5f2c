//! The one thread that writes, and its groups.

mod group;
mod line;
mod statistics;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use self::group::Writer;
use self::line::Line;
use crate::{Accepted, Event, Queue, QueueError, Settlement};

pub use self::statistics::{Distribution, WriterStatistics};

/// How much a [`GroupWriter`] takes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by callers, `..Default::default()`"
)]
pub struct Limits {
    /// Events that may wait for the writer.
    pub waiting_events: usize,
    /// Bytes of keys and bodies that may wait; one event may always wait, however large.
    pub waiting_bytes: usize,
    /// Events in a group.
    pub group_events: usize,
    /// Bytes of keys and bodies in a group; one event may always be one. Until a group is on the
    /// disk, it is in memory as pages of 4 KiB: those of its bodies, and at worst some four of the
    /// tables for each settlement.
    pub group_bytes: usize,
    /// Settlements in a group.
    pub group_settlements: usize,
    /// What happens to events that a full queue has no room for.
    pub when_full: WhenFull,
}

impl Default for Limits {
    /// 1024 events and 8 MiB waiting; 512 events, 4 MiB and 768 settlements a group, which is at
    /// most some 16 MiB of pages; `Block`.
    fn default() -> Limits {
        Limits {
            waiting_events: 1024,
            waiting_bytes: 8 << 20,
            group_events: 512,
            group_bytes: 4 << 20,
            group_settlements: 768,
            when_full: WhenFull::Block,
        }
    }
}

/// What happens to events that a full queue has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// They fail at once, with [`QueueError::Full`].
    Fail,
    /// They wait until settlements have made room, in order, each up to its own deadline; then it
    /// fails with [`QueueError::Full`]. One without a deadline does not wait.
    Block,
}

/// What one commit did, in the order in which it was done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Committed<T> {
    /// What became of events.
    pub appended: Vec<Appended<T>>,
    /// Settlements that are durable now.
    pub settled: Vec<Settlement>,
}

/// What became of an event that was given to [`append`](GroupWriter::append).
#[derive(Debug)]
#[non_exhaustive]
pub struct Appended<T> {
    /// The event.
    pub event: Event,
    /// What was given with it.
    pub ticket: T,
    /// Its handle, if it is durable now, or the name of the one that it repeats, which is; else
    /// why it was not accepted.
    pub result: Result<Accepted, Arc<QueueError>>,
}

/// What was not taken, given back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused<V> {
    /// Too much is waiting; it may be tried again.
    #[error("too many events are waiting to be written; the event was not accepted")]
    Busy(V),
    /// The writer was shut down.
    #[error("the queue is being closed; the event was not accepted")]
    Closed(V),
}

impl<V> Refused<V> {
    /// What was not taken.
    pub fn into_inner(self) -> V {
        match self {
            Refused::Busy(value) | Refused::Closed(value) => value,
        }
    }
}

impl<V> std::fmt::Debug for Refused<V> {
    /// Without the value, which need not be printable.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Busy(_) => f.write_str("Busy(..)"),
            Refused::Closed(_) => f.write_str("Closed(..)"),
        }
    }
}

/// The one thread that writes to a queue. Events and settlements from any number of threads are
/// committed together, a group being whatever came while the last one was synced, within
/// [`Limits`]. Events keep the order in which `append` took them.
///
/// If a commit fails, its events fail with that error, and its settlements are kept and tried
/// again: with the next group, or after a second. Whether later events are taken is the queue's
/// decision; see [`QueueError`].
///
/// Dropping it tells the thread to write what is waiting and end, and does not wait for that.
pub struct GroupWriter<T> {
    line: Arc<Line<T>>,
    /// Taken by `shutdown` alone.
    thread: Option<JoinHandle<Vec<Settlement>>>,
}

impl<T: Send + 'static> GroupWriter<T> {
    /// Starts the thread, named `webhook-queue`. `on_commit` is called on it after each commit and
    /// holds up the next one as long as it runs; it may call `settle`, but has to give `append` no
    /// deadline, since only its own return makes room.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn start(
        queue: Arc<dyn Queue>,
        limits: Limits,
        on_commit: impl FnMut(Committed<T>) + Send + 'static,
    ) -> io::Result<GroupWriter<T>> {
        let line = Arc::new(Line::new(limits));
        let writer = Writer::new(queue, line.clone(), on_commit);
        let thread = thread::Builder::new()
            .name("webhook-queue".into())
            .spawn(|| writer.run())?;
        Ok(GroupWriter {
            line,
            thread: Some(thread),
        })
    }

    /// Hands an event to the writer; `on_commit` gets it back with `ticket` and what became of it.
    /// If too much is waiting, blocks up to `deadline`; without one, does not block. The deadline
    /// also ends its wait for room in the queue, see [`WhenFull::Block`].
    ///
    /// # Errors
    /// The event and the ticket, if there was no room up to the deadline, or the writer was shut
    /// down.
    pub fn append(
        &self,
        event: Event,
        ticket: T,
        deadline: Option<Instant>,
    ) -> Result<(), Refused<(Event, T)>> {
        self.line.append(event, ticket, deadline, deadline)
    }

    /// Hands a settlement to the writer. Never blocks and is never refused: callers bound what they
    /// settle by what they have in flight. What is handed over after the shutdown, or after
    /// `on_commit` panicked, is not written.
    pub fn settle(&self, settlement: Settlement) {
        self.line.settle(settlement);
    }

    /// What it has done so far.
    #[must_use]
    pub fn statistics(&self) -> WriterStatistics {
        self.line.statistics()
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> WriterHandle<T> {
        WriterHandle {
            line: self.line.clone(),
        }
    }

    /// Takes nothing more, writes what is waiting, and ends the thread. Events that a full queue
    /// has no room for fail.
    ///
    /// # Errors
    /// The settlements that could not be committed: their entries are still owed. All those that
    /// were handed over and not confirmed, if `on_commit` panicked.
    pub fn shutdown(mut self) -> Result<(), Vec<Settlement>> {
        self.line.close();
        let unsettled = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(unsettled)) => unsettled,
            Some(Err(_)) | None => self.line.abandoned(),
        };
        if unsettled.is_empty() {
            Ok(())
        } else {
            Err(unsettled)
        }
    }
}

impl<T> Drop for GroupWriter<T> {
    fn drop(&mut self) {
        self.line.close();
    }
}

impl<T> std::fmt::Debug for GroupWriter<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupWriter")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// A handle of a [`GroupWriter`]; it does not keep it running.
pub struct WriterHandle<T> {
    line: Arc<Line<T>>,
}

impl<T> WriterHandle<T> {
    /// As [`GroupWriter::append`].
    ///
    /// # Errors
    /// As there.
    pub fn append(
        &self,
        event: Event,
        ticket: T,
        deadline: Option<Instant>,
    ) -> Result<(), Refused<(Event, T)>> {
        self.line.append(event, ticket, deadline, deadline)
    }

    /// As [`append`](WriterHandle::append), but once handed over, the event may wait for room in
    /// the queue up to `room_until`, which may be later than the deadline of this call.
    ///
    /// # Errors
    /// As there.
    pub fn append_patiently(
        &self,
        event: Event,
        ticket: T,
        deadline: Option<Instant>,
        room_until: Instant,
    ) -> Result<(), Refused<(Event, T)>> {
        self.line.append(event, ticket, deadline, Some(room_until))
    }

    /// As [`GroupWriter::settle`].
    pub fn settle(&self, settlement: Settlement) {
        self.line.settle(settlement);
    }

    /// As [`GroupWriter::statistics`].
    #[must_use]
    pub fn statistics(&self) -> WriterStatistics {
        self.line.statistics()
    }
}

impl<T> Clone for WriterHandle<T> {
    fn clone(&self) -> WriterHandle<T> {
        WriterHandle {
            line: self.line.clone(),
        }
    }
}

impl<T> std::fmt::Debug for WriterHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriterHandle")
            .field("line", &self.line)
            .finish()
    }
}
