//! Judges a history: whether webhookd kept what it promises.

mod sight;
#[cfg(test)]
mod tests;

use super::history::{Body, History, Id};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Faults that are described; all are counted.
const DESCRIBED: usize = 20;

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// Acknowledged, and neither taken by a target that wants it nor its dead letter.
    Lost,
    /// A task's event arrived first after one that was accepted later.
    OutOfOrder,
    /// A body arrived that is not the one sent.
    Altered,
    /// An event under more names than it was sent, or a name of two events, or none at all.
    UnstableId,
    /// More deliveries were repeated after one kill than are in flight.
    TooManyRepeated,
    /// A delivery was repeated although the process had been told that it was a success, and
    /// was not killed.
    RepeatedWithoutCause,
    /// It arrived at a target whose filters leave it out.
    Unwanted,
    /// A dead letter that no receiver's answer gave cause for.
    DeadWithoutCause,
    /// A dead letter that did not arrive although it was replayed to a friendly receiver.
    NotReplayed,
    /// Acknowledged twice.
    AcknowledgedTwice,
}

/// What the oracle says.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) faults: BTreeMap<Fault, u64>,
    /// The first of each.
    pub(super) described: Vec<String>,
    pub(super) targets: Vec<Tally>,
    /// Names that were never acknowledged and arrived: accepted, and killed before saying so.
    pub(super) unacknowledged: u64,
}

/// Counts of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Acknowledged events that it wants.
    pub(super) wanted: u64,
    /// Of these, those that it took.
    pub(super) taken: u64,
    /// Of these, those that are dead letters.
    pub(super) dead: u64,
    /// Requests that arrived whole.
    pub(super) arrivals: u64,
    /// Deliveries that were made again after an end of webhookd.
    pub(super) repeated: u64,
    /// The most of them after one end.
    pub(super) most_repeated: u64,
}

impl Judgement {
    pub(super) fn is_well(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn count(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    fn fault(&mut self, fault: Fault, describe: impl FnOnce() -> String) {
        let count = self.faults.entry(fault).or_default();
        *count += 1;
        if *count <= DESCRIBED as u64 {
            self.described.push(format!("{fault:?}: {}", describe()));
        }
    }
}

/// What is known of a name.
#[derive(Clone, Copy)]
struct Named {
    /// The event, by its place in `sent`.
    event: usize,
    /// Its place among the acknowledged, if it is one.
    accepted: Option<usize>,
}

/// Judges a history.
pub(super) fn judge(history: &History) -> Judgement {
    let mut judgement = Judgement::default();
    let mut names = acknowledged(history, &mut judgement);
    let by_body: HashMap<Body, usize> = history
        .sent
        .iter()
        .enumerate()
        .map(|(event, sent)| (sent.body, event))
        .collect();
    name_the_rest(history, &by_body, &mut names, &mut judgement);
    for target in 0..history.targets.len() {
        let tally = sight::judge(history, target, &names, &mut judgement);
        judgement.targets.push(tally);
    }
    judgement
}

/// The names that were acknowledged.
fn acknowledged(history: &History, judgement: &mut Judgement) -> HashMap<Id, Named> {
    let mut names = HashMap::with_capacity(history.acks.len());
    let mut events = HashSet::with_capacity(history.acks.len());
    for (ordinal, ack) in history.acks.iter().enumerate() {
        let named = Named {
            event: ack.event,
            accepted: Some(ordinal),
        };
        if !events.insert(ack.event) {
            judgement.fault(Fault::AcknowledgedTwice, || event_text(history, ack.event));
        }
        if names.insert(ack.id, named).is_some() {
            judgement.fault(Fault::UnstableId, || {
                format!("{} names two events", id_text(ack.id))
            });
        }
    }
    names
}

/// Finds the events of names that arrived without having been acknowledged, and checks that no
/// event has more names than it was sent.
fn name_the_rest(
    history: &History,
    by_body: &HashMap<Body, usize>,
    names: &mut HashMap<Id, Named>,
    judgement: &mut Judgement,
) {
    let mut names_of = vec![0_u32; history.sent.len()];
    for ack in &history.acks {
        names_of[ack.event] += 1;
    }
    for (target, arrivals) in history.arrivals.iter().enumerate() {
        for arrival in arrivals {
            let Some(id) = arrival.id else {
                judgement.fault(Fault::UnstableId, || {
                    format!("a request without a name at {}", name(history, target))
                });
                continue;
            };
            let found = by_body.get(&arrival.body).copied();
            let Some(event) = found else {
                judgement.fault(Fault::Altered, || {
                    format!(
                        "{} arrived at {} with a body that was never sent",
                        id_text(id),
                        name(history, target)
                    )
                });
                continue;
            };
            if let Some(named) = names.get(&id) {
                if named.event != event {
                    judgement.fault(Fault::UnstableId, || {
                        format!(
                            "{} names {}, and {} at {}",
                            id_text(id),
                            event_text(history, named.event),
                            event_text(history, event),
                            name(history, target)
                        )
                    });
                }
                continue;
            }
            let accepted = None;
            names.insert(id, Named { event, accepted });
            judgement.unacknowledged += 1;
            names_of[event] += 1;
            let times = history.sent[event].times;
            if names_of[event] > times {
                judgement.fault(Fault::UnstableId, || {
                    format!(
                        "{} has {} names and was sent {times} times; one is {}",
                        event_text(history, event),
                        names_of[event],
                        id_text(id)
                    )
                });
            }
        }
    }
}

fn name(history: &History, target: usize) -> &'static str {
    history.targets[target].name
}

fn id_text(id: Id) -> String {
    format!("evt_{id:032x}")
}

fn event_text(history: &History, event: usize) -> String {
    format!("event {event} of task {}", history.sent[event].task)
}
