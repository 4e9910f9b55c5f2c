//! What each connection is at, since when, and which of them has to give way.

use super::limits::Limits;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// One of so many connections gives way at once.
const AT_ONCE: usize = 64;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its peer's next request.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The rest of a request's body.
    Body,
    /// Us.
    Answer,
}

impl Stage {
    const ALL: [Stage; 4] = [Stage::Idle, Stage::Head, Stage::Body, Stage::Answer];
    const BITS: u32 = 2;
}

/// What one connection is at. A service finds it in the request's extensions.
#[derive(Debug)]
pub(crate) struct Activity {
    origin: Instant,
    /// Milliseconds since `origin`, and the stage in the lowest bits.
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

    /// From now on the peer is waited for, to send a body.
    pub(crate) fn reads_body(&self) {
        self.enter(Stage::Body);
    }

    /// From now on the peer waits.
    pub(crate) fn works(&self) {
        self.enter(Stage::Answer);
    }

    /// A request is answered though the rest of it was not read.
    pub(crate) fn leaves_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub(super) fn idle(&self) {
        self.enter(Stage::Idle);
    }

    /// Something came from the peer.
    pub(super) fn received(&self) {
        if self.now().0 == Stage::Idle {
            self.enter(Stage::Head);
        }
    }

    /// Returns once the peer has taken too long, or had to give way. A head's time may be exceeded
    /// by as much again.
    pub(super) async fn over(&self, limits: &Limits) {
        loop {
            // A head may begin while it sleeps.
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

    /// Until when the peer has time, or when to look again.
    fn deadline(&self, limits: &Limits) -> Instant {
        let (stage, since) = self.now();
        match stage {
            Stage::Idle => since + limits.idle_timeout,
            Stage::Head => since + limits.head_timeout,
            Stage::Body | Stage::Answer => Instant::now() + limits.head_timeout,
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

/// A connection's slot among the open ones.
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

    /// A slot for a connection: a free one, else that of the one that must give way, else the
    /// first that becomes free.
    pub(super) async fn enter(self: &Arc<Self>) -> ConnectionSlot {
        loop {
            let left = self.left.notified();
            if let Some(slot) = self.try_enter() {
                return slot;
            }
            tokio::select! {
                () = left => {}
                // One that waits for us now may wait for its peer soon.
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

    /// Closes the connection that must give way first; false if there is none.
    pub(super) fn evict(&self) -> bool {
        self.open().evict()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Those whose peers have kept us waiting longest: one, or of many a few at once, since looking
    /// at all of them for each that comes would be slow. False if nobody can be closed.
    fn evict(&mut self) -> bool {
        let waiting = self.connections.iter().filter_map(|(number, activity)| {
            let (stage, since) = activity.now();
            (stage != Stage::Answer).then_some((since, *number))
        });
        let mut waiting: Vec<_> = waiting.collect();
        if waiting.is_empty() {
            return false;
        }
        let last = waiting.len() / AT_ONCE;
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
    async fn one_too_many_closes_the_one_whose_peer_kept_us_waiting_longest() {
        let connections = Connections::new(3);
        let busy = connections.enter().await;
        age(&busy, Stage::Answer, 1);
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
    async fn nobody_who_waits_for_us_gives_way() {
        let connections = Connections::new(1);
        let busy = connections.enter().await;
        busy.activity.works();
        assert!(connections.try_enter().is_none());
        drop(busy);
        drop(connections.enter().await);
    }

    #[test]
    fn bytes_begin_a_head_only_after_an_answer() {
        let activity = Activity::new(Instant::now());
        activity.received();
        assert_eq!(activity.now().0, Stage::Head);
        activity.works();
        activity.received();
        assert_eq!(activity.now().0, Stage::Answer);
    }
}
