//! Judges a history: whether webhookd kept what it promises.

#[cfg(test)]
mod tests;

use super::history::{Answer, Arrival, Body, Dead, History, Id, Reason, RunNumber};
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

/// What one target knows of a name.
struct Seen {
    body: Body,
    /// The run in which it was last answered with a success, unless it came again since.
    success: Option<RunNumber>,
    /// Whether the sender had cause to take it for delivered.
    taken: bool,
    /// Whether it was answered "never again".
    refused: bool,
    /// Whether it arrived in the run of the replay.
    replayed: bool,
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
        let tally = judge_target(history, target, &names, &mut judgement);
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

fn judge_target(
    history: &History,
    target: usize,
    names: &HashMap<Id, Named>,
    judgement: &mut Judgement,
) -> Tally {
    let dead: HashMap<Id, &Dead> = history
        .dead
        .iter()
        .filter(|dead| dead.target == target)
        .map(|dead| (dead.id, dead))
        .collect();
    let mut sight = Sight {
        history,
        target,
        names,
        dead: &dead,
        seen: HashMap::new(),
        newest: HashMap::new(),
        newest_replayed: HashMap::new(),
        repeated: HashMap::new(),
    };
    for arrival in &history.arrivals[target] {
        sight.arrived(arrival, judgement);
    }
    sight.check_repeated(judgement);
    sight.check_dead(judgement);
    sight.check_lost(judgement)
}

/// What is seen at one target.
struct Sight<'h> {
    history: &'h History,
    target: usize,
    names: &'h HashMap<Id, Named>,
    dead: &'h HashMap<Id, &'h Dead>,
    seen: HashMap<Id, Seen>,
    /// Of each task, the event accepted last of those that arrived.
    newest: HashMap<u32, usize>,
    /// The same, of those that were replayed.
    newest_replayed: HashMap<u32, usize>,
    /// Deliveries that were repeated, by the run that had made them before.
    repeated: HashMap<RunNumber, u64>,
}

impl Sight<'_> {
    fn arrived(&mut self, arrival: &Arrival, judgement: &mut Judgement) {
        let Some(id) = arrival.id else { return };
        if let Some(seen) = self.seen.get_mut(&id) {
            if seen.body != arrival.body {
                judgement.fault(Fault::Altered, || {
                    format!(
                        "{} has another body at {} than before",
                        id_text(id),
                        name(self.history, self.target)
                    )
                });
            }
            match seen.success.take() {
                Some(run) if run == arrival.run || self.history.clean.contains(&run) => {
                    judgement.fault(Fault::RepeatedWithoutCause, || {
                        format!(
                            "{} at {} in run {run}",
                            id_text(id),
                            name(self.history, self.target)
                        )
                    });
                }
                Some(run) => *self.repeated.entry(run).or_default() += 1,
                None => {}
            }
            seen.note(arrival);
            self.replayed(id, arrival, judgement);
            return;
        }
        let mut seen = Seen {
            body: arrival.body,
            success: None,
            taken: false,
            refused: false,
            replayed: false,
        };
        seen.note(arrival);
        self.seen.insert(id, seen);
        self.first_arrival(id, judgement);
        self.replayed(id, arrival, judgement);
    }

    /// Dead letters that were made owed again come in the order in which they were accepted, too.
    fn replayed(&mut self, id: Id, arrival: &Arrival, judgement: &mut Judgement) {
        let Some(seen) = self.seen.get_mut(&id) else {
            return;
        };
        if self.history.replay != Some(arrival.run) || seen.replayed {
            return;
        }
        seen.replayed = arrival.answer == Answer::Yes || arrival.answer == Answer::Perhaps;
        let Some((event, ordinal)) = self
            .names
            .get(&id)
            .and_then(|named| Some((named.event, named.accepted?)))
        else {
            return;
        };
        let task = self.history.sent[event].task;
        let newest = self.newest_replayed.entry(task).or_insert(ordinal);
        if *newest > ordinal {
            judgement.fault(Fault::OutOfOrder, || {
                format!(
                    "{} was replayed at {} after a later one",
                    event_text(self.history, event),
                    name(self.history, self.target)
                )
            });
        } else {
            *newest = ordinal;
        }
    }

    fn first_arrival(&mut self, id: Id, judgement: &mut Judgement) {
        // One without an event was told of already.
        let Some(named) = self.names.get(&id) else {
            return;
        };
        let sent = &self.history.sent[named.event];
        if sent.wanted & (1 << self.target) == 0 {
            judgement.fault(Fault::Unwanted, || {
                format!(
                    "{} at {}",
                    event_text(self.history, named.event),
                    name(self.history, self.target)
                )
            });
        }
        let Some(ordinal) = named.accepted else {
            return;
        };
        if self.dead.contains_key(&id) {
            // Given up unheard, it may be read from a socket after its successors.
            return;
        }
        let newest = self.newest.entry(sent.task).or_insert(ordinal);
        if *newest > ordinal {
            let later = self.history.acks[*newest].event;
            judgement.fault(Fault::OutOfOrder, || {
                format!(
                    "{} arrived at {} after {}",
                    event_text(self.history, named.event),
                    name(self.history, self.target),
                    event_text(self.history, later)
                )
            });
        } else {
            *newest = ordinal;
        }
    }

    fn check_repeated(&self, judgement: &mut Judgement) {
        let most = self.history.targets[self.target].most_repeated as u64;
        for (run, &count) in &self.repeated {
            if count > most {
                judgement.fault(Fault::TooManyRepeated, || {
                    format!(
                        "{count} after the end of run {run} at {}; at most {most} are in flight",
                        name(self.history, self.target)
                    )
                });
            }
        }
    }

    fn check_dead(&self, judgement: &mut Judgement) {
        for (id, dead) in self.dead {
            let refused = || self.seen.get(id).is_some_and(|seen| seen.refused);
            let has_cause = match dead.reason {
                Reason::Refused => refused(),
                Reason::AttemptsExhausted => self.history.targets[self.target].gives_up,
                Reason::Other => false,
            };
            let replayed = self.seen.get(id).is_some_and(|seen| seen.replayed);
            if self.history.replay.is_some() && !replayed {
                judgement.fault(Fault::NotReplayed, || {
                    format!("{} at {}", id_text(*id), name(self.history, self.target))
                });
            }
            if !has_cause {
                judgement.fault(Fault::DeadWithoutCause, || {
                    format!(
                        "{} at {}: {:?}",
                        id_text(*id),
                        name(self.history, self.target),
                        dead.reason
                    )
                });
            }
        }
    }

    fn check_lost(&self, judgement: &mut Judgement) -> Tally {
        let mut tally = Tally {
            arrivals: self.history.arrivals[self.target].len() as u64,
            repeated: self.repeated.values().sum(),
            most_repeated: self.repeated.values().copied().max().unwrap_or(0),
            ..Tally::default()
        };
        for ack in &self.history.acks {
            if self.history.sent[ack.event].wanted & (1 << self.target) == 0 {
                continue;
            }
            tally.wanted += 1;
            if self.dead.contains_key(&ack.id) {
                tally.dead += 1;
            } else if self.seen.get(&ack.id).is_some_and(|seen| seen.taken) {
                tally.taken += 1;
            } else {
                judgement.fault(Fault::Lost, || {
                    format!(
                        "{} ({}) at {}",
                        event_text(self.history, ack.event),
                        id_text(ack.id),
                        name(self.history, self.target)
                    )
                });
            }
        }
        tally
    }
}

impl Seen {
    fn note(&mut self, arrival: &Arrival) {
        match arrival.answer {
            Answer::No => {}
            Answer::Never => self.refused = true,
            Answer::Perhaps => self.taken = true,
            Answer::Yes => {
                self.taken = true;
                self.success = Some(arrival.run);
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
