//! What a target gets next: every decision of its courier, without the courier's threads.
//!
//! An agenda is told what was accepted, reads the queue when it is told to, and says what is to
//! be attempted and what follows from an attempt. It has no clock and starts nothing; whoever
//! drives it says what time it is, and carries its settlements to the queue.
//!
//! It learns of events as they are accepted, as long as it keeps up. When it does not (its window
//! is full, or the channel to it is), it falls behind: from then on it reads the queue, in order,
//! as room appears, until it has seen all of it and follows again. What is at or before its cursor
//! is in a lane, or lies in the queue behind one, or is settled; what comes after is for later.
//! So the two ways never overtake each other.

pub(crate) mod breaker;
pub(crate) mod failure_record;
pub(crate) mod gate;
pub(crate) mod lanes;
pub(crate) mod rate;
pub mod retry;

mod reading;
mod ruling;
#[cfg(test)]
mod tests;

pub(crate) use ruling::Ruling;

use crate::target::gate::{Gate, Pass, Shut};
use crate::target::lanes::{Bounds, Due, LaneId, Lanes};
use crate::worker::handle::Line;
use hashbrown::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use webhook_config::{RetryPolicy, Target};
use webhook_queue::EntryId;

/// Events of one task that are kept in memory behind its first.
const PER_LANE: usize = 32;
/// Tasks that may have a lane at once, most of them waiting for a retry without a body.
const LANES: usize = 32_768;

/// What one target is owed, as far as it is known here, and what is being done about it.
#[derive(Debug)]
pub(crate) struct Agenda {
    name: Arc<str>,
    policy: RetryPolicy,
    reliable: bool,
    window: usize,
    /// Attempts that may be handed out at once while all goes well.
    most: usize,
    /// Attempts that may be handed out at once else: what a receiver that is down is asked before
    /// that is heard of.
    cautious: usize,
    /// Whether the last attempt was a delivery.
    well: bool,
    lanes: Lanes,
    gate: Gate,
    /// The last entry that the lanes know of.
    cursor: Option<EntryId>,
    /// Whether live events continue at the cursor.
    following: bool,
    /// Tasks that are owed something again that may lie before the cursor.
    owed_again: VecDeque<Box<[u8]>>,
    /// Tasks of which `settling` hid something: looked at again after a sync.
    look_again: Vec<Box<[u8]>>,
    /// Settled for good, and not known to be synced: a reading of the queue may still show it.
    settling: HashSet<EntryId>,
    /// Failed attempts that are noted in the queue, and not known to be synced.
    noting: usize,
    /// Attempts handed out whose end is not known.
    outstanding: usize,
    next_scan: Instant,
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Make this attempt.
    Attempt(Due, Pass),
    /// Something is ready and may not go.
    Shut(Shut),
    /// Nothing is ready, or enough is under way.
    Nothing,
}

impl Agenda {
    pub(crate) fn new(target: &Target, reliable: bool, now: Instant) -> Agenda {
        let bounds = Bounds {
            window: target.window().get(),
            window_bytes: Line::WINDOW_BYTES,
            // What is not in the queue cannot be read back from it.
            per_lane: if reliable { PER_LANE } else { usize::MAX },
            lanes: if reliable { LANES } else { usize::MAX },
        };
        Agenda::with_bounds(target, reliable, bounds, now)
    }

    pub(crate) fn with_bounds(
        target: &Target,
        reliable: bool,
        bounds: Bounds,
        now: Instant,
    ) -> Agenda {
        Agenda {
            name: Arc::from(target.name().as_str()),
            policy: target.retry().clone(),
            reliable,
            window: bounds.window,
            most: most_handed_out(target),
            cautious: cautiously_handed_out(target),
            well: false,
            lanes: Lanes::new(bounds),
            gate: Gate::new(rate_of(target), now),
            cursor: None,
            // What the queue holds from before is read first.
            following: !reliable,
            owed_again: VecDeque::new(),
            look_again: Vec::new(),
            settling: HashSet::new(),
            noting: 0,
            outstanding: 0,
            next_scan: now,
        }
    }

    /// Goes on under other settings.
    pub(crate) fn reconfigure(&mut self, target: &Target, now: Instant) {
        self.policy = target.retry().clone();
        self.window = target.window().get();
        self.most = most_handed_out(target);
        self.cautious = cautiously_handed_out(target);
        self.well = false;
        self.lanes.set_window(self.window);
        self.gate.reconfigure(rate_of(target), now);
    }

    /// Whether everything is settled that it knows of, and it has looked at all that there is.
    pub(crate) fn is_done(&self) -> bool {
        let nothing_to_look_for = self.owed_again.is_empty() && self.look_again.is_empty();
        self.following && nothing_to_look_for && self.lanes.is_empty()
    }

    /// Whether nothing is under way, and the queue knows what came of all that was.
    pub(crate) fn is_settled(&self) -> bool {
        self.outstanding == 0 && self.settling.is_empty() && self.noting == 0
    }

    /// What is to be attempted now.
    pub(crate) fn next(&mut self, now: Instant) -> Step {
        let mut most = if self.well { self.most } else { self.cautious };
        if self.reliable {
            most = most.min(self.room_to_settle());
        }
        if self.outstanding >= most || !self.lanes.has_ready() {
            return Step::Nothing;
        }
        match self.gate.ask(now) {
            Err(shut) => Step::Shut(shut),
            Ok(pass) => {
                let due = self.lanes.take().expect("a lane was ready just now");
                self.outstanding += 1;
                Step::Attempt(due, pass)
            }
        }
    }

    /// An attempt that was handed out was not made: it is the next of its task again.
    pub(crate) fn untried(&mut self, lane: LaneId, pass: Pass, now: Instant) {
        self.outstanding -= 1;
        self.gate.unused(pass, now);
        self.lanes.untried(lane);
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn gate_mut(&mut self) -> &mut Gate {
        &mut self.gate
    }

    /// When the first task that waits for its retry wakes.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.lanes.next_wake()
    }

    /// Attempts handed out whose end is not known.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Tasks that wait for a retry.
    pub(crate) fn waiting(&self) -> usize {
        self.lanes.waiting()
    }

    /// Events in memory.
    pub(crate) fn held(&self) -> usize {
        self.lanes.held()
    }
}

/// Attempts that lie ready beside those under way, at least: a sender that finds its next one
/// there neither sleeps nor has to be woken.
const READY: usize = 64;

/// Attempts that may be handed out at once: those under way, and some that lie ready.
pub(crate) fn most_handed_out(target: &Target) -> usize {
    let concurrency = target.concurrency().get();
    match target.max_per_second() {
        // A rate limit counts attempts as they are handed out.
        Some(_) => concurrency,
        None => concurrency + concurrency.max(READY),
    }
}

/// As many again as are under way lie ready, where it is not known that all goes well.
fn cautiously_handed_out(target: &Target) -> usize {
    most_handed_out(target).min(target.concurrency().get() * 2)
}

fn rate_of(target: &Target) -> Option<f64> {
    target.max_per_second().map(|rate| f64::from(rate.get()))
}
