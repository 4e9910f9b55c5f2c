//! The conditions of `docs/monitoring/alerts.yml`. A test compares this table with that file.

use super::figures::{Figures, Labels, Samples};
use crate::daemon::Alert;
use jiff::Timestamp;
use std::time::Duration;

/// A condition, and what is said while it holds.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    /// For how long it must have held.
    pub(super) hold: Duration,
    /// The condition as Prometheus reads it.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a test compares it with alerts.yml")
    )]
    pub(super) expr: &'static str,
    /// `{target}` and the names of other labels are replaced by their values; `{value}`,
    /// `{percent}` and `{duration}` by the value.
    pub(super) summary: &'static str,
    /// Evaluates the condition: the samples for which it holds.
    pub(super) holds: fn(&Figures) -> Samples,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Critical,
    Warning,
    Info,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

impl Rule {
    /// The alert of a sample for which the condition holds since then.
    pub(super) fn alert(&self, labels: &Labels, value: f64, since: Timestamp) -> Alert {
        let mut summary = self.summary.to_owned();
        for (name, label) in labels {
            summary = summary.replace(&format!("{{{name}}}"), label);
        }
        for (place, shown) in [
            ("{value}", format!("{}", (value * 100.0).round() / 100.0)),
            ("{percent}", format!("{:.0} %", value * 100.0)),
            ("{duration}", duration(value)),
        ] {
            summary = summary.replace(place, &shown);
        }
        Alert {
            name: self.name,
            severity: self.severity.name(),
            summary,
            runbook: format!("docs/operations.md#{}", self.name.to_lowercase()),
            since: format!("{since:.3}"),
        }
    }
}

/// Seconds, in the largest unit of which there is more than one.
fn duration(seconds: f64) -> String {
    for (unit, length) in [("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)] {
        if seconds > length {
            return format!("{:.1} {unit}", seconds / length);
        }
    }
    format!("{seconds:.1} s")
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// All conditions that one process can evaluate, in the order of the file.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "WebhookdNotReady",
        severity: Severity::Critical,
        hold: minutes(2),
        expr: "webhookd_ready == 0",
        summary: "webhookd cannot accept events: /readyz says why",
        holds: |figures| figures.are("webhookd_ready", |it| it == 0.0),
    },
    Rule {
        name: "WebhookdDeliveriesLate",
        severity: Severity::Warning,
        hold: minutes(5),
        expr: "webhookd_oldest_pending_age_seconds > 600",
        summary: "Target {target} waits for an event that is {duration} old",
        holds: |figures| figures.are("webhookd_oldest_pending_age_seconds", |it| it > 600.0),
    },
    Rule {
        name: "WebhookdDeliveriesVeryLate",
        severity: Severity::Critical,
        hold: Duration::ZERO,
        expr: "webhookd_oldest_pending_age_seconds > 6 * 3600",
        summary: "Target {target} waits for an event that is {duration} old",
        holds: |figures| {
            figures.are("webhookd_oldest_pending_age_seconds", |it| {
                it > 6.0 * 3600.0
            })
        },
    },
    Rule {
        name: "WebhookdDeadLetters",
        severity: Severity::Warning,
        hold: Duration::ZERO,
        expr: "increase(webhookd_dead_letters_total[15m]) > 0",
        summary: "Events for target {target} were given up ({reason})",
        holds: |figures| figures.increased(&["webhookd_dead_letters_total"], |it| it > 0.0),
    },
    Rule {
        name: "WebhookdDeadLettersRemoved",
        severity: Severity::Warning,
        hold: Duration::ZERO,
        expr: "increase(webhookd_dead_letters_removed_total[15m]) > 0",
        summary: "{value} dead letters of target {target} were removed",
        holds: |figures| figures.increased(&["webhookd_dead_letters_removed_total"], |it| it > 0.0),
    },
    Rule {
        name: "WebhookdOverQuota",
        severity: Severity::Critical,
        hold: Duration::ZERO,
        expr: "increase(webhookd_over_quota_events_total[15m]) > 0",
        summary: "Target {target} is over its quota and did not get {value} events",
        holds: |figures| figures.increased(&["webhookd_over_quota_events_total"], |it| it > 0.0),
    },
    Rule {
        name: "WebhookdBreakerOpen",
        severity: Severity::Warning,
        hold: minutes(5),
        expr: r#"sum without (state) (webhookd_breaker_state{state=~"open|half-open"}) > 0"#,
        summary: "Target {target} is failing; it gets an attempt now and then",
        holds: |figures| breaker_open(figures),
    },
    Rule {
        name: "WebhookdTargetHeld",
        severity: Severity::Critical,
        hold: minutes(1),
        expr: r#"webhookd_target_held{reason="refusals"} == 1"#,
        summary: "Target {target} refuses the events of all tasks and is held",
        holds: |figures| {
            labelled(
                figures.are("webhookd_target_held", |it| it == 1.0),
                "reason",
                "refusals",
            )
        },
    },
    Rule {
        name: "WebhookdTargetStopped",
        severity: Severity::Critical,
        hold: Duration::ZERO,
        expr: "webhookd_target_stopped == 1",
        summary: "Target {target} responded 410 and is stopped",
        holds: |figures| figures.are("webhookd_target_stopped", |it| it == 1.0),
    },
    Rule {
        name: "WebhookdTargetPaused",
        severity: Severity::Info,
        hold: minutes(60),
        expr: "webhookd_target_paused == 1",
        summary: "Target {target} has been paused for an hour",
        holds: |figures| figures.are("webhookd_target_paused", |it| it == 1.0),
    },
    Rule {
        name: "WebhookdNoSuccess",
        severity: Severity::Critical,
        hold: minutes(5),
        expr: "webhookd_pending_events > 0 and increase(webhookd_delivered_events_total[15m]) == 0 and webhookd_target_paused == 0",
        summary: "Target {target} is owed {value} events and accepts none",
        holds: |figures| no_success(figures),
    },
    Rule {
        name: "WebhookdQueueNearlyFull",
        severity: Severity::Warning,
        hold: minutes(5),
        expr: "webhookd_queue_bytes / webhookd_queue_usable_bytes > 0.8",
        summary: "The queue is {percent} full",
        holds: |figures| nearly_full(figures),
    },
    Rule {
        name: "WebhookdQueueFull",
        severity: Severity::Critical,
        hold: minutes(1),
        expr: "webhookd_queue_blocked == 1",
        summary: "The queue is full",
        holds: |figures| figures.are("webhookd_queue_blocked", |it| it == 1.0),
    },
    Rule {
        name: "WebhookdQueueFailing",
        severity: Severity::Critical,
        hold: minutes(1),
        expr: "webhookd_queue_failing == 1",
        summary: "The queue takes no events: its disk is full or fails, or its files were moved",
        holds: |figures| figures.are("webhookd_queue_failing", |it| it == 1.0),
    },
    Rule {
        name: "WebhookdCommitFailures",
        severity: Severity::Warning,
        hold: Duration::ZERO,
        expr: "increase(webhookd_queue_commit_failures_total[15m]) > 0",
        summary: "Commits to the queue failed",
        holds: |figures| {
            figures.increased(&["webhookd_queue_commit_failures_total"], |it| it > 0.0)
        },
    },
    Rule {
        name: "WebhookdQueueSlow",
        severity: Severity::Warning,
        hold: minutes(10),
        expr: "histogram_quantile(0.99, rate(webhookd_queue_commit_duration_seconds_bucket[5m])) > 1",
        summary: "A commit to the queue takes {duration}",
        holds: |figures| figures.commit_p99(|it| it > 1.0),
    },
    Rule {
        name: "WebhookdDatabaseUnavailable",
        severity: Severity::Critical,
        hold: minutes(1),
        expr: "webhookd_queue_database_reachable == 0",
        summary: "The database of the queue cannot be reached",
        holds: |figures| figures.are("webhookd_queue_database_reachable", |it| it == 0.0),
    },
    Rule {
        name: "WebhookdLeasesLost",
        severity: Severity::Warning,
        hold: Duration::ZERO,
        expr: "increase(webhookd_queue_leases_lost_total[15m]) > 1.5",
        summary: "This worker has lost its lease {value} times",
        holds: |figures| figures.increased(&["webhookd_queue_leases_lost_total"], |it| it > 1.5),
    },
    Rule {
        name: "WebhookdSettlementsFenced",
        severity: Severity::Warning,
        hold: Duration::ZERO,
        expr: "increase(webhookd_queue_fenced_settlements_total[15m]) > 0",
        summary: "{value} deliveries of this worker were repeated by another worker",
        holds: |figures| {
            figures.increased(&["webhookd_queue_fenced_settlements_total"], |it| it > 0.0)
        },
    },
    Rule {
        name: "WebhookdSlotsUnclaimed",
        severity: Severity::Critical,
        hold: minutes(1),
        expr: "webhookd_queue_unclaimed_slots > 0",
        summary: "No worker delivers the events of {value} slots",
        holds: |figures| figures.are("webhookd_queue_unclaimed_slots", |it| it > 0.0),
    },
    Rule {
        name: "WebhookdDeadRows",
        severity: Severity::Warning,
        hold: minutes(15),
        expr: "webhookd_queue_dead_rows > 100000",
        summary: "The tables of the queue have {value} dead rows",
        holds: |figures| figures.are("webhookd_queue_dead_rows", |it| it > 100_000.0),
    },
    Rule {
        name: "WebhookdOldTransaction",
        severity: Severity::Warning,
        hold: minutes(5),
        expr: "webhookd_queue_oldest_transaction_age_seconds > 3600",
        summary: "A transaction of the database of the queue is {duration} old",
        holds: |figures| {
            figures.are("webhookd_queue_oldest_transaction_age_seconds", |it| {
                it > 3600.0
            })
        },
    },
    Rule {
        name: "WebhookdSegmentsFull",
        severity: Severity::Warning,
        hold: minutes(15),
        expr: "webhookd_queue_segments_in_use >= webhookd_queue_segments",
        summary: "All {value} tables of the queue are in use",
        holds: |figures| {
            figures.both(
                ["webhookd_queue_segments_in_use", "webhookd_queue_segments"],
                |used, all| used >= all,
            )
        },
    },
    Rule {
        name: "WebhookdStandbyNotSynchronous",
        severity: Severity::Warning,
        hold: minutes(15),
        expr: "webhookd_queue_standbys > 0 and webhookd_queue_synchronous_standby == 0",
        summary: "No commit of the queue waits for a standby",
        holds: |figures| {
            figures.both(
                [
                    "webhookd_queue_standbys",
                    "webhookd_queue_synchronous_standby",
                ],
                |standbys, synchronous| standbys > 0.0 && synchronous == 0.0,
            )
        },
    },
    Rule {
        name: "WebhookdRecordsQuarantined",
        severity: Severity::Critical,
        hold: Duration::ZERO,
        expr: "webhookd_queue_quarantined_records > 0",
        summary: "{value} records of the queue are damaged",
        holds: |figures| figures.are("webhookd_queue_quarantined_records", |it| it > 0.0),
    },
    Rule {
        name: "WebhookdTargetWorkerEnded",
        severity: Severity::Critical,
        hold: minutes(1),
        expr: "webhookd_target_worker_up == 0",
        summary: "No worker delivers to target {target} any more",
        holds: |figures| figures.are("webhookd_target_worker_up", |it| it == 0.0),
    },
    Rule {
        name: "WebhookdReloadFailed",
        severity: Severity::Warning,
        hold: Duration::ZERO,
        expr: "webhookd_config_last_reload_successful == 0",
        summary: "The configuration was changed and is not valid; the previous one is in force",
        holds: |figures| figures.are("webhookd_config_last_reload_successful", |it| it == 0.0),
    },
    Rule {
        name: "WebhookdRemovedTargetOwed",
        severity: Severity::Info,
        hold: minutes(24 * 60),
        expr: "webhookd_queue_removed_target_events > 0",
        summary: "{value} events wait for target {target}, which is no longer in the configuration",
        holds: |figures| figures.are("webhookd_queue_removed_target_events", |it| it > 0.0),
    },
    Rule {
        name: "WebhookdEventsLost",
        severity: Severity::Warning,
        hold: Duration::ZERO,
        expr: "increase(webhookd_failed_events_total[15m]) + increase(webhookd_dropped_events_total[15m]) > 0",
        summary: "Best-effort target {target} did not get {value} events",
        holds: |figures| {
            figures.increased(
                &[
                    "webhookd_failed_events_total",
                    "webhookd_dropped_events_total",
                ],
                |it| it > 0.0,
            )
        },
    },
    Rule {
        name: "WebhookdFollowGap",
        severity: Severity::Critical,
        hold: Duration::ZERO,
        expr: "webhookd_follow_gaps_total > 0 and time() - webhookd_follow_last_gap_timestamp_seconds < 86400",
        summary: "webhookd missed lines of a followed file",
        holds: |figures| {
            recent_gap(
                figures,
                [
                    "webhookd_follow_gaps_total",
                    "webhookd_follow_last_gap_timestamp_seconds",
                ],
            )
        },
    },
    Rule {
        name: "WebhookdStreamDown",
        severity: Severity::Critical,
        hold: minutes(5),
        expr: "webhookd_stream_connected == 0",
        summary: "webhookd does not read the stream {source}",
        holds: |figures| figures.are("webhookd_stream_connected", |it| it == 0.0),
    },
    Rule {
        name: "WebhookdStreamGap",
        severity: Severity::Critical,
        hold: Duration::ZERO,
        expr: "webhookd_stream_gaps_total > 0 and time() - webhookd_stream_last_gap_timestamp_seconds < 86400",
        summary: "webhookd may have missed events of the stream {source}",
        holds: |figures| {
            recent_gap(
                figures,
                [
                    "webhookd_stream_gaps_total",
                    "webhookd_stream_last_gap_timestamp_seconds",
                ],
            )
        },
    },
    Rule {
        name: "WebhookdInputRefused",
        severity: Severity::Warning,
        hold: Duration::ZERO,
        expr: "increase(webhookd_intake_rejected_total[15m]) + increase(webhookd_intake_refused_total[15m]) > 0",
        summary: "webhookd did not accept {value} of the events sent to it",
        holds: |figures| {
            figures.increased(
                &[
                    "webhookd_intake_rejected_total",
                    "webhookd_intake_refused_total",
                ],
                |it| it > 0.0,
            )
        },
    },
    Rule {
        name: "WebhookdEventsNotUnderstood",
        severity: Severity::Warning,
        hold: Duration::ZERO,
        expr: "increase(webhookd_events_unknown_total[15m]) > 0",
        summary: "Input {input} did not understand {value} events",
        holds: |figures| figures.increased(&["webhookd_events_unknown_total"], |it| it > 0.0),
    },
    Rule {
        name: "WebhookdLogLinesDropped",
        severity: Severity::Warning,
        hold: Duration::ZERO,
        expr: "increase(webhookd_log_dropped_lines_total[15m]) > 0",
        summary: "{value} log lines were dropped",
        holds: |figures| figures.increased(&["webhookd_log_dropped_lines_total"], |it| it > 0.0),
    },
];

fn breaker_open(figures: &Figures) -> Samples {
    let mut open = figures.are("webhookd_breaker_state", |it| it > 0.0);
    open.retain_mut(|(labels, _)| {
        let state = labels.remove("state");
        matches!(state.as_deref(), Some("open" | "half-open"))
    });
    open
}

fn no_success(figures: &Figures) -> Samples {
    let pending = ["webhookd_pending_events", "webhookd_target_paused"];
    let mut waiting = figures.both(pending, |pending, paused| pending > 0.0 && paused == 0.0);
    let stuck = figures.increased(&["webhookd_delivered_events_total"], |it| it == 0.0);
    waiting.retain(|(labels, _)| stuck.iter().any(|(target, _)| target == labels));
    waiting
}

fn nearly_full(figures: &Figures) -> Samples {
    let used = figures.both(
        ["webhookd_queue_bytes", "webhookd_queue_usable_bytes"],
        |used, most| used / most > 0.8,
    );
    let most = figures.are("webhookd_queue_usable_bytes", |it| it > 0.0);
    let most = most.first().map_or(f64::INFINITY, |(_, most)| *most);
    let used = used.into_iter();
    used.map(|(labels, used)| (labels, used / most)).collect()
}

/// Gaps of which the last was found within a day. `names` are of their number and of its time.
fn recent_gap(figures: &Figures, names: [&str; 2]) -> Samples {
    let now = figures.time();
    figures.both(names, |gaps, last| gaps > 0.0 && now - last < 86_400.0)
}

/// The samples with this value of a label.
fn labelled(mut samples: Samples, label: &str, value: &str) -> Samples {
    samples.retain(|(labels, _)| labels.get(label).is_some_and(|it| it == value));
    samples
}
