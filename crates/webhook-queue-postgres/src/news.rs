//! Wakes the thread that waits for news.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What has happened in this process since the last wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Happened {
    /// This process has appended entries.
    pub(crate) appended: bool,
    /// All targets are to begin at the first entry.
    pub(crate) reread: bool,
}

#[derive(Debug, Default)]
pub(crate) struct News {
    happened: Mutex<Happened>,
    changed: Condvar,
}

impl News {
    pub(crate) fn note_appended(&self) {
        self.change(|it| it.appended = true);
    }

    pub(crate) fn note_reread(&self) {
        self.change(|it| it.reread = true);
    }

    fn change(&self, change: impl FnOnce(&mut Happened)) {
        change(&mut self.happened.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until something has happened, up to `until`, and returns it once. What was appended
    /// does not end the wait before `earliest`.
    pub(crate) fn wait(&self, earliest: Instant, until: Instant) -> Happened {
        let mut happened = self.happened.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            if happened.reread || now >= until || happened.appended && now >= earliest {
                return std::mem::take(&mut happened);
            }
            let end = match happened.appended {
                true => earliest.min(until),
                false => until,
            };
            let waited = self
                .changed
                .wait_timeout(happened, end.saturating_duration_since(now));
            happened = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes what has happened.
    pub(crate) fn take(&self) -> Happened {
        std::mem::take(&mut self.happened.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How long a thread waits that looks again and again.
#[derive(Debug)]
pub(crate) struct Pace {
    shortest: Duration,
    /// The last look that found something.
    found: Option<Instant>,
    /// The last look that found something has found [`LARGE`] entries.
    is_large: bool,
    /// After the last look, [`MANY`] entries were unread.
    is_busy: bool,
}

/// Without anything found for this long, looks are half as frequent.
const REST: Duration = Duration::from_secs(1);

/// While no target has read so many entries, there is enough to deliver until the next look: looks are
/// a third as frequent, and own appends wait for them. A look costs the server as much as reading
/// some ten entries.
const MANY: usize = 128;

/// So many entries at once are of large groups, which are far apart: looks are a third as frequent
/// then, too.
const LARGE: usize = 64;

impl Pace {
    pub(crate) fn new(shortest: Duration) -> Pace {
        Pace {
            shortest,
            found: None,
            is_large: false,
            is_busy: false,
        }
    }

    /// Notes how many entries a look has found, and how many no target has read yet.
    pub(crate) fn note(&mut self, now: Instant, found: usize, unread: usize) {
        self.is_busy = unread >= MANY;
        if found > 0 {
            self.found = Some(now);
            self.is_large = found >= LARGE;
        }
    }

    /// The pause after a look.
    pub(crate) fn pause(&self, now: Instant) -> Duration {
        match self.found {
            _ if self.is_rare(now) => self.shortest * 3,
            Some(found) if now.saturating_duration_since(found) < REST => self.shortest,
            _ => self.shortest * 2,
        }
    }

    fn is_rare(&self, now: Instant) -> bool {
        let found = self.found.filter(|_| self.is_large);
        self.is_busy || found.is_some_and(|found| now.saturating_duration_since(found) < REST)
    }

    /// The pause after a look if this process has appended entries since.
    pub(crate) fn pause_of_own(&self, now: Instant) -> Duration {
        match self.is_rare(now) {
            true => self.pause(now),
            false => self.pause(now) / 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_rarer_while_nothing_or_much_comes_and_while_much_is_unread() {
        let (mut pace, now) = (Pace::new(Duration::from_millis(6)), Instant::now());
        let mut check = |found: usize, unread: usize, after: Duration, pause, of_own| {
            pace.note(now, found, unread);
            assert_eq!(pace.pause(now + after).as_millis(), pause);
            assert_eq!(pace.pause_of_own(now + after).as_millis(), of_own);
        };
        check(1, 1, Duration::ZERO, 6, 3);
        check(0, 0, REST, 12, 6);
        check(0, MANY, Duration::ZERO, 18, 18);
        check(LARGE - 1, MANY - 1, Duration::ZERO, 6, 3);
        check(LARGE, 0, Duration::ZERO, 18, 18);
        check(0, 0, Duration::ZERO, 18, 18);
        check(0, 0, REST, 12, 6);
    }
}
