//! Builds metric families from existing figures, in the library's types.

use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::time::Duration;
use webhook_dispatch::Latencies;
use webhook_queue::Distribution;

/// Bounds of the buckets of times, in milliseconds.
const TIMES_MS: [u64; 18] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
    900_000, 3_600_000,
];

/// A name and its value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// Metric families, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Families(Vec<MetricFamily>);

impl Families {
    pub(super) fn add_all(&mut self, families: Vec<MetricFamily>) {
        self.0.extend(families);
    }

    pub(super) fn finish(self) -> Vec<MetricFamily> {
        self.0
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, samples: Samples) {
        self.family(name, help, MetricType::COUNTER, samples);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, samples: Samples) {
        self.family(name, help, MetricType::GAUGE, samples);
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, samples: Samples) {
        self.family(name, help, MetricType::HISTOGRAM, samples);
    }

    /// Adds a family, unless it has no sample, which the format does not allow.
    fn family(&mut self, name: &str, help: &str, kind: MetricType, samples: Samples) {
        if samples.0.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(samples.0);
        self.0.push(family);
    }
}

/// The samples of a family.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Metric>);

impl Samples {
    /// One value without labels.
    pub(super) fn one(value: f64) -> Samples {
        let mut samples = Samples::default();
        samples.value(&[], value);
        samples
    }

    /// Adds a value. It is set as counter and as gauge, and the family's type selects one.
    pub(super) fn value(&mut self, labels: &[Label<'_>], value: f64) {
        let mut metric = labelled(labels);
        let mut counter = prometheus::proto::Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
        let mut gauge = prometheus::proto::Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
        self.0.push(metric);
    }

    /// Adds a histogram of times, from one moment: last bucket, count and sum agree.
    pub(super) fn times(&mut self, labels: &[Label<'_>], times: &Latencies) {
        let buckets = TIMES_MS.iter().map(|ms| {
            let bound = Duration::from_millis(*ms);
            (bound.as_secs_f64(), times.count_at_most(bound))
        });
        self.buckets(labels, buckets, times.count(), times.sum().as_secs_f64());
    }

    /// Adds the buckets `from` to `to` of a distribution, whose values are in `unit`. Its bounds are
    /// exclusive; subtracting `less` makes them inclusive.
    pub(super) fn distribution(
        &mut self,
        distribution: &Distribution,
        (from, to): (usize, usize),
        less: f64,
        unit: f64,
    ) {
        let mut cumulative = 0;
        let all = distribution.buckets.iter().enumerate();
        let all: Vec<(f64, u64)> = all
            .filter_map(|(index, count)| {
                cumulative += count;
                let bound = Distribution::bound(index)? as f64 - less;
                (from..=to)
                    .contains(&index)
                    .then_some((bound * unit, cumulative))
            })
            .collect();
        let sum = distribution.sum as f64 * unit;
        self.buckets(&[], all.into_iter(), distribution.count, sum);
    }

    fn buckets(
        &mut self,
        labels: &[Label<'_>],
        buckets: impl Iterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) {
        let buckets = buckets.map(|(bound, cumulative)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(count);
        histogram.set_sample_sum(sum);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.0.push(metric);
    }
}

fn labelled(labels: &[Label<'_>]) -> Metric {
    let pair = |(name, value): &Label<'_>| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}
