//! What the function `flush` returned, as the contract has it.

use std::sync::Arc;

use tokio_postgres::Row;
use webhook_queue::{
    Accepted, CommitResult, EntryId, Event, EventId, Settlement, SettlementResult,
};

use super::admission::targets;
use super::group::{Group, Place};
use crate::log::{Attempt, Flush, TargetId, Totals};
use crate::parameters::Uuid;

/// The row of the log that a call has appended, or had appended before.
#[derive(Debug)]
pub(super) struct Answer {
    number: u64,
    count: usize,
    changes: Vec<(TargetId, Totals)>,
    fenced: Vec<i16>,
    not_owed: Vec<i32>,
    verdicts: Option<String>,
    first_ids: Vec<Option<Uuid>>,
    previous: Vec<Option<Vec<u8>>>,
    /// What the statement changed besides.
    pub(super) kept: Vec<Flush>,
}

/// A committed group.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    pub(crate) result: CommitResult,
    /// The last entry that was appended.
    pub(crate) last: Option<u64>,
    /// How many settlements were fenced.
    pub(crate) fenced: u64,
}

/// What of events is needed to understand an answer.
#[derive(Debug)]
pub(super) struct Appends {
    pub(super) ids: Vec<EventId>,
    targets: Vec<EventTargets>,
}

/// The targets of an event.
#[derive(Debug)]
struct EventTargets {
    all: Vec<Arc<str>>,
    over_quota: Vec<Arc<str>>,
    /// Those that do not get it if there is no last state.
    changes_only: Arc<[Arc<str>]>,
}

impl Appends {
    pub(super) fn new(events: &[Event], over_quota: &[Vec<Arc<str>>]) -> Appends {
        let targets = events.iter().zip(over_quota).map(|(event, over)| {
            let state = event.last_state.as_deref();
            EventTargets {
                all: targets(event).cloned().collect(),
                over_quota: over.clone(),
                changes_only: state.map_or_else(Arc::default, |it| it.changes_only.clone()),
            }
        });
        Appends {
            ids: events.iter().map(|it| it.id).collect(),
            targets: targets.collect(),
        }
    }
}

impl Answer {
    pub(super) fn new(row: &Row) -> Answer {
        let numbers = |at: usize| row.get::<_, Option<Vec<i64>>>(at).unwrap_or_default();
        let [owed, owed_bytes, dead, dead_bytes] = [3, 4, 5, 6].map(numbers);
        let targets = row.get::<_, Option<Vec<TargetId>>>(2).unwrap_or_default();
        let totals = |at: usize| Totals {
            owed: owed[at],
            owed_bytes: owed_bytes[at],
            dead: dead[at],
            dead_bytes: dead_bytes[at],
        };
        Answer {
            number: row.get::<_, i64>(0).cast_unsigned(),
            count: usize::try_from(row.get::<_, i32>(1)).unwrap_or(0),
            changes: targets
                .iter()
                .enumerate()
                .map(|(at, id)| (*id, totals(at)))
                .collect(),
            fenced: row.get::<_, Option<_>>(7).unwrap_or_default(),
            not_owed: row.get::<_, Option<_>>(8).unwrap_or_default(),
            verdicts: row.get(9),
            first_ids: row.get::<_, Option<_>>(10).unwrap_or_default(),
            previous: row.get::<_, Option<_>>(11).unwrap_or_default(),
            kept: Vec::new(),
        }
    }

    /// Whether the call that was answered, or that of which this is the answer, had these events.
    pub(super) fn has(&self, appends: &Appends) -> bool {
        self.count == appends.ids.len()
    }

    /// What became of the event at this index.
    pub(super) fn accepted(&self, appends: &Appends, at: usize) -> Accepted {
        let targets = &appends.targets[at];
        let verdict = self.verdicts.as_ref().map_or(b'S', |it| it.as_bytes()[at]);
        let is_first = matches!(verdict, b'F' | b'R');
        let wanted = |name: &&Arc<str>| !is_first || !targets.changes_only.contains(*name);
        let over = targets.over_quota.iter().filter(wanted).cloned();
        let over_quota: Arc<[Arc<str>]> = over.collect();
        let count = targets.all.iter().filter(wanted).count();
        let entry = self.entry(at);
        let accepted = match verdict {
            b'D' => {
                let first = self.first_ids.get(at).copied().flatten();
                return Accepted::Duplicate(first.map_or(EventId([0; 16]), EventId::from));
            }
            b'U' => return Accepted::Unchanged,
            _ if !over_quota.is_empty() && over_quota.len() == count => {
                return Accepted::OverQuota(over_quota);
            }
            _ if over_quota.is_empty() => Accepted::Stored(entry),
            _ => Accepted::Partly { entry, over_quota },
        };
        match self.previous.get(at).cloned().flatten() {
            None => accepted,
            Some(previous) => Accepted::Changed {
                from: previous.into(),
                accepted: Box::new(accepted),
            },
        }
    }

    fn entry(&self, at: usize) -> EntryId {
        EntryId(self.number + at as u64)
    }

    pub(super) fn committed(
        &self,
        group: &Group<'_>,
        events: &[Event],
        over_quota: &[Vec<Arc<str>>],
        settlements: &[Settlement],
    ) -> Committed {
        let is_plain = self.verdicts.is_none() && over_quota.iter().all(Vec::is_empty);
        let accepted: Vec<_> = match is_plain {
            true => (0..events.len())
                .map(|at| Accepted::Stored(self.entry(at)))
                .collect(),
            false => {
                let appends = Appends::new(events, over_quota);
                (0..events.len())
                    .map(|at| self.accepted(&appends, at))
                    .collect()
            }
        };
        // One without targets has a handle, and is in no table.
        let stored = accepted.iter().zip(events).rev();
        let mut stored = stored.filter(|(_, event)| !event.targets.is_empty());
        let settled: Vec<_> = group
            .places
            .iter()
            .map(|it| self.settled(group, *it))
            .collect();
        debug_assert_eq!(
            settled.len(),
            settlements.len(),
            "each settlement has a place"
        );
        let is_fenced = |it: &&SettlementResult| **it == SettlementResult::Fenced;
        Committed {
            last: stored.find_map(|(it, _)| it.entry()).map(|it| it.0),
            fenced: settled.iter().filter(is_fenced).count() as u64,
            result: CommitResult { accepted, settled },
        }
    }

    fn settled(&self, group: &Group<'_>, place: Place) -> SettlementResult {
        let (claim, number) = match place {
            Place::Known(result) => return result,
            Place::Settled(at) => (group.settled_claim[at], at + 1),
            Place::Attempted(at) => (group.attempted_claim[at], at + 1),
        };
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        let number = match place {
            Place::Attempted(_) => -number,
            _ => number,
        };
        if self.fenced.contains(&claim) {
            SettlementResult::Fenced
        } else if self.not_owed.contains(&number) {
            SettlementResult::NotOwed
        } else {
            SettlementResult::Applied
        }
    }

    /// The row of the log, for this process's own log.
    pub(super) fn flush(&self, group: &Group<'_>) -> Flush {
        let applies = |place| self.settled(group, place) == SettlementResult::Applied;
        let settled = (0..group.settled.len()).filter(|at| applies(Place::Settled(*at)));
        let settled =
            settled.map(|at| (group.settled[at].cast_unsigned(), group.settled_target[at]));
        let attempted = (0..group.attempted.len())
            .filter(|at| group.attempted_fresh[*at] && applies(Place::Attempted(*at)));
        let attempted = attempted.map(|at| {
            let attempt = Attempt {
                attempts: group.attempts[at].cast_unsigned(),
                not_before: group.not_before[at],
            };
            let entry = group.attempted[at].cast_unsigned();
            (entry, group.attempted_target[at], attempt)
        });
        Flush {
            number: self.number,
            settled: settled.collect(),
            attempted: attempted.collect(),
            changes: self.changes.clone(),
            ..Flush::default()
        }
    }
}
