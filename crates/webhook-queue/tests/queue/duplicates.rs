//! Events that are repeated with the same idempotency key are stored once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use webhook_queue::{
    Accepted, Committed, DiskQueue, DuplicateWindow, Event, GroupWriter, Limits, MemoryQueue,
    Options, Queue, QueueError, Settled, Settlement, SlotGuard, Verify, verify,
};

use crate::support::{self, delivered, event};

const OPTIONS: Options = Options::with_max_bytes(64 << 20);

/// The nth event, with an idempotency key.
fn keyed(number: u64, key: &[u8]) -> Event {
    Event {
        idempotency_key: Some(key.into()),
        ..event(number, b"task", 100, ["t"])
    }
}

fn open(dir: &Path) -> DiskQueue {
    DiskQueue::open(dir, &OPTIONS).unwrap()
}

/// Commits the events; whether each is a duplicate.
fn given(queue: &dyn Queue, events: &[Event]) -> Vec<bool> {
    let accepted = queue.commit(events, &[]).unwrap().accepted;
    let duplicates = accepted.iter().map(|of| of.duplicate_of().is_some());
    duplicates.collect()
}

#[test]
fn a_known_key_is_answered_with_the_first_events_id_over_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let first = keyed(1, b"key");
    let entry = support::stored(&open(dir.path()), std::slice::from_ref(&first), &[]).unwrap()[0];
    let queue = open(dir.path());
    let again = queue.commit(&[keyed(2, b"key")], &[]).unwrap().accepted;
    assert_eq!(again, [Accepted::Duplicate(first.id)]);
    // The key stays known after the event is settled and removed.
    queue.commit(&[], &[delivered("t", entry)]).unwrap();
    let again = queue.commit(&[keyed(3, b"key")], &[]).unwrap().accepted;
    assert_eq!(again, [Accepted::Duplicate(first.id)]);
    assert_eq!(queue.statistics().unwrap().events, 0);
    assert_eq!(given(&queue, &[keyed(4, b"other")]), [false]);
    drop(queue);
    assert!(verify(dir.path()).unwrap().is_whole());
}

#[test]
fn a_known_key_tells_its_body_from_others_over_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let first = keyed(1, b"key");
    let memory = MemoryQueue::new(1 << 20);
    open(dir.path())
        .commit(std::slice::from_ref(&first), &[])
        .unwrap();
    memory.commit(std::slice::from_ref(&first), &[]).unwrap();
    let queues: [Box<dyn Queue>; 2] = [Box::new(open(dir.path())), Box::new(memory)];
    for queue in queues {
        assert!(queue.is_repetition(b"key", &first.body).unwrap());
        assert!(!queue.is_repetition(b"key", b"another body").unwrap());
        assert!(queue.is_repetition(b"unknown", b"another body").unwrap());
    }
}

#[test]
fn a_key_given_twice_in_one_commit_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let queues: [Box<dyn Queue>; 2] = [
        Box::new(open(dir.path())),
        Box::new(MemoryQueue::new(1 << 20)),
    ];
    for queue in queues {
        let group = [keyed(1, b"a"), keyed(2, b"b"), keyed(3, b"a")];
        assert_eq!(given(&*queue, &group), [false, false, true]);
        assert_eq!(queue.statistics().unwrap().events, 2);
    }
}

#[test]
fn a_commit_that_is_refused_leaves_its_keys_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let queues: [Box<dyn Queue>; 2] = [
        Box::new(open(dir.path())),
        Box::new(MemoryQueue::new(64 << 20)),
    ];
    for queue in queues {
        let huge = event(2, b"k", 65 << 20, ["t"]);
        let refused = queue.commit(&[keyed(1, b"key"), huge], &[]).unwrap_err();
        assert!(matches!(refused, QueueError::TooLarge { .. }), "{refused}");
        assert_eq!(given(&*queue, &[keyed(1, b"key")]), [false]);
    }
}

#[test]
fn a_full_queue_still_detects_duplicates() {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 20)).unwrap();
    let queues: [Box<dyn Queue>; 2] = [Box::new(disk), Box::new(MemoryQueue::new(1 << 20))];
    for queue in queues {
        let first = keyed(0, b"first");
        queue.commit(std::slice::from_ref(&first), &[]).unwrap();
        for number in 1.. {
            if let Err(full) = queue.commit(&[event(number, b"k", 30_000, ["t"])], &[]) {
                assert!(matches!(full, QueueError::Full { .. }), "{full}");
                break;
            }
        }
        let again = queue.commit(&[keyed(9, b"first")], &[]).unwrap().accepted;
        assert_eq!(again, [Accepted::Duplicate(first.id)]);
    }
}

#[test]
fn keys_never_fill_a_queue_however_small() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::with_max_bytes(1 << 20);
    let queue = DiskQueue::open(dir.path(), &options).unwrap();
    for group in 0..60_u64 {
        let events: Vec<Event> = (0..64)
            .map(|at| keyed(at, &(group * 64 + at).to_le_bytes()))
            .collect();
        let entries = support::stored(&queue, &events, &[]).unwrap();
        let gone: Vec<Settlement> = entries.iter().map(|&at| delivered("t", at)).collect();
        queue.commit(&[], &gone).unwrap();
    }
    let used = queue.statistics().unwrap().bytes;
    assert!(used < (1 << 20) / 8, "{used} bytes of keys alone");
    assert_eq!(given(&queue, &[keyed(0, &3839_u64.to_le_bytes())]), [true]);
    assert_eq!(given(&queue, &[keyed(0, &0_u64.to_le_bytes())]), [false]);
}

#[test]
fn a_smaller_window_takes_effect_when_the_queue_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<[u8; 8]> = (0..3_000_u64).map(u64::to_le_bytes).collect();
    let events: Vec<Event> = keys.iter().map(|key| keyed(1, key)).collect();
    open(dir.path()).commit(&events, &[]).unwrap();
    let few = DuplicateWindow {
        keys: 10,
        ..DuplicateWindow::default()
    };
    let options = Options {
        duplicates: few,
        ..OPTIONS
    };
    let queue = DiskQueue::open(dir.path(), &options).unwrap();
    let mut found = given(&queue, &events[2_990..]);
    assert!(found.iter().all(|duplicate| *duplicate), "{found:?}");
    found = given(&queue, &events[..1]);
    assert_eq!(found, [false]);
    drop(queue);
    assert!(verify(dir.path()).unwrap().is_whole());
    let none = DuplicateWindow { keys: 0, ..few };
    let options = Options {
        duplicates: none,
        ..OPTIONS
    };
    let queue = DiskQueue::open(dir.path(), &options).unwrap();
    let twice = [keyed(1, b"twice"), keyed(2, b"twice")];
    assert_eq!(given(&queue, &twice), [false, false]);
}

#[test]
fn the_writer_reports_a_duplicate_and_counts_it_separately() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let on_commit = move |committed: Committed<u64>| {
        for appended in committed.appended {
            sender.send((appended.ticket, appended.result)).unwrap();
        }
    };
    let queue = Arc::new(MemoryQueue::new(1 << 20));
    let writer = GroupWriter::start(queue, Limits::default(), on_commit).unwrap();
    let first = keyed(1, b"key");
    writer.append(first.clone(), 1, None).unwrap();
    writer.append(keyed(2, b"key"), 2, None).unwrap();
    let results = [receiver.recv().unwrap(), receiver.recv().unwrap()];
    assert_eq!((results[0].0, results[1].0), (1, 2));
    assert!(results[0].1.as_ref().unwrap().entry().is_some());
    let again = results[1].1.as_ref().unwrap();
    assert_eq!(again.duplicate_of(), Some(first.id));
    let handle = writer.handle();
    writer.shutdown().unwrap();
    let statistics = handle.statistics();
    assert_eq!((statistics.events, statistics.duplicates), (1, 1));
}

#[test]
fn a_queue_is_verified_and_repaired_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Arc::new(open(dir.path()));
    let gone: Vec<Event> = (0..3_000)
        .map(|at| event(at, &at.to_le_bytes(), 2_000, ["gone", "kept"]))
        .collect();
    let entries = support::stored(&*queue, &gone, &[]).unwrap();
    let dead = Settled::Dead {
        attempts: 1,
        died_at: 1,
        note: Vec::new(),
    };
    let died = |target: &str| Settlement {
        target: target.into(),
        entry: entries[0],
        outcome: dead.clone(),
        guard: SlotGuard::SOLE,
    };
    queue.commit(&[], &[died("gone"), died("kept")]).unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let (writing, stopped) = (Arc::clone(&queue), Arc::clone(&stop));
    let writer = std::thread::spawn(move || {
        let mut number = 10_000;
        while !stopped.load(Ordering::SeqCst) {
            let added: Vec<Event> = (0..8)
                .map(|at| keyed(number + at, &(number + at).to_le_bytes()))
                .collect();
            number += 8;
            let entries = support::stored(&*writing, &added, &[]).unwrap();
            let settled: Vec<Settlement> = entries[..6]
                .iter()
                .map(|&entry| delivered("t", entry))
                .collect();
            writing.commit(&[], &settled).unwrap();
        }
        number - 10_000
    });
    for _ in 0..3 {
        let found = queue.verify().unwrap();
        assert!(found.is_whole(), "{found:?}");
        assert!(found.events >= 3_000);
    }
    assert_eq!(queue.drop_target("gone").unwrap(), 3_000);
    assert_eq!(queue.drop_dead("kept", &entries[..2]).unwrap(), 1);
    let found = queue.verify().unwrap();
    stop.store(true, Ordering::SeqCst);
    let written = writer.join().unwrap();
    assert!(found.is_whole(), "{found:?}");
    let statistics = queue.statistics().unwrap();
    let names: Vec<&str> = statistics
        .targets
        .iter()
        .map(|of| of.target.as_str())
        .collect();
    assert_eq!(names, ["kept", "t"]);
    assert_eq!(statistics.targets[0].pending, 2_999);
    assert_eq!(statistics.targets[1].pending, written / 4);
    assert_eq!(statistics.events, 2_999 + written / 4);
}
