//! What was to be seen at one target, and what is wrong with it.

use super::{Fault, Judgement, Named, Tally, event_text, id_text, name};
use crate::torture::history::{Answer, Arrival, Body, Dead, History, Id, Reason, RunNumber};
use std::collections::HashMap;

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

/// Judges what arrived at one target, and what did not.
pub(super) fn judge(
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
