//! The steps of a test that compares a queue with the one in memory, over reopening.

use std::collections::HashMap;
use std::sync::Arc;

use crate::support::{self, DeadView, OwedView, View, event};
use proptest::prelude::*;
use webhook_queue::{
    Accepted, Claim, EntryId, Event, EventId, LastState, MemoryQueue, Queue, Settled, Settlement,
    SettlementResult, SlotGuard, kept_name,
};

/// A queue that is compared with the one in memory.
pub(crate) trait Tested {
    /// The queue, as it was opened last.
    fn queue(&self) -> &dyn Queue;

    /// Closes it, checks what can be checked without it, and opens it again.
    fn reopen(&mut self);

    /// All times are multiples of so many milliseconds, and compared as such: a shared queue
    /// converts them to another clock and back. With more than one, they are less than 2^48.
    fn time_unit(&self) -> u64 {
        1
    }

    /// A view, without what it does not count as others do.
    fn comparable(&self, view: View) -> View {
        view
    }
}

const TARGETS: [&str; 3] = ["a", "b", "c"];

/// Milliseconds since the epoch, in the year 2096.
const FUTURE: u64 = 4_000_000_000_000;

/// A step that is applied to both queues. Entries are indices of the events appended so far.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Commit {
        appends: Vec<Append>,
        settlements: Vec<(usize, usize, Outcome)>,
    },
    Replay {
        target: String,
        entries: Vec<usize>,
    },
    DropDead {
        target: String,
        entries: Vec<usize>,
    },
    DropTarget(usize),
    Reopen,
}

#[derive(Clone, Debug)]
pub(crate) struct Append {
    key: u8,
    size: usize,
    attributes: usize,
    targets: Vec<usize>,
    /// Which idempotency key, and how much later than the event before it was accepted.
    once: Option<u8>,
    later: u64,
    /// The key of its state, the state, and whether the one before it is wanted.
    state: Option<(u8, u8, bool)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Delivered,
    Kept(u32),
    Dropped,
    Dead(u32, usize),
    Attempted(u32, u64),
}

/// That of a target's dead letters, or of the deliveries to it that are kept.
fn name(target: &str, kept: bool) -> String {
    match kept {
        true => kept_name(target),
        false => target.to_owned(),
    }
}

/// A step of a test.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let target = || 0..TARGETS.len();
    let name = || (target(), any::<bool>()).prop_map(|(at, kept)| name(TARGETS[at], kept));
    let entry = || 0..60_usize;
    let append = (
        0..5_u8,
        prop_oneof![0..64_usize, 1900..2200_usize, 3000..9000_usize],
        prop_oneof![3 => Just(0), 2 => 1..100_usize, 1 => 3900..9000_usize],
    )
        .prop_flat_map(move |(key, size, attributes)| {
            let targets = prop::collection::vec(target(), 0..4);
            let later = prop_oneof![4 => 0..3_u64, 1 => 0..40_u64];
            let state = prop::option::of((0..8_u8, 0..3_u8, any::<bool>()));
            let rest = (targets, prop::option::of(0..12_u8), later, state);
            rest.prop_map(move |(targets, once, later, state)| Append {
                key,
                size,
                attributes,
                targets,
                once,
                later,
                state,
            })
        });
    let outcome = prop_oneof![
        3 => Just(Outcome::Delivered),
        2 => any::<u32>().prop_map(Outcome::Kept),
        1 => Just(Outcome::Dropped),
        2 => (any::<u32>(), 0..3000_usize).prop_map(|(n, note)| Outcome::Dead(n, note)),
        2 => (any::<u32>(), any::<u64>()).prop_map(|(n, at)| Outcome::Attempted(n, at)),
    ];
    let settlement = (target(), entry(), outcome);
    let entries = || prop::collection::vec(entry(), 0..6);
    prop_oneof![
        8 => (prop::collection::vec(append, 0..6), prop::collection::vec(settlement, 0..8))
            .prop_map(|(appends, settlements)| Step::Commit { appends, settlements }),
        1 => (name(), entries()).prop_map(|(target, entries)| Step::Replay { target, entries }),
        1 => (name(), entries()).prop_map(|(target, entries)| Step::DropDead { target, entries }),
        1 => target().prop_map(Step::DropTarget),
        2 => Just(Step::Reopen),
    ]
}

/// What became of an event: the first one that it repeats, whether its state is unchanged, and the
/// state before it.
type ResultView = (Option<EventId>, bool, Option<Arc<[u8]>>);

/// The results of events, without their handles.
fn results(accepted: &[Accepted]) -> Vec<ResultView> {
    let of = |it: &Accepted| {
        let previous = it.previous_state().cloned();
        (it.duplicate_of(), it.is_unchanged(), previous)
    };
    accepted.iter().map(of).collect()
}

/// Applies the steps to both queues and compares all that they show after each.
pub(crate) fn compare(tested: &mut impl Tested, memory: &MemoryQueue, steps: &[Step]) {
    let unit = tested.time_unit();
    // The handles that each queue gave to the same event.
    let (mut in_tested, mut in_memory) = (Vec::new(), Vec::new());
    // A shared queue forgets keys by its own clock, too, and this is far in its future.
    let began = if unit == 1 { 1_000 } else { FUTURE / unit };
    let (mut number, mut now) = (0, began);
    for step in steps {
        match step {
            Step::Commit {
                appends,
                settlements,
            } => {
                let events: Vec<Event> = appends
                    .iter()
                    .map(|append| {
                        number += 1;
                        now += append.later;
                        append.event(number, now * unit)
                    })
                    .collect();
                let claims = claims(tested.queue());
                let of = |handles: &[EntryId], claims: &HashMap<EntryId, Claim>| {
                    let queue = tested.queue();
                    let made = settlements.iter().map(|(target, entry, outcome)| {
                        let entry = handles.get(*entry).copied().unwrap_or(EntryId(u64::MAX));
                        Settlement {
                            target: TARGETS[*target].into(),
                            entry,
                            outcome: outcome.settled(unit),
                            guard: match claims.get(&entry) {
                                Some(claim) => queue.guard(*claim).expect("no other has the slot"),
                                None => SlotGuard::SOLE,
                            },
                        }
                    });
                    made.collect::<Vec<_>>()
                };
                let settled = of(&in_tested, &claims);
                let added = tested.queue().commit(&events, &settled).unwrap();
                let modelled = of(&in_memory, &HashMap::new());
                let modelled = memory.commit(&events, &modelled).unwrap();
                assert_eq!(results(&added.accepted), results(&modelled.accepted));
                for (settled, result) in settled.iter().zip(&added.settled) {
                    let is_fenced = *result == SettlementResult::Fenced;
                    assert!(!is_fenced || !claims.contains_key(&settled.entry));
                }
                let handles = |added: &[Accepted]| -> Vec<EntryId> {
                    added.iter().filter_map(Accepted::entry).collect()
                };
                let added = handles(&added.accepted);
                let last = in_tested.last();
                assert!(
                    added.is_sorted() && last < added.first().or(Some(&EntryId(u64::MAX))),
                    "{added:?} after {last:?}"
                );
                in_tested.extend(added);
                in_memory.extend(handles(&modelled.accepted));
            }
            Step::Replay { target, entries } => {
                let replayed = tested.queue().replay(target, &chosen(&in_tested, entries));
                let modelled = memory.replay(target, &chosen(&in_memory, entries));
                assert_eq!(replayed.unwrap(), modelled.unwrap());
            }
            Step::DropDead { target, entries } => {
                let dropped = tested
                    .queue()
                    .drop_dead(target, &chosen(&in_tested, entries));
                let modelled = memory.drop_dead(target, &chosen(&in_memory, entries));
                assert_eq!(dropped.unwrap(), modelled.unwrap());
            }
            Step::DropTarget(target) => {
                let dropped = tested.queue().drop_target(TARGETS[*target]);
                assert_eq!(
                    dropped.unwrap(),
                    memory.drop_target(TARGETS[*target]).unwrap()
                );
            }
            Step::Reopen => tested.reopen(),
        }
        let queue = tested.queue();
        let view = |queue| tested.comparable(View::of(queue)).rounding_times(unit);
        assert_eq!(view(queue), view(memory), "after {step:?}");
        for key in 0..8 {
            let state = support::patiently(|| queue.last_state(&[key]));
            assert_eq!(state, memory.last_state(&[key]).unwrap());
        }
        if let (Some(tested), Some(memory)) = (queue.verifier(), memory.verifier()) {
            assert_eq!(tested.verify().unwrap(), memory.verify().unwrap());
        }
    }
    // Reading after an entry in the middle returns the rest.
    let queue = tested.queue();
    let round = |owed: Vec<OwedView>| {
        let owed = owed.into_iter().map(|owed| owed.rounding_times(unit));
        owed.collect::<Vec<_>>()
    };
    let few = if queue.is_shared() { 6 } else { usize::MAX };
    let every = (in_tested.len() / few).max(1);
    for (&in_tested, &in_memory) in in_tested.iter().zip(&in_memory).step_by(every) {
        let (in_tested, in_memory) = (Some(in_tested), Some(in_memory));
        for target in TARGETS {
            assert_eq!(
                round(support::owed(queue, target, in_tested)),
                round(support::owed(memory, target, in_memory))
            );
            assert_eq!(
                round(support::owed_of_key(queue, target, &[1], in_tested)),
                round(support::owed_of_key(memory, target, &[1], in_memory))
            );
            let dead = |queue: &dyn Queue, after| -> Vec<DeadView> {
                let dead = support::dead(queue, Some(target), after).into_iter();
                dead.map(|letter| letter.rounding_times(unit)).collect()
            };
            assert_eq!(dead(queue, in_tested), dead(memory, in_memory));
        }
    }
}

impl Append {
    fn event(&self, number: u64, accepted_at: u64) -> Event {
        let targets = self.targets.iter().map(|&at| TARGETS[at]);
        let last_state = |(key, state, append_previous): (u8, u8, bool)| {
            let changes_only = append_previous.then(|| "a".into());
            Box::new(LastState {
                key: Arc::from([key]),
                state: Arc::from([state]),
                append_previous,
                changes_only: changes_only.into_iter().collect(),
            })
        };
        Event {
            accepted_at,
            attributes: vec![number as u8; self.attributes].into(),
            idempotency_key: self.once.map(|once| Arc::from([once])),
            last_state: self.state.map(last_state),
            ..event(number, &[self.key], self.size, targets)
        }
    }
}

impl Outcome {
    fn settled(&self, unit: u64) -> Settled {
        // A shared queue keeps 31 bits of a count.
        let (unused_bits, time) = match unit {
            1 => (0, u64::MAX),
            _ => (1, (1 << 48) / unit),
        };
        match *self {
            Outcome::Delivered => Settled::Delivered,
            Outcome::Kept(count) => Settled::Kept {
                attempts: count >> unused_bits,
                delivered_at: 8 * unit,
            },
            Outcome::Dropped => Settled::Dropped,
            Outcome::Dead(count, note) => Settled::Dead {
                attempts: count >> unused_bits,
                died_at: 7 * unit,
                note: vec![b'n'; note],
            },
            Outcome::Attempted(count, not_before) => Settled::Attempted {
                attempts: count >> unused_bits,
                not_before: not_before % time * unit,
            },
        }
    }
}

/// The handles at these places.
fn chosen(handles: &[EntryId], places: &[usize]) -> Vec<EntryId> {
    let chosen = places.iter().filter_map(|&at| handles.get(at));
    chosen.copied().collect()
}

/// The claims under which entries are owed.
fn claims(queue: &dyn Queue) -> HashMap<EntryId, Claim> {
    let mut found = HashMap::new();
    for target in TARGETS {
        support::patiently(|| {
            let mut visit = |owed: webhook_queue::Owed<'_>| {
                found.insert(owed.entry, owed.claim);
                std::ops::ControlFlow::Continue(())
            };
            queue.owed(target, None, &mut visit)
        });
    }
    found
}
