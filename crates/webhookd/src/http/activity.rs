//! Tracks what each connection waits for, and closes those whose peers are slow when there are too
//! many.

use super::limits::Limits;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// When a connection must be closed, one in this many is closed.
const EVICTED_SHARE: usize = 64;

/// How far a peer may be behind before its connection may be closed for another: how long it sends
/// no request, or by how much its body is behind the least rate. A request that is on its way is
/// therefore not cut off.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its peer's next request.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The rest of a request's body.
    Body,
    /// Our response.
    Response,
    /// The peer, which must read the response.
    Write,
}

impl Stage {
    const ALL: [Stage; 5] = [
        Stage::Idle,
        Stage::Head,
        Stage::Body,
        Stage::Response,
        Stage::Write,
    ];
    const BITS: u32 = 3;
}

/// The stage of one connection. A service finds it in the request's extensions.
///
/// Only the connection's own task changes the stage and closes the connection, so that no request
/// begins on a connection that is closed.
#[derive(Debug)]
pub(crate) struct Activity {
    origin: Instant,
    /// The least rate of a body and of the reading of a response, in bytes per second.
    least_rate: u64,
    /// Milliseconds from `origin` to the start of the stage, and the stage in the lowest bits. Bytes
    /// of a body or a response move the start forward, as far as the least rate allows time for them.
    at: AtomicU64,
    /// By how much the body was behind when it was last read, in milliseconds.
    behind: AtomicU64,
    /// The value of `at` for which the connection is to be closed.
    evict_at: AtomicU64,
    evicted: Notify,
    unread: AtomicBool,
}

impl Activity {
    fn new(origin: Instant, least_rate: usize) -> Activity {
        let activity = Activity {
            origin,
            least_rate: (least_rate as u64).max(1),
            at: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            evict_at: AtomicU64::new(u64::MAX),
            evicted: Notify::new(),
            unread: AtomicBool::new(false),
        };
        activity.enter(Stage::Idle);
        activity
    }

    /// A request's head has arrived.
    pub(super) fn begins(&self) {
        self.behind.store(0, Ordering::Relaxed);
        self.enter(Stage::Response);
    }

    /// The connection waits for the peer to send a body.
    pub(crate) fn reads_body(&self) {
        let behind = self.behind.load(Ordering::Relaxed);
        self.enter_at(Stage::Body, self.millis().saturating_sub(behind));
    }

    /// The peer waits for the response.
    pub(crate) fn works(&self) {
        if let (Stage::Body, since) = self.stage() {
            let behind = self.millis().saturating_sub(since);
            self.behind.store(behind, Ordering::Relaxed);
        }
        self.enter(Stage::Response);
    }

    /// When the body that is read now is so far behind the least rate that it may be given up for
    /// other requests.
    pub(crate) fn is_slow_from(&self) -> Instant {
        self.now().1 + PATIENCE
    }

    /// The response is sent before the request was read to its end.
    pub(crate) fn leaves_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// All of the response is in the buffer to be written.
    pub(super) fn answers(&self) {
        self.enter(Stage::Write);
    }

    /// Everything in the buffer is written.
    pub(super) fn flushed(&self) {
        if self.stage().0 == Stage::Write {
            self.enter(Stage::Idle);
        }
    }

    /// Bytes arrived from the peer.
    pub(super) fn received(&self, bytes: usize) {
        match self.stage() {
            (Stage::Idle, _) => self.enter(Stage::Head),
            (Stage::Body, since) => self.progress(Stage::Body, since, bytes),
            _ => {}
        }
    }

    /// Bytes went to the peer.
    pub(super) fn wrote(&self, bytes: usize) {
        if let (Stage::Write, since) = self.stage() {
            self.progress(Stage::Write, since, bytes);
        }
    }

    fn progress(&self, stage: Stage, since: u64, bytes: usize) {
        let earned = (bytes as u64).saturating_mul(1000) / self.least_rate;
        self.enter_at(stage, (since + earned).min(self.millis()));
    }

    /// Returns once the peer has taken too long, or the connection is evicted. It may notice a slow
    /// head after twice its time.
    ///
    /// It is polled after the connection itself: what has arrived from the peer meanwhile counts.
    pub(super) async fn over(&self, limits: &Limits) {
        loop {
            // A head may begin during the sleep.
            let next_look = Instant::now() + limits.head_timeout;
            let deadline = self.deadline(limits).min(next_look);
            tokio::select! {
                () = self.evicted.notified() => if self.is_evicted() {
                    return;
                },
                () = tokio::time::sleep_until(deadline.into()) => {
                    if self.deadline(limits) <= Instant::now() {
                        return;
                    }
                }
            }
        }
    }

    /// When the peer's time is over, or when to check again.
    fn deadline(&self, limits: &Limits) -> Instant {
        let (stage, since) = self.now();
        match stage {
            Stage::Idle | Stage::Write => since + limits.idle_timeout,
            Stage::Head => since + limits.head_timeout,
            Stage::Body | Stage::Response => Instant::now() + limits.head_timeout,
        }
    }

    /// Asks the connection's task to close it, unless it goes on before.
    fn evict(&self, at: u64) {
        self.evict_at.store(at, Ordering::Relaxed);
        self.evicted.notify_one();
    }

    /// Whether it is to be closed, and has not gone on since that was asked.
    fn is_evicted(&self) -> bool {
        self.evict_at.load(Ordering::Relaxed) == self.at.load(Ordering::Relaxed)
    }

    fn enter(&self, stage: Stage) {
        self.enter_at(stage, self.millis());
    }

    fn enter_at(&self, stage: Stage, since: u64) {
        let at = (since << Stage::BITS) | stage as u64;
        self.at.store(at, Ordering::Relaxed);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The stage, and when it began, in milliseconds from `origin`.
    fn stage(&self) -> (Stage, u64) {
        split(self.at.load(Ordering::Relaxed))
    }

    fn now(&self) -> (Stage, Instant) {
        let (stage, since) = self.stage();
        (stage, self.origin + Duration::from_millis(since))
    }
}

/// The parts of [`Activity::at`].
fn split(at: u64) -> (Stage, u64) {
    let index = at & ((1 << Stage::BITS) - 1);
    let stage = usize::try_from(index).map_or(None, |index| Stage::ALL.get(index));
    (*stage.unwrap_or(&Stage::Response), at >> Stage::BITS)
}

/// The open connections of a listener.
#[derive(Debug)]
pub(super) struct Connections {
    origin: Instant,
    limits: Limits,
    open: Mutex<Open>,
    left: Notify,
    /// Connections that are accepted and wait for a slot.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// The connections that are not in reserve.
    common: usize,
    connections: HashMap<u64, Arc<Activity>>,
}

/// A connection's slot among the open connections.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    number: u64,
    /// Whether it is one of the reserve, for [`Limits::reserve`] alone.
    pub(super) in_reserve: bool,
    pub(super) activity: Arc<Activity>,
    connections: Arc<Connections>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Arc<Connections> {
        Arc::new(Connections {
            origin: Instant::now(),
            limits,
            open: Mutex::default(),
            left: Notify::new(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Waits for a slot: a free one, or that of a connection that is evicted.
    pub(super) async fn enter(self: &Arc<Self>) -> ConnectionSlot {
        if let Some(slot) = self.try_enter() {
            return slot;
        }
        let _waits = Waits::begin(&self.waiting);
        loop {
            let left = self.left.notified();
            if let Some(slot) = self.try_enter() {
                return slot;
            }
            tokio::select! {
                () = left => {}
                // Soon another connection may have waited long enough for its peer to be evicted.
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    }

    fn try_enter(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let mut open = self.open();
        let in_reserve = open.common >= self.limits.connections;
        if in_reserve {
            open.evict(self.millis());
            if open.connections.len() >= self.limits.connections + self.limits.reserve.connections {
                return None;
            }
        }
        let number = open.next;
        open.next += 1;
        open.common += usize::from(!in_reserve);
        let activity = Arc::new(Activity::new(self.origin, self.limits.least_rate));
        open.connections.insert(number, Arc::clone(&activity));
        Some(ConnectionSlot {
            number,
            in_reserve,
            activity,
            connections: Arc::clone(self),
        })
    }

    /// Closes the connections whose peers are slowest, if there are any.
    pub(super) fn evict(&self) {
        self.open().evict(self.millis());
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Asks the connections to close that have waited for their peers longest, for [`PATIENCE`] at
    /// least: one, or a few of many, since a search for each new connection would be slow.
    fn evict(&mut self, now: u64) {
        let patience = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let mut waiting = Vec::new();
        for activity in self.connections.values() {
            if activity.is_evicted() {
                // It is about to close.
                return;
            }
            let at = activity.at.load(Ordering::Relaxed);
            let (stage, since) = split(at);
            if stage != Stage::Response && now.saturating_sub(since) >= patience {
                waiting.push((since, at, activity));
            }
        }
        if waiting.is_empty() {
            return;
        }
        let last = waiting.len() / EVICTED_SHARE;
        waiting.select_nth_unstable_by_key(last, |(since, ..)| *since);
        for (_, at, activity) in &waiting[..=last] {
            activity.evict(*at);
        }
    }
}

impl ConnectionSlot {
    /// Whether the connection should close after its response, since others wait for its slot.
    pub(super) fn is_wanted(&self) -> bool {
        self.in_reserve || self.connections.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.connections.remove(&self.number);
        open.common -= usize::from(!self.in_reserve);
        drop(open);
        self.connections.left.notify_one();
    }
}

/// Counts one that waits until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl Waits<'_> {
    fn begin(waiting: &AtomicUsize) -> Waits<'_> {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waits(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::limits::Reserve;

    const LONG: u64 = 60_000;

    fn connections(most: usize, reserve: usize) -> Arc<Connections> {
        Arc::new(Connections {
            // Long ago, so that stages can have begun long ago.
            origin: Instant::now() - Duration::from_millis(2 * LONG),
            limits: Limits {
                connections: most,
                reserve: Reserve {
                    connections: reserve,
                    paths: &[],
                },
                head_timeout: Duration::from_secs(10),
                idle_timeout: Duration::from_secs(10),
                head_bytes: 8192,
                headers: 100,
                least_rate: 1000,
            },
            open: Mutex::default(),
            left: Notify::new(),
            waiting: AtomicUsize::new(0),
        })
    }

    fn age(slot: &ConnectionSlot, stage: Stage, since: u64) {
        slot.activity.enter_at(stage, since);
    }

    /// Whether the connection's task would close it now.
    async fn closes(slot: &ConnectionSlot) -> bool {
        tokio::select! {
            biased;
            () = slot.activity.over(&slot.connections.limits) => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn one_too_many_closes_the_connection_that_waited_longest_for_its_peer() {
        let connections = connections(3, 0);
        let busy = connections.enter().await;
        age(&busy, Stage::Response, 1);
        let slow = connections.enter().await;
        age(&slow, Stage::Body, LONG);
        let idle = connections.enter().await;
        age(&idle, Stage::Idle, 2 * LONG - 5_000);
        assert!(connections.try_enter().is_none(), "before one has closed");
        assert!(connections.try_enter().is_none(), "no other is closed");
        assert!(closes(&slow).await);
        for kept in [&busy, &idle] {
            assert!(!closes(kept).await);
        }
        drop(slow);
        assert!(connections.try_enter().is_some());
    }

    #[tokio::test]
    async fn a_connection_is_not_evicted_whose_request_is_read_or_answered_or_may_be_on_its_way() {
        let connections = connections(1, 0);
        let slot = connections.enter().await;
        for stage in Stage::ALL {
            slot.activity.enter(stage);
            assert!(connections.try_enter().is_none());
            assert!(!closes(&slot).await, "{stage:?}");
        }
        age(&slot, Stage::Response, 1);
        assert!(connections.try_enter().is_none());
        assert!(!closes(&slot).await);
    }

    #[tokio::test]
    async fn a_request_that_arrives_after_the_choice_keeps_its_connection() {
        let connections = connections(1, 0);
        let slot = connections.enter().await;
        age(&slot, Stage::Idle, 1);
        assert!(connections.try_enter().is_none(), "it is asked to close");
        slot.activity.received(10);
        assert!(!closes(&slot).await);
        slot.activity.begins();
        assert!(!closes(&slot).await);
    }

    #[tokio::test]
    async fn a_connection_in_reserve_takes_no_common_slot() {
        let connections = connections(1, 1);
        let common = connections.enter().await;
        let reserve = connections.enter().await;
        assert!(!common.in_reserve && reserve.in_reserve);
        assert!(connections.try_enter().is_none());
        drop(common);
        assert!(!connections.enter().await.in_reserve);
    }

    #[test]
    fn a_body_that_keeps_the_least_rate_is_not_slow() {
        let connections = connections(1, 0);
        let activity = Activity::new(connections.origin, 1000);
        activity.begins();
        activity.reads_body();
        activity.enter_at(Stage::Body, LONG);
        activity.received(2_000);
        assert_eq!(activity.stage(), (Stage::Body, LONG + 2_000));
        // It cannot be ahead of time.
        activity.received(10_000_000);
        assert!(activity.stage().1 <= activity.millis());
        // While it is not read, the peer is not late.
        activity.enter_at(Stage::Body, activity.millis() - 500);
        activity.works();
        activity.reads_body();
        assert!(activity.is_slow_from() > Instant::now());
        assert!(activity.is_slow_from() < Instant::now() + PATIENCE);
    }

    #[test]
    fn bytes_begin_a_head_only_after_a_response_is_written() {
        let activity = Activity::new(Instant::now(), 1000);
        activity.flushed();
        activity.received(1);
        assert_eq!(activity.stage().0, Stage::Head);
        activity.begins();
        activity.received(1);
        activity.flushed();
        assert_eq!(activity.stage().0, Stage::Response);
        activity.answers();
        activity.received(1);
        assert_eq!(activity.stage().0, Stage::Write);
        activity.flushed();
        assert_eq!(activity.stage().0, Stage::Idle);
    }
}
