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

use crate::clock::Moment;
use crate::dead_letter::{Obituary, Reason};
use crate::gate::{Gate, Pass, Shut};
use crate::lane::{Bounds, Delivery, Due, LaneId, Lanes, Offered};
use crate::line::{Line, Live, Synced};
use crate::outcome::Verdict;
use crate::retry::{self, Next, Retry};
use crate::sender::Attempt;
use crate::trouble::Follows;
use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use webhook_config::{RetryPolicy, Target};
use webhook_queue::{EntryId, Owed, Queue, QueueError, Settled, Settlement};

/// Events of one task that are kept in memory behind its first.
const PER_LANE: usize = 32;
/// Tasks that may have a lane at once, most of them waiting for a retry without a body.
const LANES: usize = 32_768;
/// Entries looked at in one reading of the queue, so that reports are not kept waiting.
pub(crate) const READ_AT_ONCE: usize = 512;
/// How often events that outlive their time are looked for, while the target is down.
const SCAN: Duration = Duration::from_secs(1);

/// What one target is owed, as far as it is known here, and what is being done about it.
#[derive(Debug)]
pub(crate) struct Agenda {
    name: Arc<str>,
    policy: RetryPolicy,
    reliable: bool,
    window: usize,
    /// Attempts that may be handed out at once.
    most: usize,
    lanes: Lanes,
    gate: Gate,
    /// The last entry that the lanes know of.
    cursor: Option<EntryId>,
    /// Whether live events continue at the cursor.
    following: bool,
    /// Tasks that are owed something again that may lie before the cursor.
    owed_again: VecDeque<Box<[u8]>>,
    /// Tasks of which nothing was found but what `settling` hides: looked at again after a sync.
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

/// What follows from an attempt.
#[derive(Debug, Default)]
pub(crate) struct Ruling {
    /// What the queue has to be told.
    pub(crate) settlement: Option<Settlement>,
    /// What follows a failure; `None` if there was none.
    pub(crate) follows: Option<Follows>,
    /// Whether the target has it, or will never have it.
    pub(crate) over: bool,
    /// Whether attempts handed out that have not begun must come back.
    pub(crate) recall: bool,
    /// For how long the target is left alone, if that begins now.
    pub(crate) opened: Option<Duration>,
    /// Whether the target is well again.
    pub(crate) closed: bool,
    /// Whether the target asked for this to be the last, and had not before.
    pub(crate) stopped: bool,
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
        let concurrency = target.concurrency().get();
        let rate = target.max_per_second();
        Agenda {
            name: Arc::from(target.name().as_str()),
            policy: target.retry().clone(),
            reliable,
            window: bounds.window,
            // As many again as are under way lie ready, so that a sender need not wait for its
            // next; but not under a rate limit, which counts attempts as they are handed out.
            most: if rate.is_some() {
                concurrency
            } else {
                concurrency * 2
            },
            lanes: Lanes::new(bounds),
            gate: Gate::new(rate.map(|rate| f64::from(rate.get())), now),
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

    /// Whether live events are learned of; else the queue is read.
    pub(crate) fn follows(&self) -> bool {
        self.following
    }

    /// Reads the queue from now on.
    pub(crate) fn fall_behind(&mut self) {
        self.following = !self.reliable;
    }

    /// Whether a best-effort target may be given another event.
    pub(crate) fn has_room(&self) -> bool {
        self.lanes.has_room()
    }

    /// Takes an event that was just accepted. False if there is no room: the queue has it.
    pub(crate) fn learn(&mut self, live: Live, now: Instant) -> bool {
        if self.reliable
            && (!self.following || self.cursor.is_some_and(|cursor| live.entry <= cursor))
        {
            // The queue was, or will be, read for it.
            return true;
        }
        let delivery = Delivery {
            entry: live.entry,
            id: live.id,
            accepted_at: live.accepted_at,
            attempts: 0,
            submitted: Some(live.submitted),
            first_attempt_at: None,
            not_before: None,
        };
        let (key, body) = (live.key, live.body);
        let shared_key = || Arc::clone(&key);
        match self.lanes.offer(&key, delivery, now, shared_key, || body) {
            Offered::Taken | Offered::Held => {
                self.cursor = Some(live.entry);
                true
            }
            Offered::Full => {
                self.fall_behind();
                false
            }
        }
    }

    /// Learns what the queue has synced. A reading that begins after this does not show it.
    pub(crate) fn synced(&mut self, synced: &[Synced]) {
        for synced in synced {
            match synced {
                Synced::Settled(entry) => {
                    self.settling.remove(entry);
                }
                Synced::Noted => self.noting = self.noting.saturating_sub(1),
            }
        }
        self.owed_again.extend(self.look_again.drain(..));
    }

    /// Whether the next sync is news.
    pub(crate) fn wants_sync(&self) -> bool {
        self.reliable && (self.room_to_settle() == 0 || !self.look_again.is_empty())
    }

    /// How many more attempts may end before a sync: what a crash can deliver twice, and what
    /// waits to be written, is bounded by the window.
    fn room_to_settle(&self) -> usize {
        self.window
            .saturating_sub(self.settling.len() + self.noting)
    }

    /// Learns that these tasks are owed something that was settled before. What lies after the
    /// cursor is found by reading on, so it falls behind.
    pub(crate) fn owe_again(&mut self, keys: Vec<Box<[u8]>>) {
        self.owed_again.extend(keys);
        self.fall_behind();
    }

    /// Makes lanes for tasks that are owed something again; false if there was no room for all.
    pub(crate) fn readmit(&mut self) -> bool {
        while let Some(key) = self.owed_again.front() {
            if !self.lanes.owed_again(key) {
                return false;
            }
            self.owed_again.pop_front();
        }
        true
    }

    /// Reads back the lanes whose turn has come; whether there were any.
    pub(crate) fn read_back(&mut self, queue: &dyn Queue, at: Moment) -> Result<bool, QueueError> {
        self.lanes.wake(at.now);
        let mut any = false;
        while let Some((lane, key)) = self.lanes.to_read() {
            let most = self.lanes.read_at_most();
            let mut events = Vec::new();
            let mut bytes = 0_usize;
            let mut more = false;
            let mut hidden = false;
            let (cursor, settling) = (self.cursor, &self.settling);
            queue.owed_of_key(&self.name, &key, None, &mut |owed| {
                if cursor.is_none_or(|cursor| owed.entry > cursor) {
                    return ControlFlow::Break(());
                }
                if settling.contains(&owed.entry) {
                    hidden = true;
                    return ControlFlow::Continue(());
                }
                if events.len() >= most || bytes >= Line::LANE_BYTES {
                    more = true;
                    return ControlFlow::Break(());
                }
                bytes += owed.body.len();
                events.push((stored(&owed, at), Arc::from(owed.body)));
                ControlFlow::Continue(())
            })?;
            any = true;
            if hidden && events.is_empty() {
                // It may have been owed again since its settlement was synced.
                self.look_again.push(Box::from(&*key));
            }
            self.lanes.refill(lane, events, more, at.now);
        }
        Ok(any)
    }

    /// Reads on from the cursor, if it is behind and there is room, and follows again once there
    /// is nothing more. `behind` says that an accepted event was not told live; whether anything
    /// was done.
    pub(crate) fn read_on(
        &mut self,
        queue: &dyn Queue,
        behind: &AtomicBool,
        at: Moment,
    ) -> Result<bool, QueueError> {
        if self.following || !self.lanes.has_ample_room() {
            return Ok(false);
        }
        let mut seen = 0_usize;
        let mut full = false;
        let (lanes, cursor, settling) = (&mut self.lanes, &mut self.cursor, &self.settling);
        queue.owed(&self.name, *cursor, &mut |owed| {
            if settling.contains(&owed.entry) {
                *cursor = Some(owed.entry);
                return ControlFlow::Continue(());
            }
            let offered = lanes.offer(
                owed.key,
                stored(&owed, at),
                at.now,
                || Arc::from(owed.key),
                || Arc::from(owed.body),
            );
            if offered == Offered::Full {
                full = true;
                return ControlFlow::Break(());
            }
            *cursor = Some(owed.entry);
            seen += 1;
            if seen >= READ_AT_ONCE {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if full || seen >= READ_AT_ONCE {
            return Ok(seen > 0);
        }
        // The end, for now. Events accepted after this swap are told live. Those accepted before
        // it may not have been, and the next reading, which begins after it, finds them: so only
        // one that ends without a new gap is the last.
        self.following = !behind.swap(false, Ordering::SeqCst);
        Ok(true)
    }

    /// What is to be attempted now.
    pub(crate) fn next(&mut self, now: Instant) -> Step {
        let most = if self.reliable {
            self.most.min(self.room_to_settle())
        } else {
            self.most
        };
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

    /// Decides what follows from an attempt.
    pub(crate) fn judge(&mut self, attempt: &Attempt, at: Moment, retry: &dyn Retry) -> Ruling {
        let lane = attempt.due.lane;
        if attempt.stopped {
            // It may have arrived or not: it stays owed.
            self.untried(lane, attempt.pass, at.now);
            return Ruling::default();
        }
        self.outstanding -= 1;
        if !self.reliable {
            // One attempt, as Aurora made: what the receiver asks for beyond that is not heard.
            self.lanes.settled(lane, at.now);
            return Ruling {
                over: true,
                follows: (attempt.verdict != Verdict::Delivered).then_some(Follows::Nothing),
                ..Ruling::default()
            };
        }
        match attempt.verdict {
            Verdict::Delivered => {
                let closed = self.gate.succeeded();
                let settlement =
                    self.settle(lane, attempt.due.delivery.entry, Settled::Delivered, at);
                Ruling {
                    settlement: Some(settlement),
                    over: true,
                    closed,
                    ..Ruling::default()
                }
            }
            Verdict::Refused => {
                let asked = self.hold_as_asked(attempt, at);
                let closed = self.gate.succeeded();
                Ruling {
                    closed,
                    recall: asked.is_some(),
                    ..self.give_up(attempt, Reason::Refused, at)
                }
            }
            Verdict::Gone => self.stop(attempt),
            _ => self.try_again(attempt, at, retry),
        }
    }

    /// What the receiver asks for by `Retry-After`, it asks for all its events.
    fn hold_as_asked(&mut self, attempt: &Attempt, at: Moment) -> Option<Duration> {
        let value = attempt.retry_after.as_deref()?;
        let wait = retry::retry_after(value, at.wall, &self.policy)?;
        self.gate.hold(at.now + wait);
        Some(wait)
    }

    /// The receiver wants nothing any more: what it is owed stays owed.
    fn stop(&mut self, attempt: &Attempt) -> Ruling {
        let stopped = self.gate.stop();
        let delivery = tried(attempt);
        self.lanes.again(attempt.due.lane, delivery);
        Ruling {
            settlement: Some(self.note(delivery, 0)),
            follows: Some(Follows::Stop),
            recall: stopped,
            stopped,
            ..Ruling::default()
        }
    }

    /// The event failed in a way that may pass.
    fn try_again(&mut self, attempt: &Attempt, at: Moment, retry: &dyn Retry) -> Ruling {
        let asked = self.hold_as_asked(attempt, at);
        let mut back_off = Duration::ZERO;
        let policy = &self.policy;
        let opened = self.gate.failed(attempt.pass, at.now, |openings| {
            back_off = retry.breaker(policy, openings);
            at.now + back_off
        });
        let mut delivery = tried(attempt);
        let age = Duration::from_millis(at.epoch_ms().saturating_sub(delivery.accepted_at));
        let ruling = match retry.next(&self.policy, delivery.attempts, age, asked) {
            Next::After(wait) => {
                let wake = at.now + wait;
                delivery.not_before = Some(wake);
                self.lanes.retry(attempt.due.lane, delivery, wake);
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Ruling {
                    settlement: Some(self.note(delivery, at.epoch_ms().saturating_add(wait_ms))),
                    follows: Some(Follows::Retry(wait)),
                    ..Ruling::default()
                }
            }
            Next::AttemptsExhausted => self.give_up(attempt, Reason::AttemptsExhausted, at),
            Next::TooOld => self.give_up(attempt, Reason::TooOld, at),
        };
        Ruling {
            recall: opened || asked.is_some(),
            opened: opened.then_some(back_off),
            ..ruling
        }
    }

    fn give_up(&mut self, attempt: &Attempt, reason: Reason, at: Moment) -> Ruling {
        let delivery = tried(attempt);
        let obituary = Obituary {
            reason,
            outcome: Some(attempt.outcome),
            status: attempt.status,
            detail: attempt.detail.clone(),
            response: attempt.response.clone(),
            first_attempt_at: delivery.first_attempt_at,
            last_attempt_at: Some(attempt.started_at),
        };
        let settlement = self.bury(attempt.due.lane, delivery, &obituary, at);
        Ruling {
            settlement: Some(settlement),
            follows: Some(Follows::DeadLetter(reason)),
            over: true,
            ..Ruling::default()
        }
    }

    /// Gives up an event that has outlived its time while the receiver is known to be down. While
    /// it is not, even an old event gets its attempt.
    pub(crate) fn expire(&mut self, at: Moment) -> Option<(Delivery, Settlement)> {
        if !self.reliable || !self.gate.is_down() || at.now < self.next_scan {
            return None;
        }
        let wall = at.epoch_ms();
        let max_age = self.policy.max_age();
        let due = self.lanes.take_where(|delivery| {
            Duration::from_millis(wall.saturating_sub(delivery.accepted_at)) > max_age
        });
        let Some(due) = due else {
            self.next_scan = at.now + SCAN;
            return None;
        };
        let obituary = Obituary {
            reason: Reason::TooOld,
            outcome: None,
            status: None,
            detail: "the receiver has been failing, and the event's time is over".to_owned(),
            response: String::new(),
            first_attempt_at: due.delivery.first_attempt_at,
            last_attempt_at: None,
        };
        let settlement = self.bury(due.lane, due.delivery, &obituary, at);
        Some((due.delivery, settlement))
    }

    /// When to look again for events that have outlived their time.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let watched = self.reliable && self.gate.is_down() && self.lanes.has_ready();
        watched.then_some(self.next_scan)
    }

    fn bury(
        &mut self,
        lane: LaneId,
        delivery: Delivery,
        obituary: &Obituary,
        at: Moment,
    ) -> Settlement {
        let dead = Settled::Dead {
            attempts: delivery.attempts,
            died_at: at.epoch_ms(),
            note: obituary.to_note(),
        };
        self.settle(lane, delivery.entry, dead, at)
    }

    fn settle(&mut self, lane: LaneId, entry: EntryId, outcome: Settled, at: Moment) -> Settlement {
        self.settling.insert(entry);
        self.lanes.settled(lane, at.now);
        Settlement {
            target: Arc::clone(&self.name),
            entry,
            outcome,
        }
    }

    /// Has the queue remember how often an event was tried.
    fn note(&mut self, delivery: Delivery, not_before: u64) -> Settlement {
        self.noting += 1;
        Settlement {
            target: Arc::clone(&self.name),
            entry: delivery.entry,
            outcome: Settled::Attempted {
                attempts: delivery.attempts,
                not_before,
            },
        }
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

/// An event after an attempt.
fn tried(attempt: &Attempt) -> Delivery {
    let mut delivery = attempt.due.delivery;
    if delivery.attempts == 0 {
        delivery.first_attempt_at = Some(attempt.started_at);
    }
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery
}

/// An entry as the queue knows it.
fn stored(owed: &Owed<'_>, at: Moment) -> Delivery {
    let wait = owed.not_before.saturating_sub(at.epoch_ms());
    Delivery {
        entry: owed.entry,
        id: owed.id,
        accepted_at: owed.accepted_at,
        attempts: owed.attempts,
        submitted: None,
        first_attempt_at: None,
        // A clock that was set back must not hold an event for years.
        not_before: (wait > 0).then(|| at.now + Duration::from_millis(wait.min(86_400_000))),
    }
}
