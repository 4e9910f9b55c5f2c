//! Wakes a courier when there is something to do for it, and no more often.
//!
//! Whoever has something for a courier puts it where the courier looks, and rings. While enough
//! lies ready for its senders, a courier hears what is urgent alone, and looks around a moment
//! later for the rest: so a busy target's courier wakes once for many events.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

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
    /// Whether something urgent was rung for since it last slept.
    urgent: AtomicBool,
    sleeper: Mutex<Option<Thread>>,
}

impl Bell {
    /// Wakes whoever sleeps, if it hears this. What it is about lies there already.
    pub(crate) fn ring(&self, news: News) {
        if news == News::Urgent {
            self.urgent.store(true, Ordering::Relaxed);
        }
        // Either this sees that it sleeps, or it sees, before it sleeps, what this is about.
        fence(Ordering::SeqCst);
        if self.hears.load(Ordering::Relaxed) & news as u8 != 0
            && self.hears.swap(AWAKE, Ordering::SeqCst) != AWAKE
            && let Some(sleeper) = &*self.sleeper.lock().unwrap_or_else(PoisonError::into_inner)
        {
            sleeper.unpark();
        }
    }

    /// Whether something urgent was rung for since the last sleep; and that is then forgotten.
    pub(crate) fn was_urgent(&self) -> bool {
        self.urgent.swap(false, Ordering::SeqCst)
    }

    /// Sleeps until there are such news, or for so long. Not at all unless `idle` holds, which
    /// looks for what was put there before anybody could ring.
    pub(crate) fn wait(&self, hears: Hears, within: Option<Duration>, idle: impl FnOnce() -> bool) {
        // One that cannot be added is as good as none.
        let until = within.and_then(|within| Instant::now().checked_add(within));
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
        // Whatever it was, it lies there, and is looked at now.
        self.urgent.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn nothing_that_is_put_there_before_it_rings_is_slept_through() {
        const NEWS: usize = 20_000;
        let bell = Bell::default();
        let there = [News::Event, News::Delivered].map(|news| (news, AtomicUsize::new(0)));
        let count = || {
            let counts = there.iter().map(|(_, count)| count.load(Ordering::Relaxed));
            counts.sum::<usize>()
        };
        std::thread::scope(|scope| {
            for (news, mine) in &there {
                let bell = &bell;
                scope.spawn(move || {
                    // A plain store: it is the bell that has to put it before its own look.
                    for number in 1..=NEWS {
                        mine.store(number, Ordering::Relaxed);
                        bell.ring(*news);
                    }
                });
            }
            let mut seen = 0;
            while seen < 2 * NEWS {
                bell.wait(Hears::ALL, None, || count() == seen);
                seen = count();
            }
        });
    }

    #[test]
    fn what_it_does_not_hear_does_not_wake_it() {
        let bell = Bell::default();
        let rung = AtomicBool::new(false);
        std::thread::scope(|scope| {
            bell.wait(Hears::URGENT, None, || {
                scope.spawn(|| {
                    bell.ring(News::Delivered);
                    bell.ring(News::Event);
                    rung.store(true, Ordering::SeqCst);
                    bell.ring(News::Urgent);
                });
                true
            });
            assert!(rung.load(Ordering::SeqCst), "the others did not wake it");
        });
    }

    #[test]
    fn something_urgent_before_the_sleep_is_told_once() {
        let bell = Bell::default();
        bell.ring(News::Event);
        assert!(!bell.was_urgent());
        bell.ring(News::Urgent);
        assert!(bell.was_urgent());
        assert!(!bell.was_urgent());
        bell.ring(News::Urgent);
        bell.wait(Hears::ALL, None, || false);
        assert!(!bell.was_urgent(), "it has looked around since");
    }

    #[test]
    fn it_wakes_when_the_time_is_over() {
        let bell = Bell::default();
        let within = Duration::from_millis(20);
        let until = Instant::now() + within;
        bell.wait(Hears::ALL, Some(within), || true);
        assert!(Instant::now() >= until);
    }
}
