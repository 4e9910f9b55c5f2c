//! Tracks what each connection waits for, and when its peer has taken too long.

use super::limits::Limits;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How far a peer may be behind before its connection may be closed for another: how long it sends
/// no request, or by how much its body is behind the least rate. A request that is on its way is
/// therefore not cut off.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
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
    pub(super) const ALL: [Stage; 5] = [
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
    pub(super) fn new(origin: Instant, least_rate: usize) -> Activity {
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

    /// What it waits for and since when, in milliseconds from `origin`, and a mark of this.
    pub(super) fn waits(&self) -> (Stage, u64, u64) {
        let mark = self.at.load(Ordering::Relaxed);
        let (stage, since) = split(mark);
        (stage, since, mark)
    }

    /// Asks the connection's task to close it, unless it goes on from this mark before.
    pub(super) fn evict(&self, at: u64) {
        self.evict_at.store(at, Ordering::Relaxed);
        self.evicted.notify_one();
    }

    /// Whether it is to be closed, and has not gone on since that was asked.
    pub(super) fn is_evicted(&self) -> bool {
        self.evict_at.load(Ordering::Relaxed) == self.at.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.enter_at(stage, self.millis());
    }

    pub(super) fn enter_at(&self, stage: Stage, since: u64) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: u64 = 60_000;

    #[test]
    fn a_body_that_keeps_the_least_rate_is_not_slow() {
        // Long ago, so that stages can have begun long ago.
        let origin = Instant::now() - Duration::from_millis(2 * LONG);
        let activity = Activity::new(origin, 1000);
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
