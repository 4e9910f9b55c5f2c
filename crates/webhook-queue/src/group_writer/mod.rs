//! The one thread that writes, and its groups.

mod committed;
mod gathering;
mod group;
mod limits;
#[cfg(all(test, loom))]
mod models;
mod refused;
mod sequence;
mod settlements;
mod statistics;
mod sync;
mod waiting;
mod write_queue;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use self::group::Writer;
use self::sync::{Builder, JoinHandle};
use self::write_queue::WriteQueue;
use crate::{Event, Queue, Settlement};

pub use self::committed::{Appended, Committed};
pub use self::limits::{Limits, WhenFull};
pub use self::refused::Refused;
pub use self::sequence::Sequence;
pub use self::statistics::{Distribution, WriterStatistics};

/// The one thread that writes to a queue. Events and settlements from any number of threads are
/// committed together: a group is what came while the last one was synced, within [`Limits`].
/// Events keep the order in which `append` took them.
///
/// If a commit fails for want of room, smaller ones are made. If it fails otherwise, its settlements
/// are kept and tried again: with the next group, or after a second. Its events wait, too, if
/// [`WhenFull`] and the error allow it; else they fail with that error. Whether later events are
/// taken is the queue's decision; see
/// [`QueueError`](crate::QueueError).
///
/// Dropping it tells the thread to write what waits and end, and does not wait for it.
///
/// ```
/// use std::sync::{Arc, mpsc};
/// use std::time::{Duration, Instant};
/// use webhook_queue::{Event, EventId, GroupWriter, Limits, MemoryQueue};
///
/// let queue = Arc::new(MemoryQueue::new(1 << 20));
/// let (stored, results) = mpsc::channel();
/// let writer = GroupWriter::start(queue, Limits::default(), move |committed| {
///     for appended in committed.appended {
///         // The ticket that came with the event tells whose it is.
///         stored.send((appended.ticket, appended.result.is_ok())).unwrap();
///     }
/// })?;
/// let event = Event::new(EventId([7; 16]), &b"hello-0"[..], &b"{}"[..], 1_464_992_060_258, ["audit"]);
/// let deadline = Instant::now() + Duration::from_secs(1);
/// writer.append(event, "the first", Some(deadline)).unwrap();
/// assert_eq!(results.recv()?, ("the first", true));
/// assert!(writer.shutdown().is_ok(), "every settlement is written");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct GroupWriter<T> {
    write_queue: Arc<WriteQueue<T>>,
    /// Taken by `shutdown` alone.
    thread: Option<JoinHandle<Vec<Settlement>>>,
}

impl<T: Send + 'static> GroupWriter<T> {
    /// Starts the thread, named `webhook-queue`. The thread calls `on_commit` after each
    /// commit, and makes the next one after it returns. It may call `settle`, and `append` without a
    /// deadline, since only its return makes room.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn start(
        queue: Arc<dyn Queue>,
        limits: Limits,
        on_commit: impl FnMut(Committed<T>) + Send + 'static,
    ) -> io::Result<GroupWriter<T>> {
        let write_queue = Arc::new(WriteQueue::new(limits));
        let writer = Writer::new(queue, write_queue.clone(), on_commit);
        let thread = Builder::new()
            .name("webhook-queue".into())
            .spawn(|| writer.run())?;
        Ok(GroupWriter {
            write_queue,
            thread: Some(thread),
        })
    }

    /// Hands an event to the writer; `on_commit` gets it back with `ticket` and its result. If too
    /// much is waiting, blocks up to `deadline`; without one, does not block. The deadline
    /// also ends its wait for the queue, see [`WhenFull::Block`].
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
        self.write_queue
            .append(event, ticket, deadline, deadline, None)
    }

    /// Hands a settlement to the writer. Never blocks and is never refused: callers bound what they
    /// settle by what they have in flight. What is handed over after the shutdown, or after
    /// `on_commit` panicked, is not written.
    pub fn settle(&self, settlement: Settlement) {
        self.write_queue.settle(settlement);
    }

    /// What it has done so far.
    #[must_use]
    pub fn statistics(&self) -> WriterStatistics {
        self.write_queue.statistics()
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> WriterHandle<T> {
        WriterHandle {
            write_queue: self.write_queue.clone(),
        }
    }

    /// Takes nothing more, writes what waits, and ends the thread. Events that the queue cannot
    /// store now fail.
    ///
    /// # Errors
    /// The settlements that could not be committed: their entries are still owed. All those that
    /// were handed over and not confirmed, if `on_commit` panicked.
    pub fn shutdown(mut self) -> Result<(), Vec<Settlement>> {
        self.write_queue.close();
        let unsettled = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(unsettled)) => unsettled,
            Some(Err(_)) | None => self.write_queue.abandoned(),
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
        self.write_queue.close();
    }
}

impl<T> std::fmt::Debug for GroupWriter<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupWriter")
            .field("write_queue", &self.write_queue)
            .finish_non_exhaustive()
    }
}

/// A handle of a [`GroupWriter`]; it does not keep it running.
pub struct WriterHandle<T> {
    write_queue: Arc<WriteQueue<T>>,
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
        self.write_queue
            .append(event, ticket, deadline, deadline, None)
    }

    /// As [`append`](WriterHandle::append), but once handed over, the event may wait for the queue
    /// up to `room_until`, which may be later than the deadline of this call, and it is refused if
    /// an earlier event of its sequence was and may be repeated.
    ///
    /// # Errors
    /// As there.
    pub fn append_patiently(
        &self,
        event: Event,
        ticket: T,
        deadline: Option<Instant>,
        room_until: Instant,
        sequence: Option<Sequence>,
    ) -> Result<(), Refused<(Event, T)>> {
        self.write_queue
            .append(event, ticket, deadline, Some(room_until), sequence)
    }

    /// As [`GroupWriter::settle`].
    pub fn settle(&self, settlement: Settlement) {
        self.write_queue.settle(settlement);
    }

    /// Has the settlements that were handed over written without a wait for others
    /// ([`Limits::settle_within`]).
    pub fn flush(&self) {
        self.write_queue.flush();
    }

    /// As [`GroupWriter::statistics`].
    #[must_use]
    pub fn statistics(&self) -> WriterStatistics {
        self.write_queue.statistics()
    }
}

impl<T> Clone for WriterHandle<T> {
    fn clone(&self) -> WriterHandle<T> {
        WriterHandle {
            write_queue: self.write_queue.clone(),
        }
    }
}

impl<T> std::fmt::Debug for WriterHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriterHandle")
            .field("write_queue", &self.write_queue)
            .finish()
    }
}
