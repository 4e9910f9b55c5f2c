//! Checks that poisoned tasks do not delay healthy ones.

use super::{TargetCounts, Verdict, Violation, event_text, id_text};
use crate::history::{Answer, History, Id, PoisonedRun};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// The longest delay of a healthy task's event.
pub(super) const LONGEST: Duration = Duration::from_secs(10);
/// What each event that arrives for the first time meanwhile adds to it: the time to deliver a
/// backlog, on a machine under load. Retries add nothing.
pub(super) const FOR_EACH_EVENT: Duration = Duration::from_millis(10);

/// Checks the delays at one target in one run, until the first arrival that was not answered with a
/// failure: a batch fails by one poisoned event. An event that has not arrived counts if the run lasted
/// for longer than its delay may be.
pub(super) fn check(
    history: &History,
    target: usize,
    poisoned: &PoisonedRun,
    counts: &mut TargetCounts,
    verdict: &mut Verdict,
) {
    let mut first: HashMap<Id, Instant> = HashMap::new();
    let mut came = HashSet::new();
    let mut times = Vec::new();
    for arrival in history.arrivals[target]
        .iter()
        .filter(|it| it.run == poisoned.run)
    {
        let Some(id) = arrival.id else { continue };
        if came.insert(id) {
            times.push(arrival.at);
        }
        if arrival.answer != Answer::Failure {
            first.entry(id).or_insert(arrival.at);
        }
    }
    for ack in history.acks.iter().filter(|ack| ack.run == poisoned.run) {
        let sent = &history.sent[ack.event];
        if !history.is_owed(ack, target) || poisoned.poisons[target].hits(sent.task) {
            continue;
        }
        let arrived = first.get(&ack.id).copied();
        let until = arrived.unwrap_or(poisoned.ended);
        let delay = until.saturating_duration_since(ack.at);
        if arrived.is_some() {
            counts.beside_poisoned += 1;
            counts.longest_delay = counts.longest_delay.max(delay);
        }
        let before = |time: Instant| times.partition_point(|at| *at < time);
        let meanwhile = before(until).saturating_sub(before(ack.at));
        if delay > LONGEST + FOR_EACH_EVENT * u32::try_from(meanwhile).unwrap_or(u32::MAX) {
            let (event, id) = (event_text(history, ack.event), id_text(ack.id));
            let name = history.targets[target].name;
            let arrived = if arrived.is_some() {
                "arrived"
            } else {
                "had not arrived"
            };
            let text = format_args!(
                "{event} ({id}) {arrived} at {name} after {delay:.1?}, while {meanwhile} others did"
            );
            verdict.add(Violation::Late, text);
        }
    }
}
