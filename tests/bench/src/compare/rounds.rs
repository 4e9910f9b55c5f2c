//! The order in which parts are measured, and how much of each.

use super::drain::Backlog;
use super::part::Part;
use super::plan::Plan;
use super::results::{Dimension, Latency, Results, Sample};
use super::scale::{self, Scale};
use super::session::Session;
use super::{connections, latency, memory, senders};
use crate::figures::median;
use crate::{machine, other_load, postgres, say};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Events by which it is found out how many a part can take.
const PROBE: u64 = 10_000;
/// As many as one measurement has at most.
const AT_MOST: u64 = 500_000;
/// Measures all that the plan has.
pub(super) fn run(mut session: Session, plan: &Plan) -> Result<Results> {
    let mut results = Results {
        machine: machine::lines(&session.webhookd),
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
    let mut plan = plan.clone();
    plan.parts.retain(|part| {
        let Some(why) = senders::missing(&session, *part) else {
            return true;
        };
        say(&format!("{}: {why}", part.title()));
        results.skipped.insert(*part, why);
        false
    });
    let minutes = plan.minutes().ceil();
    say(&format!("it takes about {minutes:.0} minutes\n"));
    let begun = Instant::now();
    senders::capture_head(&mut session).context("webhookd delivers nothing")?;

    let mut run = Run {
        session: &mut session,
        plan: &plan,
        results,
        done: 0,
        steps: plan.steps(),
        events: BTreeMap::new(),
    };
    let rates = plan.rates();
    run.rates(rates);
    if plan.has(Part::Latency) {
        run.latencies();
    }
    if plan.has(Part::Memory) {
        run.memory();
    }
    if plan.has(Part::Connections) {
        run.connections();
    }
    if plan.has(Part::Scale) {
        run.scale();
    }
    if plan.has(Part::Workers) {
        run.postgres();
    }
    let mut results = run.results;
    let loads = results.other_loads();
    results.warnings.extend(other_load::warning(&loads));
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
                if self.results.failed.contains_key(&part) {
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
                    self.say(&format!("round {round}: {}", told(part, &sample)));
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
        for part in latency::PARTS {
            let Some((highest, highest_us)) = self.highest(part) else {
                continue;
            };
            latencies.extend([latency::HALF, latency::TENTH].map(|share| Latency {
                part,
                share,
                rate: (highest * share).round(),
                highest_us,
                rounds: Vec::new(),
            }));
        }
        for round in 1..=self.plan.rounds {
            for latency in &mut latencies {
                let (part, rate, seconds) = (latency.part, latency.rate, self.plan.seconds);
                let measured = self.attempt(Part::Latency, |session| {
                    latency::measure(session, part, rate, seconds)
                });
                let Some((paced, warning)) = measured else {
                    continue;
                };
                self.results.warnings.extend(warning);
                latency.rounds.push(paced);
                let [p50, p90, p99, p999, most] = paced.added_us;
                self.say(&format!(
                    "round {round}: {} at {rate:.0}/s: p50 {p50} us, p90 {p90}, p99 {p99}, \
                     p99.9 {p999}, most {most}; {:.1} us of processor each; other load {:.0} %",
                    part.title(),
                    paced.sender_us,
                    paced.other_load
                ));
            }
            latencies.reverse();
        }
        latencies.sort_by_key(|latency| (latency.part, latency.rate.to_bits()));
        self.results.latencies = latencies;
    }

    /// The highest rate of a part, and its processor time for each event there.
    fn highest(&mut self, part: Part) -> Option<(f64, f64)> {
        if !self.results.samples.contains_key(&part) {
            let probe = self.rate(part, PROBE)?;
            let sample = self.rate(part, fitting(probe.rate * self.plan.seconds))?;
            return Some((sample.rate, sample.sender_us));
        }
        let known = |pick| median(&self.results.values(part, pick));
        Some((
            known(|sample| sample.rate),
            known(|sample| sample.sender_us),
        ))
    }

    fn memory(&mut self) {
        let events = self.plan.events_each();
        for round in 1..=self.plan.few() {
            let measured = self.attempt(Part::Memory, |session| memory::measure(session, events));
            let Some(memory) = measured else { continue };
            self.say(&format!(
                "round {round}: {}: {:.0} MiB idle, {:.0} MiB under load",
                Part::Memory.title(),
                memory.idle_mib,
                memory.loaded_mib
            ));
            self.results.memory.push(memory);
        }
    }

    fn connections(&mut self) {
        let (quick, rounds) = (self.plan.quick, self.plan.few());
        let measured = self.points(Part::Connections, |session, tell| {
            connections::measure(session, quick, rounds, tell)
        });
        self.results.scale.extend(measured);
    }

    fn scale(&mut self) {
        let drained = self.results.samples.get(&Part::Drain);
        let drained = drained.map(|samples| (self.plan.backlog, scale::middle(samples.clone())));
        let (quick, rounds) = (self.plan.quick, self.plan.few());
        let measured = self.points(Part::Scale, |session, tell| {
            let mut scale = Scale {
                session,
                quick,
                rounds,
                drained,
                tell,
            };
            scale.measure()
        });
        self.results.scale.extend(measured);
    }

    /// Measures dimensions, and shows each of their points as a step.
    fn points(
        &mut self,
        part: Part,
        measure: impl FnOnce(&mut Session, &mut dyn FnMut(&str)) -> Result<Vec<Dimension>>,
    ) -> Vec<Dimension> {
        let (mut done, steps) = (self.done, self.steps);
        let mut tell = |line: &str| {
            done += 1;
            say(&format!("{done}/{steps} {line}"));
        };
        let measured = self.attempt(part, |session| measure(session, &mut tell));
        self.done = done;
        measured.unwrap_or_default()
    }

    fn postgres(&mut self) {
        let (quick, rounds) = (self.plan.quick, self.plan.few());
        self.results.postgres = self.attempt(Part::Workers, |session| {
            let parent = session.folder.path().to_owned();
            let threads = u32::try_from(session.threads).context("too many threads")?;
            postgres::side_by_side(&session.webhookd, &parent, threads, quick, rounds)
        });
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
        results.failed.insert(part, short);
        None
    }
}

/// A sample in a line.
fn told(part: Part, sample: &Sample) -> String {
    let Sample {
        rate,
        sender_us,
        receiver_us,
        feeder_us,
        peak_mib,
        per_request,
        other_load,
        ..
    } = sample;
    let mut line = format!(
        "{:36} {rate:>9.0}/s  {sender_us:5.1} us of processor each, the receiver's \
         {receiver_us:4.1}",
        part.title()
    );
    if *feeder_us > 0.0 {
        line.push_str(&format!(", the feeder's {feeder_us:.1}"));
    }
    line.push_str(&format!(
        "; {peak_mib:.0} MiB; other load {other_load:.0} %"
    ));
    if *per_request > 1.0 {
        line.push_str(&format!("; {per_request:.1} events a request"));
    }
    line
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
}
