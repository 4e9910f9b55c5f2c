//! The aims of the figures, most of them ratios within a round, and which of them are missed.

use super::latency::{HALF, TENTH};
use super::part::Part;
use super::results::{Latency, Results};
use super::statistics::{Spread, shown};
use crate::figures::Bound;

/// One aim, and what was measured; `None` if it was not.
#[derive(Clone, Debug)]
pub(super) struct Aim {
    pub(super) name: String,
    pub(super) bound: Bound,
    pub(super) unit: &'static str,
    pub(super) measured: Option<Spread>,
}

/// What the rounds say about an aim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The median meets it.
    Met,
    /// The median misses it, and at least one round meets it.
    WithinSpread,
    /// Every round misses it.
    Missed,
    NotMeasured,
}

/// The processor time of an event beside that of a request of bare sockets, at most.
const COSTS: &[(Part, f64)] = &[
    (Part::BestEffort, 1.45),
    (Part::Durable, 2.2),
    (Part::Batches, 1.4),
    (Part::Ingest, 3.8),
    (Part::IngestBatch, 2.4),
];

/// The rate of the one beside that of the other, at least.
const RATES: &[(Part, Part, f64)] = &[
    (Part::BestEffort, Part::Hyper, 1.0),
    (Part::BestEffort, Part::Reqwest, 1.0),
    (Part::Durable, Part::BestEffort, 0.75),
    (Part::Durable, Part::SyslogNgDisk, 1.0),
    (Part::Batches, Part::Durable, 3.0),
    (Part::Ingest, Part::Bare, 0.3),
    (Part::IngestBatch, Part::Bare, 0.45),
    (Part::Drain, Part::BestEffort, 0.8),
];

/// Microseconds at the middle, at a share of the highest rate, at most.
const LATENCIES: &[(Part, f64, f64)] = &[
    (Part::BestEffort, TENTH, 200.0),
    (Part::Durable, TENTH, 1_000.0),
    (Part::BestEffort, HALF, 200.0),
    (Part::Durable, HALF, 2_000.0),
];

/// The processor time of an event at a tenth of the highest rate beside that at the highest.
const COST_WHEN_SLOW: f64 = 2.0;

/// MiB of 1,000 targets, idle and under load.
const MEMORY: [f64; 2] = [100.0, 200.0];

/// All aims, in their order.
pub(super) fn aims(results: &Results) -> Vec<Aim> {
    let aim = |name: String, bound, unit, measured| Aim {
        name,
        bound,
        unit,
        measured,
    };
    let mut aims = Vec::new();
    for &(of, most) in COSTS {
        let name = format!("processor time: {} / {}", of.title(), Part::Bare.title());
        let measured = results.ratio(of, Part::Bare, |sample| sample.sender_us);
        aims.push(aim(name, Bound::AtMost(most), "", measured));
    }
    for &(of, to, least) in RATES {
        let name = format!("rate: {} / {}", of.title(), to.title());
        let measured = results.ratio(of, to, |sample| sample.rate);
        aims.push(aim(name, Bound::AtLeast(least), "", measured));
    }
    for &(part, share, most) in LATENCIES {
        let name = format!("p50 added at {}: {}", at(share), part.title());
        let latency = results.latency(part, share);
        let measured =
            latency.and_then(|latency| latency.spread(|paced| f64::from(paced.added_us[0])));
        aims.push(aim(name, Bound::AtMost(most), " µs", measured));
    }
    for part in [Part::BestEffort, Part::Durable] {
        let title = part.title();
        let name = format!("processor time at {} / at the highest: {title}", at(TENTH));
        let latency = results.latency(part, TENTH);
        let measured = latency.and_then(Latency::cost_ratio);
        aims.push(aim(name, Bound::AtMost(COST_WHEN_SLOW), "", measured));
    }
    let memory = [
        results.memory(|memory| memory.idle_mib),
        results.memory(|memory| memory.loaded_mib),
    ];
    for ((when, most), measured) in ["idle", "under load"].iter().zip(MEMORY).zip(memory) {
        let name = format!("{}, {when}", Part::Memory.title());
        aims.push(aim(name, Bound::AtMost(most), " MiB", measured));
    }
    aims
}

/// `1/10 of the highest rate`.
pub(super) fn at(share: f64) -> String {
    format!("1/{:.0} of the highest rate", 1.0 / share)
}

impl Aim {
    pub(super) fn verdict(&self) -> Verdict {
        match self.measured {
            None => Verdict::NotMeasured,
            Some(spread) if self.bound.is_met(spread.median) => Verdict::Met,
            Some(spread) if self.bound.is_met(spread.best(self.bound)) => Verdict::WithinSpread,
            Some(_) => Verdict::Missed,
        }
    }

    /// `at least 0.65`.
    pub(super) fn wanted(&self) -> String {
        let (word, bound) = self.bound.parts();
        format!("{word} {}{}", shown(bound), self.unit)
    }

    /// `0.71 (0.69 to 0.73)`.
    pub(super) fn found(&self) -> String {
        let text = |spread: Spread| spread.text(self.unit);
        self.measured.map_or("–".to_owned(), text)
    }
}

impl Verdict {
    pub(super) fn text(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::WithinSpread => "missed within the spread",
            Verdict::Missed => "**missed**",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// The aims that every round misses, a line each.
pub(super) fn missed(results: &Results) -> Vec<String> {
    let mut aims = aims(results);
    aims.retain(|aim| aim.verdict() == Verdict::Missed);
    let lines = aims.iter().map(|aim| {
        let (name, wanted, found) = (&aim.name, aim.wanted(), aim.found());
        format!("{name}: {found}, to be {wanted}")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::super::results::{Memory, Paced, Sample};
    use super::*;

    /// Results of samples by their rates, or by their processor time.
    fn results(parts: &[(Part, &[f64])], set: fn(&mut Sample, f64)) -> Results {
        let mut results = Results::default();
        for (part, values) in parts {
            let samples = values.iter().map(|value| {
                let mut sample = Sample::default();
                set(&mut sample, *value);
                sample
            });
            results.samples.insert(*part, samples.collect());
        }
        results
    }

    fn named(results: &Results, name: &str) -> Aim {
        let mut aims = aims(results);
        aims.retain(|aim| aim.name.starts_with(name));
        assert_eq!(aims.len(), 1, "{name}");
        aims.remove(0)
    }

    #[test]
    fn processor_time_is_compared_within_a_round() {
        let bare = [10.0, 20.0, 10.0];
        let ours = [14.0, 28.0, 16.0];
        let results = results(
            &[(Part::Bare, &bare), (Part::BestEffort, &ours)],
            |sample, us| sample.sender_us = us,
        );
        let aim = named(&results, "processor time: webhookd, best-effort");
        assert_eq!(aim.verdict(), Verdict::Met);
        assert_eq!(aim.found(), "1.40 (1.40 to 1.60)");
        assert_eq!(aim.wanted(), "at most 1.45");
        let durable = named(&results, "processor time: webhookd, durable / ");
        assert_eq!(durable.verdict(), Verdict::NotMeasured);
    }

    #[test]
    fn an_aim_is_missed_when_its_best_round_misses_it() {
        for (rates, expected) in [
            ([74.0, 75.0, 76.0], Verdict::Met),
            ([73.0, 74.0, 75.0], Verdict::WithinSpread),
            ([72.0, 73.0, 74.9], Verdict::Missed),
        ] {
            let best_effort = [100.0; 3];
            let parts: &[(Part, &[f64])] =
                &[(Part::BestEffort, &best_effort), (Part::Durable, &rates)];
            let results = results(parts, |sample, rate| sample.rate = rate);
            let aim = named(&results, "rate: webhookd, durable / webhookd, best");
            assert_eq!(aim.verdict(), expected, "{rates:?}");
            let is_missed = expected == Verdict::Missed;
            assert_eq!(missed(&results).len(), usize::from(is_missed));
        }
    }

    #[test]
    fn of_an_upper_bound_the_best_round_is_the_least() {
        let mut results = Results::default();
        let memory = |idle_mib| Memory {
            targets: 1_000,
            idle_mib,
            loaded_mib: 210.0,
            other_load: 0.0,
        };
        results.memory = vec![memory(99.0), memory(101.0), memory(102.0)];
        let idle = named(&results, "memory of 1,000 targets, idle");
        assert_eq!(idle.verdict(), Verdict::WithinSpread);
        let expected = "memory of 1,000 targets, under load: 210 MiB (210 to 210), to be at most \
                        200 MiB";
        assert_eq!(missed(&results), [expected]);
    }

    #[test]
    fn a_slow_rate_is_compared_with_the_highest() {
        let mut results = Results::default();
        results.latencies.push(Latency {
            part: Part::Durable,
            share: TENTH,
            rate: 1_000.0,
            highest_us: 20.0,
            rounds: vec![Paced {
                added_us: [1_001, 0, 0, 0, 0],
                sender_us: 50.0,
                other_load: 0.0,
            }],
        });
        let missed = missed(&results);
        assert_eq!(missed.len(), 2, "{missed:?}");
        assert!(missed[0].starts_with("p50 added at 1/10 of the highest rate: webhookd, durable"));
        assert!(missed[1].contains("2.50 (2.50 to 2.50), to be at most 2.00"));
    }
}
