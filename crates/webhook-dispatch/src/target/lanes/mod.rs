//! The lanes of a target: a FIFO for each task.
//!
//! A lane is ready, in flight, waiting for its retry or a sync, or being read back from the queue; a task
//! without pending events has no lane. Only a lane's first event is handed out, and the next one
//! once the first is settled, so a task's events keep their order while tasks do not wait for each
//! other.
//!
//! First attempts and retries are ready in queues of their own, so that events which fail again and
//! again do not stand before those never tried.
//!
//! Memory is bounded by [`Bounds`]: a waiting lane holds no bodies, and events that do not fit stay
//! in the queue, to be read back by the task's key. Retries take at most a quarter of it.
//!
//! With batches, several events go into one attempt: the first ones of a lane, in order, and those
//! of further lanes. The lanes of a batch that failed wait, wake and are read back together, under
//! the batch's tag, so that its next attempt has the same events.

mod batch;
mod content;
mod delivery;
mod lane;
mod ready;
mod report;
mod table;
#[cfg(test)]
mod tests;
mod waiting;
mod window;

pub(crate) use self::batch::{Batch, BatchRoom};
pub(crate) use self::content::Content;
pub(crate) use self::delivery::{BatchTag, Delivery, Due, Kind, LaneId};
pub(crate) use self::report::LaneReport;
pub(crate) use self::window::Bounds;

use self::lane::{State, same_batch};
use self::ready::{ByKind, Ready};
use self::table::LaneTable;
use self::waiting::Waiting;
use self::window::Window;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_queue::{Claim, EntryId, SlotGuard};

/// Lanes that are read back together, at most.
const READ_TOGETHER: usize = 64;
/// How often recoveries of the receiver cut an event's back-off short. An event that still fails
/// is likely the reason itself.
const RECOVERIES: u8 = 3;

/// The result of offering an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is in memory, in its lane.
    Taken,
    /// Its lane will read it back from the queue in its turn.
    Held,
    /// There is no room; offer it again.
    Full,
}

/// The lanes of one target.
#[derive(Debug)]
pub(crate) struct Lanes {
    window: Window,
    lanes: LaneTable,
    ready: Ready,
    waiting: Waiting,
    /// The tags of the batches that wait, are being read back or are ready.
    tags: BTreeSet<BatchTag>,
    reading: ByKind,
}

impl Lanes {
    pub(crate) fn new(bounds: Bounds) -> Lanes {
        Lanes {
            window: Window::new(bounds),
            lanes: LaneTable::default(),
            ready: Ready::default(),
            waiting: Waiting::default(),
            tags: BTreeSet::new(),
            reading: ByKind::default(),
        }
    }

    /// Offers the next event of `key`. Events of a key must be offered in the order accepted, and may
    /// be offered again from any of them on: those that their lane knows are held already.
    pub(crate) fn offer(
        &mut self,
        key: &[u8],
        delivery: Delivery,
        now: Instant,
        shared_key: impl FnOnce() -> Arc<[u8]>,
        content: impl FnOnce() -> Content,
    ) -> Offered {
        let room = self.window.has_room();
        let hash = self.lanes.hash(key);
        if let Some(id) = self.lanes.find(hash, key) {
            let lane = &mut self.lanes[id];
            let is_new = lane
                .events
                .back()
                .is_none_or(|(last, _)| last.entry < delivery.entry);
            lane.join_waiting(&delivery);
            if lane.more || !is_new || lane.events.len() >= self.window.bounds.per_lane {
                // One that it does not have, or has under a claim that has ended, is read back.
                lane.more |= is_new || !lane.holds(&delivery);
                return Offered::Held;
            }
            if !room {
                return Offered::Full;
            }
            let content = content();
            let bytes = content.len();
            self.window.add(1, bytes);
            lane.bytes += bytes;
            let in_batch = lane.first_bytes();
            lane.events.push_back((delivery, content));
            match lane.kind() {
                Some(Kind::First) if lane.state == State::Ready => {
                    self.ready.grow(1, bytes);
                }
                // After a restart, it may be a further event of the batch that the first one is in.
                Some(Kind::Retry) if lane.state == State::Ready => {
                    self.ready.retry_bytes += lane.first_bytes() - in_batch;
                }
                _ => {}
            }
            return Offered::Taken;
        }
        if self.lanes.len() >= self.window.bounds.lanes || !room {
            return Offered::Full;
        }
        let id = self.lanes.add(shared_key(), hash, false);
        if Kind::of(&delivery) == Kind::Retry {
            // It failed under an earlier worker, whose reasons to wait may be gone.
            let soon = now + spread_of(&delivery);
            let at = delivery.not_before.map_or(now, |at| at.min(soon));
            self.wait(id, delivery, Vec::new(), at);
            return Offered::Held;
        }
        let content = content();
        self.window.add(1, content.len());
        let lane = &mut self.lanes[id];
        lane.bytes = content.len();
        lane.events.push_back((delivery, content));
        self.make_ready(id, VecDeque::push_back);
        Offered::Taken
    }

    /// Marks a task with an entry that was settled and is pending again. False if there is no room
    /// for its lane; call it again later.
    pub(crate) fn owed_again(&mut self, key: &[u8]) -> bool {
        let hash = self.lanes.hash(key);
        if let Some(id) = self.lanes.find(hash, key) {
            let lane = &mut self.lanes[id];
            lane.more = true;
            if lane.state == State::Suspended {
                lane.state = State::Reading;
                self.reading.of_mut(lane.reading_kind()).push_back(id);
            }
            return true;
        }
        if self.lanes.len() >= self.window.bounds.lanes {
            return false;
        }
        let id = self.lanes.add(Arc::from(key), hash, true);
        self.reading.first.push_back(id);
        true
    }

    /// Offers an event of `key` that may be settled. Its lane is read back once that is known, by
    /// [`owed_again`](Self::owed_again).
    pub(crate) fn offer_suspended(&mut self, key: &[u8]) -> Offered {
        let hash = self.lanes.hash(key);
        if let Some(id) = self.lanes.find(hash, key) {
            self.lanes[id].more = true;
        } else if self.lanes.len() >= self.window.bounds.lanes {
            return Offered::Full;
        } else {
            let id = self.lanes.add(Arc::from(key), hash, true);
            self.lanes[id].state = State::Suspended;
        }
        Offered::Held
    }

    /// Lets a lane that [`to_read`](Self::to_read) returned wait for
    /// [`owed_again`](Self::owed_again).
    pub(crate) fn suspend(&mut self, id: LaneId) {
        self.begun(id);
        self.lanes[id].state = State::Suspended;
    }

    /// Takes the next ready event of this kind, which is in flight from now on.
    pub(crate) fn take(&mut self, kind: Kind) -> Option<Due> {
        let id = self.ready.lanes.of_mut(kind).pop_front()?;
        self.taken(id, kind)
    }

    /// Takes the ready event of this kind that became ready last.
    pub(crate) fn take_newest(&mut self, kind: Kind) -> Option<Due> {
        let id = self.ready.lanes.of_mut(kind).pop_back()?;
        self.taken(id, kind)
    }

    /// Takes the first ready event that is `wanted`, which is in flight from now on.
    pub(crate) fn take_where(&mut self, wanted: impl Fn(&Delivery) -> bool) -> Option<Due> {
        [Kind::First, Kind::Retry].into_iter().find_map(|kind| {
            let index = self.ready.lanes.of(kind).iter().position(|&id| {
                let first = self.lanes[id].events.front();
                first.is_some_and(|(delivery, _)| wanted(delivery))
            })?;
            let id = self.ready.lanes.of_mut(kind).remove(index)?;
            self.taken(id, kind)
        })
    }

    /// The first event of a lane that is ready no more.
    fn taken(&mut self, id: LaneId, kind: Kind) -> Option<Due> {
        let lane = &mut self.lanes[id];
        self.ready.taken(lane, kind);
        if kind == Kind::Retry
            && let Some(tag) = lane.first_batch()
        {
            self.tags.remove(&tag);
        }
        lane.state = State::InFlight;
        lane.in_flight = 0;
        lane.take_next(id, kind)
    }

    /// Puts the events in flight back: they were not attempted. Call it once for each lane of a
    /// batch, the last lane first.
    pub(crate) fn untried(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id];
        debug_assert_eq!(lane.state, State::InFlight);
        self.make_ready(id, VecDeque::push_front);
    }

    /// Whether events of the lane are in flight.
    pub(crate) fn is_in_flight(&self, id: LaneId) -> bool {
        self.lanes[id].state == State::InFlight
    }

    /// Drops the events of a lane whose first one was taken: their claim has ended. The lane reads
    /// back what the queue shows under a new one.
    pub(crate) fn forget(&mut self, id: LaneId) {
        debug_assert_eq!(self.lanes[id].state, State::InFlight);
        self.drop_events(id);
        self.lanes[id].state = State::Reading;
        self.reading.first.push_back(id);
    }

    /// Counts the attempt at an event in flight, which is to be put back.
    pub(crate) fn tried(&mut self, id: LaneId, tried: Delivery) {
        let lane = &mut self.lanes[id];
        let mut in_flight = lane.events.iter_mut().take(lane.in_flight);
        if let Some((delivery, _)) = in_flight.find(|(it, _)| it.entry == tried.entry) {
            *delivery = tried;
        }
    }

    /// Removes the first event in flight: it was delivered or given up. The lane's next one may go
    /// once none of its events is in flight.
    pub(crate) fn settled(&mut self, id: LaneId, now: Instant) {
        let lane = &mut self.lanes[id];
        debug_assert_eq!(lane.state, State::InFlight);
        if let Some((_, content)) = lane.events.pop_front() {
            self.window.remove(1, content.len());
            lane.bytes -= content.len();
        }
        lane.in_flight = lane.in_flight.saturating_sub(1);
        if lane.in_flight > 0 {
            return;
        }
        lane.waiting = None;
        if let Some(&(next, _)) = lane.events.front()
            && let Some(at) = next.not_before.filter(|at| *at > now)
        {
            // It failed before a replayed dead letter went ahead of it.
            let more = same_batch(&next, lane.events.iter().skip(1));
            return self.wait(id, next, more, at);
        }
        if !lane.events.is_empty() {
            self.make_ready(id, VecDeque::push_back);
        } else if lane.more {
            lane.state = State::Reading;
            self.reading.first.push_back(id);
        } else {
            self.lanes.remove(id);
        }
    }

    /// Lets the lane wait until `at` after an event in flight failed. Its bodies are dropped. A
    /// later event that failed in the same batch waits with it.
    pub(crate) fn retry(&mut self, id: LaneId, failed: Delivery, at: Instant) {
        let lane = &mut self.lanes[id];
        if lane.state == State::InFlight {
            self.wait(id, failed, Vec::new(), at);
        } else {
            lane.join_waiting(&failed);
        }
    }

    /// When the first waiting lane wakes.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.waiting.next_wake()
    }

    /// Wakes every lane whose retry is due, to be read back.
    pub(crate) fn wake(&mut self, now: Instant) {
        while self.waiting.next_wake().is_some_and(|at| at <= now) {
            self.wake_next(1);
        }
    }

    /// Wakes this many lanes or batches before their time, those first that are due next.
    pub(crate) fn wake_next(&mut self, most: usize) {
        for _ in 0..most {
            for id in self.waiting.pop() {
                self.lanes[id].state = State::Reading;
                self.reading.retry.push_back(id);
            }
        }
    }

    /// Takes the first tag from this one on that no batch has. New tags are not before `now`.
    pub(crate) fn take_tag(&mut self, mut tag: BatchTag, now: u64) -> BatchTag {
        if let Some(now) = BatchTag::new(now) {
            self.tags = self.tags.split_off(&now);
        }
        while !self.tags.insert(tag) {
            tag = tag.next();
        }
        tag
    }

    /// Makes all waiting lanes wake within a second, spread evenly.
    pub(crate) fn wake_all(&mut self, now: Instant) {
        self.waiting.wake_where(now, |_| true);
    }

    /// Makes waiting lanes wake within a second, since the receiver works again, but for those
    /// whose event has failed after several recoveries.
    pub(crate) fn wake_recovered(&mut self, now: Instant) {
        let lanes = &mut self.lanes;
        self.waiting.wake_where(now, |id| {
            let Some(delivery) = &mut lanes[id].waiting else {
                return false;
            };
            let wakes = delivery.recovered < RECOVERIES;
            delivery.recovered += u8::from(wakes);
            wakes
        });
    }

    /// The next lanes to be read back from the queue together, as far as there is room, and how many
    /// events of each.
    pub(crate) fn to_read(&self) -> Vec<(LaneId, Arc<[u8]>, usize)> {
        let mut reads = Vec::new();
        let (mut first, mut retry) = (self.reading.first.iter(), self.reading.retry.iter());
        let (mut retries, mut room) = (0, self.window.left());
        // A batch is read as a whole, though it exceeds the bounds.
        let last_ready = self.ready.lanes.retry.back();
        let mut begun = last_ready.and_then(|&id| self.lanes[id].first_batch());
        while reads.len() < READ_TOGETHER {
            let batch = retry.clone().next().and_then(|&id| self.lanes[id].batch());
            let goes_on = batch.is_some() && batch == begun;
            let has_room = match reads.is_empty() {
                true => self.window.has_room(),
                false => room > 0,
            };
            if !has_room && !goes_on {
                break;
            }
            let retry_first = goes_on || self.ready.lanes.retry.is_empty() && retries == 0;
            let mut next_retry = || {
                let has_room =
                    goes_on || self.ready.has_room_for_retry(retries, &self.window.bounds);
                retry.next().filter(|_| has_room)
            };
            let next = if retry_first {
                next_retry().or_else(|| first.next())
            } else {
                first.next().or_else(next_retry)
            };
            let Some(&id) = next else {
                break;
            };
            let lane = &self.lanes[id];
            let most = match lane.reading_kind() {
                Kind::First => self.window.bounds.per_lane.min(room).max(1),
                // The events behind it wait for it, but for those of its batch.
                Kind::Retry => 1 + lane.waiting_more.len(),
            };
            if lane.reading_kind() == Kind::Retry {
                retries += 1;
                begun = lane.batch();
            }
            room = room.saturating_sub(most);
            reads.push((id, Arc::clone(&lane.key), most));
        }
        reads
    }

    /// Gives a lane that [`to_read`](Self::to_read) returned its first events. `more` says that the
    /// queue holds more of them.
    pub(crate) fn refill(
        &mut self,
        id: LaneId,
        events: Vec<(Delivery, Content)>,
        more: bool,
        now: Instant,
    ) {
        self.begun(id);
        let lane = &mut self.lanes[id];
        debug_assert_eq!(lane.state, State::Reading);
        lane.more = more;
        let waiting = lane.waiting.take();
        let waiting_more = std::mem::take(&mut lane.waiting_more);
        let mut events = VecDeque::from(events);
        let Some((first, _)) = events.front_mut() else {
            // An operator deleted the events.
            if more {
                self.reading.first.push_back(id);
            } else {
                self.lanes.remove(id);
            }
            return;
        };
        match waiting {
            // The lane's copy is newer than the queue's, unless another process had the entry.
            Some(waited) if (waited.entry, waited.claim) == (first.entry, first.claim) => {
                *first = waited;
                for (event, _) in events.iter_mut().skip(1) {
                    if waiting_more.contains(&event.entry) {
                        event.join(&waited);
                    }
                }
            }
            _ => {
                if let Some(at) = first.not_before.filter(|at| *at > now) {
                    let first = *first;
                    let more = same_batch(&first, events.iter().skip(1));
                    self.wait(id, first, more, at);
                    return;
                }
            }
        }
        lane.bytes = events.iter().map(|(_, content)| content.len()).sum();
        self.window.add(events.len(), lane.bytes);
        lane.events = events;
        self.make_ready(id, VecDeque::push_back);
    }

    /// Whether a lane that is being read back begins with an event that failed before.
    pub(crate) fn reads_retry(&self, id: LaneId) -> bool {
        self.lanes[id].reading_kind() == Kind::Retry
    }

    /// Removes a lane from those to be read back, of which it is one of the first.
    fn begun(&mut self, id: LaneId) {
        let kind = self.lanes[id].reading_kind();
        let reading = self.reading.of_mut(kind);
        if let Some(at) = reading.iter().position(|other| *other == id) {
            reading.remove(at);
        }
    }

    /// Whether there is room for another event.
    pub(crate) fn has_room(&self) -> bool {
        self.window.has_room()
    }

    /// Whether there is enough room to make a read of the queue worth its cost.
    pub(crate) fn has_ample_room(&self) -> bool {
        self.window.has_ample_room()
    }

    /// Whether an event is ready.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.lanes.is_empty()
    }

    /// Whether an event of this kind is ready.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        !self.ready.lanes.of(kind).is_empty()
    }

    /// Whether all lanes wait for a retry or are in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.lanes.is_empty() && self.reading.is_empty()
    }

    /// Tasks with pending events.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Changes the window, and the events in it of one lane. Events in memory stay there.
    pub(crate) fn set_window(&mut self, window: usize, per_lane: usize) {
        self.window.bounds.window = window;
        self.window.bounds.per_lane = per_lane;
    }

    /// Whether no task has a lane.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Events in memory.
    pub(crate) fn held(&self) -> usize {
        self.window.held().0
    }

    /// Lanes that wait for a retry.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Up to `most` lanes whose first event has failed, those first whose event was accepted first.
    /// `epoch_ms` converts the times.
    pub(crate) fn stuck(&self, most: usize, epoch_ms: impl Fn(Instant) -> u64) -> Vec<LaneReport> {
        let mut stuck: Vec<(u64, LaneId)> = self
            .lanes
            .iter()
            .filter_map(|(id, lane)| {
                let first = lane.first().filter(|first| first.attempts > 0)?;
                Some((first.accepted_at, id))
            })
            .collect();
        if stuck.len() > most {
            stuck.select_nth_unstable(most);
            stuck.truncate(most);
        }
        stuck.sort_unstable();
        let lanes = stuck.into_iter().map(|(_, id)| &self.lanes[id]);
        lanes.filter_map(|lane| lane.report(&epoch_ms)).collect()
    }

    /// The lane of a key that has a first event in memory, or waits for its retry.
    pub(crate) fn report(
        &self,
        key: &[u8],
        epoch_ms: impl Fn(Instant) -> u64,
    ) -> Option<LaneReport> {
        let id = self.lanes.find(self.lanes.hash(key), key)?;
        self.lanes[id].report(epoch_ms)
    }

    /// Lets a lane wait, with `more` events behind its first one of the same batch. Its events are
    /// dropped, and read back from the queue later.
    fn wait(&mut self, id: LaneId, delivery: Delivery, more: Vec<EntryId>, at: Instant) {
        let lane = &mut self.lanes[id];
        lane.state = State::Waiting;
        lane.waiting = Some(delivery);
        lane.waiting_more = more;
        self.waiting.insert(at, delivery.batch, id);
        self.tags.extend(delivery.batch);
        self.drop_events(id);
    }

    /// Drops a lane's events, which the queue holds.
    fn drop_events(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id];
        self.window.remove(lane.events.len(), lane.bytes);
        lane.events = VecDeque::new();
        lane.bytes = 0;
        lane.in_flight = 0;
        lane.more = true;
    }

    /// Adds a lane to the ready ones, at one end.
    fn make_ready(&mut self, id: LaneId, add: fn(&mut VecDeque<LaneId>, LaneId)) {
        let lane = &mut self.lanes[id];
        lane.state = State::Ready;
        lane.in_flight = 0;
        let Some(kind) = lane.kind() else {
            return;
        };
        if kind == Kind::Retry {
            self.tags.extend(lane.first_batch());
        }
        self.ready.add(id, lane, kind, add);
    }

    /// Events, and bytes of their bodies, that are ready for a first attempt.
    pub(crate) fn ready_first(&self) -> (usize, usize) {
        self.ready.first
    }

    /// How many events the next batch of this kind has, at most.
    pub(crate) fn next_batch(&self, kind: Kind, newest: bool, most: usize) -> usize {
        if kind == Kind::First {
            return self.ready.first.0.min(most);
        }
        let mut ready = self.ready.lanes.of(kind).iter();
        let next = || match newest {
            true => ready.next_back(),
            false => ready.next(),
        };
        let mut lanes = std::iter::from_fn(next).take(most).peekable();
        let batch = lanes.peek().and_then(|id| self.lanes[**id].first_batch());
        let lanes = lanes.take_while(|id| self.lanes[**id].first_batch() == batch);
        let events = lanes.map(|&id| {
            let events = self.lanes[id].events.iter();
            events.take_while(|(it, _)| it.batch == batch).count()
        });
        events.sum::<usize>().min(most)
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
            let ready = self.ready.lanes.of(kind);
            let next = if newest { ready.back() } else { ready.front() };
            let Some(&next) = next.filter(|id| self.lanes[**id].first_batch() == batch) else {
                break;
            };
            let content = self.lanes[next].events.front();
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
        let lane = &mut self.lanes[id];
        while let Some((delivery, content)) = lane.events.get(lane.in_flight)
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
}

/// Spreads events or batches that wake together over a second.
fn spread_of(delivery: &Delivery) -> Duration {
    let number = delivery.batch.map_or(delivery.entry.0, BatchTag::get);
    Duration::from_millis(number % 1_000)
}
