//! The order in which parts are measured, and how much of each.

use super::drain::Backlog;
use super::part::Part;
use super::results::{Latency, Results, Sample};
use super::scale::{self, Scale};
use super::session::Session;
use super::{latency, senders};
use crate::figures::median;
use crate::{machine, say};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

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

/// Events by which it is found out how many a part can take.
const PROBE: u64 = 10_000;
/// As many as one measurement has at most.
const AT_MOST: u64 = 500_000;
/// Those whose latency is measured.
const LATENCIES: [Part; 2] = [Part::BestEffort, Part::Durable];

impl Plan {
    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Parts with a rate, but the drain, whose size is given.
    fn rates(&self) -> Vec<Part> {
        let mut rates: Vec<_> = Part::RATES.to_vec();
        rates.retain(|part| *part != Part::Drain && self.has(*part));
        rates
    }

    /// Minutes that it takes, about.
    fn minutes(&self) -> f64 {
        let rounds = f64::from(self.rounds);
        let mut seconds = self.rates().len() as f64 * (rounds * (self.seconds + 1.5) + 2.0);
        if self.has(Part::Drain) {
            let backlog = self.backlog as f64;
            seconds += backlog / 15_000.0 + rounds * (backlog / 25_000.0 + 3.0);
        }
        if self.has(Part::Latency) {
            seconds += rounds * 2.0 * (self.seconds + 2.0);
        }
        if self.has(Part::Scale) {
            seconds += if self.quick { 45.0 } else { 420.0 };
        }
        seconds / 60.0
    }
}

/// Measures all that the plan has.
pub(super) fn run(mut session: Session, plan: &Plan) -> Result<Results> {
    let mut results = Results {
        machine: machine::lines(&session.webhookd),
        warnings: machine::warning().into_iter().collect(),
        quick: plan.quick,
        rounds: plan.rounds,
        threads: session.threads,
        body: session.load.size(),
        backlog: plan.backlog,
        ..Results::default()
    };
    for (name, value) in &results.machine {
        say(&format!("{name}: {value}"));
    }
    for warning in &results.warnings {
        say(&format!("warning: {warning}"));
    }
    say(&format!(
        "it takes about {:.0} minutes\n",
        plan.minutes().ceil()
    ));
    let begun = Instant::now();
    senders::capture_head(&mut session).context("webhookd delivers nothing")?;

    let mut rates = plan.rates();
    rates.retain(|part| match senders::missing(&session, *part) {
        None => true,
        Some(why) => {
            say(&format!("{}: {why}", part.title()));
            results.skipped.insert(*part, why);
            false
        }
    });
    let probes = rates.len() as u64;
    let (drain, rounds) = (u64::from(plan.has(Part::Drain)), u64::from(plan.rounds));
    let mut run = Run {
        session: &mut session,
        plan,
        results,
        done: 0,
        steps: probes
            + rounds * (probes + drain)
            + drain
            + 2 * rounds * u64::from(plan.has(Part::Latency))
            + u64::from(plan.has(Part::Scale)) * scale::STEPS,
        events: BTreeMap::new(),
    };
    run.rates(rates);
    if plan.has(Part::Latency) {
        run.latencies();
    }
    if plan.has(Part::Scale) {
        run.scale();
    }
    let mut results = run.results;
    results.minutes = begun.elapsed().as_secs_f64() / 60.0;
    Ok(results)
}

struct Run<'a> {
    session: &'a mut Session,
    plan: &'a Plan,
    results: Results,
    /// Steps that are done, and all.
    done: u64,
    steps: u64,
    /// Events of a measurement.
    events: BTreeMap<Part, u64>,
}

impl Run<'_> {
    /// Round by round, every other one backwards.
    fn rates(&mut self, mut parts: Vec<Part>) {
        for part in parts.clone() {
            if let Some(sample) = self.rate(part, PROBE) {
                let events = fitting(sample.rate * self.plan.seconds);
                self.events.insert(part, events);
            }
        }
        let mut backlog = None;
        if self.plan.has(Part::Drain) {
            let events = self.plan.backlog;
            backlog = self.attempt(Part::Drain, |session| Backlog::fill(session, events));
            parts.push(Part::Drain);
        }
        for round in 1..=self.plan.rounds {
            for &part in &parts {
                if self.results.skipped.contains_key(&part) {
                    self.done += 1;
                    continue;
                }
                let events = self.events.get(&part).copied().unwrap_or(PROBE);
                let sample = match (part, &backlog) {
                    (Part::Drain, Some(backlog)) => {
                        self.attempt(part, |session| backlog.drain(session))
                    }
                    _ => self.rate(part, events),
                };
                if let Some(sample) = sample {
                    self.results.samples.entry(part).or_default().push(sample);
                    self.say(&format!(
                        "round {round}: {:34} {:>9.0}/s  {:5.1} us of processor each, the \
                         receiver's {:4.1}; {:.0} MiB",
                        part.title(),
                        sample.rate,
                        sample.sender_us,
                        sample.receiver_us,
                        sample.peak_mib
                    ));
                }
            }
            parts.reverse();
        }
    }

    fn rate(&mut self, part: Part, events: u64) -> Option<Sample> {
        self.attempt(part, |session| senders::measure(session, part, events))
    }

    fn latencies(&mut self) {
        let mut latencies = Vec::new();
        for part in LATENCIES {
            let known = self.results.values(part, |sample| sample.rate);
            let most = if known.is_empty() {
                self.rate(part, PROBE).map(|sample| sample.rate)
            } else {
                Some(median(&known))
            };
            latencies.push(Latency {
                part,
                rate: (most.unwrap_or(2_000.0) / 2.0).round(),
                rounds: Vec::new(),
            });
        }
        for round in 1..=self.plan.rounds {
            for latency in &mut latencies {
                let (part, rate, seconds) = (latency.part, latency.rate, self.plan.seconds);
                let measured = self.attempt(Part::Latency, |session| {
                    latency::measure(session, part, rate, seconds)
                });
                let Some((figures, warning)) = measured else {
                    continue;
                };
                self.results.warnings.extend(warning);
                latency.rounds.push(figures);
                let [p50, p90, p99, p999, most] = figures;
                self.say(&format!(
                    "round {round}: {} at {rate:.0}/s: p50 {p50} us, p90 {p90}, p99 {p99}, \
                     p99.9 {p999}, most {most}",
                    part.title()
                ));
            }
            latencies.reverse();
        }
        latencies.sort_by_key(|latency| latency.part);
        self.results.latencies = latencies;
    }

    fn scale(&mut self) {
        let drained = self.results.samples.get(&Part::Drain);
        let drained = drained.and_then(|samples| {
            let mut samples = samples.clone();
            samples.sort_by(|one, other| one.rate.total_cmp(&other.rate));
            Some((self.plan.backlog, *samples.get(samples.len() / 2)?))
        });
        let (quick, mut done, steps) = (self.plan.quick, self.done, self.steps);
        let mut tell = |line: &str| {
            done += 1;
            say(&format!("{done}/{steps} scale: {line}"));
        };
        let measured = self.attempt(Part::Scale, |session| {
            let mut scale = Scale {
                session,
                quick,
                rounds: if quick { 1 } else { 3 },
                drained,
                tell: &mut tell,
            };
            scale.measure()
        });
        self.results.scale = measured.unwrap_or_default();
    }

    fn say(&self, line: &str) {
        say(&format!("{}/{} {line}", self.done, self.steps));
    }

    /// Measures a step; a failure is noted, and the rest goes on.
    fn attempt<T>(
        &mut self,
        part: Part,
        measure: impl FnOnce(&mut Session) -> Result<T>,
    ) -> Option<T> {
        let session = &mut *self.session;
        let measured = catch_unwind(AssertUnwindSafe(|| measure(session)));
        self.done += 1;
        let why = match measured {
            Ok(Ok(measured)) => return Some(measured),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "a tool panicked, as standard error says".to_owned(),
        };
        self.say(&format!("{} FAILED: {why}", part.title()));
        let short = format!("failed: {}", why.lines().next().unwrap_or_default());
        let results = &mut self.results;
        results.warnings.push(format!("{} {short}", part.title()));
        results.skipped.insert(part, short);
        None
    }
}

/// A round number of events, so that few files of them are needed.
fn fitting(events: f64) -> u64 {
    const STEPS: [u64; 6] = [10_000, 20_000, 50_000, 100_000, 200_000, AT_MOST];
    let nearest = STEPS
        .into_iter()
        .min_by_key(|step| (*step as f64 / events).ln().abs().to_bits());
    nearest.unwrap_or(PROBE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_has_a_round_number_of_events() {
        for (wanted, expected) in [(10.0, 10_000), (90_000.0, 100_000), (1e9, AT_MOST)] {
            assert_eq!(fitting(wanted), expected);
        }
    }

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
