//! What was measured, as it is kept: the document is written from it, and from nothing else.

use super::part::Part;
use super::statistics::{Spread, ratios};
use crate::postgres;
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
    /// Parts that cannot be measured here, and why.
    pub(super) skipped: BTreeMap<Part, String>,
    /// Parts whose measurement failed, and why.
    #[serde(default)]
    pub(super) failed: BTreeMap<Part, String>,
    pub(super) latencies: Vec<Latency>,
    pub(super) scale: Vec<Dimension>,
    #[serde(default)]
    pub(super) memory: Vec<Memory>,
    /// Workers on one PostgreSQL, where a server can be started.
    #[serde(default)]
    pub(super) postgres: Option<postgres::Results>,
    pub(super) minutes: f64,
}

/// The result of one measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) events: u64,
    /// Events in a second, from the first request read to the last answered, as the receiver saw
    /// it.
    pub(super) rate: f64,
    /// Processor time for each event: the sender's process, the receiver's, and that of the
    /// process that posts events to the sender, if there is one.
    pub(super) sender_us: f64,
    pub(super) receiver_us: f64,
    #[serde(default)]
    pub(super) feeder_us: f64,
    /// The most anonymous memory of the sender's process, MiB.
    pub(super) peak_mib: f64,
    /// Events in a request to the receiver, on average.
    #[serde(default = "one")]
    pub(super) per_request: f64,
    /// What other processes took of the cores meanwhile, per cent.
    #[serde(default)]
    pub(super) other_load: f64,
}

impl Sample {
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    pub(super) fn sender_us(&self) -> f64 {
        self.sender_us
    }
}

fn one() -> f64 {
    1.0
}

/// What one way of feeding adds at a part of its highest rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) part: Part,
    /// Of the highest rate.
    pub(super) share: f64,
    /// Events in a second.
    pub(super) rate: f64,
    /// Processor time for each event at the highest rate.
    pub(super) highest_us: f64,
    pub(super) rounds: Vec<Paced>,
}

/// One round of [`Latency`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Paced {
    /// Microseconds at 50, 90, 99, 99.9 and 100 per cent.
    pub(super) added_us: [u32; 5],
    /// Processor time for each event.
    pub(super) sender_us: f64,
    pub(super) other_load: f64,
}

impl Latency {
    /// A figure over the rounds.
    pub(super) fn spread(&self, pick: impl Fn(&Paced) -> f64) -> Option<Spread> {
        let values: Vec<_> = self.rounds.iter().map(pick).collect();
        Spread::of(&values)
    }

    /// The processor time for each event beside that at the highest rate.
    pub(super) fn cost_ratio(&self) -> Option<Spread> {
        self.spread(|paced| paced.sender_us / self.highest_us)
    }
}

/// The anonymous memory of a process with many targets, MiB.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) targets: u64,
    pub(super) idle_mib: f64,
    /// The most while each target gets events.
    pub(super) loaded_mib: f64,
    pub(super) other_load: f64,
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

    /// How many times the figure of the one part is that of the other, round by round.
    pub(super) fn ratio(&self, of: Part, to: Part, pick: fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(&ratios(&self.values(of, pick), &self.values(to, pick)))
    }

    pub(super) fn latency(&self, part: Part, share: f64) -> Option<&Latency> {
        let mut latencies = self.latencies.iter();
        latencies.find(|latency| latency.part == part && latency.share == share)
    }

    /// A figure of the memory of many targets, over the rounds.
    pub(super) fn memory(&self, pick: fn(&Memory) -> f64) -> Option<Spread> {
        Spread::of(&self.memory.iter().map(pick).collect::<Vec<_>>())
    }

    /// The other load during each measurement, per cent of the cores.
    pub(super) fn other_loads(&self) -> Vec<f64> {
        let samples = self.samples.values().flatten();
        let points = self.scale.iter().flat_map(|dimension| &dimension.points);
        let samples = samples.chain(points.map(|point| &point.sample));
        let paced = self.latencies.iter().flat_map(|latency| &latency.rounds);
        let mut all: Vec<f64> = samples.map(|sample| sample.other_load).collect();
        all.extend(paced.map(|paced| paced.other_load));
        all.extend(self.memory.iter().map(|memory| memory.other_load));
        if let Some(postgres) = &self.postgres {
            all.extend(postgres.other_loads());
        }
        all
    }
}
