//! What is to be measured, how often, and how long it takes.

use super::part::Part;
use super::{connections, latency, scale};

/// Times that the parts with many points, and those that repeat well, are measured at most.
const FEW: u32 = 3;

/// What is to be measured.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
    pub(super) quick: bool,
    pub(super) rounds: u32,
    /// How long one measurement takes, about.
    pub(super) seconds: f64,
    pub(super) backlog: u64,
}

impl Plan {
    pub(super) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Parts with a rate, but the drain, whose size is given.
    pub(super) fn rates(&self) -> Vec<Part> {
        let mut rates: Vec<_> = Part::RATES.to_vec();
        rates.retain(|part| *part != Part::Drain && self.has(*part));
        rates
    }

    /// Rounds of the parts that are measured a few times only.
    pub(super) fn few(&self) -> u32 {
        self.rounds.min(FEW)
    }

    /// Events that each of the 1,000 targets gets.
    pub(super) fn events_each(&self) -> u64 {
        if self.quick { 10 } else { 60 }
    }

    /// Minutes that it takes, about: seconds as they were seen on two cores.
    pub(super) fn minutes(&self) -> f64 {
        let rounds = f64::from(self.rounds);
        let few = f64::from(self.few());
        let mut seconds = self.rates().len() as f64 * (rounds * (self.seconds + 1.5) + 2.0);
        if self.has(Part::Drain) {
            let backlog = self.backlog as f64;
            seconds += backlog / 15_000.0 + rounds * (backlog / 25_000.0 + 3.0);
        }
        if self.has(Part::Latency) {
            seconds += rounds * 4.0 * (self.seconds + 1.5);
        }
        if self.has(Part::Memory) {
            seconds += few * if self.quick { 5.0 } else { 10.0 };
        }
        if self.has(Part::Connections) {
            seconds += few * if self.quick { 8.0 } else { 40.0 };
        }
        if self.has(Part::Scale) {
            seconds += if self.quick { 45.0 } else { 420.0 };
        }
        if self.has(Part::Workers) {
            seconds += few * if self.quick { 15.0 } else { 30.0 };
        }
        seconds / 60.0
    }

    /// Steps that are counted while it runs.
    pub(super) fn steps(&self) -> u64 {
        let rates = self.rates().len() as u64;
        // Their highest rate is measured for this, if it is not otherwise.
        let more = latency::PARTS.iter().filter(|part| !self.has(**part));
        let (rounds, few) = (u64::from(self.rounds), u64::from(self.few()));
        let has = |part| u64::from(self.has(part));
        rates * (rounds + 1)
            + (rounds + 1) * has(Part::Drain)
            + (4 * rounds + 2 * more.count() as u64) * has(Part::Latency)
            + few * has(Part::Memory)
            + connections::STEPS * has(Part::Connections)
            + scale::STEPS * has(Part::Scale)
            + has(Part::Workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_run_ends_within_twenty_five_minutes() {
        let plan = Plan {
            parts: <Part as clap::ValueEnum>::value_variants().to_vec(),
            quick: false,
            rounds: 5,
            seconds: 3.0,
            backlog: 1_000_000,
        };
        assert!(plan.minutes() < 25.0, "{}", plan.minutes());
    }
}
