//! The open connections of a listener: when there are too many, those whose peers are slowest are
//! closed.

use super::activity::{Activity, PATIENCE, Stage};
use super::limits::Limits;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// When a connection must be closed, one in this many is closed.
const EVICTED_SHARE: usize = 64;

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
            let (stage, since, at) = activity.waits();
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
}
