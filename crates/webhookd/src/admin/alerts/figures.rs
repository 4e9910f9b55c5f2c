//! The figures that alerts are about: those of the metrics, and how much counters have grown.

use jiff::Timestamp;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The labels of a sample, by name.
pub(super) type Labels = BTreeMap<String, String>;
/// Samples with their labels: those for which a condition holds, for example.
pub(super) type Samples = Vec<(Labels, f64)>;

/// Counters whose increase is asked for, and over how long.
const INCREASE: Duration = Duration::from_secs(15 * 60);
const COUNTERS: [&str; 13] = [
    "webhookd_dead_letters_total",
    "webhookd_dead_letters_removed_total",
    "webhookd_over_quota_events_total",
    "webhookd_delivered_events_total",
    "webhookd_queue_commit_failures_total",
    "webhookd_queue_leases_lost_total",
    "webhookd_queue_fenced_settlements_total",
    "webhookd_failed_events_total",
    "webhookd_dropped_events_total",
    "webhookd_intake_rejected_total",
    "webhookd_intake_refused_total",
    "webhookd_events_unknown_total",
    "webhookd_log_dropped_lines_total",
];
/// The histogram whose 99th percentile is asked for, and over how long.
const COMMITS: &str = "webhookd_queue_commit_duration_seconds";
const COMMITS_OVER: Duration = Duration::from_secs(5 * 60);

/// The figures of one moment.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) now: Timestamp,
    values: BTreeMap<String, Samples>,
    increases: BTreeMap<String, Samples>,
    commits: Buckets,
    /// The 99th percentile of the duration of recent commits, seconds.
    commit_p99: Option<f64>,
}

/// The bounds of a histogram's buckets and their cumulative counts.
type Buckets = Vec<(f64, u64)>;

impl Figures {
    pub(super) fn new(families: &[MetricFamily], now: Timestamp) -> Figures {
        let mut figures = Figures {
            now,
            values: BTreeMap::new(),
            increases: BTreeMap::new(),
            commits: Vec::new(),
            commit_p99: None,
        };
        for family in families {
            let metrics = family.get_metric().iter();
            if family.get_field_type() == MetricType::HISTOGRAM {
                if family.name() == COMMITS {
                    figures.commits = metrics.flat_map(buckets).collect();
                }
                continue;
            }
            let is_counter = family.get_field_type() == MetricType::COUNTER;
            let samples = metrics.map(|metric| {
                let value = match is_counter {
                    true => metric.get_counter().get_value(),
                    false => metric.get_gauge().get_value(),
                };
                (labels(metric), value)
            });
            let samples = samples.collect();
            figures.values.insert(family.name().to_owned(), samples);
        }
        figures
    }

    /// The samples of a figure whose value satisfies `is`.
    pub(super) fn are(&self, name: &str, is: impl Fn(f64) -> bool) -> Samples {
        matching(self.values.get(name), is)
    }

    /// The sum of the increases of counters in the last quarter of an hour, if it satisfies `is`.
    pub(super) fn increased(&self, names: &[&str], is: impl Fn(f64) -> bool) -> Samples {
        let mut sums: BTreeMap<Labels, f64> = BTreeMap::new();
        let samples = names.iter().filter_map(|name| self.increases.get(*name));
        for (labels, value) in samples.flatten() {
            *sums.entry(labels.clone()).or_default() += value;
        }
        sums.into_iter().filter(|(_, value)| is(*value)).collect()
    }

    /// Two figures with the same labels, if they satisfy `are`. The value is the first one's.
    pub(super) fn both(&self, [a, b]: [&str; 2], are: impl Fn(f64, f64) -> bool) -> Samples {
        let second = self.values.get(b);
        let mut samples = self.are(a, |_| true);
        samples.retain(|(labels, value)| {
            let mut second = second.into_iter().flatten();
            second.any(|(other, second)| other == labels && are(*value, *second))
        });
        samples
    }

    /// The 99th percentile of the duration of commits in the last five minutes, if it satisfies `is`.
    pub(super) fn commit_p99(&self, is: impl Fn(f64) -> bool) -> Samples {
        let found = self.commit_p99.filter(|value| is(*value));
        found
            .map(|value| (Labels::new(), value))
            .into_iter()
            .collect()
    }

    /// Seconds since 1970.
    pub(super) fn time(&self) -> f64 {
        self.now.as_millisecond() as f64 / 1e3
    }
}

fn matching(samples: Option<&Samples>, is: impl Fn(f64) -> bool) -> Samples {
    let samples = samples.into_iter().flatten();
    samples.filter(|(_, value)| is(*value)).cloned().collect()
}

fn labels(metric: &Metric) -> Labels {
    let labels = metric.get_label().iter();
    labels
        .map(|label| (label.name().to_owned(), label.value().to_owned()))
        .collect()
}

fn buckets(metric: &Metric) -> Buckets {
    let histogram = metric.get_histogram();
    let buckets = histogram.get_bucket().iter();
    let buckets = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let all = (f64::INFINITY, histogram.get_sample_count());
    buckets.chain([all]).collect()
}

/// Earlier values, as far back as they are asked for.
#[derive(Debug, Default)]
pub(super) struct Windows {
    counters: BTreeMap<(&'static str, Labels), VecDeque<(Instant, f64)>>,
    commits: VecDeque<(Instant, Buckets)>,
}

impl Windows {
    /// Adds the values of a moment, and computes what grew until then. A counter begins at 0.
    pub(super) fn add(&mut self, figures: &mut Figures, at: Instant) {
        let mut counters = BTreeMap::new();
        for name in COUNTERS {
            for (labels, value) in figures.are(name, |_| true) {
                let key = (name, labels);
                let window = self.counters.remove(&key);
                let mut window = window.unwrap_or_else(|| VecDeque::from([(at, 0.0)]));
                prune(&mut window, at, INCREASE);
                let first = window.front().map_or(value, |(_, first)| *first);
                window.push_back((at, value));
                // One that is less is of a target that was added again.
                let increase = (value - first).max(0.0);
                let increases = figures.increases.entry(name.to_owned()).or_default();
                increases.push((key.1.clone(), increase));
                counters.insert(key, window);
            }
        }
        self.counters = counters;
        prune(&mut self.commits, at, COMMITS_OVER);
        let before = self.commits.front().map(|(_, buckets)| buckets);
        figures.commit_p99 = quantile(0.99, &figures.commits, before);
        self.commits.push_back((at, figures.commits.clone()));
    }
}

/// Removes what is older than a window.
fn prune<T>(window: &mut VecDeque<(Instant, T)>, now: Instant, length: Duration) {
    while let Some((at, _)) = window.front()
        && now.saturating_duration_since(*at) > length
    {
        window.pop_front();
    }
}

/// A quantile of the values added to a histogram since `before`, which are taken as spread evenly
/// within a bucket.
fn quantile(q: f64, now: &Buckets, before: Option<&Buckets>) -> Option<f64> {
    let added = |index: usize| {
        let before = before.and_then(|before| before.get(index));
        let before = before.map_or(0, |(_, count)| *count);
        now.get(index)
            .map_or(0, |(_, count)| count.saturating_sub(before)) as f64
    };
    let rank = q * added(now.len().checked_sub(1)?);
    if rank == 0.0 {
        return None;
    }
    let index = (0..now.len()).find(|index| added(*index) >= rank)?;
    let (below, counted) = match index.checked_sub(1) {
        Some(lower) => (now[lower].0, added(lower)),
        None => (0.0, 0.0),
    };
    let bound = now[index].0;
    if bound.is_infinite() {
        return Some(below);
    }
    let share = (rank - counted) / (added(index) - counted);
    Some(below + (bound - below) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_of_what_was_added() {
        let before = vec![(1.0, 100), (2.0, 100), (f64::INFINITY, 100)];
        let now = vec![(1.0, 100), (2.0, 200), (f64::INFINITY, 200)];
        assert_eq!(quantile(0.5, &now, Some(&before)), Some(1.5));
        assert_eq!(quantile(0.25, &now, None), Some(0.5));
        assert_eq!(quantile(0.5, &now, Some(&now)), None);
        assert_eq!(quantile(0.5, &Vec::new(), None), None);
        let slow = vec![(1.0, 100), (2.0, 200), (f64::INFINITY, 900)];
        assert_eq!(quantile(0.99, &slow, Some(&now)), Some(2.0));
    }
}
