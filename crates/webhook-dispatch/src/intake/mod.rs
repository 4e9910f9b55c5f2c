//! Handing events over.

pub(crate) mod prepared_event;
pub(crate) mod routing_table;
pub(crate) mod submission;
pub(crate) mod writer;

use crate::intake::routing_table::Roster;
use crate::intake::submission::{BEST_EFFORT_WINDOW, Submission};
use crate::intake::writer::Writer;
use crate::shared::clock::Clock;
use crate::shared::event_ids::Names;
use crate::shared::incident::{Incident, Observer};
use crate::shared::progress::Tally;
use crate::supervisor::Fleet;
use crate::worker::handle::{Command, Line};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};
use webhook_model::ReadError;
use webhook_queue::{EventId, Queue, QueueError, RecentKeys};

/// The part of a submitter's time that is kept for the commit, at most.
const COMMIT: Duration = Duration::from_millis(250);

/// What an accepted event got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its name, which every receiver sees as `webhook-id`.
    pub id: EventId,
    /// How many targets it is for. 0: every target's filters leave it out.
    pub targets: usize,
    /// How many of them are reliable: to these it will be delivered, or kept as a dead letter.
    pub reliable: usize,
    /// Whether an event of the same key was accepted before, so that this one was not: `id` is the
    /// name of that first one. See [`Submission`].
    pub duplicate: bool,
}

impl Receipt {
    /// Whether the event need not be submitted again whatever happens: a reliable target is owed
    /// it (or has had it, if it is a duplicate), or nobody wants it.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.reliable > 0 || self.targets == 0
    }
}

/// An event that was not accepted, given back.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct SubmitError {
    /// The event.
    pub event: Arc<[u8]>,
    /// Why it was not accepted.
    #[source]
    pub refusal: Refusal,
}

/// Why an event was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not a task state change. Do not submit it again.
    #[error("not a task state change: {0}")]
    NotAnEvent(ReadError),
    /// It is JSON without a `task`. Do not submit it again.
    #[error("not a task state change: there is no `task` object in it")]
    NoTask,
    /// It is longer than `maxEventBytes`. Do not submit it again.
    #[error("{length} bytes are more than maxEventBytes allows, which is {max}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// There was no room until the deadline. Submit it again.
    #[error("there was no room for the event in time; try again")]
    Full,
    /// It was handed to the queue, which had not confirmed it by the deadline. It may be accepted
    /// yet: submitted again without a key (see [`Submission`]), it may be delivered twice, under two
    /// names.
    #[error("the queue did not confirm the event in time; it may or may not have been accepted")]
    Unconfirmed,
    /// The queue did not take it.
    #[error("the queue did not take the event")]
    Queue(#[source] Arc<QueueError>),
    /// The dispatcher is shutting down.
    #[error("the dispatcher is shutting down")]
    ShuttingDown,
}

/// Takes events for a dispatcher. Clones share it; each call may come from any thread.
///
/// The order of a task's events is the order of the calls, so whoever submits one task's events
/// from several threads must see to their order itself.
#[derive(Clone, Debug)]
pub struct Submitter {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    roster: RwLock<Arc<Roster>>,
    /// Opened with the first reliable target.
    storage: OnceLock<Storage>,
    /// Held by whoever starts or ends couriers, all the while.
    pub(crate) fleet: Mutex<Fleet>,
    pub(crate) names: Names,
    /// The keys of events that only best-effort targets wanted.
    pub(crate) recent: Mutex<RecentKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) closed: AtomicBool,
}

/// Where the events of reliable targets are.
pub(crate) struct Storage {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) writer: Arc<Writer>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitter")
            .field("targets", &self.roster().seats.len())
            .finish_non_exhaustive()
    }
}

/// The reliable targets of an event.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) lines: Arc<[Arc<Line>]>,
    pub(crate) names: Arc<[Arc<str>]>,
}

impl Route {
    pub(crate) fn new(lines: Vec<Arc<Line>>) -> Route {
        Route {
            names: lines.iter().map(|line| Arc::clone(&line.name)).collect(),
            lines: lines.into(),
        }
    }
}

impl Submitter {
    pub(crate) fn new(inner: Arc<Inner>) -> Submitter {
        Submitter { inner }
    }

    /// Submits an event, and returns once it is durable: it survives a crash from then on, and
    /// will be delivered to each reliable target that wants it, or kept as its dead letter.
    /// Blocks until the deadline at most. Best-effort targets promise nothing.
    ///
    /// # Errors
    /// The event was not accepted, and is given back; [`Refusal`] says why, and whether to submit
    /// it again.
    pub fn submit(
        &self,
        event: impl Into<Submission>,
        deadline: Instant,
    ) -> Result<Receipt, SubmitError> {
        // The last quarter is for the commit: a full queue is told in time, and not taken for one
        // that does not answer.
        let left = deadline.saturating_duration_since(Instant::now());
        let room_until = deadline - (left / 4).min(COMMIT);
        let mut submission = event.into();
        let room_until = submission
            .room_until
            .map_or(room_until, |at| at.min(room_until));
        submission = submission.room_until(room_until);
        let event = Arc::clone(&submission.event);
        let (confirm, confirmed) = crossbeam_channel::bounded(1);
        let completion = move |result| {
            // Whoever gave up waiting does not want to know.
            drop(confirm.send(result));
        };
        self.inner
            .hand_over(submission, Some(room_until), completion)?;
        let refusal = match confirmed.recv_deadline(deadline) {
            Ok(Ok(receipt)) => return Ok(receipt),
            Ok(Err(refusal)) => refusal,
            Err(_) => Refusal::Unconfirmed,
        };
        Err(SubmitError { event, refusal })
    }

    /// Hands an event over without ever blocking. It is durable a moment later, or, while the
    /// queue is full and `whenFull` is `block`, as soon as there is room. Should the queue refuse
    /// it after all, its disk failing say, only the observer is told
    /// ([`Incident::NotAccepted`]); who must know uses [`submit`](Self::submit) or
    /// [`submit_with`](Self::submit_with).
    ///
    /// # Errors
    /// The event was not accepted, and is given back; [`Refusal`] says why, and whether to submit
    /// it again.
    pub fn try_submit(&self, event: impl Into<Submission>) -> Result<EventId, SubmitError> {
        let observer = Arc::clone(&self.inner.observer);
        self.submit_with(event.into(), None, move |result| {
            if let Err(refusal) = result {
                observer.incident(&Incident::NotAccepted { refusal: &refusal });
            }
        })
    }

    /// Hands an event over, blocking until the deadline at most (without one, not at all), and
    /// calls `completion` once, when it is durable, or was refused after all. Once handed over, an
    /// event waits for room in a full queue if `whenFull` is `block`, until
    /// [`Submission::room_until`] or as long as it takes; at the shutdown, one that still waits is
    /// refused. Completions come in the order of the calls, on
    /// the queue's writer thread, which they must not block; that of an event which no reliable
    /// target wants comes at once. A panic in one is caught. The id that is returned at once is the
    /// event's unless it turns out to be a duplicate, which only the completion is told.
    ///
    /// # Errors
    /// The event was not handed over and is given back; `completion` is not called.
    pub fn submit_with(
        &self,
        event: impl Into<Submission>,
        deadline: Option<Instant>,
        completion: impl FnOnce(Result<Receipt, Refusal>) + Send + 'static,
    ) -> Result<EventId, SubmitError> {
        self.inner.hand_over(event.into(), deadline, completion)
    }
}

impl Inner {
    pub(crate) fn new(
        roster: Roster,
        fleet: Fleet,
        names: Names,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Inner {
        Inner {
            roster: RwLock::new(Arc::new(roster)),
            storage: OnceLock::new(),
            fleet: Mutex::new(fleet),
            names,
            recent: Mutex::new(RecentKeys::new(BEST_EFFORT_WINDOW)),
            clock,
            observer,
            tally: Arc::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Who is delivered to now. The lock is held no longer than this takes.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Delivers to others from now on; to whom it did so far.
    pub(crate) fn replace_roster(&self, roster: Roster) -> Arc<Roster> {
        let mut current = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, Arc::new(roster))
    }

    /// The queue and its writer; none while no target has been reliable.
    pub(crate) fn storage(&self) -> Option<&Storage> {
        self.storage.get()
    }

    /// Has events stored from now on.
    pub(crate) fn store_in(&self, storage: Storage) {
        // Whoever holds the fleet is the only one to do so, and only once.
        drop(self.storage.set(storage));
    }

    /// Tells every courier to stop.
    pub(crate) fn stop(&self) {
        for line in self.roster().lines() {
            line.command(Command::Stop);
        }
    }

    pub(crate) fn recent(&self) -> MutexGuard<'_, RecentKeys> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
