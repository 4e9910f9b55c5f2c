//! A queue in memory that several processes share, for dispatchers in one process.

use crate::support::PATIENCE;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use webhook_queue::{
    Claim, CommitResult, DeadLetter, EntryId, Event, MemoryQueue, News, Owed, Queue, QueueError,
    Quotas, Settled, Settlement, SettlementResult, SharedStatistics, SlotGuard, Statistics,
    TargetHold,
};

/// The slots of the queue.
pub(crate) const SLOTS: u16 = 4;

/// What the views share.
pub(crate) struct SharedQueue {
    inner: MemoryQueue,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    slots: Vec<Slot>,
    views: Vec<ViewState>,
}

#[derive(Default)]
struct Slot {
    /// The index of its view.
    owner: Option<usize>,
    fence: u64,
    /// Cloned for each guard of the claim.
    users: Arc<()>,
    /// No more guards: it is being given to another view.
    leaving: bool,
}

#[derive(Clone, Default)]
struct ViewState {
    news: News,
    /// It cannot reach the queue.
    away: bool,
    closed: bool,
}

/// The queue as one process sees it.
pub(crate) struct View {
    queue: Arc<SharedQueue>,
    index: usize,
    /// The fences of the slots when a target was last read from the beginning.
    sessions: Mutex<HashMap<String, Vec<Option<u64>>>>,
}

impl SharedQueue {
    /// Two views. The first one owns all slots.
    pub(crate) fn pair() -> (Arc<SharedQueue>, [Arc<dyn Queue>; 2]) {
        let slot = |_| Slot {
            owner: Some(0),
            fence: 1,
            ..Slot::default()
        };
        let queue = Arc::new(SharedQueue {
            inner: MemoryQueue::new(1 << 30),
            state: Mutex::new(State {
                slots: (0..SLOTS).map(slot).collect(),
                views: vec![ViewState::default(); 2],
            }),
            changed: Condvar::new(),
        });
        let views = [0, 1].map(|index| -> Arc<dyn Queue> {
            Arc::new(View {
                queue: Arc::clone(&queue),
                index,
                sessions: Mutex::default(),
            })
        });
        (queue, views)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Gives a slot to a view in order: once no guard of it exists.
    pub(crate) fn give(&self, slot: u16, to: usize) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        state.slots[usize::from(slot)].leaving = true;
        while Arc::strong_count(&state.slots[usize::from(slot)].users) > 1 {
            assert!(Instant::now() < deadline, "slot {slot} is still in use");
            // Guards are dropped without a notification.
            let waited = self.changed.wait_timeout(state, Duration::from_millis(1));
            state = waited.unwrap().0;
        }
        state.claim(slot, to);
        self.changed.notify_all();
    }

    /// Gives all slots of a view to another at once, whatever it has under way, as after the end of
    /// its lease.
    pub(crate) fn lose(&self, from: usize, to: usize) {
        let mut state = self.state();
        for slot in 0..SLOTS {
            if state.slots[usize::from(slot)].owner == Some(from) {
                state.claim(slot, to);
            }
        }
        self.changed.notify_all();
    }

    /// Lets a view reach the queue or not.
    pub(crate) fn set_away(&self, view: usize, away: bool) {
        self.state().views[view].away = away;
    }
}

impl State {
    fn claim(&mut self, slot: u16, to: usize) {
        let fence = self.slots[usize::from(slot)].fence + 1;
        self.slots[usize::from(slot)] = Slot {
            owner: Some(to),
            fence,
            ..Slot::default()
        };
        self.views[to].news.reread = true;
    }
}

impl View {
    fn slot(key: &[u8]) -> u16 {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        u16::try_from(hasher.finish() % u64::from(SLOTS)).unwrap()
    }

    /// The state, if it can be reached.
    fn reach(&self) -> Result<MutexGuard<'_, State>, QueueError> {
        let state = self.queue.state();
        match state.views[self.index].away {
            false => Ok(state),
            true => Err(QueueError::Unavailable {
                storage: "the server".to_owned(),
                source: "it is away".into(),
            }),
        }
    }

    /// The fences of the slots of this view.
    fn fences(&self) -> Result<Vec<Option<u64>>, QueueError> {
        let state = self.reach()?;
        let slots = state.slots.iter();
        let own = |slot: &Slot| slot.owner == Some(self.index) && !slot.leaving;
        Ok(slots.map(|slot| own(slot).then_some(slot.fence)).collect())
    }
}

impl Queue for View {
    fn commit(
        &self,
        appends: &[Event],
        settlements: &[Settlement],
    ) -> Result<CommitResult, QueueError> {
        let mut state = self.reach()?;
        let has_effect = |it: &Settlement| {
            let claim = it.guard.claim();
            let slot = &state.slots[usize::from(claim.slot)];
            matches!(it.outcome, Settled::Held { .. })
                || (slot.owner, slot.fence) == (Some(self.index), claim.fence)
        };
        let effective: Vec<_> = settlements.iter().map(has_effect).collect();
        let applied = settlements.iter().zip(&effective);
        let applied = applied.filter(|(_, effective)| **effective);
        let applied: Vec<_> = applied.map(|(it, _)| it.clone()).collect();
        let mut committed = self.queue.inner.commit(appends, &applied)?;
        let mut results = committed.settled.into_iter();
        let result = |effective: bool| match effective {
            true => results.next().unwrap(),
            false => SettlementResult::Fenced,
        };
        committed.settled = effective.into_iter().map(result).collect();
        if !appends.is_empty() {
            for view in &mut state.views {
                view.news.appended = true;
            }
            self.queue.changed.notify_all();
        }
        Ok(committed)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn guard(&self, claim: Claim) -> Option<SlotGuard> {
        let state = self.reach().ok()?;
        let slot = &state.slots[usize::from(claim.slot)];
        let current = (slot.owner, slot.fence, slot.leaving);
        (current == (Some(self.index), claim.fence, false))
            .then(|| SlotGuard::counted(claim, Arc::clone(&slot.users)))
    }

    fn wait_for_news(&self, timeout: Duration) -> News {
        let nothing = |state: &mut State| {
            let view = &state.views[self.index];
            view.away || view.news.is_none()
        };
        let state = self.queue.state();
        let waited = (self.queue.changed).wait_timeout_while(state, timeout, nothing);
        let mut state = waited.unwrap().0;
        let view = &mut state.views[self.index];
        match view.away {
            true => News::default(),
            false => std::mem::take(&mut view.news),
        }
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.queue.inner.set_quotas(quotas);
    }

    fn trim_dead_letters(&self, now: u64) -> Result<Vec<(Arc<str>, u64)>, QueueError> {
        self.queue.inner.trim_dead_letters(now)
    }

    fn owed(
        &self,
        target: &str,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        let now = self.fences()?;
        let mut sessions = self.sessions.lock().unwrap();
        let session = match after {
            None => now.clone(),
            Some(_) => sessions.get(target).cloned().unwrap_or_default(),
        };
        sessions.insert(target.to_owned(), session.clone());
        drop(sessions);
        self.queue.inner.owed(target, after, &mut |owed| {
            let slot = View::slot(owed.key);
            let at = usize::from(slot);
            match now[at].filter(|fence| session[at] == Some(*fence)) {
                Some(fence) => visit(Owed {
                    claim: Claim { slot, fence },
                    ..owed
                }),
                None => ControlFlow::Continue(()),
            }
        })
    }

    fn owed_of_keys(
        &self,
        target: &str,
        keys: &[Arc<[u8]>],
        visit: &mut dyn FnMut(usize, Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        let fences = self.fences()?;
        let inner = &self.queue.inner;
        inner.owed_of_keys(target, keys, &mut |index, owed| {
            let slot = View::slot(owed.key);
            match fences[usize::from(slot)] {
                Some(fence) => visit(
                    index,
                    Owed {
                        claim: Claim { slot, fence },
                        ..owed
                    },
                ),
                None => ControlFlow::Break(()),
            }
        })
    }

    fn dead_letters(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        self.queue.inner.dead_letters(target, after, visit)
    }

    fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        let mut state = self.reach()?;
        let found = self.queue.inner.replay(target, entries)?;
        for view in &mut state.views {
            view.news.reread = true;
        }
        self.queue.changed.notify_all();
        Ok(found)
    }

    fn drop_dead(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        self.queue.inner.drop_dead(target, entries)
    }

    fn drop_target(&self, target: &str) -> Result<u64, QueueError> {
        self.queue.inner.drop_target(target)
    }

    fn hold(&self, target: &str) -> Result<Option<TargetHold>, QueueError> {
        let _state = self.reach()?;
        self.queue.inner.hold(target)
    }

    /// Gives its slots to the view that is left.
    fn close(&self) -> Result<(), QueueError> {
        let mut state = self.queue.state();
        state.views[self.index].closed = true;
        let left = state.views.iter().position(|view| !view.closed);
        for slot in 0..SLOTS {
            if state.slots[usize::from(slot)].owner == Some(self.index)
                && let Some(left) = left
            {
                state.claim(slot, left);
            }
        }
        self.queue.changed.notify_all();
        Ok(())
    }

    fn statistics(&self) -> Result<Statistics, QueueError> {
        let statistics = self.queue.inner.statistics()?;
        Ok(Statistics {
            shared: Some(SharedStatistics::default()),
            ..statistics
        })
    }
}
