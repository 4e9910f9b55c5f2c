//! What waits for the writer.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::gathering::Gathering;
use super::limits::{Limits, WhenFull};
use super::refused::Refused;
use super::sequence::Sequence;
use super::settlements::Settlements;
use super::statistics::WriterStatistics;
use super::sync::{Condvar, Mutex, MutexGuard, now};
use super::waiting::{Wait, Waiting};
use crate::{Event, QueueError, Settlement};

#[cfg(all(test, not(loom)))]
mod tests;

/// The pause before a failed commit is repeated, if nothing new comes before.
const RETRY: Duration = Duration::from_secs(1);

/// The first pause before events that the disk did not take are tried again; each is twice as long
/// as the one before, up to [`RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// Events and settlements that wait for the writer.
pub(super) struct WriteQueue<T> {
    limits: Limits,
    state: Mutex<State<T>>,
    /// There is something for the writer.
    work: Condvar,
    /// There is room for events.
    room: Condvar,
}

struct State<T> {
    events: VecDeque<Waiting<T>>,
    bytes: usize,
    settlements: Settlements,
    /// No more events are taken.
    closed: bool,
    /// The writer has ended.
    stopped: bool,
    /// How the writer sleeps, if it does and was not woken yet. Waking it while it is awake would
    /// cost a system call for nothing.
    sleep: Option<Sleep>,
    /// How many callers wait for room.
    waiting_for_room: usize,
    /// Until when events wait for the queue, unless a settlement is committed before; and the
    /// queue's error.
    blocked: Option<(Instant, Arc<QueueError>)>,
    /// Events that have waited [`RETRY`] for room in the queue and let others pass, with those that
    /// may not pass them; not in `events` and `bytes`. They are bounded as those are.
    passed: VecDeque<Waiting<T>>,
    /// Until when they wait, unless a settlement is committed before; and the queue's error.
    retry_passed: Option<(Instant, Arc<QueueError>)>,
    /// The pause after the next failure of the disk.
    pause: Duration,
    /// The wait of events for those of other callers.
    gathering: Option<Gathering>,
    statistics: WriterStatistics,
}

/// How the writer sleeps.
struct Sleep {
    /// Until when, if nothing wakes it.
    until: Option<Instant>,
    /// How many events wake it.
    events: usize,
}

/// What becomes of events that the queue did not store, if they do not wait.
pub(super) struct Left<T> {
    /// They fail.
    pub(super) refused: Vec<Waiting<T>>,
    /// They may fit where the others did not.
    pub(super) passing: Vec<Waiting<T>>,
}

/// What the writer does next.
pub(super) enum Work<T> {
    /// Commits these.
    Write(Vec<Waiting<T>>, Vec<Settlement>),
    /// Fails these events: the queue did not store them in time.
    GiveUp(Vec<Waiting<T>>, Arc<QueueError>),
    /// Ends.
    End,
}

impl<T> WriteQueue<T> {
    pub(super) fn new(limits: Limits) -> WriteQueue<T> {
        WriteQueue {
            limits,
            state: Mutex::new(State {
                events: VecDeque::new(),
                bytes: 0,
                settlements: Settlements::default(),
                closed: false,
                stopped: false,
                sleep: None,
                waiting_for_room: 0,
                blocked: None,
                passed: VecDeque::new(),
                retry_passed: None,
                pause: FIRST_RETRY,
                gathering: None,
                statistics: WriterStatistics::default(),
            }),
            work: Condvar::new(),
            room: Condvar::new(),
        }
    }

    pub(super) fn append(
        &self,
        event: Event,
        ticket: T,
        deadline: Option<Instant>,
        room_until: Option<Instant>,
        sequence: Option<Sequence>,
    ) -> Result<(), Refused<(Event, T)>> {
        let waiting = Waiting::new(event, ticket, Wait::new(room_until, sequence));
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Refused::Closed(waiting.give_back()));
            }
            let bytes = state.bytes.saturating_add(waiting.size());
            let fits = state.events.is_empty()
                || (state.events.len() < self.limits.waiting_events
                    && bytes <= self.limits.waiting_bytes);
            if fits {
                state.bytes = bytes;
                state.events.push_back(waiting);
                let is_enough = |sleep: &Sleep| {
                    state.events.len() >= sleep.events || bytes >= self.limits.group_bytes
                };
                if state.sleep.as_ref().is_some_and(is_enough) {
                    self.wake(state);
                }
                return Ok(());
            }
            let left = deadline.and_then(|at| at.checked_duration_since(now()));
            let Some(left) = left.filter(|left| !left.is_zero()) else {
                return Err(Refused::Busy(waiting.give_back()));
            };
            state.waiting_for_room += 1;
            if state.gathering.take().is_some() && state.sleep.take().is_some() {
                self.work.notify_one();
            }
            state = self
                .room
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.waiting_for_room -= 1;
        }
    }

    pub(super) fn settle(&self, settlement: Settlement) {
        let mut state = self.lock();
        // Without a writer they would pile up.
        if state.stopped {
            return;
        }
        state.settlements.add(settlement, &self.limits);
        self.wake_to_settle(state);
    }

    /// Has the settlements that wait written without a wait for others.
    pub(super) fn flush(&self) {
        let mut state = self.lock();
        if state.settlements.flush() {
            self.wake_to_settle(state);
        }
    }

    /// Wakes the writer if it would sleep too long for the settlements.
    fn wake_to_settle(&self, state: MutexGuard<'_, State<T>>) {
        let at = state.settle_at(&self.limits);
        let overslept = |sleep: &Sleep| at.is_none_or(|at| sleep.until.is_none_or(|it| it > at));
        if state.sleep.as_ref().is_some_and(overslept) {
            self.wake(state);
        }
    }

    /// Wakes the writer if it sleeps. Unlocks first, since the writer takes the lock.
    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        let slept = state.sleep.take();
        drop(state);
        if slept.is_some() {
            self.work.notify_one();
        }
    }

    /// Wakes the callers that wait for room.
    fn make_room(&self, state: &State<T>) {
        if state.waiting_for_room > 0 {
            self.room.notify_all();
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Closes, and drops the events, since no writer is left.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        // Under the same lock: an event taken in between would never be answered.
        state.closed = true;
        let events = std::mem::take(&mut state.events);
        let passed = std::mem::take(&mut state.passed);
        drop(state);
        self.close();
        // Tickets may do anything when they are dropped, so no lock is held.
        drop((events, passed));
    }

    /// The settlements that waited when the writer ended.
    pub(super) fn abandoned(&self) -> Vec<Settlement> {
        self.lock().settlements.take_all()
    }

    pub(super) fn statistics(&self) -> WriterStatistics {
        let state = self.lock();
        WriterStatistics {
            waiting_events: state.events.len() + state.passed.len(),
            waiting_settlements: state.settlements.len(),
            blocked: !state.passed.is_empty()
                || matches!(&state.blocked, Some((_, error)) if is_full(error)),
            ended: state.stopped,
            ..state.statistics.clone()
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut WriterStatistics)) {
        count(&mut self.lock().statistics);
    }

    /// Waits for work.
    pub(super) fn next(&self) -> Work<T> {
        let mut state = self.lock();
        loop {
            let now = now();
            if state
                .blocked
                .as_ref()
                .is_some_and(|(until, _)| *until <= now || state.closed)
            {
                state.blocked = None;
            }
            let waiting = (state.events.len(), state.bytes);
            let gathering = state.gathering.filter(|_| !state.closed);
            state.gathering = gathering.filter(|it| it.goes_on(now, waiting, &self.limits));
            let retry_passed = state.retry_passed.as_ref();
            if retry_passed.is_some_and(|(until, _)| *until <= now || state.closed) {
                state.retry_passed = None;
                state.take_back_passed();
            }
            let waiting_for = state.blocked.as_ref().or(state.retry_passed.as_ref());
            if let Some((_, error)) = waiting_for.cloned() {
                let given_up = state.take_expired(now);
                if !given_up.is_empty() {
                    self.make_room(&state);
                    return Work::GiveUp(given_up, error);
                }
            }
            let settles = state.settles(now, &self.limits);
            let gathers = state.gathering.is_some() && !settles;
            let events = match state.blocked.is_some() || gathers {
                true => Vec::new(),
                false => state.take_group(&self.limits),
            };
            if !events.is_empty() || settles {
                let settlements = state.settlements.take(&self.limits);
                self.make_room(&state);
                return Work::Write(events, settlements);
            }
            if state.closed {
                return Work::End;
            }
            let retry = state.blocked.as_ref().map(|(until, _)| *until);
            let retry_passed = state.retry_passed.as_ref().map(|(until, _)| *until);
            let waiting = state.events.iter().chain(&state.passed);
            let deadlines = waiting.filter_map(|waiting| waiting.wait.until).min();
            let until = [
                retry,
                retry_passed,
                state.settle_at(&self.limits),
                retry.or(retry_passed).and(deadlines),
                state.gathering.map(|it| it.until),
            ];
            let until = until.into_iter().flatten().min();
            state.sleep = Some(Sleep {
                until,
                events: state.gathering.map_or(1, |it| it.events),
            });
            state = match until {
                None => self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(now);
                    let woken = self.work.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.sleep = None;
        }
    }

    /// Puts events back that the queue did not store, if they may wait. The first of them was tried
    /// alone. If there was no room for it, it holds up all others for [`RETRY`] at most, so that it
    /// gets the room that settlements make; then it lets those pass that it does not hold up.
    pub(super) fn block(&self, mut events: Vec<Waiting<T>>, error: &Arc<QueueError>) -> Left<T> {
        let mut state = self.lock();
        let now = now();
        let is_full = is_full(error);
        if matches!(**error, QueueError::Unknown { .. }) {
            for waiting in &mut events {
                waiting.wait.unknown = Some(error.clone());
            }
        }
        let may_wait = self.limits.when_full == WhenFull::Block && error.is_retryable();
        if state.closed || (!may_wait && !is_full) {
            return Left {
                refused: events,
                passing: Vec::new(),
            };
        }
        if let Some(first) = events.first_mut() {
            first.wait.does_not_fit = is_full;
        }
        let since = events.first().and_then(|first| first.wait.since);
        let lets_pass = since.is_some_and(|since| since + RETRY <= now);
        if is_full && (!may_wait || (lets_pass && state.has_room_for_passed(&self.limits))) {
            let (mut held, mut passing): (Vec<Waiting<T>>, Vec<_>) = Default::default();
            for waiting in events {
                match held.is_empty() || held.iter().any(|held| held.holds_up(&waiting)) {
                    true => held.push(waiting),
                    false => passing.push(waiting),
                }
            }
            if !may_wait {
                return Left {
                    refused: held,
                    passing,
                };
            }
            state.passed.extend(held);
            state.retry_passed = Some((now + RETRY, error.clone()));
            return Left {
                refused: Vec::new(),
                passing,
            };
        }
        for mut waiting in events.into_iter().rev() {
            state.bytes = state.bytes.saturating_add(waiting.size());
            if is_full {
                waiting.wait.since.get_or_insert(now);
            }
            state.events.push_front(waiting);
        }
        let pause = match is_full {
            true => RETRY,
            false => state.pause,
        };
        state.pause = (pause * 2).min(RETRY);
        state.blocked = Some((now + pause, error.clone()));
        Left {
            refused: Vec::new(),
            passing: Vec::new(),
        }
    }

    /// A commit of `answered` events that took this long succeeded, so the queue may store events
    /// now; more of them if it had settlements.
    pub(super) fn unblock(&self, answered: usize, took: Duration, settled: bool) {
        let mut state = self.lock();
        let now = now();
        state.pause = FIRST_RETRY;
        state.blocked = None;
        state.settlements.committed(now, &self.limits);
        let counts = (answered, state.events.len());
        state.gathering = Gathering::after(counts, took, now, &self.limits);
        if settled {
            state.retry_passed = None;
            state.take_back_passed();
        }
    }

    /// Puts settlements back that could not be committed. Once closed, returns them.
    pub(super) fn keep(&self, settlements: Vec<Settlement>) -> Result<(), Vec<Settlement>> {
        let mut state = self.lock();
        if state.closed {
            return Err(settlements);
        }
        state.settlements.put_back(settlements, now() + RETRY);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No panic under the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// When the settlements that wait are written without events; `None` is at once, or never if
    /// there are none.
    fn settle_at(&self, limits: &Limits) -> Option<Instant> {
        if self.settlements.is_empty() || self.closed {
            return None;
        }
        let make_room = self.blocked.is_some() || !self.passed.is_empty();
        self.settlements.wait_until(make_room, limits)
    }

    /// Whether the settlements that wait are written without events now.
    fn settles(&self, now: Instant, limits: &Limits) -> bool {
        let at = self.settle_at(limits);
        !self.settlements.is_empty() && at.is_none_or(|at| at <= now)
    }

    /// Takes the next group of events.
    fn take_group(&mut self, limits: &Limits) -> Vec<Waiting<T>> {
        let mut group: Vec<Waiting<T>> = Vec::new();
        let mut bytes = 0_usize;
        while let Some(waiting) = self.events.front() {
            let size = waiting.size();
            if self.passed.iter().any(|passed| passed.holds_up(waiting)) {
                if !self.has_room_for_passed(limits) {
                    break;
                }
                self.passed.extend(self.events.pop_front());
                self.bytes = self.bytes.saturating_sub(size);
                continue;
            }
            let more = bytes.saturating_add(size);
            let fits = group.len() < limits.group_events && more <= limits.group_bytes;
            if !group.is_empty() && !fits {
                break;
            }
            bytes = more;
            group.extend(self.events.pop_front());
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        group
    }

    /// Whether another event may wait that lets others pass.
    fn has_room_for_passed(&self, limits: &Limits) -> bool {
        let bytes: usize = self.passed.iter().map(|waiting| waiting.size()).sum();
        self.passed.len() < limits.waiting_events && bytes < limits.waiting_bytes
    }

    /// Has the events tried next that let others pass.
    fn take_back_passed(&mut self) {
        for waiting in std::mem::take(&mut self.passed).into_iter().rev() {
            self.bytes = self.bytes.saturating_add(waiting.size());
            self.events.push_front(waiting);
        }
    }

    /// Takes the events whose wait has ended.
    fn take_expired(&mut self, now: Instant) -> Vec<Waiting<T>> {
        let expired = |waiting: &Waiting<T>| waiting.wait.until.is_none_or(|at| at <= now);
        let mut gone = Vec::new();
        // Those of `events` are tried first, unless they are blocked.
        let events = self.blocked.is_some().then_some(&mut self.events);
        for waiting in [Some(&mut self.passed), events].into_iter().flatten() {
            if waiting.iter().any(expired) {
                let (over, left): (Vec<_>, _) =
                    std::mem::take(waiting).into_iter().partition(expired);
                *waiting = left.into();
                gone.extend(over);
            }
        }
        self.bytes = self.events.iter().map(|waiting| waiting.size()).sum();
        gone
    }
}

fn is_full(error: &QueueError) -> bool {
    matches!(error, QueueError::Full { .. })
}

impl<T> std::fmt::Debug for WriteQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteQueue")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
