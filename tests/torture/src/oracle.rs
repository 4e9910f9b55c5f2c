//! Checks a history: whether webhookd kept its promises.

mod delay;
mod target;
#[cfg(test)]
mod tests;

use crate::history::{Body, History, Id};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::time::Duration;

/// Violations of a kind that are described; all are counted.
const DESCRIBED: u64 = 20;

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// Acknowledged, and neither taken by a target that is owed it nor its dead letter.
    Lost,
    /// A task's event arrived first after one that was accepted later.
    OutOfOrder,
    /// A body arrived that is not the one sent.
    Altered,
    /// An event under more ids than it was sent, an id of two events, or a request without one.
    UnstableId,
    /// More deliveries were repeated after one kill than are in flight.
    TooManyRepeated,
    /// A delivery was repeated after a success, although the process was not killed.
    RepeatedWithoutCause,
    /// A healthy task's event arrived too late, or not at all, while other tasks were poisoned.
    Late,
    /// It arrived at a target whose filters leave it out, or that was over its quota.
    Unwanted,
    /// A target without a quota is said to be over it.
    OverQuotaWithoutCause,
    /// A dead letter that no receiver's answer gave cause for.
    DeadWithoutCause,
    /// A dead letter that did not arrive although it was replayed to a healthy receiver.
    NotReplayed,
    /// Acknowledged twice.
    AcknowledgedTwice,
}

impl Violation {
    /// All of them, and what a report calls them.
    pub(crate) const ALL: &[(Violation, &str)] = &[
        (Violation::Lost, "lost"),
        (Violation::OutOfOrder, "out of order"),
        (Violation::Altered, "altered"),
        (Violation::UnstableId, "unstable ids"),
        (Violation::TooManyRepeated, "repeated beyond the window"),
        (Violation::RepeatedWithoutCause, "repeated without cause"),
        (Violation::Late, "late beside poisoned tasks"),
        (Violation::Unwanted, "unwanted"),
        (Violation::OverQuotaWithoutCause, "over quota without cause"),
        (Violation::DeadWithoutCause, "dead letters without cause"),
        (Violation::NotReplayed, "dead letters not replayed"),
        (Violation::AcknowledgedTwice, "acknowledged twice"),
    ];
}

/// What the oracle found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: BTreeMap<Violation, u64>,
    /// The first of each.
    pub(crate) described: Vec<String>,
    pub(crate) targets: Vec<TargetCounts>,
    /// Ids that arrived and were never acknowledged: webhookd was killed between the two.
    pub(crate) unacknowledged: u64,
}

/// Counts of one target.
#[derive(Clone, Debug, Default)]
pub(crate) struct TargetCounts {
    /// Acknowledged events that it is owed.
    pub(crate) owed: u64,
    /// Of these, those that it took.
    pub(crate) taken: u64,
    /// Of these, those that are dead letters.
    pub(crate) dead: u64,
    /// Acknowledged events that it does not get, since it was over its quota.
    pub(crate) over_quota: u64,
    /// Requests that arrived whole.
    pub(crate) arrivals: u64,
    /// Deliveries that were made again after an end of webhookd.
    pub(crate) repeated: u64,
    /// The most of them after one end.
    pub(crate) most_repeated: u64,
    /// Events of healthy tasks that arrived while other tasks were poisoned.
    pub(crate) beside_poisoned: u64,
    /// The longest time from the acknowledgement to the arrival of one of them.
    pub(crate) longest_delay: Duration,
}

impl Verdict {
    fn add(&mut self, violation: Violation, description: impl Display) {
        let count = self.violations.entry(violation).or_default();
        *count += 1;
        if *count <= DESCRIBED {
            self.described.push(format!("{violation:?}: {description}"));
        }
    }
}

/// What is known of an id.
#[derive(Clone, Copy)]
struct KnownId {
    /// The event, by its place in `sent`.
    event: usize,
    /// Its place among the acknowledged, if it is one.
    accepted: Option<usize>,
}

/// Checks a history.
pub(crate) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let mut ids = acknowledged(history, &mut verdict);
    find_unacknowledged(history, &mut ids, &mut verdict);
    for target in 0..history.targets.len() {
        let mut counts = target::check(history, target, &ids, &mut verdict);
        for poisoned in &history.poisoned {
            delay::check(history, target, poisoned, &mut counts, &mut verdict);
        }
        verdict.targets.push(counts);
    }
    verdict
}

/// The ids that were acknowledged.
fn acknowledged(history: &History, verdict: &mut Verdict) -> HashMap<Id, KnownId> {
    let mut ids = HashMap::with_capacity(history.acks.len());
    let mut events = HashSet::with_capacity(history.acks.len());
    for (ordinal, ack) in history.acks.iter().enumerate() {
        let known = KnownId {
            event: ack.event,
            accepted: Some(ordinal),
        };
        if !events.insert(ack.event) {
            verdict.add(Violation::AcknowledgedTwice, event_text(history, ack.event));
        }
        if ids.insert(ack.id, known).is_some() {
            let id = id_text(ack.id);
            verdict.add(Violation::UnstableId, format_args!("{id} is of two events"));
        }
    }
    ids
}

/// Finds the events of ids that arrived without having been acknowledged, and checks that no
/// event has more ids than it was sent.
fn find_unacknowledged(history: &History, ids: &mut HashMap<Id, KnownId>, verdict: &mut Verdict) {
    let sent = history.sent.iter().enumerate();
    let by_body: HashMap<Body, usize> = sent.map(|(event, sent)| (sent.body, event)).collect();
    let mut ids_of = vec![0_u32; history.sent.len()];
    for ack in &history.acks {
        ids_of[ack.event] += 1;
    }
    for (limits, arrivals) in history.targets.iter().zip(&history.arrivals) {
        let name = limits.name;
        for arrival in arrivals {
            let Some(id) = arrival.id else {
                let text = format_args!("a request without an id at {name}");
                verdict.add(Violation::UnstableId, text);
                continue;
            };
            let text = id_text(id);
            let Some(&event) = by_body.get(&arrival.body) else {
                let text = format_args!("{text} arrived at {name} with a body that was never sent");
                verdict.add(Violation::Altered, text);
                continue;
            };
            let this = event_text(history, event);
            if let Some(known) = ids.get(&id) {
                if known.event != event {
                    let that = event_text(history, known.event);
                    let text = format_args!("{text} is of {that}, and of {this} at {name}");
                    verdict.add(Violation::UnstableId, text);
                }
                continue;
            }
            let accepted = None;
            ids.insert(id, KnownId { event, accepted });
            verdict.unacknowledged += 1;
            ids_of[event] += 1;
            let (found, times) = (ids_of[event], history.sent[event].times);
            if found > times {
                let text = format_args!(
                    "{this} has {found} ids and was sent {times} times; one is {text}"
                );
                verdict.add(Violation::UnstableId, text);
            }
        }
    }
}

fn id_text(id: Id) -> String {
    format!("evt_{id:032x}")
}

fn event_text(history: &History, event: usize) -> String {
    format!("event {event} of task {}", history.sent[event].task)
}
