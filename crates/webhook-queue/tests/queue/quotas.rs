//! What a target may use of a queue: events owed, and dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use webhook_queue::{
    Accepted, DeadLetterLimits, DiskQueue, EntryId, Event, MemoryQueue, Options, Queue, QueueError,
    Quotas, Settled, Settlement, SettlementResult, SlotGuard, kept_name, verify,
};

use crate::support::{self, delivered, event, number};

const MAX: u64 = 1 << 20;

/// Runs a test with each kind of queue, of 1 MiB.
fn with_each(test: impl Fn(&dyn Queue)) {
    test(&MemoryQueue::new(MAX));
    let dir = tempfile::tempdir().unwrap();
    let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(MAX)).unwrap();
    test(&queue);
    drop(queue);
    assert!(verify(dir.path()).unwrap().is_whole());
}

fn quotas(owed: &[(&str, Option<u64>)]) -> Quotas {
    Quotas {
        owed: owed
            .iter()
            .map(|(name, max)| (Arc::from(*name), *max))
            .collect(),
        ..Quotas::default()
    }
}

fn append(queue: &dyn Queue, event: &Event) -> Result<Accepted, QueueError> {
    let accepted = queue.commit(std::slice::from_ref(event), &[])?.accepted;
    Ok(accepted.into_iter().next().unwrap())
}

fn dead(target: &str, entry: EntryId, died_at: u64) -> Settlement {
    Settlement {
        target: target.into(),
        entry,
        outcome: Settled::Dead {
            attempts: 1,
            died_at,
            note: b"why".to_vec(),
        },
        guard: SlotGuard::SOLE,
    }
}

fn owed_bytes(queue: &dyn Queue, target: &str) -> u64 {
    let targets = queue.statistics().unwrap().targets;
    targets
        .iter()
        .find(|of| of.target == target)
        .unwrap()
        .owed_bytes
}

/// The numbers of the dead letters of a target.
fn letters(queue: &dyn Queue, target: &str) -> Vec<u64> {
    let letters = support::dead(queue, Some(target), None);
    letters
        .iter()
        .map(|letter| number(letter.owed.id))
        .collect()
}

#[test]
fn a_target_that_settles_nothing_misses_events_and_the_others_do_not() {
    with_each(|queue| {
        queue.set_quotas(quotas(&[("down", None), ("good", None)]));
        let mut missed = Vec::new();
        for number in 0..2000 {
            let accepted = append(queue, &event(number, b"k", 1000, ["down", "good"])).unwrap();
            let entry = accepted.entry().unwrap();
            if !accepted.over_quota().is_empty() {
                assert_eq!(accepted.over_quota(), ["down".into()]);
                missed.push(number);
            }
            queue.commit(&[], &[delivered("good", entry)]).unwrap();
        }
        let kept = support::handles(queue, "down");
        assert_eq!(kept.len() + missed.len(), 2000);
        let (first, missed) = (missed[0], missed.len());
        assert!((100..500).contains(&first), "it missed event {first} first");
        assert_eq!(
            missed as u64,
            2000 - first,
            "it got one after it missed one"
        );
        // Half of the queue is free for the other target, and order is kept once there is room.
        let settled: Vec<_> = kept.iter().map(|&entry| delivered("down", entry)).collect();
        for some in settled.chunks(50) {
            queue.commit(&[], some).unwrap();
        }
        assert_eq!(owed_bytes(queue, "down"), 0);
        let later = event(2000, b"k", 1000, ["down", "good"]);
        assert!(matches!(append(queue, &later), Ok(Accepted::Stored(_))));
    });
}

#[test]
fn two_targets_that_settle_nothing_leave_room_for_a_third() {
    with_each(|queue| {
        queue.set_quotas(quotas(&[("a", None), ("b", None), ("good", None)]));
        for number in 0..1500 {
            for target in ["a", "b"] {
                let accepted = append(queue, &event(number, b"k", 1000, [target])).unwrap();
                assert!(accepted.over_quota().len() <= 1);
            }
            let accepted = append(queue, &event(number, b"k", 1000, ["good"])).unwrap();
            let entry = accepted.entry().expect("a target without backlog has room");
            queue.commit(&[], &[delivered("good", entry)]).unwrap();
        }
        let [a, b] = ["a", "b"].map(|target| owed_bytes(queue, target));
        assert!(a > MAX / 8 && a.abs_diff(b) < MAX / 16, "{a} and {b}");
    });
}

#[test]
fn an_event_for_targets_over_their_quotas_alone_is_refused_and_its_key_stays_unknown() {
    with_each(|queue| {
        queue.set_quotas(quotas(&[("a", Some(5000)), ("b", Some(5000))]));
        let mut again = event(0, b"k", 4000, ["a"]);
        again.idempotency_key = Some((*b"again").into());
        append(queue, &event(1, b"k", 4000, ["a"])).unwrap();
        let refused = append(queue, &again).unwrap();
        assert_eq!(refused, Accepted::OverQuota(["a".into()].into()));
        append(queue, &event(2, b"k", 4000, ["b"])).unwrap();
        // No target has room, so the queue is full.
        assert!(matches!(
            append(queue, &again),
            Err(QueueError::Full { .. })
        ));
        let entries = support::handles(queue, "a");
        queue.commit(&[], &[delivered("a", entries[0])]).unwrap();
        assert!(append(queue, &again).unwrap().entry().is_some());
        assert!(append(queue, &again).unwrap().duplicate_of().is_some());
    });
}

#[test]
fn a_target_that_is_owed_nothing_may_get_an_event_of_any_size() {
    with_each(|queue| {
        queue.set_quotas(quotas(&[("a", Some(1)), ("b", None)]));
        let accepted = append(queue, &event(0, b"k", 500_000, ["a", "b"])).unwrap();
        assert!(matches!(accepted, Accepted::Stored(_)), "{accepted:?}");
        // Also once it has settled all that it was owed.
        let entry = accepted.entry().unwrap();
        let settled = ["a", "b"].map(|target| delivered(target, entry));
        queue.commit(&[], &settled).unwrap();
        let accepted = append(queue, &event(1, b"k", 500_000, ["a", "b"])).unwrap();
        assert!(matches!(accepted, Accepted::Stored(_)), "{accepted:?}");
    });
}

#[test]
fn a_target_may_be_owed_exactly_its_quota() {
    with_each(|queue| {
        append(queue, &event(0, b"k", 1000, ["a"])).unwrap();
        let max = 3 * owed_bytes(queue, "a");
        queue.set_quotas(quotas(&[("a", Some(max)), ("b", None)]));
        for number in 1..4 {
            let accepted = append(queue, &event(number, b"k", 1000, ["a", "b"])).unwrap();
            assert_eq!(accepted.over_quota().is_empty(), number < 3, "{number}");
        }
        assert_eq!(owed_bytes(queue, "a"), max);
    });
}

#[test]
fn each_event_of_a_commit_counts_for_a_quota_and_an_attempt_does_not() {
    with_each(|queue| {
        let event = |number| event(number, b"k", 1000, ["a"]);
        append(queue, &event(0)).unwrap();
        let quota = 3 * owed_bytes(queue, "a");
        queue.set_quotas(quotas(&[("a", Some(quota)), ("b", None)]));
        let group: Vec<Event> = (1..5).map(event).collect();
        let accepted = queue.commit(&group, &[]).unwrap().accepted;
        let stored = accepted.iter().map(|it| it.entry().is_some());
        assert!(stored.eq([true, true, false, false]));
        assert_eq!(owed_bytes(queue, "a"), quota);
        // An attempt changes nothing of it, a delivery does.
        let first = support::handles(queue, "a")[0];
        let attempted = Settlement {
            outcome: Settled::Attempted {
                attempts: 1,
                not_before: 7,
            },
            ..delivered("a", first)
        };
        queue.commit(&[], &[attempted]).unwrap();
        assert_eq!(append(queue, &event(5)).unwrap().entry(), None);
        queue.commit(&[], &[delivered("a", first)]).unwrap();
        assert!(append(queue, &event(6)).unwrap().entry().is_some());
        assert_eq!(append(queue, &event(7)).unwrap().entry(), None);
    });
}

#[test]
fn a_single_target_may_fill_the_queue() {
    with_each(|queue| {
        queue.set_quotas(quotas(&[("only", None)]));
        let full =
            (0..2000).find_map(|number| append(queue, &event(number, b"", 1000, ["only"])).err());
        assert!(matches!(full, Some(QueueError::Full { .. })), "{full:?}");
        assert!(owed_bytes(queue, "only") > MAX * 2 / 3);
    });
}

/// A queue with dead letters: event `n` of `target` died at time `n`.
fn with_letters(queue: &dyn Queue, letters: &[(&str, std::ops::Range<u64>)]) {
    for (target, numbers) in letters {
        for number in numbers.clone() {
            let entry = append(queue, &event(number, b"k", 1000, [*target]))
                .unwrap()
                .entry()
                .unwrap();
            queue.commit(&[], &[dead(target, entry, number)]).unwrap();
        }
    }
}

fn limit(queue: &dyn Queue, dead_letters: DeadLetterLimits, now: u64) -> BTreeMap<Arc<str>, u64> {
    queue.set_quotas(Quotas {
        dead_letters,
        ..Quotas::default()
    });
    let mut removed: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    loop {
        let some = queue.trim_dead_letters(now).unwrap();
        if some.is_empty() {
            return removed;
        }
        for (target, count) in some {
            *removed.entry(target).or_default() += count;
        }
    }
}

#[test]
fn dead_letters_over_a_bound_are_removed_the_oldest_of_the_largest_target_first() {
    with_each(|queue| {
        with_letters(queue, &[("few", 0..10), ("many", 10..110)]);
        assert!(limit(queue, DeadLetterLimits::default(), u64::MAX).is_empty());
        let count = DeadLetterLimits {
            max_count: 50,
            ..DeadLetterLimits::default()
        };
        assert_eq!(limit(queue, count, 0), [("many".into(), 60)].into());
        assert_eq!(letters(queue, "few").len(), 10);
        assert!(letters(queue, "many").into_iter().eq(70..110));
        let bytes = DeadLetterLimits {
            max_bytes: 30_000,
            ..DeadLetterLimits::default()
        };
        limit(queue, bytes, 0);
        let statistics = queue.statistics().unwrap();
        let kept: u64 = statistics.targets.iter().map(|of| of.dead_bytes).sum();
        assert!((25_000..=30_000).contains(&kept), "{kept}");
        assert_eq!(letters(queue, "few").len(), 10);
        assert_eq!(letters(queue, "many").last(), Some(&109));
        assert_eq!(statistics.events, letters(queue, "many").len() as u64 + 10);
    });
}

#[test]
fn dead_letters_may_take_exactly_their_bytes_with_their_notes() {
    with_each(|queue| {
        with_letters(queue, &[("a", 0..3)]);
        let max_bytes = statistics_of(queue, "a").dead_bytes;
        let limits = |max_bytes| DeadLetterLimits {
            max_bytes,
            ..DeadLetterLimits::default()
        };
        assert!(limit(queue, limits(max_bytes), 0).is_empty());
        let removed = limit(queue, limits(max_bytes - 1), 0);
        assert_eq!(removed, [("a".into(), 1)].into());
        assert_eq!(letters(queue, "a"), [1, 2]);
    });
}

#[test]
fn dead_letters_are_kept_for_their_time_and_no_longer() {
    with_each(|queue| {
        with_letters(queue, &[("a", 0..40), ("b", 0..10)]);
        let limits = DeadLetterLimits {
            max_age: Duration::from_millis(100),
            ..DeadLetterLimits::default()
        };
        assert!(limit(queue, limits, 100).is_empty());
        assert_eq!(
            limit(queue, limits, 120),
            [("a".into(), 20), ("b".into(), 10)].into()
        );
        assert!(letters(queue, "a").into_iter().eq(20..40));
    });
}

#[test]
fn a_replay_is_not_bounded_by_the_quota() {
    with_each(|queue| {
        with_letters(queue, &[("a", 0..20)]);
        queue.set_quotas(quotas(&[("a", Some(2000)), ("b", None)]));
        let entries: Vec<EntryId> = (1..=20).map(EntryId).collect();
        assert_eq!(queue.replay("a", &entries).unwrap(), 20);
        assert!(owed_bytes(queue, "a") > 20_000);
        let accepted = append(queue, &event(20, b"k", 10, ["a", "b"])).unwrap();
        assert_eq!(accepted.over_quota(), ["a".into()]);
    });
}

#[test]
fn what_targets_use_is_known_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::with_max_bytes(MAX);
    let queue = DiskQueue::open(dir.path(), &options).unwrap();
    with_letters(&queue, &[("a", 0..20)]);
    append(&queue, &event(20, b"k", 1000, ["a", "b"])).unwrap();
    let before = queue.statistics().unwrap();
    assert!(before.targets[0].owed_bytes > 1000 && before.targets[0].dead_bytes > 20_000);
    drop(queue);
    let queue = DiskQueue::open(dir.path(), &options).unwrap();
    assert_eq!(queue.statistics().unwrap(), before);
}

/// Delivers events of `target` one at a time, each at the time of its number, and keeps them.
fn deliver(queue: &dyn Queue, target: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let entry = append(queue, &event(number, b"k", 1000, [target]))
            .unwrap()
            .entry()
            .unwrap();
        let kept = Settlement {
            outcome: Settled::Kept {
                attempts: 1,
                delivered_at: number,
            },
            ..delivered(target, entry)
        };
        queue.commit(&[], &[kept]).unwrap();
    }
}

fn retained(target: &str, limits: DeadLetterLimits) -> Quotas {
    Quotas {
        retained: [(target.into(), limits)].into(),
        ..Quotas::default()
    }
}

fn statistics_of(queue: &dyn Queue, target: &str) -> webhook_queue::TargetStatistics {
    let targets = queue.statistics().unwrap().targets;
    targets.into_iter().find(|of| of.target == target).unwrap()
}

#[test]
fn each_commit_removes_the_oldest_kept_deliveries_over_the_bounds() {
    with_each(|queue| {
        let limits = DeadLetterLimits {
            max_bytes: 50_000,
            max_age: Duration::from_millis(100),
            ..DeadLetterLimits::default()
        };
        queue.set_quotas(retained("a", limits));
        deliver(queue, "b", 0..3);
        let mut most = 0;
        for number in 0..200 {
            deliver(queue, "a", number..number + 1);
            let of = statistics_of(queue, "a");
            assert!(of.kept_bytes <= 50_000 && of.kept >= 1);
            most = most.max(of.kept_bytes);
            assert_eq!((of.pending, of.dead, of.dead_bytes), (0, 0, 0));
        }
        assert!(most > 45_000, "{most}");
        let kept = letters(queue, &kept_name("a"));
        assert!(kept.iter().copied().eq(200 - kept.len() as u64..200));
        // An idle time later, the rest are too old.
        deliver(queue, "a", 250..251);
        deliver(queue, "a", 400..402);
        assert_eq!(letters(queue, &kept_name("a")), [400, 401]);
        // What is kept is no dead letter, and of no dead letters is it taken away.
        assert!(support::dead(queue, None, None).is_empty());
        assert_eq!(statistics_of(queue, "b").kept, 3);
    });
}

#[test]
fn as_many_deliveries_are_kept_as_is_said() {
    with_each(|queue| {
        let limits = DeadLetterLimits {
            max_count: 3,
            ..DeadLetterLimits::default()
        };
        queue.set_quotas(retained("a", limits));
        deliver(queue, "a", 0..10);
        assert_eq!(letters(queue, &kept_name("a")), [7, 8, 9]);
    });
}

#[test]
fn a_commit_of_many_deliveries_keeps_the_last_ones() {
    with_each(|queue| {
        let limits = DeadLetterLimits {
            max_bytes: 50_000,
            ..DeadLetterLimits::default()
        };
        queue.set_quotas(retained("a", limits));
        for first in (0..100).step_by(20) {
            let events: Vec<Event> = (first..first + 20)
                .map(|number| event(number, b"k", 1000, ["a"]))
                .collect();
            let accepted = queue.commit(&events, &[]).unwrap().accepted;
            let keep = |it: Accepted| Settlement {
                outcome: Settled::Kept {
                    attempts: 1,
                    delivered_at: first,
                },
                ..delivered("a", it.entry().unwrap())
            };
            let kept: Vec<Settlement> = accepted.into_iter().map(keep).collect();
            queue.commit(&[], &kept).unwrap();
        }
        let kept = letters(queue, &kept_name("a"));
        assert!(statistics_of(queue, "a").kept_bytes > 45_000);
        assert!(kept.iter().copied().eq(100 - kept.len() as u64..100));
        // A lower bound holds after a few commits, each of which removes some.
        queue.set_quotas(retained(
            "a",
            DeadLetterLimits {
                max_bytes: 5_000,
                ..limits
            },
        ));
        deliver(queue, "a", 100..102);
        assert!(statistics_of(queue, "a").kept_bytes <= 5_000);
        assert_eq!(letters(queue, &kept_name("a")).last(), Some(&101));
    });
}

#[test]
fn deliveries_of_several_targets_are_kept_in_one_commit() {
    with_each(|queue| {
        let targets = ["a", "a", "b", "b", "c", "a"];
        let events = (0..).zip(targets);
        let events: Vec<Event> = events
            .map(|(number, target)| event(number, b"k", 10, [target]))
            .collect();
        let entries = support::stored(queue, &events, &[]).unwrap();
        let keep = |(&entry, target): (&EntryId, &str)| Settlement {
            outcome: KEPT,
            ..delivered(target, entry)
        };
        let kept: Vec<_> = entries.iter().zip(targets).map(keep).collect();
        queue.commit(&[], &kept).unwrap();
        for (target, numbers) in [("a", &[0, 1, 5][..]), ("b", &[2, 3]), ("c", &[4])] {
            assert_eq!(letters(queue, &kept_name(target)), numbers);
            assert_eq!(statistics_of(queue, target).pending, 0);
        }
    });
}

#[test]
fn a_settlement_of_an_entry_that_the_target_is_not_owed_says_so() {
    use SettlementResult::{Applied, NotOwed};
    for outcome in [Settled::Delivered, Settled::Dropped, KEPT, DIED] {
        with_each(|queue| {
            let events = [1, 2].map(|number| event(number, b"k", 10, ["a", "b"]));
            let entries = support::stored(queue, &events, &[]).unwrap();
            let settle = |target: &str, entry| Settlement {
                outcome: outcome.clone(),
                ..delivered(target, entry)
            };
            let settlements = [
                settle("a", entries[0]),
                settle("a", EntryId(77)),
                settle("unknown", entries[0]),
                settle("b", entries[1]),
            ];
            for first in [Applied, NotOwed] {
                let settled = queue.commit(&[], &settlements).unwrap().settled;
                assert_eq!(settled, [first, NotOwed, NotOwed, first]);
            }
        });
    }
}

#[test]
fn a_larger_delivery_than_all_that_may_be_kept_is_not_kept() {
    with_each(|queue| {
        let limits = DeadLetterLimits {
            max_bytes: 500,
            ..DeadLetterLimits::default()
        };
        queue.set_quotas(retained("a", limits));
        deliver(queue, "a", 0..1);
        let statistics = queue.statistics().unwrap();
        assert_eq!((statistics.events, statistics.targets[0].kept), (0, 0));
    });
}

#[test]
fn a_trim_removes_kept_deliveries_that_are_too_old_and_those_of_targets_that_keep_none() {
    with_each(|queue| {
        deliver(queue, "a", 0..300);
        deliver(queue, "b", 300..340);
        with_letters(queue, &[("a", 340..345)]);
        let limits = DeadLetterLimits {
            max_age: Duration::from_millis(100),
            ..DeadLetterLimits::default()
        };
        queue.set_quotas(retained("b", limits));
        let mut removed: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        loop {
            let some = queue.trim_dead_letters(420).unwrap();
            if some.is_empty() {
                break;
            }
            for (name, count) in some {
                *removed.entry(name).or_default() += count;
            }
        }
        let expected = [(kept_name("a").into(), 300), (kept_name("b").into(), 20)];
        assert_eq!(removed, expected.into());
        assert_eq!(letters(queue, "a").len(), 5);
        assert!(letters(queue, &kept_name("b")).into_iter().eq(320..340));
    });
}

#[test]
fn deliveries_are_not_kept_while_little_room_is_left() {
    with_each(|queue| {
        let mut number = 0;
        loop {
            number += 1;
            if append(queue, &event(number, b"k", 1000, ["a"])).is_err() {
                break;
            }
        }
        // The rest of the room.
        while append(queue, &event(number, b"k", 0, ["a"])).is_ok() {
            number += 1;
        }
        let entries = support::handles(queue, "a");
        let keep = |entry: &EntryId| Settlement {
            outcome: Settled::Kept {
                attempts: 1,
                delivered_at: 1,
            },
            ..delivered("a", *entry)
        };
        let before = queue.statistics().unwrap();
        // Each frees its room, until there is enough to keep the next.
        for entry in &entries {
            queue.commit(&[], &[keep(entry)]).unwrap();
        }
        let after = statistics_of(queue, "a");
        assert_eq!(after.pending, 0);
        assert!(after.kept < before.targets[0].pending, "all were kept");
        assert!(append(queue, &event(number, b"k", 0, ["a"])).is_ok());
    });
}

#[test]
fn a_kept_delivery_is_owed_again_and_kept_again() {
    with_each(|queue| {
        deliver(queue, "a", 0..10);
        let entries: Vec<EntryId> = (4..=6).map(EntryId).collect();
        assert_eq!(queue.replay("a", &entries).unwrap(), 0);
        assert_eq!(queue.replay(&kept_name("a"), &entries).unwrap(), 3);
        assert_eq!(support::handles(queue, "a"), entries);
        assert_eq!(statistics_of(queue, "a").kept, 7);
        let again = entries.iter().map(|entry| Settlement {
            outcome: Settled::Kept {
                attempts: 1,
                delivered_at: 50,
            },
            ..delivered("a", *entry)
        });
        let again: Vec<_> = again.collect();
        queue.commit(&[], &again).unwrap();
        let kept = support::dead(queue, Some(&kept_name("a")), None);
        assert!(kept.iter().map(|it| number(it.owed.id)).eq(0..10));
        assert_eq!(kept[3].died_at, 50);
        assert_eq!(queue.drop_dead(&kept_name("a"), &entries).unwrap(), 3);
        assert_eq!(queue.drop_target("a").unwrap(), 7);
        let statistics = queue.statistics().unwrap();
        assert_eq!((statistics.events, statistics.targets.len()), (0, 0));
    });
}

/// Commits these events for `target`, and then their settlements.
fn settle(queue: &dyn Queue, target: &str, events: &[Event], outcome: &Settled) {
    let entries = support::stored(queue, events, &[]).unwrap();
    let settle = |entry| Settlement {
        outcome: outcome.clone(),
        ..delivered(target, entry)
    };
    let settlements: Vec<_> = entries.into_iter().map(settle).collect();
    queue.commit(&[], &settlements).unwrap();
}

fn events(target: &str, count: u64, size: usize) -> Vec<Event> {
    let events = 0..count;
    events
        .map(|number| event(number, b"k", size, [target]))
        .collect()
}

const DIED: Settled = Settled::Dead {
    attempts: 1,
    died_at: 5,
    note: Vec::new(),
};

const KEPT: Settled = Settled::Kept {
    attempts: 1,
    delivered_at: 5,
};

/// A queue on the disk for more than fits [`MAX`].
fn large(dir: &tempfile::TempDir) -> DiskQueue {
    DiskQueue::open(dir.path(), &Options::with_max_bytes(16 * MAX)).unwrap()
}

#[test]
fn a_trim_on_the_disk_removes_256_dead_letters_at_once_and_2048_kept_deliveries_of_a_target() {
    let trim = |queue: &DiskQueue| {
        let mut counts = Vec::new();
        loop {
            let some = queue.trim_dead_letters(1_000_000).unwrap();
            if some.is_empty() {
                return counts;
            }
            counts.push(some.iter().map(|(_, count)| count).sum::<u64>());
        }
    };
    let dead_letters = |dead_letters| Quotas {
        dead_letters,
        ..Quotas::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let queue = large(&dir);
    settle(&queue, "a", &events("a", 300, 10), &DIED);
    queue.set_quotas(dead_letters(DeadLetterLimits {
        max_count: 10,
        ..DeadLetterLimits::default()
    }));
    assert_eq!(trim(&queue), [256, 34]);
    for target in ["b", "c", "d", "e", "f"] {
        settle(&queue, target, &events(target, 60, 10), &DIED);
    }
    queue.set_quotas(dead_letters(DeadLetterLimits {
        max_age: Duration::from_secs(1),
        ..DeadLetterLimits::default()
    }));
    assert_eq!(trim(&queue), [256, 54]);
    settle(&queue, "a", &events("a", 2100, 10), &KEPT);
    settle(&queue, "b", &events("b", 10, 10), &KEPT);
    queue.set_quotas(retained("b", DeadLetterLimits::default()));
    let removed = queue.trim_dead_letters(0).unwrap();
    assert_eq!(removed, [(kept_name("a").into(), 2048)]);
    assert_eq!(trim(&queue), [52]);
    assert_eq!(statistics_of(&queue, "b").kept, 10);
}

#[test]
fn a_trim_on_the_disk_writes_only_if_a_bound_is_exceeded() {
    let dir = tempfile::tempdir().unwrap();
    let queue = large(&dir);
    settle(&queue, "a", &events("a", 5, 10), &DIED);
    settle(&queue, "b", &events("b", 5, 10), &KEPT);
    // Nothing is left of what was kept for a target without a bound.
    settle(&queue, "c", &events("c", 1, 10), &KEPT);
    let last = [EntryId(11)];
    assert_eq!(queue.drop_dead(&kept_name("c"), &last).unwrap(), 1);
    let bounded = |max_count| {
        let limits = DeadLetterLimits {
            max_count,
            ..DeadLetterLimits::default()
        };
        queue.set_quotas(retained("b", limits));
        let data = || std::fs::read(dir.path().join("data.mdb")).unwrap();
        let before = data();
        let removed = queue.trim_dead_letters(10).unwrap();
        (removed, data() == before)
    };
    assert_eq!(bounded(5), (vec![], true));
    assert_eq!(bounded(4), (vec![(kept_name("b").into(), 1)], false));
    assert_eq!(bounded(4), (vec![], true));
}

#[test]
fn a_commit_on_the_disk_removes_256_kept_deliveries_and_two_for_each_that_it_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let queue = large(&dir);
    settle(&queue, "a", &events("a", 1000, 10), &KEPT);
    let max_bytes = statistics_of(&queue, "a").kept_bytes;
    let limits = DeadLetterLimits {
        max_bytes,
        ..DeadLetterLimits::default()
    };
    queue.set_quotas(retained("a", limits));
    // Each is as large as ten of those before.
    settle(&queue, "a", &events("a", 60, 2000), &KEPT);
    assert_eq!(statistics_of(&queue, "a").kept, 1060 - 256 - 2 * 60);
    for _ in 0..2 {
        settle(&queue, "a", &events("a", 1, 10), &KEPT);
    }
    assert!(statistics_of(&queue, "a").kept_bytes <= max_bytes);
}

#[test]
fn a_commit_on_the_disk_looks_for_deliveries_too_old_before_the_first_that_stays_and_a_trim_behind()
{
    let dir = tempfile::tempdir().unwrap();
    let queue = large(&dir);
    let limits = DeadLetterLimits {
        max_age: Duration::from_millis(100),
        ..DeadLetterLimits::default()
    };
    let deliver_at = |count, delivered_at| {
        let attempts = 1;
        let kept = Settled::Kept {
            attempts,
            delivered_at,
        };
        settle(&queue, "a", &events("a", count, 10), &kept);
    };
    for (count, at) in [(2, 1), (2, 1), (2, 1000), (3, 1)] {
        deliver_at(count, at);
        append(&queue, &event(0, b"k", 10, ["between"])).unwrap();
    }
    queue.set_quotas(retained("a", limits));
    deliver_at(1, 1050);
    assert_eq!(statistics_of(&queue, "a").kept, 2 + 3 + 1);
    let removed = queue.trim_dead_letters(1050).unwrap();
    assert_eq!(removed, [(kept_name("a").into(), 3)]);
}
