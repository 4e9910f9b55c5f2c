//! What time it is: a seam for tests.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// For intervals: never goes back.
    fn now(&self) -> Instant;
    /// For people, headers and what is stored: may jump.
    fn wall(&self) -> SystemTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    pub(crate) fn of(clock: &dyn Clock) -> Moment {
        Moment {
            now: clock.now(),
            wall: clock.wall(),
        }
    }

    pub(crate) fn epoch_ms(self) -> u64 {
        epoch_ms(self.wall)
    }
}

/// Milliseconds since the epoch; 0 before it.
pub(crate) fn epoch_ms(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}
