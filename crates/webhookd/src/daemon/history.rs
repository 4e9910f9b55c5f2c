//! Rates and latencies of the last hour, in fixed memory.

use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use webhook_dispatch::{Latencies, Outcome, Stats, TargetStats};

/// The time between two points.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// Points of a series: an hour.
const POINTS: usize = 360;

/// A point for each interval, without those before the start.
#[derive(Debug)]
pub(crate) struct History(Mutex<Rings>);

#[derive(Debug)]
struct Rings {
    /// What was counted when the last points were added.
    last: Totals,
    until: Timestamp,
    input: Ring,
    output: Ring,
    pending: Ring,
    targets: BTreeMap<String, TargetRings>,
}

#[derive(Debug, Default)]
struct TargetRings {
    rate: Ring,
    failed: Ring,
    p50: Ring,
    p99: Ring,
}

/// The last values, oldest first. `f32` is exact enough for a chart, and half as large.
#[derive(Clone, Debug, Default)]
struct Ring(VecDeque<Option<f32>>);

/// Counters at one moment.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    at: Instant,
    submitted: u64,
    pending: u64,
    targets: Vec<TargetTotals>,
}

#[derive(Clone, Debug)]
struct TargetTotals {
    name: String,
    delivered: u64,
    failed: u64,
    latency: Latencies,
}

/// The history as the admin API shows it: each series has [`POINTS`] values, oldest first, `None`
/// before the start.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HistoryShown {
    interval_seconds: u64,
    until: String,
    series: SeriesShown,
    targets: BTreeMap<String, TargetShown>,
}

#[derive(Debug, Serialize)]
struct SeriesShown {
    r#in: Vec<Option<f32>>,
    out: Vec<Option<f32>>,
    pending: Vec<Option<f32>>,
}

#[derive(Debug, Serialize)]
struct TargetShown {
    rate: Vec<Option<f32>>,
    failed: Vec<Option<f32>>,
    p50: Vec<Option<f32>>,
    p99: Vec<Option<f32>>,
}

impl Totals {
    /// `submitted` are the events of all sources.
    pub(super) fn of(at: Instant, submitted: u64, stats: &Stats) -> Totals {
        let targets = stats.targets.iter();
        Totals {
            at,
            submitted,
            pending: targets.clone().map(|target| target.pending).sum(),
            targets: targets.map(TargetTotals::of).collect(),
        }
    }
}

impl TargetTotals {
    fn of(target: &TargetStats) -> TargetTotals {
        let attempts = target.attempts.iter();
        let failed = attempts.filter(|(outcome, _)| *outcome != Outcome::Success);
        TargetTotals {
            name: target.name.clone(),
            delivered: target.delivered,
            failed: failed.map(|(_, count)| count).sum(),
            latency: target.attempt_latency.clone(),
        }
    }
}

impl History {
    /// An empty history of a program that starts now.
    pub(super) fn new(at: Instant, wall: Timestamp) -> History {
        let last = Totals {
            at,
            submitted: 0,
            pending: 0,
            targets: Vec::new(),
        };
        History(Mutex::new(Rings {
            last,
            until: wall,
            input: Ring::default(),
            output: Ring::default(),
            pending: Ring::default(),
            targets: BTreeMap::new(),
        }))
    }

    /// Adds the points since the last call. A call that is late adds one for each interval missed,
    /// with the average.
    pub(super) fn observe(&self, now: Totals, wall: Timestamp) {
        let mut rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.at.saturating_duration_since(rings.last.at);
        let points = (elapsed.as_secs_f64() / INTERVAL.as_secs_f64()).round() as usize;
        if points > 0 {
            rings.add(&now, elapsed, points.min(POINTS));
            rings.until = wall;
            rings.last = now;
        }
    }

    pub(crate) fn shown(&self) -> HistoryShown {
        let rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let targets = rings.targets.iter();
        HistoryShown {
            interval_seconds: INTERVAL.as_secs(),
            until: format!("{:.3}", rings.until),
            series: SeriesShown {
                r#in: rings.input.shown(),
                out: rings.output.shown(),
                pending: rings.pending.shown(),
            },
            targets: targets
                .map(|(name, target)| (name.clone(), target.shown()))
                .collect(),
        }
    }
}

impl Rings {
    fn add(&mut self, now: &Totals, elapsed: Duration, points: usize) {
        let seconds = elapsed.as_secs_f64();
        let rate = |now: u64, before: u64| Some(now.saturating_sub(before) as f64 / seconds);
        let input = rate(now.submitted, self.last.submitted);
        self.input.push(input, points);
        self.pending.push(Some(now.pending as f64), points);
        let known = |name: &str| now.targets.iter().any(|target| target.name == name);
        self.targets.retain(|name, _| known(name));
        let mut delivered = 0;
        for target in &now.targets {
            let mut before = self.last.targets.iter();
            let before = before.find(|before| before.name == target.name);
            let base = before.map_or((0, 0), |before| (before.delivered, before.failed));
            delivered += target.delivered.saturating_sub(base.0);
            let latency = match before {
                Some(before) => target.latency.since(&before.latency),
                None => target.latency.clone(),
            };
            let quantile = |q| latency.quantile(q).map(|time| time.as_secs_f64());
            let rings = self.targets.entry(target.name.clone()).or_default();
            rings.rate.push(rate(target.delivered, base.0), points);
            rings.failed.push(rate(target.failed, base.1), points);
            rings.p50.push(quantile(0.5), points);
            rings.p99.push(quantile(0.99), points);
        }
        self.output.push(rate(delivered, 0), points);
    }
}

impl TargetRings {
    fn shown(&self) -> TargetShown {
        TargetShown {
            rate: self.rate.shown(),
            failed: self.failed.shown(),
            p50: self.p50.shown(),
            p99: self.p99.shown(),
        }
    }
}

impl Ring {
    fn push(&mut self, value: Option<f64>, times: usize) {
        for _ in 0..times {
            if self.0.len() == POINTS {
                self.0.pop_front();
            }
            self.0.push_back(value.map(|value| value as f32));
        }
    }

    fn shown(&self) -> Vec<Option<f32>> {
        let missing = std::iter::repeat_n(None, POINTS - self.0.len());
        missing.chain(self.0.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(at: Instant, submitted: u64, delivered: u64) -> Totals {
        Totals {
            at,
            submitted,
            pending: submitted - delivered,
            targets: vec![TargetTotals {
                name: "audit".to_owned(),
                delivered,
                failed: 1,
                latency: Latencies::default(),
            }],
        }
    }

    fn last(series: &[Option<f32>], count: usize) -> &[Option<f32>] {
        assert_eq!(series.len(), POINTS);
        &series[POINTS - count..]
    }

    #[test]
    fn a_point_is_the_average_of_its_interval_and_a_late_call_adds_several() {
        let (start, wall) = (Instant::now(), Timestamp::now());
        let history = History::new(start, wall);
        history.observe(totals(start, 0, 0), wall);
        assert_eq!(last(&history.shown().series.r#in, 1), [None]);
        history.observe(totals(start + INTERVAL, 100, 50), wall);
        // Too early for another.
        history.observe(totals(start + INTERVAL, 100, 50), wall);
        history.observe(totals(start + 3 * INTERVAL, 500, 450), wall);
        let shown = history.shown();
        let expected = [None, Some(10.0), Some(20.0), Some(20.0)];
        assert_eq!(last(&shown.series.r#in, 4), expected);
        let expected = [None, Some(5.0), Some(20.0), Some(20.0)];
        assert_eq!(last(&shown.series.out, 4), expected);
        assert_eq!(last(&shown.series.pending, 2), [Some(50.0), Some(50.0)]);
        let audit = &shown.targets["audit"];
        assert_eq!(last(&audit.rate, 2), [Some(20.0), Some(20.0)]);
        assert_eq!(last(&audit.failed, 2), [Some(0.0), Some(0.0)]);
        assert_eq!(last(&audit.p50, 1), [None]);
    }

    #[test]
    fn the_memory_is_bounded_and_a_removed_target_is_forgotten() {
        let (start, wall) = (Instant::now(), Timestamp::now());
        let history = History::new(start, wall);
        history.observe(totals(start, 0, 0), wall);
        history.observe(totals(start + 1000 * INTERVAL, 10_000, 0), wall);
        let shown = history.shown();
        assert_eq!(last(&shown.series.r#in, POINTS), [Some(1.0); POINTS]);
        let mut without = totals(start + 1001 * INTERVAL, 10_000, 0);
        without.targets.clear();
        history.observe(without, wall);
        assert!(history.shown().targets.is_empty());
        let rings = history.0.lock().unwrap();
        assert_eq!(rings.input.0.len(), POINTS);
    }
}
