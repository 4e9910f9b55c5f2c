//! What a torture came to, for people.

use super::history::{Dead, Reason};
use super::oracle::{Fault, Judgement};
use super::plan::Kind;
use super::targets::TARGETS;
use std::collections::BTreeMap;
use std::fmt;

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Ends of webhookd, by kind.
    pub(super) ends: BTreeMap<Kind, u64>,
    /// Starts of webhookd.
    pub(super) runs: u16,
    /// Events that were written once more, for want of an acknowledgement.
    pub(super) sent_again: u64,
}

/// The end of a torture.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) judgement: Judgement,
    pub(super) acknowledged: usize,
    pub(super) counts: Counts,
    pub(super) dead: Vec<Dead>,
    pub(super) misdeeds: Vec<String>,
}

impl Report {
    pub(super) fn is_well(&self) -> bool {
        self.judgement.is_well() && self.misdeeds.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            judgement, counts, ..
        } = self;
        let ends = |kind| counts.ends.get(&kind).copied().unwrap_or(0);
        let kinds = [Kind::StartUp, Kind::Flow, Kind::Drain, Kind::DiskFull];
        let kills: u64 = kinds.into_iter().map(ends).sum();
        let by_kind: Vec<String> = kinds
            .into_iter()
            .map(|kind| format!("{} {}", kind.name(), ends(kind)))
            .collect();
        writeln!(
            f,
            "\n{kills} kills ({}), {} restarts, {} runs of webhookd",
            by_kind.join(", "),
            ends(Kind::Restart),
            counts.runs
        )?;
        writeln!(
            f,
            "{} events acknowledged; {} sent again for want of an acknowledgement, {} of them accepted before",
            self.acknowledged, counts.sent_again, judgement.unacknowledged
        )?;
        writeln!(
            f,
            "\n{:<10} {:>9} {:>9} {:>8} {:>10} {:>9} {:>9} {:>20}",
            "TARGET",
            "WANTED",
            "TAKEN",
            "REFUSED",
            "EXHAUSTED",
            "REQUESTS",
            "REPEATED",
            "AT MOST AFTER A KILL"
        )?;
        for (index, (target, tally)) in TARGETS.iter().zip(&judgement.targets).enumerate() {
            let dead = |reason| {
                let same = |dead: &&Dead| dead.target == index && dead.reason == reason;
                self.dead.iter().filter(same).count()
            };
            writeln!(
                f,
                "{:<10} {:>9} {:>9} {:>8} {:>10} {:>9} {:>9} {:>20}",
                target.name,
                tally.wanted,
                tally.taken,
                dead(Reason::Refused),
                dead(Reason::AttemptsExhausted),
                tally.arrivals,
                tally.repeated,
                format!(
                    "{} of {}",
                    tally.most_repeated,
                    target.receiving().most_repeated
                ),
            )?;
        }
        let count = |fault| judgement.count(fault);
        writeln!(
            f,
            "\n{} lost, {} out of order, {} altered, {} unstable names, {} repeated beyond the window, {} repeated without cause",
            count(Fault::Lost),
            count(Fault::OutOfOrder),
            count(Fault::Altered),
            count(Fault::UnstableId),
            count(Fault::TooManyRepeated),
            count(Fault::RepeatedWithoutCause),
        )?;
        writeln!(
            f,
            "{} unwanted, {} dead letters without cause, {} dead letters not replayed, {} acknowledged twice",
            count(Fault::Unwanted),
            count(Fault::DeadWithoutCause),
            count(Fault::NotReplayed),
            count(Fault::AcknowledgedTwice),
        )?;
        for line in judgement.described.iter().chain(&self.misdeeds) {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}
