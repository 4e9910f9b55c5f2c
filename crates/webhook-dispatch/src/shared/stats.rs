//! A dispatcher's counters and their snapshots.

#[cfg(test)]
mod tests;

use crate::shared::breaker_state::BreakerState;
use crate::shared::clock::{Moment, epoch_ms};
use crate::shared::hold::Hold;
use crate::shared::input_stats::InputStats;
use crate::shared::outcome::Outcome;
use crate::shared::reason::Reason;
use hdrhistogram::Histogram;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A dispatcher's figures at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Each target's, in the order of the configuration.
    pub targets: Vec<TargetStats>,
    /// Each removed target's. One may share its name with a target in `targets` whose `delivery`
    /// differs.
    pub removed: Vec<TargetStats>,
    /// Each input's; the default one's are the first.
    pub inputs: Vec<InputStats>,
    /// What the queue holds; zeros when no target is reliable, but for the last states, which are in
    /// memory then.
    pub queue: webhook_queue::Statistics,
}

/// A target's figures since the dispatcher was started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TargetStats {
    /// The target's name.
    pub name: String,
    /// Events accepted for it.
    pub accepted: u64,
    /// Events that its filters excluded.
    pub filtered: u64,
    /// Events delivered.
    pub delivered: u64,
    /// Failed attempts after which another was scheduled.
    pub retried: u64,
    /// Events given up and kept as dead letters, by reason.
    pub dead: Vec<(Reason, u64)>,
    /// Events of a best-effort target whose only attempt failed.
    pub failed: u64,
    /// Events of a best-effort target for which there was no room.
    pub dropped: u64,
    /// Events of a best-effort target that were pending when the dispatcher stopped; they are lost.
    pub unfinished: u64,
    /// Events that cannot be delivered, since their records in the queue are damaged and were
    /// quarantined.
    pub damaged: u64,
    /// Events that it did not get, since it was over its quota (`maxOwedBytes`).
    pub over_quota: u64,
    /// Dead letters that were removed, since there were too many or they were too old.
    pub dead_letters_removed: u64,
    /// Attempts at events, by outcome.
    pub attempts: Vec<(Outcome, u64)>,
    /// Requests of these attempts: fewer if events share one.
    pub requests: u64,
    /// Events accepted and neither delivered nor given up.
    pub pending: u64,
    /// How long ago the oldest of them was accepted.
    pub oldest_pending_age: Option<Duration>,
    /// Attempts under way.
    pub in_flight: u64,
    /// Tasks that wait for a retry.
    pub waiting_tasks: u64,
    /// When the first of them is attempted again, epoch milliseconds.
    pub next_retry_at: Option<u64>,
    /// Events in memory.
    pub in_memory: u64,
    /// Its circuit breaker.
    pub breaker: BreakerState,
    /// When an open breaker lets the next attempt through, epoch milliseconds.
    pub breaker_open_until: Option<u64>,
    /// Whether the queue refuses events because this target is owed as many bytes as it may be, and no
    /// other target may take them.
    pub blocks_queue: bool,
    /// Why it is held, if it is.
    pub hold: Option<Hold>,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// Whether its worker runs. The worker of a removed target ends once nothing is under way; if
    /// it does not run for another target, it panicked.
    pub worker_running: bool,
    /// From the start of an attempt to its answer; attempts without an answer do not count.
    pub attempt_latency: Latencies,
    /// From `submit` to the settlement of the event.
    pub delivery_latency: Latencies,
}

impl TargetStats {
    /// Attempts with this outcome.
    #[must_use]
    pub fn attempts_of(&self, outcome: Outcome) -> u64 {
        self.attempts
            .iter()
            .find(|(known, _)| *known == outcome)
            .map_or(0, |(_, count)| *count)
    }

    /// Dead letters, for all reasons.
    #[must_use]
    pub fn dead_letters(&self) -> u64 {
        self.dead.iter().map(|(_, count)| count).sum()
    }
}

/// Aurora's four counters, under Aurora's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuroraCounters {
    /// `webhooks_attempts`: requests sent, or attempted.
    pub attempts: u64,
    /// `webhooks_success`: answers with any 2xx (Aurora counts 200 alone).
    pub success: u64,
    /// `webhooks_errors`: requests without an answer.
    pub errors: u64,
    /// `webhooks_user_errors`: answers of any other status.
    pub user_errors: u64,
}

impl AuroraCounters {
    /// Each counter with Aurora's name.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 4] {
        [
            ("webhooks_attempts", self.attempts),
            ("webhooks_success", self.success),
            ("webhooks_errors", self.errors),
            ("webhooks_user_errors", self.user_errors),
        ]
    }
}

impl Stats {
    /// All targets' attempts, removed targets included, counted as Aurora counts them.
    #[must_use]
    pub fn aurora_counters(&self) -> AuroraCounters {
        let mut counters = AuroraCounters::default();
        let targets = self.targets.iter().chain(&self.removed);
        for (outcome, count) in targets.flat_map(|target| &target.attempts) {
            counters.attempts += count;
            if *outcome == Outcome::Success {
                counters.success += count;
            } else if outcome.is_answer() {
                counters.user_errors += count;
            } else {
                counters.errors += count;
            }
        }
        counters
    }
}

/// A histogram of latencies, exact to about one per cent.
#[derive(Clone)]
pub struct Latencies {
    micros: Histogram<u64>,
    sum: Duration,
}

/// The histogram's upper bound, an hour. Longer times count as an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies {
            // It grows with its longest value: that of an idle target takes 2 KiB instead of 26.
            micros: Histogram::new(2).expect("this precision is valid"),
            sum: Duration::ZERO,
        }
    }

    pub(crate) fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros
            .record(micros.clamp(1, LONGEST_MICROS))
            .expect("the histogram grows");
        self.sum += took;
    }

    /// Adds the values of another histogram.
    pub fn merge(&mut self, other: &Latencies) {
        self.micros.add(&other.micros).expect("the histogram grows");
        self.sum += other.sum;
    }

    /// The values that were recorded since an earlier copy of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Latencies) -> Latencies {
        let mut since = self.clone();
        // One that holds more is of another histogram: a target that was removed and added again.
        if since.micros.subtract(&earlier.micros).is_err() {
            return self.clone();
        }
        since.sum = self.sum.saturating_sub(earlier.sum);
        since
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.micros.len()
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The `q`-quantile, for `q` from 0 to 1; `None` without values.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        (!self.micros.is_empty()).then(|| Duration::from_micros(self.micros.value_at_quantile(q)))
    }

    /// The longest value; `None` without values.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (!self.micros.is_empty()).then(|| Duration::from_micros(self.micros.max()))
    }

    /// The number of values up to `bound`.
    #[must_use]
    pub fn count_at_most(&self, bound: Duration) -> u64 {
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        self.micros.count_between(0, micros.min(LONGEST_MICROS))
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::new()
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

/// What a target's gate lets through.
#[derive(Clone, Debug)]
struct GateState {
    breaker: BreakerState,
    open_until: Option<Instant>,
    hold: Option<Arc<Hold>>,
}

/// A target's live counters.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) filtered: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) unfinished: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) over_quota: AtomicU64,
    pub(crate) dead_letters_removed: AtomicU64,
    /// Events accepted and neither delivered nor given up, those from before the start included.
    /// Below 0 for a moment if an event is settled before its acceptance is counted.
    pub(crate) pending: AtomicI64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) waiting_tasks: AtomicU64,
    /// Epoch milliseconds; 0 while no task waits.
    pub(crate) next_retry_at: AtomicU64,
    pub(crate) in_memory: AtomicU64,
    attempts: [AtomicU64; Outcome::ALL.len()],
    requests: AtomicU64,
    dead: [AtomicU64; Reason::ALL.len()],
    gate: Mutex<GateState>,
    /// Whether nothing is sent until an operator acts.
    held: AtomicBool,
    paused: AtomicBool,
    latencies: Mutex<(Latencies, Latencies)>,
}

impl Counters {
    pub(crate) fn new() -> Counters {
        Counters {
            accepted: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            unfinished: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            over_quota: AtomicU64::new(0),
            dead_letters_removed: AtomicU64::new(0),
            pending: AtomicI64::new(0),
            in_flight: AtomicU64::new(0),
            waiting_tasks: AtomicU64::new(0),
            next_retry_at: AtomicU64::new(0),
            in_memory: AtomicU64::new(0),
            attempts: Default::default(),
            requests: AtomicU64::new(0),
            dead: Default::default(),
            gate: Mutex::new(GateState {
                breaker: BreakerState::Closed,
                open_until: None,
                hold: None,
            }),
            held: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            latencies: Mutex::new((Latencies::new(), Latencies::new())),
        }
    }

    /// Counts a request, and its result.
    pub(crate) fn requested(&self, outcome: Outcome, took: Duration) {
        add(&self.requests, 1);
        if outcome.is_answer() {
            self.latencies().0.record(took);
        }
    }

    /// Counts an attempt at an event.
    pub(crate) fn attempted(&self, outcome: Outcome) {
        let index = Outcome::ALL.iter().position(|known| *known == outcome);
        if let Some(count) = index.and_then(|index| self.attempts.get(index)) {
            add(count, 1);
        }
    }

    pub(crate) fn settled_after(&self, took: Duration) {
        self.latencies().1.record(took);
    }

    pub(crate) fn dead_lettered(&self, reason: Reason) {
        let index = Reason::ALL.iter().position(|known| *known == reason);
        if let Some(count) = index.and_then(|index| self.dead.get(index)) {
            add(count, 1);
        }
    }

    /// Dead letters, for all reasons.
    pub(crate) fn dead_letters(&self) -> u64 {
        self.dead.iter().map(get).sum()
    }

    /// Resets the figures of what is in memory: the worker has ended.
    pub(crate) fn clear_memory(&self) {
        let figures = [&self.in_flight, &self.waiting_tasks, &self.in_memory];
        for figure in figures.into_iter().chain([&self.next_retry_at]) {
            figure.store(0, Ordering::Relaxed);
        }
    }

    /// Events accepted and neither delivered nor given up.
    pub(crate) fn pending(&self) -> u64 {
        u64::try_from(self.pending.load(Ordering::SeqCst)).unwrap_or(0)
    }

    /// Sets the pending events to the queue's number, and counts the difference as damaged.
    pub(crate) fn set_pending(&self, pending: u64) {
        let stored = i64::try_from(pending).unwrap_or(i64::MAX);
        let before = self.pending.swap(stored, Ordering::SeqCst);
        let damaged = u64::try_from(before).unwrap_or(0).saturating_sub(pending);
        add(&self.damaged, damaged);
    }

    /// Removes this many events from those pending.
    pub(crate) fn remove_pending(&self, dropped: u64) {
        let dropped = i64::try_from(dropped).unwrap_or(i64::MAX);
        self.pending.fetch_sub(dropped, Ordering::SeqCst);
    }

    /// Counts this many pending events as damaged instead.
    pub(crate) fn count_damaged(&self, damaged: u64) {
        add(&self.damaged, damaged);
        self.remove_pending(damaged);
    }

    /// Publishes a gate's state; `held` says that nothing is sent until an operator acts.
    pub(crate) fn set_gate(
        &self,
        (breaker, open_until): (BreakerState, Option<Instant>),
        hold: Option<&Arc<Hold>>,
        held: bool,
        paused: bool,
    ) {
        let state = GateState {
            breaker,
            open_until,
            hold: hold.cloned(),
        };
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.held.store(held, Ordering::SeqCst);
        self.paused.store(paused, Ordering::SeqCst);
    }

    /// Whether nothing is sent until an operator acts.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }

    fn latencies(&self) -> std::sync::MutexGuard<'_, (Latencies, Latencies)> {
        self.latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(
        &self,
        name: &str,
        worker_running: bool,
        oldest_pending_age: Option<Duration>,
        at: Moment,
    ) -> TargetStats {
        let (attempt_latency, delivery_latency) = self.latencies().clone();
        let pending = self.pending();
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gate.clone();
        let wall = |until: Instant| at.wall + until.saturating_duration_since(at.now);
        TargetStats {
            name: name.to_owned(),
            accepted: get(&self.accepted),
            filtered: get(&self.filtered),
            delivered: get(&self.delivered),
            retried: get(&self.retried),
            dead: Reason::ALL
                .iter()
                .copied()
                .zip(self.dead.iter().map(get))
                .collect(),
            failed: get(&self.failed),
            dropped: get(&self.dropped),
            unfinished: get(&self.unfinished),
            damaged: get(&self.damaged),
            over_quota: get(&self.over_quota),
            dead_letters_removed: get(&self.dead_letters_removed),
            attempts: Outcome::ALL
                .iter()
                .copied()
                .zip(self.attempts.iter().map(get))
                .collect(),
            requests: get(&self.requests),
            pending,
            oldest_pending_age: oldest_pending_age.filter(|_| pending > 0),
            in_flight: get(&self.in_flight),
            waiting_tasks: get(&self.waiting_tasks),
            next_retry_at: Some(get(&self.next_retry_at)).filter(|at| *at > 0),
            in_memory: get(&self.in_memory),
            breaker: gate.breaker,
            breaker_open_until: gate.open_until.map(|until| epoch_ms(wall(until))),
            blocks_queue: false,
            hold: gate.hold.map(|hold| Hold::clone(&hold)),
            paused: self.paused.load(Ordering::SeqCst),
            worker_running,
            attempt_latency,
            delivery_latency,
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

pub(crate) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
