//! Figures of each target, and Aurora's four counters over all targets.

use super::super::states::BREAKER_STATES;
use super::family::{Families, Samples};
use webhook_dispatch::{BreakerState, HoldReason, Stats, TargetStats};

/// A metric's name, its help, and its value for a target.
type Figure<T> = (&'static str, &'static str, fn(&TargetStats) -> T);

/// The counters of each target.
const COUNTERS: [Figure<u64>; 12] = [
    (
        "webhookd_accepted_events_total",
        "Events accepted for the target.",
        |target| target.accepted,
    ),
    (
        "webhookd_filtered_events_total",
        "Events that did not match the target's filters.",
        |target| target.filtered,
    ),
    (
        "webhookd_delivered_events_total",
        "Events delivered to the target.",
        |target| target.delivered,
    ),
    (
        "webhookd_requests_total",
        "Requests sent to the target. Several events of a batch share one.",
        |target| target.requests,
    ),
    (
        "webhookd_retries_total",
        "Failed attempts that are followed by another.",
        |target| target.retried,
    ),
    (
        "webhookd_failed_events_total",
        "Events of a best-effort target whose only attempt failed.",
        |target| target.failed,
    ),
    (
        "webhookd_dropped_events_total",
        "Events of a best-effort target that were dropped for lack of room.",
        |target| target.dropped,
    ),
    (
        "webhookd_unfinished_events_total",
        "Events of a best-effort target without a response at its end.",
        |target| target.unfinished,
    ),
    (
        "webhookd_damaged_events_total",
        "Deliveries lost to damaged records of the queue.",
        |target| target.damaged,
    ),
    (
        "webhookd_over_quota_events_total",
        "Events that the target did not get, since it was over its quota.",
        |target| target.over_quota,
    ),
    (
        "webhookd_dead_letters_removed_total",
        "Dead letters removed, since there were too many or they were too old.",
        |target| target.dead_letters_removed,
    ),
    (
        "webhookd_given_up_events_total",
        "Events given up: dead letters, and best-effort events that failed or were dropped.",
        |target| target.failed + target.dropped + target.dead_letters(),
    ),
];

/// The gauges of each target.
const GAUGES: [Figure<f64>; 9] = [
    (
        "webhookd_pending_events",
        "Events owed to the target: accepted, and neither delivered nor given up.",
        |target| target.pending as f64,
    ),
    (
        "webhookd_oldest_pending_age_seconds",
        "Age of the oldest event owed to the target; 0 if there is none.",
        |target| {
            target
                .oldest_pending_age
                .map_or(0.0, |age| age.as_secs_f64())
        },
    ),
    (
        "webhookd_in_flight_attempts",
        "Attempts under way.",
        |target| target.in_flight as f64,
    ),
    (
        "webhookd_waiting_tasks",
        "Tasks that wait for a retry.",
        |target| target.waiting_tasks as f64,
    ),
    (
        "webhookd_memory_events",
        "Events of the target that are in memory.",
        |target| target.in_memory as f64,
    ),
    (
        "webhookd_target_paused",
        "Whether the target is paused.",
        |target| f64::from(u8::from(target.paused)),
    ),
    (
        "webhookd_target_stopped",
        "Whether the target is stopped, since it responded 410.",
        |target| f64::from(u8::from(target.breaker == BreakerState::Stopped)),
    ),
    (
        "webhookd_target_hold_end_seconds",
        "When the hold of the target by Retry-After ends, as a Unix time; 0 without one.",
        |target| {
            let until = target.hold.as_ref().and_then(|hold| hold.until);
            until.unwrap_or(0) as f64 / 1_000.0
        },
    ),
    (
        "webhookd_target_worker_up",
        "Whether the thread that delivers to the target runs.",
        |target| f64::from(u8::from(target.worker_running)),
    ),
];

pub(super) fn add(families: &mut Families, stats: &Stats) {
    for (name, help, count) in COUNTERS {
        families.counter(name, help, each(stats, |target| count(target) as f64));
    }
    for (name, help, value) in GAUGES {
        families.gauge(name, help, each(stats, value));
    }
    add_by_kind(families, stats);
    add_times(families, stats);
    // A counter's name would have to end in _total, and Aurora's do not.
    for (name, count) in stats.aurora_counters().named() {
        let help = format!("As Aurora's scheduler counts: {}.", aurora(name));
        families.gauge(name, &help, Samples::one(count as f64));
    }
}

fn aurora(name: &str) -> &'static str {
    match name {
        "webhooks_attempts" => "requests tried",
        "webhooks_success" => "responses that count as success",
        "webhooks_errors" => "requests without a response",
        _ => "responses of any other status",
    }
}

fn each(stats: &Stats, value: impl Fn(&TargetStats) -> f64) -> Samples {
    let mut samples = Samples::default();
    for target in &stats.targets {
        samples.value(&[("target", &target.name)], value(target));
    }
    samples
}

fn add_by_kind(families: &mut Families, stats: &Stats) {
    let (mut attempts, mut dead) = (Samples::default(), Samples::default());
    let (mut breaker, mut held) = (Samples::default(), Samples::default());
    for target in &stats.targets {
        let name = ("target", target.name.as_str());
        for (outcome, count) in &target.attempts {
            attempts.value(&[name, ("outcome", outcome.name())], *count as f64);
        }
        for (reason, count) in &target.dead {
            dead.value(&[name, ("reason", reason.name())], *count as f64);
        }
        for reason in HoldReason::ALL {
            let is = target.hold.as_ref().is_some_and(|it| it.reason == *reason);
            held.value(&[name, ("reason", reason.name())], f64::from(u8::from(is)));
        }
        for (state, label) in BREAKER_STATES {
            let is = target.breaker == state;
            breaker.value(&[name, ("state", label)], f64::from(u8::from(is)));
        }
    }
    families.counter("webhookd_attempts_total", "Attempts, by outcome.", attempts);
    families.counter(
        "webhookd_dead_letters_total",
        "Events given up and kept as dead letters, by reason.",
        dead,
    );
    families.gauge(
        "webhookd_target_held",
        "Whether the target is held, by reason.",
        held,
    );
    families.gauge(
        "webhookd_breaker_state",
        "The state of the target's circuit breaker: 1 for the current state.",
        breaker,
    );
}

fn add_times(families: &mut Families, stats: &Stats) {
    let (mut attempts, mut deliveries) = (Samples::default(), Samples::default());
    for target in &stats.targets {
        let name = [("target", target.name.as_str())];
        attempts.times(&name, &target.attempt_latency);
        deliveries.times(&name, &target.delivery_latency);
    }
    families.histogram(
        "webhookd_attempt_duration_seconds",
        "Time from the start of an attempt to its response, of attempts with a response.",
        attempts,
    );
    families.histogram(
        "webhookd_delivery_duration_seconds",
        "Time from the acceptance of an event to the response that settled it.",
        deliveries,
    );
}
