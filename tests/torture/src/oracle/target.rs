//! Checks what arrived at one target, and what did not.

use super::{KnownId, TargetCounts, Verdict, Violation, event_text, id_text};
use crate::history::{Answer, Arrival, Body, Dead, History, Id, Reason, RunNumber};
use std::collections::HashMap;

/// What arrived at one target under one id.
struct Seen {
    body: Body,
    /// The run in which it was last answered with a success, unless it came again since.
    success: Option<RunNumber>,
    /// Whether the sender had cause to take it for delivered.
    taken: bool,
    /// Whether it was refused for good.
    refused: bool,
    /// Whether it was taken in the run of the replay.
    replayed: bool,
}

/// What is to happen in the order in which a task's events were accepted.
#[derive(Clone, Copy)]
enum Arrived {
    First,
    Taken,
    Replayed,
}

/// Checks what arrived at one target, and what did not.
pub(super) fn check(
    history: &History,
    target: usize,
    ids: &HashMap<Id, KnownId>,
    verdict: &mut Verdict,
) -> TargetCounts {
    let dead = history.dead.iter().filter(|dead| dead.target == target);
    let mut check = Check {
        history,
        target,
        name: history.targets[target].name,
        ids,
        dead: dead.map(|dead| (dead.id, dead)).collect(),
        verdict,
        seen: HashMap::new(),
        newest: HashMap::new(),
        newest_replayed: HashMap::new(),
        newest_taken: HashMap::new(),
        batches: HashMap::new(),
        repeated: HashMap::new(),
    };
    for arrival in &history.arrivals[target] {
        if let Some(id) = arrival.id {
            check.arrival(id, arrival);
        }
    }
    check.repeated();
    check.dead_letters();
    check.lost()
}

struct Check<'h> {
    history: &'h History,
    target: usize,
    name: &'static str,
    ids: &'h HashMap<Id, KnownId>,
    dead: HashMap<Id, &'h Dead>,
    verdict: &'h mut Verdict,
    seen: HashMap<Id, Seen>,
    /// Of each task, the event accepted last of those that arrived.
    newest: HashMap<u32, usize>,
    /// The same, of those that were replayed.
    newest_replayed: HashMap<u32, usize>,
    /// The same, of those that were taken.
    newest_taken: HashMap<u32, usize>,
    /// The body of each batch.
    batches: HashMap<Id, Body>,
    /// Deliveries that were repeated, by the run that had made them before.
    repeated: HashMap<RunNumber, u64>,
}

impl Check<'_> {
    fn arrival(&mut self, id: Id, arrival: &Arrival) {
        let name = self.name;
        if let Some((batch, body)) = arrival.batch
            && *self.batches.entry(batch).or_insert(body) != body
        {
            let text = format!("bat_{batch:032x} has another body at {name} than before");
            self.verdict.add(Violation::Altered, text);
        }
        let is_first = !self.seen.contains_key(&id);
        let seen = self.seen.entry(id).or_insert(Seen {
            body: arrival.body,
            success: None,
            taken: false,
            refused: false,
            replayed: false,
        });
        if seen.body != arrival.body {
            let text = format!("{} has another body at {name} than before", id_text(id));
            self.verdict.add(Violation::Altered, text);
        }
        match seen.success.take() {
            Some(run) if !self.history.may_repeat(run, arrival.run) => {
                let text = format!("{} at {name} in run {run}", id_text(id));
                self.verdict.add(Violation::RepeatedWithoutCause, text);
            }
            Some(run) => *self.repeated.entry(run).or_default() += 1,
            None => {}
        }
        let taken = matches!(arrival.answer, Answer::MaybeSuccess | Answer::Success);
        let is_first_taken = taken && !seen.taken;
        seen.taken |= taken;
        seen.refused |= arrival.answer == Answer::Refusal;
        if arrival.answer == Answer::Success {
            seen.success = Some(arrival.run);
        }
        let is_replay = self.history.replay == Some(arrival.run) && !seen.replayed;
        seen.replayed |= is_replay && taken;
        // An arrival without an event has been reported.
        let Some(&KnownId { event, accepted }) = self.ids.get(&id) else {
            return;
        };
        let is_wanted = match accepted {
            Some(ordinal) => self
                .history
                .is_owed(&self.history.acks[ordinal], self.target),
            None => self.history.sent[event].wanted & (1 << self.target) != 0,
        };
        if is_first && !is_wanted {
            let text = format!("{} at {name}", event_text(self.history, event));
            self.verdict.add(Violation::Unwanted, text);
        }
        let Some(ordinal) = accepted else { return };
        // After a dead letter was given up, its request may still be read from a socket.
        if is_first && !self.dead.contains_key(&id) {
            self.in_order(event, ordinal, Arrived::First);
        }
        // A batch that failed had several events of a task, which are in order when they are taken, too.
        let has_batches = self.history.targets[self.target].has_batches;
        if has_batches && is_first_taken && !self.dead.contains_key(&id) {
            self.in_order(event, ordinal, Arrived::Taken);
        }
        // Dead letters that are replayed come in the order in which they were accepted, too.
        if is_replay {
            self.in_order(event, ordinal, Arrived::Replayed);
        }
    }

    fn in_order(&mut self, event: usize, ordinal: usize, arrived: Arrived) {
        let (newest, arrived) = match arrived {
            Arrived::First => (&mut self.newest, "arrived"),
            Arrived::Taken => (&mut self.newest_taken, "was taken"),
            Arrived::Replayed => (&mut self.newest_replayed, "was replayed"),
        };
        let newest = newest
            .entry(self.history.sent[event].task)
            .or_insert(ordinal);
        if *newest > ordinal {
            let later = event_text(self.history, self.history.acks[*newest].event);
            let this = event_text(self.history, event);
            let text = format_args!("{this} {arrived} at {} after {later}", self.name);
            self.verdict.add(Violation::OutOfOrder, text);
        } else {
            *newest = ordinal;
        }
    }

    fn repeated(&mut self) {
        let most = self.history.targets[self.target].most_repeated as u64;
        for (run, count) in self.repeated.iter().filter(|(_, count)| **count > most) {
            let name = self.name;
            let text = format_args!(
                "{count} after the end of run {run} at {name}; at most {most} are in flight"
            );
            self.verdict.add(Violation::TooManyRepeated, text);
        }
    }

    fn dead_letters(&mut self) {
        for (id, dead) in &self.dead {
            let seen = self.seen.get(id);
            let has_cause = match dead.reason {
                Reason::Refused => seen.is_some_and(|seen| seen.refused),
                Reason::AttemptsExhausted => self.history.targets[self.target].gives_up,
                Reason::Other => false,
            };
            let text = format!("{} at {}: {:?}", id_text(*id), self.name, dead.reason);
            if self.history.replay.is_some() && !seen.is_some_and(|seen| seen.replayed) {
                self.verdict.add(Violation::NotReplayed, &text);
            }
            if !has_cause {
                self.verdict.add(Violation::DeadWithoutCause, &text);
            }
        }
    }

    fn lost(&mut self) -> TargetCounts {
        let mut counts = TargetCounts {
            arrivals: self.history.arrivals[self.target].len() as u64,
            repeated: self.repeated.values().sum(),
            most_repeated: self.repeated.values().copied().max().unwrap_or(0),
            ..TargetCounts::default()
        };
        for ack in &self.history.acks {
            if ack.over_quota & (1 << self.target) != 0 {
                counts.over_quota += 1;
                if !self.history.targets[self.target].has_quota {
                    let event = event_text(self.history, ack.event);
                    let text = format_args!("{event} at {}", self.name);
                    self.verdict.add(Violation::OverQuotaWithoutCause, text);
                }
            }
            if !self.history.is_owed(ack, self.target) {
                continue;
            }
            counts.owed += 1;
            if self.dead.contains_key(&ack.id) {
                counts.dead += 1;
            } else if self.seen.get(&ack.id).is_some_and(|seen| seen.taken) {
                counts.taken += 1;
            } else {
                let event = event_text(self.history, ack.event);
                let text = format_args!("{event} ({}) at {}", id_text(ack.id), self.name);
                self.verdict.add(Violation::Lost, text);
            }
        }
        counts
    }
}
