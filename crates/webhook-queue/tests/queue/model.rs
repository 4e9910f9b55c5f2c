//! The queue on the disk behaves like the queue in memory, over reopening.

use std::sync::Arc;

use crate::support::{self, View, event};
use proptest::prelude::*;
use webhook_queue::{
    Accepted, DiskQueue, DuplicateWindow, EntryId, Event, EventId, LastState, MemoryQueue, Options,
    Queue, Settled, Settlement, SlotGuard, Verify, verify,
};

const TARGETS: [&str; 3] = ["a", "b", "c"];
const MAX: u64 = 64 << 20;
/// Fewer than there are keys.
const STATES: u64 = 5;

/// A step that is applied to both queues. Entries are indices of the events appended so far.
#[derive(Clone, Debug)]
enum Step {
    Commit {
        appends: Vec<Append>,
        settlements: Vec<(usize, usize, Outcome)>,
    },
    Replay {
        target: usize,
        entries: Vec<usize>,
    },
    DropDead {
        target: usize,
        entries: Vec<usize>,
    },
    DropTarget(usize),
    Reopen,
}

#[derive(Clone, Debug)]
struct Append {
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
enum Outcome {
    Delivered,
    Dropped,
    Dead(u32, usize),
    Attempted(u32, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let target = || 0..TARGETS.len();
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
        1 => Just(Outcome::Dropped),
        2 => (any::<u32>(), 0..3000_usize).prop_map(|(n, note)| Outcome::Dead(n, note)),
        2 => (any::<u32>(), any::<u64>()).prop_map(|(n, at)| Outcome::Attempted(n, at)),
    ];
    let settlement = (target(), entry(), outcome);
    let entries = || prop::collection::vec(entry(), 0..6);
    prop_oneof![
        8 => (prop::collection::vec(append, 0..6), prop::collection::vec(settlement, 0..8))
            .prop_map(|(appends, settlements)| Step::Commit { appends, settlements }),
        1 => (target(), entries()).prop_map(|(target, entries)| Step::Replay { target, entries }),
        1 => (target(), entries()).prop_map(|(target, entries)| Step::DropDead { target, entries }),
        1 => target().prop_map(Step::DropTarget),
        2 => Just(Step::Reopen),
    ]
}

fn settlement(of: &[EntryId], (target, entry, outcome): &(usize, usize, Outcome)) -> Settlement {
    Settlement {
        target: TARGETS[*target].into(),
        entry: of.get(*entry).copied().unwrap_or(EntryId(u64::MAX)),
        outcome: match *outcome {
            Outcome::Delivered => Settled::Delivered,
            Outcome::Dropped => Settled::Dropped,
            Outcome::Dead(attempts, note) => Settled::Dead {
                attempts,
                died_at: 7,
                note: vec![b'n'; note],
            },
            Outcome::Attempted(attempts, not_before) => Settled::Attempted {
                attempts,
                not_before,
            },
        },
        guard: SlotGuard::SOLE,
    }
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_disk_and_the_memory_agree_over_reopening(steps in prop::collection::vec(step(), 1..24)) {
        let dir = tempfile::tempdir().unwrap();
        // So few keys and so short an age that both bounds are reached.
        let window = DuplicateWindow { age_ms: 20, keys: 6 };
        let options = Options {
            duplicates: window,
            max_last_states: STATES,
            ..Options::with_max_bytes(MAX)
        };
        let mut disk = DiskQueue::open(dir.path(), &options).unwrap();
        let memory = MemoryQueue::with_window(MAX, window).with_max_last_states(STATES);
        // The handles that each queue gave to the same event.
        let (mut on_disk, mut in_memory) = (Vec::new(), Vec::new());
        let (mut number, mut now) = (0, 1_000);
        for step in &steps {
            match step {
                Step::Commit { appends, settlements } => {
                    let events: Vec<Event> = appends.iter().map(|append| {
                        number += 1;
                        let targets = append.targets.iter().map(|&at| TARGETS[at]);
                        now += append.later;
                        Event {
                            accepted_at: now,
                            attributes: vec![number as u8; append.attributes].into(),
                            idempotency_key: append.once.map(|once| Arc::from([once])),
                            last_state: append.state.map(|(key, state, append_previous)| Box::new(LastState {
                                key: Arc::from([key]),
                                state: Arc::from([state]),
                                append_previous,
                                changes_only: append_previous.then(|| "a".into()).into_iter().collect(),
                            })),
                            ..event(number, &[append.key], append.size, targets)
                        }
                    }).collect();
                    let of = |handles: &[EntryId]| -> Vec<Settlement> {
                        settlements.iter().map(|given| settlement(handles, given)).collect()
                    };
                    let added = disk.commit(&events, &of(&on_disk)).unwrap().accepted;
                    let modelled = memory.commit(&events, &of(&in_memory)).unwrap().accepted;
                    prop_assert_eq!(results(&added), results(&modelled));
                    let handles = |added: &[Accepted]| -> Vec<EntryId> {
                        added.iter().filter_map(Accepted::entry).collect()
                    };
                    let added = handles(&added);
                    prop_assert!(added.is_sorted() && on_disk.last() < added.first().or(Some(&EntryId(u64::MAX))));
                    on_disk.extend(added);
                    in_memory.extend(handles(&modelled));
                }
                Step::Replay { target, entries } => {
                    let of = |handles: &[EntryId]| -> Vec<EntryId> {
                        entries.iter().filter_map(|&at| handles.get(at)).copied().collect()
                    };
                    prop_assert_eq!(
                        disk.replay(TARGETS[*target], &of(&on_disk)).unwrap(),
                        memory.replay(TARGETS[*target], &of(&in_memory)).unwrap()
                    );
                }
                Step::DropDead { target, entries } => {
                    let of = |handles: &[EntryId]| -> Vec<EntryId> {
                        entries.iter().filter_map(|&at| handles.get(at)).copied().collect()
                    };
                    prop_assert_eq!(
                        disk.drop_dead(TARGETS[*target], &of(&on_disk)).unwrap(),
                        memory.drop_dead(TARGETS[*target], &of(&in_memory)).unwrap()
                    );
                }
                Step::DropTarget(target) => {
                    prop_assert_eq!(
                        disk.drop_target(TARGETS[*target]).unwrap(),
                        memory.drop_target(TARGETS[*target]).unwrap()
                    );
                }
                Step::Reopen => {
                    drop(disk);
                    let found = verify(dir.path()).unwrap();
                    prop_assert!(found.is_whole(), "{:?}", found);
                    disk = DiskQueue::open(dir.path(), &options).unwrap();
                }
            }
            prop_assert_eq!(View::of(&disk), View::of(&memory));
            for key in 0..8 {
                prop_assert_eq!(disk.last_state(&[key]).unwrap(), memory.last_state(&[key]).unwrap());
            }
            prop_assert_eq!(disk.verify().unwrap(), memory.verify().unwrap());
        }
        // Reading after an entry in the middle returns the rest.
        let disk: &dyn Queue = &disk;
        for (&on_disk, &in_memory) in on_disk.iter().zip(&in_memory) {
            for target in TARGETS {
                prop_assert_eq!(
                    support::owed(disk, target, Some(on_disk)),
                    support::owed(&memory, target, Some(in_memory))
                );
                prop_assert_eq!(
                    support::owed_of_key(disk, target, &[1], Some(on_disk)),
                    support::owed_of_key(&memory, target, &[1], Some(in_memory))
                );
                prop_assert_eq!(
                    support::dead(disk, Some(target), Some(on_disk)),
                    support::dead(&memory, Some(target), Some(in_memory))
                );
            }
        }
    }
}

#[test]
fn keys_of_any_bytes_and_length_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskQueue::open(dir.path(), &Options::with_max_bytes(MAX)).unwrap();
    let keys: [Vec<u8>; 5] = [
        vec![],
        vec![0],
        vec![0, 0],
        vec![0xff; 100_000],
        vec![0xff; 100_001],
    ];
    let targets: Arc<[Arc<str>]> = ["t".into()].into();
    let events: Vec<Event> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| Event {
            targets: targets.clone(),
            ..event(at as u64, key, 10, ["t"])
        })
        .collect();
    disk.commit(&events, &[]).unwrap();
    for (at, key) in keys.iter().enumerate() {
        let found = support::owed_of_key(&disk, "t", key, None);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id, events[at].id);
        assert_eq!(found[0].key, *key);
    }
}
