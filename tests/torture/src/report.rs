//! The report of a torture.

use crate::history::{Dead, Reason};
use crate::oracle::{TargetCounts, Verdict, Violation};
use crate::plan::Kind;
use crate::rotation::Rotated;
use crate::targets::TARGETS;
use std::collections::BTreeMap;
use std::fmt;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Ends of webhookd, by kind.
    pub(crate) ends: BTreeMap<Kind, u64>,
    /// Starts of webhookd.
    pub(crate) runs: u16,
    /// Runs whose standard error was not read.
    pub(crate) unread: u64,
    /// Runs whose wall clock was wrong.
    pub(crate) wrong_clock: u64,
    /// Events that were written once more, for want of an acknowledgement.
    pub(crate) sent_again: u64,
}

/// The end of a torture.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) acknowledged: usize,
    /// Whether libfaketime is installed.
    pub(crate) has_clock: bool,
    pub(crate) counts: Counts,
    pub(crate) dead: Vec<Dead>,
    /// The logs that were rotated.
    pub(crate) rotated: Vec<Rotated>,
    /// What webhookd did wrong besides, in sentences.
    pub(crate) problems: Vec<String>,
}

impl Report {
    /// Adds the logs that were rotated, and what was wrong with them.
    pub(crate) fn add(&mut self, mut rotated: Vec<Rotated>) {
        for log in &mut rotated {
            for (violation, count) in &log.verdict.violations {
                *self.verdict.violations.entry(*violation).or_default() += count;
            }
            self.verdict.described.append(&mut log.verdict.described);
            self.problems.append(&mut log.problems);
        }
        self.rotated = rotated;
    }

    /// Whether every promise was kept.
    pub(crate) fn is_ok(&self) -> bool {
        self.verdict.violations.is_empty() && self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, counts) = (&self.verdict, &self.counts);
        let ends = |kind| counts.ends.get(&kind).copied().unwrap_or(0);
        let kills: u64 = Kind::KILLS.into_iter().map(|(kind, _)| ends(kind)).sum();
        let by_kind = Kind::KILLS.map(|(kind, _)| format!("{} {}", kind.name(), ends(kind)));
        writeln!(
            f,
            "\n{kills} kills ({}), {} restarts, {} runs of webhookd",
            by_kind.join(", "),
            ends(Kind::Restart),
            counts.runs
        )?;
        write!(f, "standard error not read in {} runs; ", counts.unread)?;
        match self.has_clock {
            true => writeln!(f, "wrong wall clock in {}", counts.wrong_clock)?,
            false => writeln!(f, "right wall clock in all: libfaketime is not installed")?,
        }
        writeln!(
            f,
            "{} events acknowledged; {} sent again for want of an acknowledgement, {} of them \
             accepted before",
            self.acknowledged, counts.sent_again, verdict.unacknowledged
        )?;
        writeln!(f)?;
        let mut row = |cells: [&dyn fmt::Display; 9]| {
            let [
                name,
                owed,
                over_quota,
                taken,
                refused,
                exhausted,
                requests,
                repeated,
                most,
            ] = cells.map(|cell| cell.to_string());
            writeln!(
                f,
                "{name:<10} {owed:>9} {over_quota:>10} {taken:>9} {refused:>8} {exhausted:>10} {requests:>9} \
                 {repeated:>9} {most:>20}"
            )
        };
        row([
            &"TARGET",
            &"OWED",
            &"OVER QUOTA",
            &"TAKEN",
            &"REFUSED",
            &"EXHAUSTED",
            &"REQUESTS",
            &"REPEATED",
            &"AT MOST AFTER A KILL",
        ])?;
        for (index, (target, counts)) in TARGETS.iter().zip(&verdict.targets).enumerate() {
            let dead = |reason| {
                let same = |dead: &&Dead| dead.target == index && dead.reason == reason;
                self.dead.iter().filter(same).count()
            };
            let limit = target.limits().most_repeated;
            row([
                &target.name,
                &counts.owed,
                &counts.over_quota,
                &counts.taken,
                &dead(Reason::Refused),
                &dead(Reason::AttemptsExhausted),
                &counts.arrivals,
                &counts.repeated,
                &format_args!("{} of {limit}", counts.most_repeated),
            ])?;
        }
        let beside: u64 = verdict.targets.iter().map(|it| it.beside_poisoned).sum();
        let longest = verdict.targets.iter().map(|it| it.longest_delay).max();
        writeln!(
            f,
            "\n{beside} deliveries of healthy tasks beside poisoned ones, at most {:.1?} after the \
             acknowledgement",
            longest.unwrap_or_default()
        )?;
        for log in &self.rotated {
            let (name, counts, targets) = (log.name, log.counts, &log.verdict.targets);
            let sum = |of: fn(&TargetCounts) -> u64| targets.iter().map(of).sum::<u64>();
            writeln!(
                f,
                "{} of {} lines of a log rotated by {name} taken ({} times renamed, {} copied and \
                 truncated, {} files compressed); {} kills, {} repeated, at most {} of {} after a kill",
                sum(|it| it.taken),
                log.lines,
                counts.renamed,
                counts.copied,
                counts.compressed,
                log.kills,
                sum(|it| it.repeated),
                sum(|it| it.most_repeated),
                log.most_repeated,
            )?;
        }
        findings(f, verdict, &self.problems)
    }
}

/// Writes what was found.
pub(crate) fn findings(
    f: &mut fmt::Formatter<'_>,
    verdict: &Verdict,
    problems: &[String],
) -> fmt::Result {
    let counted = Violation::ALL.iter().map(|(violation, name)| {
        let count = verdict.violations.get(violation).copied().unwrap_or(0);
        format!("{count} {name}")
    });
    writeln!(f, "\n{}", counted.collect::<Vec<_>>().join(", "))?;
    for line in verdict.described.iter().chain(problems) {
        writeln!(f, "  {line}")?;
    }
    Ok(())
}
