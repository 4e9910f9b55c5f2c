//! What was measured, as it is kept: the document is written from it, and from nothing else.

use super::part::Part;
use super::statistics::{Spread, ratios};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything of one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Results {
    /// The machine and the versions, line by line.
    pub(super) machine: Vec<(String, String)>,
    /// What speaks against the figures.
    pub(super) warnings: Vec<String>,
    pub(super) quick: bool,
    pub(super) rounds: u32,
    /// Sender threads of webhookd and of the ceiling, workers of syslog-ng.
    pub(super) threads: usize,
    /// Bytes of an event.
    pub(super) body: usize,
    /// Events of the backlog that is drained.
    pub(super) backlog: u64,
    pub(super) samples: BTreeMap<Part, Vec<Sample>>,
    /// Parts that were not measured, and why.
    pub(super) skipped: BTreeMap<Part, String>,
    pub(super) latencies: Vec<Latency>,
    pub(super) scale: Vec<Dimension>,
    pub(super) minutes: f64,
}

/// The result of one measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) events: u64,
    /// Requests in a second, from the first read to the last answered, as the receiver saw it.
    pub(super) rate: f64,
    /// Processor time for each event: the sender's process, and the receiver's.
    pub(super) sender_us: f64,
    pub(super) receiver_us: f64,
    /// The most anonymous memory of the sender's process, MiB.
    pub(super) peak_mib: f64,
}

/// What one way of feeding adds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) part: Part,
    /// Events in a second.
    pub(super) rate: f64,
    /// Microseconds at 50, 90, 99, 99.9 and 100 per cent, round by round.
    pub(super) rounds: Vec<[u32; 5]>,
}

impl Latency {
    /// One of the five, over the rounds.
    pub(super) fn spread(&self, which: usize) -> Option<Spread> {
        let values: Vec<_> = self
            .rounds
            .iter()
            .map(|round| f64::from(round[which]))
            .collect();
        Spread::of(&values)
    }
}

/// How the cost of an event grows with something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Dimension {
    /// What grows: `targets`.
    pub(super) name: String,
    /// What was measured, in a sentence.
    pub(super) what: String,
    pub(super) points: Vec<Point>,
}

/// The cost at one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) n: f64,
    /// A second number, where there is one: the receiver's latency in milliseconds.
    pub(super) beside: Option<f64>,
    pub(super) sample: Sample,
}

impl Results {
    pub(super) fn values(&self, part: Part, pick: fn(&Sample) -> f64) -> Vec<f64> {
        let samples = self.samples.get(&part).map_or(&[][..], Vec::as_slice);
        samples.iter().map(pick).collect()
    }

    /// A figure of a part, over the rounds; `None` if it was not measured.
    pub(super) fn spread(&self, part: Part, pick: fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(&self.values(part, pick))
    }

    /// How many times the rate of the one is that of the other.
    pub(super) fn ratio(&self, of: Part, to: Part) -> Option<Spread> {
        let rates = |part| self.values(part, |sample| sample.rate);
        Spread::of(&ratios(&rates(of), &rates(to)))
    }

    pub(super) fn latency(&self, part: Part) -> Option<&Latency> {
        self.latencies.iter().find(|latency| latency.part == part)
    }
}
