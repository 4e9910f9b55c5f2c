//! How events are put together into batches: when one is worth its attempt, and how large it may be.

use crate::target::decision::Step;
use crate::target::gate::Blocked;
use crate::target::lanes::{BatchRoom, Kind, Lanes};
use std::time::Instant;
use webhook_config::{BatchPolicy, Target};

/// A delivered batch adds this part of the most events and bytes to what a smaller batch than that may
/// have, after a larger one failed.
const GROWTH: usize = 64;

/// The batches of a target.
#[derive(Clone, Debug)]
pub(super) struct Composition {
    policy: BatchPolicy,
    /// The number of senders.
    concurrency: usize,
    /// Events that are likely to be taken together: few while many of them fail, so that these spoil no
    /// batches of others.
    accepted_events: usize,
    /// Bytes that the receiver takes, as far as is known from its 413s.
    accepted_bytes: usize,
    /// When the events that are ready began to wait for others.
    waits_since: Option<Instant>,
}

impl Composition {
    /// `None` for a target without batches.
    pub(super) fn of(target: &Target) -> Option<Composition> {
        let policy = *target.batch()?;
        Some(Composition {
            policy,
            concurrency: target.concurrency().get(),
            accepted_events: policy.max_events().get(),
            accepted_bytes: policy.max_bytes().get(),
            waits_since: None,
        })
    }

    /// Whether events that were never attempted are to wait for others, and until when. They never
    /// wait while nothing is under way, and wait for a sender while all are busy, since the batch
    /// grows meanwhile. Full batches and retries do not wait.
    pub(super) fn wait(
        &mut self,
        kind: Kind,
        lanes: &Lanes,
        outstanding: usize,
        now: Instant,
    ) -> Option<Step> {
        let (events, bytes) = lanes.ready_first();
        let is_full = events >= self.accepted_events || bytes >= self.accepted_bytes;
        if kind == Kind::Retry || is_full || outstanding == 0 {
            return None;
        }
        if outstanding >= self.concurrency {
            return Some(Step::Nothing);
        }
        let since = *self.waits_since.get_or_insert(now);
        let until = since.checked_add(self.policy.max_wait())?;
        (now < until).then_some(Step::Blocked(Blocked::Until(until)))
    }

    /// The room of the next batch, of which `most` events fit into the window. One that failed before
    /// keeps its events.
    pub(super) fn room(&mut self, kind: Kind, most: usize) -> BatchRoom {
        let (events, bytes) = match kind {
            Kind::First => {
                self.waits_since = None;
                (self.accepted_events.min(most), self.accepted_bytes)
            }
            Kind::Retry => (
                self.policy.max_events().get(),
                self.policy.max_bytes().get(),
            ),
        };
        BatchRoom { events, bytes }
    }

    /// A batch was delivered.
    pub(super) fn delivered(&mut self) {
        let most = self.policy.max_bytes().get();
        self.accepted_bytes = (self.accepted_bytes + most / GROWTH).min(most);
        let most = self.policy.max_events().get();
        self.accepted_events = (self.accepted_events + most.div_ceil(GROWTH)).min(most);
    }

    /// The receiver answered a batch of so many events with a failure.
    pub(super) fn failed(&mut self, events: usize) {
        self.accepted_events = self.accepted_events.min(events / 2).max(1);
    }

    /// The receiver refused a batch of so many bytes as too large.
    pub(super) fn too_large(&mut self, bytes: usize) {
        self.accepted_bytes = self.accepted_bytes.min(bytes / 2).max(1);
    }
}
