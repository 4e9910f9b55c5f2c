//! A lane: the events of one task, in their order.

use super::content::Content;
use super::delivery::{BatchTag, Delivery, Due, Kind, LaneId};
use super::report::LaneReport;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use webhook_queue::{EntryId, SlotGuard};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    InFlight,
    Waiting,
    Reading,
    /// To be read back once a settlement is synced.
    Suspended,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: Arc<[u8]>,
    /// The hash of `key`.
    pub(super) hash: u64,
    pub(super) state: State,
    /// The first events with their bodies; the front one is the next, or is in flight.
    pub(super) events: VecDeque<(Delivery, Content)>,
    /// Bytes of their bodies.
    pub(super) bytes: usize,
    /// How many of them are in flight.
    pub(super) in_flight: usize,
    /// Whether the queue holds more of this task's offered events than `events`.
    pub(super) more: bool,
    /// The event that waits for its retry; the queue's copy may be older.
    pub(super) waiting: Option<Delivery>,
    /// The events behind it that failed in the same batch.
    pub(super) waiting_more: Vec<EntryId>,
}

impl Lane {
    /// Whether it has this event in memory, under the same claim.
    pub(super) fn holds(&self, delivery: &Delivery) -> bool {
        let mut events = self.events.iter();
        events.any(|(it, _)| (it.entry, it.claim) == (delivery.entry, delivery.claim))
    }

    /// Its first event, if it is in memory or waits for its retry.
    pub(super) fn first(&self) -> Option<&Delivery> {
        let first = self.events.front().map(|(first, _)| first);
        self.waiting.as_ref().or(first)
    }

    pub(super) fn report(&self, epoch_ms: impl Fn(Instant) -> u64) -> Option<LaneReport> {
        let first = self.first()?;
        let waits = self.state == State::Waiting;
        Some(LaneReport {
            key: Arc::clone(&self.key),
            accepted_at: first.accepted_at,
            attempts: first.attempts,
            in_flight: self.state == State::InFlight,
            next_try_at: first.not_before.filter(|_| waits).map(epoch_ms),
        })
    }

    /// The kind of its first event, while the lane is being read back.
    pub(super) fn reading_kind(&self) -> Kind {
        match self.waiting {
            Some(_) => Kind::Retry,
            None => Kind::First,
        }
    }

    /// The kind of its first event in memory.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.events.front().map(|(first, _)| Kind::of(first))
    }

    /// The batch of its first event in memory.
    pub(super) fn first_batch(&self) -> Option<BatchTag> {
        self.events.front().and_then(|(first, _)| first.batch)
    }

    /// The batch of the event that waits.
    pub(super) fn batch(&self) -> Option<BatchTag> {
        self.waiting.and_then(|waiting| waiting.batch)
    }

    /// Lets an event wait with the lane's first one if it failed in the same batch.
    pub(super) fn join_waiting(&mut self, failed: &Delivery) {
        let Some(first) = self.waiting.filter(|first| first.batch.is_some()) else {
            return;
        };
        let last = self.waiting_more.last().unwrap_or(&first.entry);
        if failed.batch == first.batch && failed.entry > *last {
            self.waiting_more.push(failed.entry);
        }
    }

    /// Bytes of the bodies of its first event, and of those behind it of the same batch.
    pub(super) fn first_bytes(&self) -> usize {
        let Some((first, content)) = self.events.front() else {
            return 0;
        };
        let Some(batch) = first.batch else {
            return content.len();
        };
        let events = self.events.iter();
        let its = events.take_while(|(it, _)| it.batch == Some(batch));
        its.map(|(_, content)| content.len()).sum()
    }

    /// Takes its next event, which is in flight from now on.
    pub(super) fn take_next(&mut self, id: LaneId, kind: Kind) -> Option<Due> {
        let (delivery, content) = self.events.get(self.in_flight)?;
        self.in_flight += 1;
        Some(Due {
            lane: id,
            key_hash: self.hash,
            kind,
            key: Arc::clone(&self.key),
            delivery: *delivery,
            content: content.clone(),
            guard: SlotGuard::SOLE,
        })
    }
}

/// The events that failed in the same batch as `first`, of those behind it.
pub(super) fn same_batch<'a>(
    first: &Delivery,
    behind: impl Iterator<Item = &'a (Delivery, Content)>,
) -> Vec<EntryId> {
    let its = behind.take_while(|(it, _)| first.batch.is_some() && it.batch == first.batch);
    its.map(|(it, _)| it.entry).collect()
}
