//! How a courier waits for news.

use super::Courier;
use crate::worker::job_queue::is_plenty;
use crate::worker::wakeup::Hears;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a courier whose senders have plenty to do lets deliveries and events gather.
const GATHERS: Duration = Duration::from_millis(1);

/// How often it gives way before it sleeps.
const YIELDS: u32 = 8;
/// How long that may take where each time others have a slice of the processor.
const YIELDS_TAKE: Duration = Duration::from_millis(20);

impl Courier {
    /// Has it look around at this time although nobody says so.
    pub(super) fn set_alarm(&mut self, at: Instant) {
        self.alarm = Some(self.alarm.map_or(at, |alarm| alarm.min(at)));
    }

    /// Blocks until there is something to do. `moved` says that there was since it last did.
    pub(super) fn wait(&mut self, now: Instant, moved: bool) {
        let wants_sync =
            self.agenda.wants_sync() || (self.is_leaving() && !self.agenda.is_settled());
        if wants_sync {
            self.line.wake_on_sync();
        }
        // What cannot be read is not waited for.
        let reads = !self.is_leaving() && self.read_after.is_none();
        let next = self.agenda.next_wake().filter(|_| reads);
        // All by the clock that the alarms were set by, of which only what is left counts.
        let alarms = [self.alarm, next].into_iter().flatten();
        let left = alarms.map(|at| at.saturating_duration_since(now)).min();
        let bell = &self.line.bell;
        if moved && self.desk_is_full() {
            let within = left.map_or(GATHERS, |left| left.min(GATHERS));
            return bell.wait(Hears::URGENT, Some(within), || {
                !bell.was_urgent() && self.commands.is_empty() && self.desk_is_full()
            });
        }
        // Where there is no room, what comes waits in the channel.
        let takes_events = self.backing.is_some() || self.agenda.has_room();
        let hears = if takes_events {
            Hears::ALL
        } else {
            Hears::REPORTS
        };
        let idle = || {
            let behind = self.backing.is_some() && self.line.behind.load(Ordering::SeqCst);
            let gap = behind && self.agenda.follows();
            let events = takes_events && !self.events.is_empty();
            let synced = wants_sync && self.line.has_synced();
            !gap && !events && !synced && self.commands.is_empty() && self.reports.is_empty()
        };
        let hurries = left.is_some_and(|left| left < YIELDS_TAKE);
        for _ in 0..if moved && !hurries { YIELDS } else { 0 } {
            // Where others wait for this processor, more comes meanwhile, and nobody has to wake it.
            std::thread::yield_now();
            if !idle() {
                return;
            }
        }
        bell.wait(hears, left, idle);
    }

    /// Whether all senders are at work, and enough lies ready for when they are not.
    fn desk_is_full(&self) -> bool {
        let concurrency = self.bench.target.concurrency();
        self.agenda.outstanding() > concurrency.get() && is_plenty(&self.jobs_in, concurrency)
    }
}
