//! The report of a torture of workers.

use crate::history::{Dead, Limits};
use crate::oracle::Verdict;
use crate::report::findings;
use crate::workers::incident::Incident;
use std::collections::BTreeMap;
use std::fmt;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By name.
    pub(crate) incidents: BTreeMap<&'static str, u64>,
    /// Connections to the database that were cut.
    pub(crate) cut: u64,
    /// Events that were posted once more, without an idempotency key.
    pub(crate) sent_again: u64,
    /// Events that a worker recognised by their idempotency keys.
    pub(crate) recognised: u64,
}

/// The end of a torture of workers.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) acknowledged: usize,
    pub(crate) targets: Vec<Limits>,
    pub(crate) counts: Counts,
    pub(crate) dead: Vec<Dead>,
    /// What webhookd did wrong besides, in sentences.
    pub(crate) problems: Vec<String>,
}

impl Report {
    /// Whether every promise was kept.
    pub(crate) fn is_ok(&self) -> bool {
        self.verdict.violations.is_empty() && self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, counts) = (&self.verdict, &self.counts);
        let by_name = Incident::NAMES.map(|name| {
            let count = counts.incidents.get(name).copied().unwrap_or(0);
            format!("{name} {count}")
        });
        writeln!(f, "\n{}", by_name.join(", "))?;
        writeln!(f, "{} connections to the database cut", counts.cut)?;
        writeln!(
            f,
            "{} events acknowledged; {} posted again without a key, {} of them accepted before; \
             {} recognised by their keys",
            self.acknowledged, counts.sent_again, verdict.unacknowledged, counts.recognised
        )?;
        writeln!(
            f,
            "\n{:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>24}",
            "TARGET", "OWED", "TAKEN", "DEAD", "REQUESTS", "REPEATED", "AT MOST AFTER ONE"
        )?;
        for (index, (target, counts)) in self.targets.iter().zip(&verdict.targets).enumerate() {
            let dead = self.dead.iter().filter(|dead| dead.target == index).count();
            let most = format!("{} of {}", counts.most_repeated, target.most_repeated);
            writeln!(
                f,
                "{:<10} {:>9} {:>9} {dead:>9} {:>9} {:>9} {most:>24}",
                target.name, counts.owed, counts.taken, counts.arrivals, counts.repeated,
            )?;
        }
        findings(f, verdict, &self.problems)
    }
}
