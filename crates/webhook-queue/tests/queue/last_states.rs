//! An event is stored if it changes the last state of its key.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use webhook_queue::{
    Accepted, Committed, DiskQueue, Event, GroupWriter, LastState, Limits, MemoryQueue, Options,
    Queue, QueueError, Quotas, Settlement, compact, verify,
};

use crate::support::{View, delivered, event, number, owed};

const OPTIONS: Options = Options::with_max_bytes(64 << 20);

fn open(dir: &Path) -> DiskQueue {
    DiskQueue::open(dir, &OPTIONS).unwrap()
}

/// The nth event, which brings a key to a state.
fn change(number: u64, key: &str, state: &str) -> Event {
    Event {
        attributes: (*b"of:").into(),
        last_state: Some(Box::new(LastState {
            key: key.as_bytes().into(),
            state: state.as_bytes().into(),
            append_previous: true,
            changes_only: [].into(),
        })),
        ..event(number, key.as_bytes(), 100, ["t"])
    }
}

/// An event that may be repeated.
fn once(number: u64, key: &str, state: &str) -> Event {
    Event {
        idempotency_key: Some(Arc::from(number.to_le_bytes())),
        ..change(number, key, state)
    }
}

fn state(queue: &dyn Queue, key: &str) -> Option<String> {
    let found = queue.last_state(key.as_bytes()).unwrap()?;
    Some(String::from_utf8(found.to_vec()).unwrap())
}

/// Commits events together: for each the state before it, or what became of it.
fn given(queue: &dyn Queue, events: &[Event]) -> Vec<String> {
    let text = |accepted: &Accepted| match accepted {
        Accepted::Unchanged => "unchanged".to_owned(),
        Accepted::Duplicate(_) => "duplicate".to_owned(),
        Accepted::OverQuota(_) => "over quota".to_owned(),
        accepted => match accepted.previous_state() {
            Some(from) => format!("from {}", String::from_utf8_lossy(from)),
            None => "new".to_owned(),
        },
    };
    let accepted = queue.commit(events, &[]).unwrap().accepted;
    accepted.iter().map(text).collect()
}

/// A queue on the disk and one in memory.
fn both(dir: &Path) -> [Box<dyn Queue>; 2] {
    [
        Box::new(open(dir)),
        Box::new(MemoryQueue::new(OPTIONS.max_bytes)),
    ]
}

#[test]
fn an_event_without_a_change_is_dropped_and_one_with_a_change_gets_the_state_before_it() {
    let dir = tempfile::tempdir().unwrap();
    for queue in both(dir.path()) {
        let group = [
            change(1, "a", "PENDING"),
            change(2, "a", "PENDING"),
            change(3, "b", "PENDING"),
            change(4, "a", "RUNNING"),
        ];
        let found = given(&*queue, &group);
        assert_eq!(found, ["new", "unchanged", "new", "from PENDING"]);
        let found = given(
            &*queue,
            &[change(5, "a", "RUNNING"), change(6, "a", "LOST")],
        );
        assert_eq!(found, ["unchanged", "from RUNNING"]);
        let found = owed(&*queue, "t", None);
        let attributes: Vec<_> = found.iter().map(|it| &it.attributes[..]).collect();
        let expected: [&[u8]; 4] = [b"of:", b"of:", b"of:PENDING", b"of:RUNNING"];
        assert_eq!(attributes, expected);
        assert_eq!(state(&*queue, "a").as_deref(), Some("LOST"));
        assert_eq!(state(&*queue, "c"), None);
        assert_eq!(queue.statistics().unwrap().last_states, 2);
        assert!(queue.verifier().unwrap().verify().unwrap().is_whole());
    }
}

#[test]
fn last_states_are_known_after_the_events_are_gone_and_over_reopening_and_a_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let entries = queue
        .commit(&[change(1, "a", "RUNNING")], &[])
        .unwrap()
        .accepted;
    let settled: Vec<Settlement> = entries
        .iter()
        .map(|it| delivered("t", it.entry().unwrap()))
        .collect();
    queue.commit(&[], &settled).unwrap();
    assert_eq!(queue.statistics().unwrap().events, 0);
    drop(queue);
    compact(dir.path()).unwrap();
    assert!(verify(dir.path()).unwrap().is_whole());
    let queue = open(dir.path());
    assert_eq!(given(&queue, &[change(2, "a", "RUNNING")]), ["unchanged"]);
    assert_eq!(given(&queue, &[change(3, "a", "LOST")]), ["from RUNNING"]);
}

#[test]
fn an_event_without_targets_changes_the_state_of_its_key() {
    let dir = tempfile::tempdir().unwrap();
    for queue in both(dir.path()) {
        let nowhere = Event {
            targets: [].into(),
            ..change(1, "a", "RUNNING")
        };
        assert_eq!(given(&*queue, &[nowhere]), ["new"]);
        assert_eq!(given(&*queue, &[change(2, "a", "RUNNING")]), ["unchanged"]);
        assert_eq!(queue.statistics().unwrap().events, 0);
    }
}

#[test]
fn a_target_that_wants_changes_alone_gets_no_event_of_a_key_without_a_known_state() {
    let dir = tempfile::tempdir().unwrap();
    for queue in both(dir.path()) {
        let to = |number, state, targets: &[&str]| {
            let mut event = change(number, "a", state);
            event.targets = targets.iter().map(|&target| target.into()).collect();
            if let Some(last) = &mut event.last_state {
                last.changes_only = ["changes".into()].into();
            }
            event
        };
        let both = ["t", "changes"];
        let events = [
            to(1, "PENDING", &both),
            to(2, "RUNNING", &both),
            to(3, "LOST", &["changes"]),
        ];
        given(&*queue, &events);
        let numbers = |target| -> Vec<u64> {
            let found = owed(&*queue, target, None);
            found.iter().map(|it| number(it.id)).collect()
        };
        assert_eq!((numbers("t"), numbers("changes")), (vec![1, 2], vec![2, 3]));
        assert!(queue.verifier().unwrap().verify().unwrap().is_whole());
    }
}

#[test]
fn a_duplicate_changes_no_state_and_a_dropped_event_is_known_as_one() {
    let dir = tempfile::tempdir().unwrap();
    for queue in both(dir.path()) {
        let sent = [
            once(1, "a", "PENDING"),
            once(2, "a", "RUNNING"),
            once(3, "a", "RUNNING"),
            once(4, "a", "LOST"),
        ];
        let found = given(&*queue, &sent);
        assert_eq!(found, ["new", "from PENDING", "unchanged", "from RUNNING"]);
        assert_eq!(given(&*queue, &sent), ["duplicate"; 4]);
        assert_eq!(state(&*queue, "a").as_deref(), Some("LOST"));
    }
}

#[test]
fn a_commit_that_is_refused_changes_no_state() {
    let dir = tempfile::tempdir().unwrap();
    for queue in both(dir.path()) {
        given(&*queue, &[change(1, "a", "PENDING")]);
        let huge = event(3, b"k", 65 << 20, ["t"]);
        let refused = queue.commit(&[change(2, "a", "RUNNING"), huge], &[]);
        assert!(matches!(refused, Err(QueueError::TooLarge { .. })));
        assert_eq!(state(&*queue, "a").as_deref(), Some("PENDING"));
        assert_eq!(
            given(&*queue, &[change(4, "a", "RUNNING")]),
            ["from PENDING"]
        );
        let long = "x".repeat(LastState::MAX_BYTES + 1);
        let refused = queue.commit(&[change(5, "a", &long)], &[]);
        assert!(matches!(
            refused,
            Err(QueueError::TooLarge {
                size: 257,
                max: 256
            })
        ));
        let longest = &long[1..];
        assert_eq!(given(&*queue, &[change(6, "a", longest)]), ["from RUNNING"]);
    }
}

#[test]
fn an_event_over_the_quotas_of_all_its_targets_changes_no_state() {
    let dir = tempfile::tempdir().unwrap();
    for queue in both(dir.path()) {
        let quota = |bytes| Quotas {
            owed: [("t", Some(bytes)), ("other", None)]
                .map(|(name, bytes)| (name.into(), bytes))
                .into(),
            ..Quotas::default()
        };
        queue.set_quotas(quota(1));
        assert_eq!(given(&*queue, &[change(1, "a", "PENDING")]), ["new"]);
        let found = given(
            &*queue,
            &[change(2, "a", "RUNNING"), change(3, "a", "PENDING")],
        );
        assert_eq!(found, ["over quota", "unchanged"]);
        queue.set_quotas(quota(u64::MAX));
        assert_eq!(
            given(&*queue, &[change(4, "a", "RUNNING")]),
            ["from PENDING"]
        );
    }
}

#[test]
fn a_full_queue_takes_events_without_a_change_and_refuses_changes() {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 20)).unwrap();
    let queues: [Box<dyn Queue>; 2] = [Box::new(disk), Box::new(MemoryQueue::new(1 << 20))];
    for queue in queues {
        given(&*queue, &[change(0, "a", "RUNNING")]);
        for size in [30_000, 100] {
            for number in 1.. {
                if queue
                    .commit(&[event(number, b"k", size, ["t"])], &[])
                    .is_err()
                {
                    break;
                }
            }
        }
        assert_eq!(given(&*queue, &[change(1, "a", "RUNNING")]), ["unchanged"]);
        let full = queue.commit(&[change(2, "a", "LOST")], &[]).unwrap_err();
        assert!(matches!(full, QueueError::Full { .. }), "{full}");
        assert_eq!(state(&*queue, "a").as_deref(), Some("RUNNING"));
    }
}

#[test]
fn the_states_that_were_not_changed_for_longest_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        max_last_states: 3,
        ..OPTIONS
    };
    let disk = DiskQueue::open(dir.path(), &options).unwrap();
    let memory = MemoryQueue::new(OPTIONS.max_bytes).with_max_last_states(3);
    let queues: [Box<dyn Queue>; 2] = [Box::new(disk), Box::new(memory)];
    for queue in queues {
        let changes = ["a", "b", "c", "a"].into_iter().zip(["1", "1", "1", "2"]);
        for (number, (key, state)) in (0..).zip(changes) {
            given(&*queue, &[change(number, key, state)]);
        }
        // An event without a change does not keep its key's state from being forgotten.
        assert_eq!(given(&*queue, &[change(5, "b", "1")]), ["unchanged"]);
        assert_eq!(given(&*queue, &[change(6, "d", "1")]), ["new"]);
        let found = ["a", "b", "c", "d"].map(|key| state(&*queue, key).is_some());
        assert_eq!(found, [true, false, true, true]);
        assert_eq!(given(&*queue, &[change(7, "b", "1")]), ["new"]);
        assert_eq!(queue.statistics().unwrap().last_states, 3);
        assert!(queue.verifier().unwrap().verify().unwrap().is_whole());
    }
}

#[test]
fn a_smaller_bound_takes_effect_when_the_queue_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<String> = (0..3_000).map(|key| key.to_string()).collect();
    let events: Vec<Event> = keys.iter().map(|key| change(1, key, "RUNNING")).collect();
    open(dir.path()).commit(&events, &[]).unwrap();
    for max in [10, 0] {
        let options = Options {
            max_last_states: max,
            ..OPTIONS
        };
        let queue = DiskQueue::open(dir.path(), &options).unwrap();
        assert_eq!(queue.statistics().unwrap().last_states, max);
        let known = |key: usize| state(&queue, &keys[key]).is_some();
        assert_eq!((known(2_989), known(2_990)), (false, max > 0));
        let twice = [change(2, "x", "LOST"), change(3, "x", "LOST")];
        let second = if max > 0 { "unchanged" } else { "new" };
        assert_eq!(given(&queue, &twice), ["new", second]);
        drop(queue);
        assert!(verify(dir.path()).unwrap().is_whole());
    }
}

#[test]
fn last_states_never_fill_a_queue_however_small_and_however_long_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 20)).unwrap();
    for round in 0..80_u64 {
        // Half of the keys are new, the others change anywhere among those that are known.
        let events: Vec<Event> = (0..32)
            .map(|at| {
                let number = round * 32 + at;
                let key = match at % 2 {
                    0 => number,
                    _ => number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (number + 1),
                };
                let state = format!("{number:0256}");
                Event {
                    targets: [].into(),
                    ..change(number, &key.to_string(), &state)
                }
            })
            .collect();
        queue.commit(&events, &[]).unwrap();
    }
    let statistics = queue.statistics().unwrap();
    assert_eq!(statistics.last_states, (1 << 20) / 16 / 600);
    let used = statistics.bytes;
    assert!(used < (1 << 20) / 8, "{used} bytes of last states alone");
    assert!(queue.verifier().unwrap().verify().unwrap().is_whole());
}

#[test]
fn a_queue_gets_the_tables_and_the_format_of_last_states_with_the_first_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mark = || fs::read_to_string(dir.path().join("FORMAT")).unwrap();
    let queue = open(dir.path());
    queue.commit(&[event(1, b"a", 10, ["t"])], &[]).unwrap();
    assert!(mark().starts_with("webhook-queue 1\n"));
    // A read that began before the tables were added ends as it began.
    let mut visit = |_: webhook_queue::Owed<'_>| {
        queue.commit(&[change(2, "a", "LOST")], &[]).unwrap();
        std::ops::ControlFlow::Break(())
    };
    queue.owed("t", None, &mut visit).unwrap();
    assert!(mark().starts_with("webhook-queue 3\n"));
    assert_eq!(state(&queue, "a").as_deref(), Some("LOST"));
    let view = View::of(&queue);
    drop(queue);
    assert!(verify(dir.path()).unwrap().is_whole());
    let queue = open(dir.path());
    assert_eq!(View::of(&queue), view);
    assert_eq!(state(&queue, "a").as_deref(), Some("LOST"));
}

#[test]
fn the_writer_drops_events_without_a_change_and_counts_them() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let on_commit = move |committed: Committed<()>| {
        for appended in committed.appended {
            sender.send(appended.result.unwrap()).unwrap();
        }
    };
    let queue = Arc::new(MemoryQueue::new(1 << 20));
    let writer = GroupWriter::start(queue, Limits::default(), on_commit).unwrap();
    for (number, state) in (0..).zip(["PENDING", "PENDING", "RUNNING"]) {
        writer.append(change(number, "a", state), (), None).unwrap();
    }
    let results: Vec<Accepted> = receiver.iter().take(3).collect();
    assert!(results[1].is_unchanged());
    assert_eq!(results[2].previous_state().unwrap()[..], *b"PENDING");
    let handle = writer.handle();
    writer.shutdown().unwrap();
    let statistics = handle.statistics();
    assert_eq!((statistics.events, statistics.unchanged), (2, 1));
}
