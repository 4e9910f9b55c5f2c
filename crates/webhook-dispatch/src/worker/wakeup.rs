//! Wakes a worker when there is work for it, and no more often.
//!
//! A thread with work for a worker publishes the work first and wakes the worker then. While the
//! senders have enough jobs, the worker listens for urgent reasons alone and looks for other work a
//! millisecond later, so the worker of a busy target wakes once for many events. While all its events
//! are with the senders and the receiver is fast, it listens for all but deliveries: the next event
//! mostly comes sooner, and it takes both in one turn.

use crate::shared::sync::{self, AtomicBool, AtomicU8, Instant, Mutex, Thread, fence};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Why a worker is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WakeReason {
    /// An event was announced.
    Event = 1,
    /// An attempt succeeded, and the senders have enough jobs.
    Delivered = 2,
    /// An attempt succeeded, and the senders have few jobs or none.
    FewJobs = 4,
    /// Work that must not wait: a command, a failure.
    Urgent = 8,
}

/// A mask of reasons.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WakeReasons(u8);

impl WakeReasons {
    /// All but what can wait while the senders have enough jobs.
    pub(crate) const URGENT: WakeReasons =
        WakeReasons(WakeReason::Urgent as u8 | WakeReason::FewJobs as u8);
    /// All but deliveries.
    pub(crate) const NEW_WORK: WakeReasons =
        WakeReasons(WakeReason::Urgent as u8 | WakeReason::Event as u8);
    pub(crate) const REPORTS: WakeReasons =
        WakeReasons(WakeReasons::URGENT.0 | WakeReason::Delivered as u8);
    pub(crate) const ALL: WakeReasons =
        WakeReasons(WakeReasons::REPORTS.0 | WakeReason::Event as u8);
}

/// The mask of a worker that is awake.
const AWAKE: u8 = 0;

#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    /// The reasons for which the sleeping worker is woken; [`AWAKE`] if it does not sleep. Each change
    /// is a swap: loom does not order a store and another thread's swap.
    listens_for: AtomicU8,
    /// Whether there was an urgent reason since the worker's last sleep.
    urgent: AtomicBool,
    sleeper: Mutex<Option<Thread>>,
}

impl Wakeup {
    /// Wakes the worker if it listens for this reason. Publish the work first.
    pub(crate) fn wake(&self, reason: WakeReason) {
        if matches!(reason, WakeReason::Urgent | WakeReason::FewJobs) {
            self.urgent.store(true, Ordering::Relaxed);
        }
        // Either this thread sees that the worker listens, or the worker sees the work first.
        fence(Ordering::SeqCst);
        if self.listens_for.load(Ordering::Relaxed) & reason as u8 != 0
            && self.listens_for.swap(AWAKE, Ordering::SeqCst) != AWAKE
            && let Some(sleeper) = &*self.sleeper.lock().unwrap_or_else(PoisonError::into_inner)
        {
            sleeper.unpark();
        }
    }

    /// Whether there was an urgent reason since the last sleep. Resets it.
    pub(crate) fn was_urgent(&self) -> bool {
        self.urgent.swap(false, Ordering::SeqCst)
    }

    /// Sleeps until one of these reasons, or until `within` has passed. Does not sleep unless
    /// `idle` holds, which checks for work published before the worker listened.
    pub(crate) fn wait(
        &self,
        reasons: WakeReasons,
        within: Option<Duration>,
        idle: impl FnOnce() -> bool,
    ) {
        // On overflow, wait without a deadline.
        let until = within.and_then(|within| Instant::now().checked_add(within));
        *self.sleeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(sync::current());
        self.listens_for.swap(reasons.0, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if idle() {
            while self.listens_for.load(Ordering::SeqCst) != AWAKE {
                let Some(until) = until else {
                    sync::park();
                    continue;
                };
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                sync::park_timeout(left);
            }
        }
        self.listens_for.swap(AWAKE, Ordering::SeqCst);
        // The worker looks at all work now, urgent work included.
        self.urgent.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn work_that_is_published_before_the_wake_is_not_slept_through() {
        const WAKES: usize = 20_000;
        let wakeup = Wakeup::default();
        let published =
            [WakeReason::Event, WakeReason::Delivered].map(|reason| (reason, AtomicUsize::new(0)));
        let count = || {
            let counts = published
                .iter()
                .map(|(_, count)| count.load(Ordering::Relaxed));
            counts.sum::<usize>()
        };
        std::thread::scope(|scope| {
            for (reason, mine) in &published {
                let wakeup = &wakeup;
                scope.spawn(move || {
                    // A relaxed store: `wake` has to order it before its load.
                    for number in 1..=WAKES {
                        mine.store(number, Ordering::Relaxed);
                        wakeup.wake(*reason);
                    }
                });
            }
            let mut seen = 0;
            while seen < 2 * WAKES {
                wakeup.wait(WakeReasons::ALL, None, || count() == seen);
                seen = count();
            }
        });
    }

    #[test]
    fn a_reason_that_is_not_listened_for_does_not_wake() {
        let wakeup = Wakeup::default();
        let woken = AtomicBool::new(false);
        std::thread::scope(|scope| {
            wakeup.wait(WakeReasons::URGENT, None, || {
                scope.spawn(|| {
                    wakeup.wake(WakeReason::Delivered);
                    wakeup.wake(WakeReason::Event);
                    woken.store(true, Ordering::SeqCst);
                    wakeup.wake(WakeReason::Urgent);
                });
                true
            });
            assert!(woken.load(Ordering::SeqCst), "the others did not wake it");
        });
    }

    #[test]
    fn an_urgent_reason_before_the_sleep_is_reported_once() {
        let wakeup = Wakeup::default();
        wakeup.wake(WakeReason::Event);
        assert!(!wakeup.was_urgent());
        wakeup.wake(WakeReason::Urgent);
        assert!(wakeup.was_urgent());
        assert!(!wakeup.was_urgent());
        wakeup.wake(WakeReason::Urgent);
        wakeup.wait(WakeReasons::ALL, None, || false);
        assert!(!wakeup.was_urgent(), "the worker has looked for work since");
    }

    #[test]
    fn it_wakes_when_the_time_has_passed() {
        let wakeup = Wakeup::default();
        let within = Duration::from_millis(20);
        let until = Instant::now() + within;
        wakeup.wait(WakeReasons::ALL, Some(within), || true);
        assert!(Instant::now() >= until);
    }
}
