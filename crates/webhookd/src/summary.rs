//! The summary of a run, as text and as JSON.

use crate::sources::InputCounts;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use webhook_dispatch::{Latencies, Outcome, ShutdownReport, TargetStats};

/// The summary of a run. Deliveries are counted for each target: an event that three targets accept
/// is three deliveries.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// Events read.
    pub(crate) events: u64,
    /// Lines that are not events.
    pub(crate) rejected: u64,
    /// Events that the queue refused.
    pub(crate) refused: u64,
    /// Deliveries made.
    pub(crate) delivered: u64,
    /// Events given up: dead letters, and best-effort events that failed or found no room.
    pub(crate) failed: u64,
    /// Events that a target's filters left out.
    pub(crate) filtered: u64,
    /// Best-effort events without a response at the end. They are lost.
    pub(crate) unfinished: u64,
    /// Deliveries lost to damaged records of the queue.
    pub(crate) damaged: u64,
    /// Deliveries that are owed at the end. Their events are in the queue.
    pub(crate) owed: u64,
    /// Whether dead letters of this run are still kept, or were dropped.
    #[serde(skip)]
    keeps_dead_letters: bool,
    pub(crate) seconds: f64,
    pub(crate) events_per_second: f64,
    /// The time from the start of an attempt to its response.
    pub(crate) latency_ms: Option<LatencyMs>,
    pub(crate) targets: Vec<TargetSummary>,
    pub(crate) counters: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LatencyMs {
    p50: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetSummary {
    name: String,
    delivered: u64,
    failed: u64,
    dead_letters: u64,
    dropped: u64,
    filtered: u64,
    unfinished: u64,
    owed: u64,
    attempts: u64,
    outcomes: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// `keeps_dead_letters` says whether dead letters of this run are still kept, or were dropped.
    pub(crate) fn new(
        read: InputCounts,
        report: &ShutdownReport,
        keeps_dead_letters: bool,
        took: Duration,
    ) -> Summary {
        let stats = &report.stats;
        let seconds = took.as_secs_f64();
        let sum = |count: fn(&TargetSummary) -> u64, targets: &[TargetSummary]| {
            targets.iter().map(count).sum()
        };
        let mut latencies = Latencies::default();
        for target in stats.targets.iter().chain(&stats.removed) {
            latencies.merge(&target.attempt_latency);
        }
        let mut targets: Vec<_> = stats.targets.iter().map(TargetSummary::new).collect();
        // Events for a removed target stay in the queue; this run does not owe them.
        targets.extend(stats.removed.iter().map(|target| TargetSummary {
            owed: 0,
            ..TargetSummary::new(target)
        }));
        Summary {
            events: read.events,
            rejected: read.rejected,
            refused: read.refused,
            delivered: sum(|target| target.delivered, &targets),
            failed: sum(|target| target.failed, &targets),
            filtered: sum(|target| target.filtered, &targets),
            unfinished: sum(|target| target.unfinished, &targets),
            damaged: report.damaged,
            owed: sum(|target| target.owed, &targets),
            keeps_dead_letters,
            seconds,
            events_per_second: read.events as f64 / seconds.max(f64::EPSILON),
            latency_ms: LatencyMs::new(&latencies),
            counters: stats.aurora_counters().named().into_iter().collect(),
            targets,
        }
    }

    /// Whether every event was delivered, or matched no target. A dead letter that was replayed and
    /// delivered since counts as delivered.
    pub(crate) fn is_complete(&self) -> bool {
        let dead: u64 = self.targets.iter().map(|target| target.dead_letters).sum();
        let lost = self.failed.saturating_sub(dead) + self.unfinished + self.damaged;
        let left = self.rejected + self.refused + lost + self.owed;
        left == 0 && !self.keeps_dead_letters
    }
}

impl LatencyMs {
    fn new(latencies: &Latencies) -> Option<LatencyMs> {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        Some(LatencyMs {
            p50: ms(latencies.quantile(0.5)?),
            p99: ms(latencies.quantile(0.99)?),
            max: ms(latencies.max()?),
        })
    }
}

impl TargetSummary {
    fn new(stats: &TargetStats) -> TargetSummary {
        TargetSummary {
            name: stats.name.clone(),
            delivered: stats.delivered,
            failed: stats.failed + stats.dropped + stats.dead_letters(),
            dead_letters: stats.dead_letters(),
            dropped: stats.dropped,
            filtered: stats.filtered,
            unfinished: stats.unfinished,
            owed: stats.pending,
            attempts: stats.attempts.iter().map(|(_, count)| count).sum(),
            outcomes: stats
                .attempts
                .iter()
                .map(|(outcome, count)| (outcome.name(), *count))
                .collect(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} delivered, {} failed", self.delivered, self.failed)?;
        for (count, what) in [
            (self.owed, "still owed"),
            (self.unfinished, "unfinished"),
            (self.damaged, "lost to damaged records of the queue"),
            (self.filtered, "filtered out"),
            (self.rejected, "lines rejected"),
            (self.refused, "refused by the queue"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        write!(
            f,
            "; {} events in {:.2} s, {:.0} events/s",
            self.events, self.seconds, self.events_per_second
        )?;
        if let Some(latency) = &self.latency_ms {
            write!(
                f,
                "; answers p50 {:.2} ms, p99 {:.2} ms",
                latency.p50, latency.p99
            )?;
        }
        for target in &self.targets {
            if self.targets.len() == 1 && target.failed + target.owed + target.unfinished == 0 {
                continue;
            }
            write!(
                f,
                "\n  {}: {} delivered, {} failed",
                target.name, target.delivered, target.failed
            )?;
            if target.owed > 0 {
                write!(f, ", {} owed", target.owed)?;
            }
            write!(f, "; {} attempts", target.attempts)?;
            let mut separator = ": ";
            for outcome in Outcome::ALL {
                let count = target.outcomes.get(outcome.name()).copied().unwrap_or(0);
                if count > 0 {
                    write!(f, "{separator}{count} {outcome}")?;
                    separator = ", ";
                }
            }
        }
        Ok(())
    }
}
