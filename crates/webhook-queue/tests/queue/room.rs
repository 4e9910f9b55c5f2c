//! What is reserved for settlements is enough for any of them, and what is admitted fits.

use std::fs;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use webhook_queue::{
    Committed, DeadLetterLimits, DiskQueue, EntryId, Event, GroupWriter, Limits, Options, Queue,
    QueueError, Quotas, Settled, Settlement, SlotGuard, Verify,
};

use crate::support::{self, delivered, event};

/// Appends events with bodies of these sizes, in turn, until the queue is full.
fn fill(queue: &DiskQueue, sizes: &[usize], group: usize, targets: &[&str]) -> Vec<EntryId> {
    let mut entries: Vec<EntryId> = Vec::new();
    let (mut group, mut number) = (group, 0_u64);
    while group > 0 {
        let events: Vec<Event> = (number..)
            .zip(sizes.iter().cycle().skip(number as usize % sizes.len()))
            .take(group)
            .map(|(number, &size)| {
                let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
                event(number, &key, size, targets.iter().copied())
            })
            .collect();
        match support::stored(queue, &events, &[]) {
            Ok(added) => {
                number += group as u64;
                entries.extend(added);
            }
            Err(error) => {
                refused_by_rule(queue, &error);
                group /= 2;
            }
        }
    }
    entries
}

/// An append is refused since it may not use the room that is left, never since LMDB found none.
fn refused_by_rule(queue: &DiskQueue, error: &QueueError) {
    let max_bytes = queue.statistics().unwrap().max_bytes;
    assert!(
        matches!(error, QueueError::Full { max, .. } if *max < max_bytes),
        "{error}"
    );
}

/// Commits settlements in groups that are halved until they fit; each fits alone.
fn settle(queue: &DiskQueue, settlements: &[Settlement]) {
    let (mut left, mut group) = (settlements, settlements.len());
    while !left.is_empty() {
        let (first, rest) = left.split_at(group.min(left.len()));
        match queue.commit(&[], first) {
            Ok(_) => left = rest,
            Err(QueueError::Full { .. }) if first.len() > 1 => group = first.len() / 2,
            Err(error) => panic!("{} of {}: {error}", left.len(), settlements.len()),
        }
    }
}

/// Every third, from three starts: no two that follow each other are adjacent.
fn scattered(entries: &[EntryId]) -> Vec<EntryId> {
    let from = |first| entries.iter().skip(first).step_by(3);
    (0..3).flat_map(from).copied().collect()
}

/// Hands all settlements to a writer at once, and waits until they are written.
fn settle_all(queue: &Arc<DiskQueue>, settlements: Vec<Settlement>) {
    let (sender, receiver) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(Some(released));
    let on_commit = move |committed: Committed<()>| {
        // The first commit ends when all settlements wait for the next.
        if let Some(released) = released.lock().unwrap().take() {
            released.recv().unwrap_err();
        }
        let _ended = sender.send(committed.settled.len());
    };
    let writer = GroupWriter::start(queue.clone(), Limits::default(), on_commit).unwrap();
    writer.settle(delivered("unknown", EntryId(1)));
    assert!(!settlements.is_empty());
    let mut left = settlements.len() + 1;
    for settlement in settlements {
        writer.settle(settlement);
    }
    drop(release);
    while left > 0 {
        let settled = receiver.recv_timeout(Duration::from_secs(60));
        left -= settled.unwrap_or_else(|_| panic!("{left} are left: {:?}", writer.statistics()));
    }
    writer.shutdown().unwrap();
}

#[test]
fn a_full_queue_of_any_size_settles_a_whole_group_of_scattered_entries() {
    for (mebibytes, body) in [(1, 0), (1, 100), (1, 1500), (2, 10), (2, 3500), (4, 600)] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::with_max_bytes(mebibytes << 20);
        let queue = Arc::new(DiskQueue::open(dir.path(), &options).unwrap());
        let entries = fill(&queue, &[body], 256, &["a", "b"]);
        let settlements = scattered(&entries)
            .into_iter()
            .flat_map(|entry| ["a", "b"].map(|target| delivered(target, entry)));
        settle_all(&queue, settlements.collect());
        assert_eq!(queue.statistics().unwrap().events, 0);
        assert!(queue.verify().unwrap().is_whole());
    }
}

/// A step that would change more pages than are free is made with fewer entries.
#[test]
fn many_entries_of_a_full_queue_are_replayed_trimmed_and_removed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::with_max_bytes(1 << 20);
    let queue = DiskQueue::open(dir.path(), &options).unwrap();
    // Neighbours have other targets, so that none leaves a whole page.
    let all = fill(&queue, &[900], 1, &["a", "b"]);
    let died = |&entry: &EntryId| Settlement {
        outcome: Settled::Dead {
            attempts: 1,
            died_at: 2,
            note: vec![b'n'; 90],
        },
        ..delivered("a", entry)
    };
    settle(&queue, &all.iter().map(died).collect::<Vec<_>>());
    assert_eq!(queue.replay("a", &all).unwrap(), all.len() as u64);
    settle(&queue, &all.iter().map(died).collect::<Vec<_>>());
    let quotas = Quotas {
        dead_letters: DeadLetterLimits {
            max_count: 1,
            ..DeadLetterLimits::default()
        },
        ..Quotas::default()
    };
    queue.set_quotas(quotas);
    while !queue.trim_dead_letters(3).unwrap().is_empty() {}
    assert_eq!(support::dead(&queue, Some("a"), None).len(), 1);
    assert_eq!(queue.drop_target("b").unwrap(), all.len() as u64);
    assert_eq!(queue.drop_target("a").unwrap(), 1);
    assert_eq!(queue.statistics().unwrap().events, 0);
}

const TARGETS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What is done to a queue over and over: it is filled, and some of it is settled.
#[derive(Clone, Debug)]
struct Round {
    /// The sizes of the bodies, in turn, and how many events are appended together.
    sizes: Vec<usize>,
    group: usize,
    /// How many targets the events have.
    targets: usize,
    /// Of so many entries one is left.
    left: usize,
    /// The outcome of the others, and the length of the notes.
    outcome: u8,
    note: usize,
    /// What becomes of the dead letters: kept, replayed or dropped.
    dead: u8,
    reopened: bool,
}

fn round() -> impl Strategy<Value = Round> {
    let size = prop_oneof![
        3 => 0..60_usize,
        2 => 60..2100_usize,
        2 => 2100..9000_usize,
        1 => 9000..200_000_usize,
    ];
    let group = prop_oneof![16..64_usize, Just(512_usize)];
    let note = prop_oneof![0..200_usize, 1000..6000_usize];
    (
        (prop::collection::vec(size, 1..4), group, 1..=TARGETS.len()),
        (2..9_usize, 0..4_u8, note),
        (0..3_u8, any::<bool>()),
    )
        .prop_map(
            |((sizes, group, targets), (left, outcome, note), (dead, reopened))| Round {
                sizes,
                group,
                targets,
                left,
                outcome,
                note,
                dead,
                reopened,
            },
        )
}

impl Round {
    fn outcome(&self) -> Settled {
        match self.outcome {
            0 => Settled::Delivered,
            1 => Settled::Dropped,
            2 => Settled::Attempted {
                attempts: 1,
                not_before: 2,
            },
            _ => Settled::Dead {
                attempts: 1,
                died_at: 2,
                note: vec![b'n'; self.note],
            },
        }
    }

    fn run(&self, queue: &DiskQueue) {
        fill(queue, &self.sizes, self.group, &TARGETS[..self.targets]);
        let outcome = self.outcome();
        let mut settlements = Vec::new();
        for target in TARGETS {
            let owed = support::handles(queue, target);
            for (at, entry) in scattered(&owed).into_iter().enumerate() {
                if at % self.left > 0 {
                    let (target, outcome) = (target.into(), outcome.clone());
                    settlements.push(Settlement {
                        target,
                        entry,
                        outcome,
                        guard: SlotGuard::SOLE,
                    });
                }
            }
        }
        settle(queue, &settlements);
        for target in TARGETS {
            let of = |settlement: &&Settlement| *settlement.target == *target;
            let dead = settlements.iter().filter(of).map(|dead| dead.entry);
            let dead: Vec<EntryId> = dead.collect();
            let count = if self.outcome > 2 {
                dead.len() as u64
            } else {
                0
            };
            match self.dead {
                0 => {}
                1 => assert_eq!(queue.replay(target, &dead).unwrap(), count),
                _ => assert_eq!(queue.drop_dead(target, &dead).unwrap(), count),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_is_admitted_fits_and_any_settlement_fits(
        kibibytes in 1024..2500_u64, rounds in prop::collection::vec(round(), 1..5),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::with_max_bytes(kibibytes << 10);
        let mut queue = DiskQueue::open(dir.path(), &options).unwrap();
        for round in &rounds {
            round.run(&queue);
            if round.reopened {
                drop(queue);
                queue = DiskQueue::open(dir.path(), &options).unwrap();
            }
            let statistics = queue.statistics().unwrap();
            let length = fs::metadata(dir.path().join("data.mdb")).unwrap().len();
            prop_assert!(statistics.bytes <= statistics.max_bytes);
            prop_assert!(length <= statistics.max_bytes);
        }
        // A full queue can be emptied, and is as good as new.
        fill(&queue, &[40], 64, &TARGETS[..3]);
        let found = queue.verify().unwrap();
        prop_assert!(found.is_whole(), "{:?}", found);
        for target in TARGETS {
            queue.drop_target(target).unwrap();
        }
        prop_assert_eq!(queue.statistics().unwrap().events, 0);
        queue.commit(&[event(1, b"k", 500_000, ["a"])], &[]).unwrap();
    }
}

#[test]
fn a_long_event_fits_wherever_the_room_is() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::with_max_bytes(16 << 20);
    let mut queue = DiskQueue::open(dir.path(), &options).unwrap();
    // Each round leaves other pages free, until there are free ones all over the file.
    for round in 0..6 {
        fill(&queue, &[3500, 300, 1500], 256, &["a"]);
        let owed = support::handles(&queue, "a");
        let settled = scattered(&owed).into_iter().enumerate();
        let settled = settled.filter(|(at, _)| (at + round) % 5 == 0);
        let settled: Vec<_> = settled.map(|(_, entry)| delivered("a", entry)).collect();
        settle(&queue, &settled);
    }
    let used = || queue.statistics().unwrap().bytes * 100 / options.max_bytes;
    for entry in scattered(&scattered(&support::handles(&queue, "a"))) {
        if used() < 60 {
            break;
        }
        settle(&queue, &[delivered("a", entry)]);
    }
    assert_eq!(used(), 59, "per cent are in use");
    for number in 0..12 {
        let long = event(number, b"long", 700_000, ["b"]);
        let entry = support::stored(&queue, std::slice::from_ref(&long), &[]).unwrap()[0];
        let owed = support::owed(&queue, "b", None);
        assert_eq!(owed.len() as u64, number % 3 + 1);
        assert_eq!(owed.last().unwrap().body, *long.body);
        if number % 3 == 2 {
            drop(queue);
            queue = DiskQueue::open(dir.path(), &options).unwrap();
            let dead = Settled::Dead {
                attempts: 1,
                died_at: 2,
                note: Vec::new(),
            };
            let settlement = Settlement {
                target: "b".into(),
                entry,
                outcome: dead,
                guard: SlotGuard::SOLE,
            };
            queue.commit(&[], &[settlement]).unwrap();
            let letter = support::dead(&queue, Some("b"), None).pop().unwrap();
            assert_eq!(letter.owed.body, *long.body);
            assert_eq!(queue.replay("b", &[entry]).unwrap(), 1);
            let owed = support::handles(&queue, "b");
            settle(
                &queue,
                &owed
                    .iter()
                    .map(|&entry| delivered("b", entry))
                    .collect::<Vec<_>>(),
            );
            assert!(queue.verify().unwrap().is_whole());
        }
    }
    assert!(support::handles(&queue, "a").len() > 2000);
}
