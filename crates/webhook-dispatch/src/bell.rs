//! Wakes a courier when there is something to do for it, and no more often.
//!
//! Whoever has something for a courier puts it where the courier looks, and rings. While enough
//! lies ready for its senders, a courier hears what is urgent alone, and looks around a moment
//! later for the rest: so a busy target's courier wakes once for many events.

use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;
use std::time::Instant;

/// What is rung for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum News {
    /// There is an event.
    Event = 1,
    /// An attempt went well, and enough lies ready for the next ones.
    Delivered = 2,
    /// Whatever must not wait.
    Urgent = 4,
}

/// Which news wake a courier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hears(u8);

impl Hears {
    pub(crate) const URGENT: Hears = Hears(News::Urgent as u8);
    pub(crate) const REPORTS: Hears = Hears(News::Urgent as u8 | News::Delivered as u8);
    pub(crate) const ALL: Hears = Hears(Hears::REPORTS.0 | News::Event as u8);
}

/// Awake: nobody has to wake it.
const AWAKE: u8 = 0;

#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Which news wake the sleeper; [`AWAKE`] if there is none.
    hears: AtomicU8,
    sleeper: Mutex<Option<Thread>>,
}

impl Bell {
    /// Wakes whoever sleeps, if it hears this. What it is about lies there already.
    pub(crate) fn ring(&self, news: News) {
        // Either this sees that it sleeps, or it sees, before it sleeps, what this is about.
        fence(Ordering::SeqCst);
        if self.hears.load(Ordering::Relaxed) & news as u8 != 0
            && self.hears.swap(AWAKE, Ordering::SeqCst) != AWAKE
            && let Some(sleeper) = &*self.sleeper.lock().unwrap_or_else(PoisonError::into_inner)
        {
            sleeper.unpark();
        }
    }

    /// Sleeps until there are such news, or until that time. Not at all unless `idle` holds, which
    /// looks for what was put there before anybody could ring.
    pub(crate) fn wait(&self, hears: Hears, until: Option<Instant>, idle: impl FnOnce() -> bool) {
        *self.sleeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
        self.hears.store(hears.0, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if idle() {
            while self.hears.load(Ordering::SeqCst) != AWAKE {
                let Some(until) = until else {
                    std::thread::park();
                    continue;
                };
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                std::thread::park_timeout(left);
            }
        }
        self.hears.store(AWAKE, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    #[test]
    fn nothing_that_is_put_there_before_it_rings_is_slept_through() {
        const NEWS: usize = 20_000;
        let (bell, there) = (Bell::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for news in [News::Event, News::Delivered] {
                let (bell, there) = (&bell, &there);
                scope.spawn(move || {
                    for _ in 0..NEWS {
                        there.fetch_add(1, Ordering::Relaxed);
                        bell.ring(news);
                    }
                });
            }
            let mut seen = 0;
            while seen < 2 * NEWS {
                bell.wait(Hears::ALL, None, || there.load(Ordering::Relaxed) == seen);
                seen = there.load(Ordering::Relaxed);
            }
        });
    }

    #[test]
    fn what_it_does_not_hear_does_not_wake_it() {
        let bell = Bell::default();
        let until = Instant::now() + Duration::from_millis(20);
        std::thread::scope(|scope| {
            bell.wait(Hears::URGENT, Some(until), || {
                scope.spawn(|| bell.ring(News::Delivered));
                true
            });
        });
        assert!(Instant::now() >= until);
        bell.wait(Hears::URGENT, None, || {
            bell.ring(News::Urgent);
            true
        });
    }
}
