//! Events that are known here before the queue is known to have them.
//!
//! They may be attempted while their commit is under way, since a crash then only means that an
//! event arrived that nobody was told is accepted. What comes of an attempt is kept here until the
//! queue has the event, and only then goes there.
//!
//! An event is told of twice: early, in the order in which events will be committed, and again
//! with its entry once it is committed; or it is withdrawn, its commit having failed.

use super::Agenda;
use crate::lane::{Delivery, Withdrawn};
use crate::line::Live;
use hashbrown::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;
use webhook_queue::{EntryId, EventId, Queue, QueueError, Settled, Settlement};

/// What is known early.
#[derive(Debug, Default)]
pub(super) struct Early {
    events: HashMap<EventId, Known>,
    /// How many events of a task were not taken, and wait until the queue has them: what comes
    /// after the first must not go before it.
    held_back: HashMap<Arc<[u8]>, usize>,
    /// Outcomes that wait until the queue has their events.
    outcomes: usize,
    /// Withdrawn while under way.
    withdrawn: Vec<EventId>,
    /// The number of the last event that the queue was told to have.
    told_up_to: u64,
    /// What has this number or one before it, somebody else may have been told of early.
    floor: u64,
    /// Read from the queue since all was heard that had been said: they may yet be told of early,
    /// which is no news.
    read: HashSet<EventId>,
}

#[derive(Debug)]
struct Known {
    key: Arc<[u8]>,
    stage: Stage,
    /// Where the queue has it, while the cursor is before that.
    entry: Option<EntryId>,
}

#[derive(Debug)]
enum Stage {
    /// There was no room, or it was not its turn.
    HeldBack(Live),
    /// It is in its lane, with the last attempt that the queue is to remember.
    Taken(Option<Settled>),
    /// It is settled.
    Over(Settled),
}

/// What a withdrawn event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    /// Not settled: it is as if it had never been told of.
    Owed,
    /// Settled, and counted so.
    Settled,
}

impl Early {
    /// Whether nothing is known early.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Outcomes that the queue is to be told once it has their events.
    pub(super) fn outcomes(&self) -> usize {
        self.outcomes
    }

    fn hold_back(&mut self, live: Live) {
        *self.held_back.entry(Arc::clone(&live.key)).or_default() += 1;
        let key = Arc::clone(&live.key);
        self.know(live.id, key, Stage::HeldBack(live));
    }

    fn know(&mut self, id: EventId, key: Arc<[u8]>, stage: Stage) {
        let entry = None;
        self.events.insert(id, Known { key, stage, entry });
    }

    fn forget(&mut self, id: EventId) -> Option<Known> {
        let known = self.events.remove(&id)?;
        match &known.stage {
            Stage::HeldBack(_) => {
                if let Some(count) = self.held_back.get_mut(&known.key) {
                    *count -= 1;
                    if *count == 0 {
                        self.held_back.remove(&known.key);
                    }
                }
            }
            Stage::Taken(None) => {}
            Stage::Taken(Some(_)) | Stage::Over(_) => self.outcomes -= 1,
        }
        Some(known)
    }
}

impl Agenda {
    /// Begins where another has ended, who may have been told early of events up to this number.
    pub(crate) fn follow_on(&mut self, number: u64) {
        self.early.floor = number;
    }

    /// Learns of an event that the queue does not have yet. `after` is the number of the last
    /// event before it that this was not told of early.
    pub(crate) fn learn_early(&mut self, live: Live, after: u64, now: Instant) {
        if self.early.read.remove(&live.id) {
            return;
        }
        let in_turn = self.following
            && self.early.told_up_to >= after.max(self.early.floor)
            && !self.early.held_back.contains_key(&live.key);
        let delivery = Delivery::of(&live, None);
        if in_turn && self.lanes.offer_early(&live.key, delivery, now, &live.body) {
            self.early.know(live.id, live.key, Stage::Taken(None));
        } else {
            self.early.hold_back(live);
        }
    }

    /// Learns that the queue has an event that was told of early, at this entry. False if there is
    /// no room for it: the queue has it.
    pub(crate) fn told(&mut self, id: EventId, entry: EntryId, number: u64, now: Instant) -> bool {
        self.early.told_up_to = self.early.told_up_to.max(number);
        let Some(known) = self.early.events.get_mut(&id) else {
            // Whoever served this target before was told of it early.
            let missed = self.following && self.cursor.is_none_or(|cursor| entry > cursor);
            if missed {
                self.fall_behind();
            }
            return !missed;
        };
        if let Stage::HeldBack(_) = &known.stage {
            let Some(Stage::HeldBack(live)) = self.early.forget(id).map(|known| known.stage) else {
                return true;
            };
            return self.learn(Live { entry, ..live }, now);
        }
        known.entry = Some(entry);
        self.write_down(id, entry);
        if self.following {
            self.cursor = self.cursor.max(Some(entry));
            self.passed(id, entry);
        }
        true
    }

    /// Learns the number of an event that the queue has and that was not told of early.
    pub(crate) fn told_live(&mut self, number: u64) {
        self.early.told_up_to = self.early.told_up_to.max(number);
    }

    /// Meets an entry in the queue; whether it was taken early, and needs no lane.
    pub(super) fn meet(&mut self, id: EventId, entry: EntryId) -> bool {
        match self.early.events.get(&id) {
            None => false,
            Some(Known {
                stage: Stage::HeldBack(_),
                ..
            }) => {
                self.early.forget(id);
                false
            }
            Some(_) => {
                self.write_down(id, entry);
                self.passed(id, entry);
                true
            }
        }
    }

    /// Looks in the queue for the events that it is not known to have.
    pub(crate) fn look_up(&mut self, queue: &dyn Queue) -> Result<(), QueueError> {
        let mut found = Vec::new();
        for (id, known) in &self.early.events {
            if known.entry.is_none() && !matches!(known.stage, Stage::HeldBack(_)) {
                queue.owed_of_key(&self.name, &known.key, None, &mut |owed| {
                    if owed.id == *id {
                        found.push((*id, owed.entry));
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                })?;
            }
        }
        for (id, entry) in found {
            if let Some(known) = self.early.events.get_mut(&id) {
                known.entry = Some(entry);
            }
            self.write_down(id, entry);
        }
        Ok(())
    }

    /// Has the queue told what came of an event that it has now.
    fn write_down(&mut self, id: EventId, entry: EntryId) {
        let Some(known) = self.early.events.get_mut(&id) else {
            return;
        };
        let mut over = false;
        let outcome = match &mut known.stage {
            Stage::Taken(noted) => noted.take(),
            Stage::Over(outcome) => {
                let outcome = outcome.clone();
                self.settling.insert(entry);
                // Should the queue owe it again some day, it is none of these any more.
                over = true;
                Some(outcome)
            }
            Stage::HeldBack(_) => None,
        };
        if over {
            self.early.forget(id);
        } else if outcome.is_some() {
            self.early.outcomes -= 1;
        }
        if let Some(outcome) = outcome {
            self.noting += usize::from(matches!(outcome, Settled::Attempted { .. }));
            self.to_write.push(self.settlement(entry, outcome));
        }
    }

    /// The cursor is at, or after, the entry of an event that was taken early.
    fn passed(&mut self, id: EventId, entry: EntryId) {
        if let Some(known) = self.early.forget(id) {
            self.lanes.told(&known.key, id, entry);
        }
    }

    /// Remembers what was read from the queue, until all is heard that was said before.
    pub(super) fn has_read(&mut self, id: EventId) {
        self.early.read.insert(id);
    }

    /// All is heard that was said before the last reading of the queue.
    pub(crate) fn heard_all(&mut self) {
        self.early.read.clear();
    }

    /// All that the queue has was met: what has an entry and was not met is settled there.
    pub(super) fn met_all(&mut self) {
        let lanes = &mut self.lanes;
        self.early.events.retain(|id, known| match known.entry {
            None => true,
            Some(entry) => {
                lanes.told(&known.key, *id, entry);
                false
            }
        });
    }

    /// What the queue is to be told of events that it did not have when it came about.
    pub(crate) fn take_outcomes(&mut self) -> Vec<Settlement> {
        std::mem::take(&mut self.to_write)
    }

    /// Learns that the queue will not have an event that was told of early.
    pub(crate) fn withdraw(&mut self, id: EventId) -> Was {
        let Some(known) = self.early.forget(id) else {
            return Was::Owed;
        };
        match known.stage {
            Stage::HeldBack(_) => Was::Owed,
            Stage::Over(_) => Was::Settled,
            Stage::Taken(_) => {
                if self.lanes.withdraw(&known.key, id) == Withdrawn::InFlight {
                    self.early.withdrawn.push(id);
                }
                Was::Owed
            }
        }
    }

    /// Whether an event was withdrawn while it was under way.
    pub(super) fn is_withdrawn(&self, id: EventId) -> bool {
        self.early.withdrawn.contains(&id)
    }

    /// As [`is_withdrawn`](Agenda::is_withdrawn), asked for the last time.
    pub(super) fn was_withdrawn(&mut self, id: EventId) -> bool {
        let place = self.early.withdrawn.iter().position(|other| *other == id);
        place.is_some_and(|place| {
            self.early.withdrawn.swap_remove(place);
            true
        })
    }

    /// What the queue is to be told of an event, now if it has it, else once it does.
    pub(super) fn record(&mut self, delivery: &Delivery, outcome: Settled) -> Option<Settlement> {
        let entry = match self.early.events.get_mut(&delivery.id) {
            Some(Known {
                entry: None, stage, ..
            }) => {
                let before = std::mem::replace(
                    stage,
                    match outcome {
                        Settled::Attempted { .. } => Stage::Taken(Some(outcome)),
                        outcome => Stage::Over(outcome),
                    },
                );
                self.early.outcomes += usize::from(matches!(before, Stage::Taken(None)));
                return None;
            }
            Some(Known { entry, .. }) => *entry,
            None => delivery.entry,
        };
        let entry = entry.expect("what was not told of early has its entry");
        match outcome {
            Settled::Attempted { .. } => self.noting += 1,
            _ => {
                self.early.forget(delivery.id);
                self.settling.insert(entry);
            }
        }
        Some(self.settlement(entry, outcome))
    }

    fn settlement(&self, entry: EntryId, outcome: Settled) -> Settlement {
        Settlement {
            target: Arc::clone(&self.name),
            entry,
            outcome,
        }
    }
}

impl Delivery {
    /// An event that was not attempted yet.
    pub(super) fn of(live: &Live, entry: Option<EntryId>) -> Delivery {
        Delivery {
            entry,
            id: live.id,
            accepted_at: live.accepted_at,
            attempts: 0,
            submitted: Some(live.submitted),
            first_attempt_at: None,
            not_before: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{live, target};
    use super::super::{Agenda, Step};
    use crate::line::Line;
    use crate::tally::Tally;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Instant, UNIX_EPOCH};
    use webhook_queue::{EntryId, Event, EventId, MemoryQueue};

    fn event(number: u8) -> Event {
        Event {
            id: EventId([number; 16]),
            key: Arc::from([1]),
            body: Arc::from([number]),
            accepted_at: 0,
            targets: Arc::from([]),
            idempotency_key: None,
        }
    }

    /// One that has seen all that an empty queue holds.
    fn following(now: Instant) -> Agenda {
        let mut agenda = Agenda::new(&target(), true, now);
        let queue = MemoryQueue::new(1 << 20);
        let at = crate::clock::Moment {
            now,
            wall: UNIX_EPOCH,
        };
        let behind = AtomicBool::new(false);
        agenda.read_on(&queue, &behind, at).unwrap();
        assert!(agenda.follows());
        agenda
    }

    #[test]
    fn whoever_comes_after_another_waits_for_what_the_other_was_told_early() {
        let now = Instant::now();
        let mut agenda = following(now);
        agenda.follow_on(4);
        // Of the same task as the fourth, which nobody knows here.
        agenda.learn_early(live(EntryId(0), &event(5)), 0, now);
        assert!(matches!(agenda.next(now), Step::Nothing));
        assert!(agenda.told(EventId([5; 16]), EntryId(5), 5, now));
        assert!(matches!(agenda.next(now), Step::Attempt(..)));
        agenda.learn_early(live(EntryId(0), &event(6)), 0, now);
        assert_eq!(agenda.held(), 2, "all that the other was told is behind");
    }

    #[test]
    fn a_courier_that_is_behind_is_told_nothing_early() {
        let line = Line::new(Arc::from("a"), true, 8, Arc::new(Tally::default()));
        assert!(!line.tell_early(live(EntryId(0), &event(1)), 1));
        assert!(line.events().is_empty(), "it would only have to be kept");
        line.behind.store(false, Ordering::SeqCst);
        assert!(line.tell_early(live(EntryId(0), &event(2)), 2));
        assert_eq!(line.events().len(), 1);
    }
}
