//! Tracks what each connection waits for, and closes idle ones when there are too many.

use super::limits::Limits;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// When a connection must be closed, one in this many is closed.
const EVICTED_SHARE: usize = 64;

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
}

impl Stage {
    const ALL: [Stage; 4] = [Stage::Idle, Stage::Head, Stage::Body, Stage::Response];
    const BITS: u32 = 2;
}

/// The stage of one connection. A service finds it in the request's extensions.
#[derive(Debug)]
pub(crate) struct Activity {
    origin: Instant,
    /// Milliseconds from `origin` to the start of the stage, and the stage in the lowest bits.
    at: AtomicU64,
    evicted: Notify,
    unread: AtomicBool,
}

impl Activity {
    fn new(origin: Instant) -> Activity {
        let activity = Activity {
            origin,
            at: AtomicU64::new(0),
            evicted: Notify::new(),
            unread: AtomicBool::new(false),
        };
        activity.idle();
        activity
    }

    /// The connection waits for the peer to send a body.
    pub(crate) fn reads_body(&self) {
        self.enter(Stage::Body);
    }

    /// The peer waits for the response.
    pub(crate) fn works(&self) {
        self.enter(Stage::Response);
    }

    /// The response is sent before the request was read to its end.
    pub(crate) fn leaves_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub(super) fn idle(&self) {
        self.enter(Stage::Idle);
    }

    /// Bytes arrived from the peer.
    pub(super) fn received(&self) {
        if self.now().0 == Stage::Idle {
            self.enter(Stage::Head);
        }
    }

    /// Returns once the peer has taken too long, or the connection is evicted. It may notice a slow
    /// head after twice its time.
    pub(super) async fn over(&self, limits: &Limits) {
        loop {
            // A head may begin during the sleep.
            let next_look = Instant::now() + limits.head_timeout;
            let deadline = self.deadline(limits).min(next_look);
            tokio::select! {
                () = self.evicted.notified() => return,
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
            Stage::Idle => since + limits.idle_timeout,
            Stage::Head => since + limits.head_timeout,
            Stage::Body | Stage::Response => Instant::now() + limits.head_timeout,
        }
    }

    fn enter(&self, stage: Stage) {
        let millis = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let at = (millis << Stage::BITS) | stage as u64;
        self.at.store(at, Ordering::Relaxed);
    }

    fn now(&self) -> (Stage, Instant) {
        let at = self.at.load(Ordering::Relaxed);
        let stage = Stage::ALL[usize::try_from(at & 3).unwrap_or(0)];
        (
            stage,
            self.origin + Duration::from_millis(at >> Stage::BITS),
        )
    }
}

/// The open connections of a listener.
#[derive(Debug)]
pub(super) struct Connections {
    origin: Instant,
    most: usize,
    open: Mutex<Open>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

/// A connection's slot among the open connections.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    number: u64,
    pub(super) activity: Arc<Activity>,
    connections: Arc<Connections>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Connections> {
        Arc::new(Connections {
            origin: Instant::now(),
            most,
            open: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// Waits for a slot: a free one, or that of a connection that is evicted.
    pub(super) async fn enter(self: &Arc<Self>) -> ConnectionSlot {
        loop {
            let left = self.left.notified();
            if let Some(slot) = self.try_enter() {
                return slot;
            }
            tokio::select! {
                () = left => {}
                // Soon another connection may wait for its peer, and can be evicted.
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    }

    fn try_enter(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let mut open = self.open();
        if open.connections.len() >= self.most && !open.evict() {
            return None;
        }
        let number = open.next;
        open.next += 1;
        let activity = Arc::new(Activity::new(self.origin));
        open.connections.insert(number, Arc::clone(&activity));
        Some(ConnectionSlot {
            number,
            activity,
            connections: Arc::clone(self),
        })
    }

    /// Closes the connections whose peers are slowest. Returns false if none can be closed.
    pub(super) fn evict(&self) -> bool {
        self.open().evict()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Removes the connections that have waited for their peers longest: one, or a few of many, since
    /// a search for each new connection would be slow. Returns false if none can be removed.
    fn evict(&mut self) -> bool {
        let waiting = self.connections.iter().filter_map(|(number, activity)| {
            let (stage, since) = activity.now();
            (stage != Stage::Response).then_some((since, *number))
        });
        let mut waiting: Vec<_> = waiting.collect();
        if waiting.is_empty() {
            return false;
        }
        let last = waiting.len() / EVICTED_SHARE;
        waiting.select_nth_unstable(last);
        for (_, number) in &waiting[..=last] {
            if let Some(activity) = self.connections.remove(number) {
                activity.evicted.notify_one();
            }
        }
        true
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.open().connections.remove(&self.number);
        self.connections.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(slot: &ConnectionSlot, stage: Stage, millis: u64) {
        let at = (millis << Stage::BITS) | stage as u64;
        slot.activity.at.store(at, Ordering::Relaxed);
    }

    async fn is_evicted(slot: &ConnectionSlot) -> bool {
        let notified = slot.activity.evicted.notified();
        tokio::select! {
            biased;
            () = notified => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn one_too_many_closes_the_connection_that_waited_longest_for_its_peer() {
        let connections = Connections::new(3);
        let busy = connections.enter().await;
        age(&busy, Stage::Response, 1);
        let slow = connections.enter().await;
        age(&slow, Stage::Body, 2);
        let idle = connections.enter().await;
        age(&idle, Stage::Idle, 3);
        let new = connections.enter().await;
        assert!(is_evicted(&slow).await);
        for kept in [&busy, &idle, &new] {
            assert!(!is_evicted(kept).await);
        }
        drop(slow);
        assert_eq!(connections.open().connections.len(), 3);
    }

    #[tokio::test]
    async fn a_connection_that_waits_for_our_response_is_not_evicted() {
        let connections = Connections::new(1);
        let busy = connections.enter().await;
        busy.activity.works();
        assert!(connections.try_enter().is_none());
        drop(busy);
        drop(connections.enter().await);
    }

    #[test]
    fn bytes_begin_a_head_only_after_a_response() {
        let activity = Activity::new(Instant::now());
        activity.received();
        assert_eq!(activity.now().0, Stage::Head);
        activity.works();
        activity.received();
        assert_eq!(activity.now().0, Stage::Response);
    }
}
