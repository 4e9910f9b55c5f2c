//! The ids of events that were stored lately, within a bound.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The ids of the events that were stored lately, so that a repeat is recognised.
///
/// An id counts as seen only once its event is stored: [`begin`](RecentIds::begin) claims it,
/// [`Claim::commit`] remembers it, and a claim that is dropped, because storing failed or panicked,
/// leaves the id as it was. So an event is never taken for a repeat of one that was lost.
///
/// The ids are in memory. After a restart, begin and commit those of the store; or let the store have
/// the last word by a unique key, and use this to spare it most repeats.
///
/// ```
/// use std::time::{Duration, Instant};
/// use webhook_receiver::{Begin, RecentIds};
///
/// let recent = RecentIds::new(1000, Duration::from_secs(3600));
/// let now = Instant::now();
/// let Begin::New(claim) = recent.begin("evt_1", now) else { unreachable!() };
/// assert!(matches!(recent.begin("evt_1", now), Begin::InProgress));
/// drop(claim); // storing failed
/// let Begin::New(claim) = recent.begin("evt_1", now) else { unreachable!() };
/// claim.commit(now); // stored
/// assert!(matches!(recent.begin("evt_1", now), Begin::Seen));
/// ```
#[derive(Debug)]
pub struct RecentIds {
    max_ids: usize,
    max_age: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stored: HashSet<Arc<str>>,
    /// The ids of `stored`, the oldest first, and when each was stored.
    order: VecDeque<(Instant, Arc<str>)>,
    in_progress: HashSet<Arc<str>>,
}

/// What is known of an id.
#[derive(Debug)]
#[must_use]
#[expect(
    clippy::exhaustive_enums,
    reason = "a receiver has to handle each of these"
)]
pub enum Begin<'a> {
    /// It is new: store its event and commit the claim.
    New(Claim<'a>),
    /// Its event was stored before: answer 2xx.
    Seen,
    /// Another request stores its event at this moment. Answer 409, so that the event is sent again: the
    /// other request may fail.
    InProgress,
}

/// The right to store the event of an id.
#[derive(Debug)]
#[must_use = "the id is forgotten when the claim is dropped; commit it once the event is stored"]
pub struct Claim<'a> {
    recent: &'a RecentIds,
    id: Arc<str>,
}

/// An id that had to be forgotten before its time, for want of room. A repeat of its event will be taken
/// for new.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// The id.
    pub id: String,
    /// How long it was remembered. If that is less than the sender may repeat an event, allow more ids.
    pub after: Duration,
}

impl RecentIds {
    /// Remembers at most `max_ids` ids, each for `max_age`.
    ///
    /// An id takes some 150 bytes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use webhook_receiver::RecentIds;
    /// // An hour at 100 events a second.
    /// let recent = RecentIds::new(360_000, Duration::from_secs(3600));
    /// assert!(recent.is_empty());
    /// ```
    #[must_use]
    pub fn new(max_ids: usize, max_age: Duration) -> RecentIds {
        RecentIds {
            max_ids,
            max_age,
            state: Mutex::default(),
        }
    }

    /// Looks an id up, and claims it if it is new. `now` is `Instant::now()`, or another time in a test.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use webhook_receiver::{Begin, RecentIds};
    /// let recent = RecentIds::new(1000, Duration::from_secs(60));
    /// let now = Instant::now();
    /// if let Begin::New(claim) = recent.begin("evt_1", now) {
    ///     claim.commit(now);
    /// }
    /// assert!(matches!(recent.begin("evt_1", now + Duration::from_secs(59)), Begin::Seen));
    /// assert!(matches!(recent.begin("evt_1", now + Duration::from_secs(60)), Begin::New(_)));
    /// ```
    pub fn begin(&self, id: &str, now: Instant) -> Begin<'_> {
        let mut state = self.state();
        while let Some((stored_at, _)) = state.order.front() {
            if now.saturating_duration_since(*stored_at) < self.max_age {
                break;
            }
            state.forget_oldest();
        }
        if state.stored.contains(id) {
            return Begin::Seen;
        }
        let id: Arc<str> = id.into();
        if !state.in_progress.insert(Arc::clone(&id)) {
            return Begin::InProgress;
        }
        Begin::New(Claim { recent: self, id })
    }

    /// How many ids it remembers.
    ///
    /// ```
    /// # use std::time::{Duration, Instant};
    /// # use webhook_receiver::{Begin, RecentIds};
    /// let recent = RecentIds::new(1000, Duration::from_secs(60));
    /// if let Begin::New(claim) = recent.begin("evt_1", Instant::now()) {
    ///     claim.commit(Instant::now());
    /// }
    /// assert_eq!(recent.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().order.len()
    }

    /// Whether it remembers none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use webhook_receiver::RecentIds;
    /// assert!(RecentIds::new(1000, Duration::from_secs(60)).is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change of the state is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_oldest(&mut self) -> Option<(Instant, Arc<str>)> {
        let oldest = self.order.pop_front()?;
        self.stored.remove(&oldest.1);
        Some(oldest)
    }
}

impl Claim<'_> {
    /// Remembers the id. Call it once the event is stored, and before the answer.
    ///
    /// Returns the oldest id, if there was no room for both.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use webhook_receiver::{Begin, RecentIds};
    ///
    /// let recent = RecentIds::new(1, Duration::from_secs(3600));
    /// let now = Instant::now();
    /// let commit = |id, at| match recent.begin(id, at) {
    ///     Begin::New(claim) => claim.commit(at),
    ///     _ => None,
    /// };
    /// assert_eq!(commit("evt_1", now), None);
    /// let forgotten = commit("evt_2", now + Duration::from_secs(5)).unwrap();
    /// assert_eq!((forgotten.id.as_str(), forgotten.after), ("evt_1", Duration::from_secs(5)));
    /// ```
    pub fn commit(self, now: Instant) -> Option<Forgotten> {
        let mut state = self.recent.state();
        let forgotten = match state.order.len() >= self.recent.max_ids {
            true => state.forget_oldest(),
            false => None,
        };
        if self.recent.max_ids > 0 {
            state.stored.insert(Arc::clone(&self.id));
            state.order.push_back((now, Arc::clone(&self.id)));
        }
        // The claim's end takes the lock again.
        drop(state);
        let (stored_at, id) = forgotten?;
        Some(Forgotten {
            id: id.as_ref().to_owned(),
            after: now.saturating_duration_since(stored_at),
        })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.recent.state().in_progress.remove(&self.id);
    }
}
