//! Batches: the events of several lanes that go into one attempt.

use super::{Content, Delivery, Due, Kind, Lane, LaneId, Lanes};
use std::num::NonZeroU64;
use std::sync::Arc;
use webhook_queue::{Claim, EntryId, SlotGuard};

/// Identifies a batch that failed: the time of its next attempt, epoch milliseconds, unique among the
/// target's waiting batches. The queue keeps it as each event's `not_before`, so that the batch has
/// the same events after a restart, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BatchTag(NonZeroU64);

impl BatchTag {
    /// `None` for 0, which is no time of a retry.
    pub(crate) fn new(epoch_ms: u64) -> Option<BatchTag> {
        NonZeroU64::new(epoch_ms).map(BatchTag)
    }

    /// Epoch milliseconds.
    pub(crate) fn get(self) -> u64 {
        self.0.get()
    }

    /// The tag for a millisecond later.
    pub(crate) fn next(self) -> BatchTag {
        BatchTag(self.0.saturating_add(1))
    }
}

/// The events of one attempt, in the order of their entries: one, or several for a target with
/// batches.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) first: Due,
    pub(crate) rest: Vec<Due>,
}

impl Batch {
    /// The events, in their order.
    pub(crate) fn new(first: Due, mut rest: Vec<Due>) -> Batch {
        if rest.is_empty() {
            return Batch { first, rest };
        }
        rest.push(first);
        // The same events always make the same request.
        rest.sort_by_key(|due| due.delivery.entry);
        let first = rest.remove(0);
        Batch { first, rest }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Due> + Clone {
        std::iter::once(&self.first).chain(&self.rest)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Due> {
        std::iter::once(&mut self.first).chain(&mut self.rest)
    }

    pub(crate) fn len(&self) -> usize {
        1 + self.rest.len()
    }

    /// The number of its events, as it is shown.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// Whether its events were attempted before.
    pub(crate) fn kind(&self) -> Kind {
        self.first.kind
    }
}

/// The room that is left in a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchRoom {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl BatchRoom {
    /// For a target without batches.
    pub(crate) const ONE: BatchRoom = BatchRoom {
        events: 1,
        bytes: usize::MAX,
    };

    /// Takes room for an event of so many bytes, if there is room.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.events > 0 && self.bytes >= bytes;
        if fits {
            self.events -= 1;
            self.bytes -= bytes;
        }
        fits
    }
}

impl Delivery {
    /// Takes over how often the batch was attempted, and when it is to be again.
    pub(super) fn join(&mut self, first: &Delivery) {
        *self = Delivery {
            entry: self.entry,
            claim: self.claim,
            id: self.id,
            accepted_at: self.accepted_at,
            submitted: self.submitted,
            ..*first
        };
    }
}

impl Lane {
    /// The kind of its first event in memory.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.events.front().map(|(first, _)| Kind::of(first))
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

impl Lanes {
    /// Events, and bytes of their bodies, that are ready for a first attempt.
    pub(crate) fn ready_first(&self) -> (usize, usize) {
        self.ready_first
    }

    /// How many events the next batch of this kind has, at most.
    pub(crate) fn next_batch(&self, kind: Kind, newest: bool, most: usize) -> usize {
        if kind == Kind::First {
            return self.ready_first.0.min(most);
        }
        let ready = self.ready.of(kind);
        let first = if newest { ready.back() } else { ready.front() };
        let batch = first.and_then(|id| self.first_batch(*id));
        let mut events = 0;
        for index in 0..ready.len().min(most) {
            let index = if newest {
                ready.len() - 1 - index
            } else {
                index
            };
            let Some(&id) = ready.get(index) else { break };
            if self.first_batch(id) != batch {
                break;
            }
            let lane = self.lanes[id.0].events.iter();
            events += lane.take_while(|(it, _)| it.batch == batch).count();
        }
        events.min(most)
    }

    /// Takes further events into the batch of `first`, which was taken: those behind it in its lane,
    /// and those of the lanes that are ready next, as far as there is room. All were never
    /// attempted, or failed in the same batch. `guard` gives permission to deliver an entry of a
    /// claim. Also returns whether a claim had ended, whose lane is read back.
    pub(crate) fn gather(
        &mut self,
        first: &Due,
        newest: bool,
        mut room: BatchRoom,
        guard: impl Fn(Claim) -> Option<SlotGuard>,
    ) -> (Vec<Due>, bool) {
        let mut gathered = Vec::new();
        let mut ended = false;
        let (kind, batch) = (first.kind, first.delivery.batch);
        if !room.take(first.content.len()) {
            return (gathered, ended);
        }
        let mut lane = first.lane;
        loop {
            self.gather_lane(lane, kind, batch, &mut room, &guard, &mut gathered);
            let ready = self.ready.of(kind);
            let next = if newest { ready.back() } else { ready.front() };
            let Some(&next) = next.filter(|id| self.first_batch(**id) == batch) else {
                break;
            };
            let content = self.lanes[next.0].events.front();
            if !content.is_some_and(|(_, content)| room.take(content.len())) {
                break;
            }
            let taken = match newest {
                true => self.take_newest(kind),
                false => self.take(kind),
            };
            let Some(mut due) = taken else { break };
            lane = due.lane;
            match guard(due.delivery.claim) {
                Some(guard) => {
                    due.guard = guard;
                    gathered.push(due);
                }
                None => {
                    self.forget(lane);
                    ended = true;
                }
            }
        }
        (gathered, ended)
    }

    /// Takes the events behind those in flight of a lane, as far as they may be in the same batch.
    fn gather_lane(
        &mut self,
        id: LaneId,
        kind: Kind,
        batch: Option<BatchTag>,
        room: &mut BatchRoom,
        guard: &impl Fn(Claim) -> Option<SlotGuard>,
        gathered: &mut Vec<Due>,
    ) {
        let lane = &mut self.lanes[id.0];
        while let Some((delivery, content)) = lane.events.get(lane.in_flight)
            && lane.in_flight > 0
            && delivery.batch == batch
            && Kind::of(delivery) == kind
            && let Some(guard) = guard(delivery.claim)
            && room.take(content.len())
            && let Some(mut due) = lane.take_next(id, kind)
        {
            due.guard = guard;
            gathered.push(due);
        }
    }

    /// The batch of a lane's first event in memory.
    fn first_batch(&self, id: LaneId) -> Option<BatchTag> {
        let first = self.lanes[id.0].events.front();
        first.and_then(|(first, _)| first.batch)
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
