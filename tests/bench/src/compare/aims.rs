//! The aims of the figures, as ratios within a run.

use super::part::Part;
use super::results::Results;
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

/// Over the ceiling, over best-effort, and beside others.
const RATIOS: &[(Part, Part, f64)] = &[
    (Part::BestEffort, Part::Bare, 0.65),
    (Part::BestEffort, Part::Hyper, 1.0),
    (Part::BestEffort, Part::Reqwest, 1.0),
    (Part::Durable, Part::BestEffort, 0.8),
    (Part::Durable, Part::SyslogNgDisk, 1.0),
    (Part::Ingest, Part::Bare, 0.4),
    (Part::IngestBatch, Part::Bare, 0.4),
    (Part::Drain, Part::BestEffort, 0.8),
];

/// Microseconds at the middle.
const LATENCIES: &[(Part, f64)] = &[(Part::BestEffort, 200.0), (Part::Durable, 2_000.0)];

/// All aims, in their order.
pub(super) fn aims(results: &Results) -> Vec<Aim> {
    let ratios = RATIOS.iter().map(|&(of, to, least)| Aim {
        name: format!("{} / {}", of.title(), to.title()),
        bound: Bound::AtLeast(least),
        unit: "",
        measured: results.ratio(of, to),
    });
    let latencies = LATENCIES.iter().map(|&(part, most)| Aim {
        name: format!("{}: latency added, p50", part.title()),
        bound: Bound::AtMost(most),
        unit: " µs",
        measured: results.latency(part).and_then(|latency| latency.spread(0)),
    });
    ratios.chain(latencies).collect()
}

impl Aim {
    /// Whether it is met; `None` if nothing was measured.
    pub(super) fn met(&self) -> Option<bool> {
        Some(self.bound.is_met(self.measured?.median))
    }

    /// `met`, `missed` or `not measured`.
    pub(super) fn verdict(&self) -> &'static str {
        match self.met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
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

#[cfg(test)]
mod tests {
    use super::super::results::{Latency, Sample};
    use super::*;

    fn rated(rates: &[(Part, &[f64])]) -> Results {
        let mut results = Results::default();
        for (part, rates) in rates {
            let samples = rates.iter().map(|rate| Sample {
                rate: *rate,
                ..Sample::default()
            });
            results.samples.insert(*part, samples.collect());
        }
        results
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        let results = rated(&[
            (Part::Bare, &[100.0, 10.0, 100.0]),
            (Part::BestEffort, &[70.0, 7.0, 50.0]),
        ]);
        let aims = aims(&results);
        assert_eq!(aims[0].met(), Some(true));
        assert_eq!(aims[0].found(), "0.70 (0.50 to 0.70)");
        assert_eq!(aims[0].wanted(), "at least 0.65");
        // hyper was not measured.
        assert_eq!(aims[1].met(), None);
    }

    #[test]
    fn a_missed_aim_is_told() {
        let mut results = rated(&[(Part::Bare, &[100.0]), (Part::BestEffort, &[64.0])]);
        results.latencies.push(Latency {
            part: Part::BestEffort,
            rate: 1_000.0,
            rounds: vec![[201, 0, 0, 0, 0]],
        });
        let missed: Vec<_> = aims(&results)
            .into_iter()
            .filter(|aim| aim.met() == Some(false))
            .map(|aim| aim.name)
            .collect();
        assert_eq!(
            missed,
            [
                "webhookd, best-effort / bare sockets (the ceiling)",
                "webhookd, best-effort: latency added, p50"
            ]
        );
    }
}
