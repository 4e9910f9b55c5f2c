//! How a courier follows those that served its target before, and how it ends when nobody is to be
//! served any more.

use super::Courier;
use crate::shared::clock::Moment;
use crossbeam_channel::Select;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often it is looked whether a submitter still has a roster that was replaced.
const LAST_GUESTS: Duration = Duration::from_millis(10);

impl Courier {
    /// Waits until those have ended that served a target of this name before: their attempts under
    /// way are older than any of its own.
    pub(super) fn let_others_end(&mut self) {
        for over in std::mem::take(&mut self.after) {
            loop {
                self.take_commands(Moment::of(&*self.clock));
                self.show();
                let mut select = Select::new();
                let ended = select.recv(&over);
                select.recv(&self.commands);
                if self.stopping || select.ready() == ended {
                    break;
                }
            }
        }
    }

    /// The target is none any more. What the queue has stays there; what is in memory alone is
    /// delivered, paused or not.
    pub(super) fn retire(&mut self, number: u64, now: Instant) {
        self.retirement = Some(number);
        if self.backing.is_some() {
            // What it hears of from now on is for whoever comes after it.
            self.agenda.fall_behind();
            self.take_back(now);
        } else {
            self.agenda.gate_mut().pause(false);
        }
    }

    /// Whether it begins nothing more: the queue keeps what its target is owed.
    pub(super) fn is_leaving(&self) -> bool {
        self.backing.is_some() && self.retirement.is_some()
    }

    /// Whether it has ended: nothing is under way or unsettled, and nobody can give it any more.
    pub(super) fn has_retired(&mut self, now: Instant) -> bool {
        let Some(number) = self.retirement else {
            return false;
        };
        if self.backing.is_some() {
            if !self.agenda.is_settled() {
                return false;
            }
            // Whoever serves the target next reads the queue first.
            self.line.behind.store(true, Ordering::SeqCst);
        } else if self.line.is_present() {
            self.set_alarm(now + LAST_GUESTS);
            return false;
        } else if !self.agenda.is_done() || !self.events.is_empty() {
            return false;
        }
        self.line.end_by(number)
    }
}
