//! The attributes of an event are read back with it.

use std::fs;

use webhook_queue::{
    DiskQueue, Event, MemoryQueue, Options, Queue, Settled, Settlement, SlotGuard, compact, verify,
};

use crate::support::{View, dead, event, owed, stored};

const OPTIONS: Options = Options::with_max_bytes(64 << 20);

/// Stores three events for one target, of which the first becomes a dead letter.
fn fill(queue: &dyn Queue) {
    let with = |number, attributes: &[u8]| Event {
        attributes: attributes.into(),
        ..event(number, b"key", 100, ["t"])
    };
    let long = vec![7; 20_000];
    let events = [with(1, b"dead"), with(2, b""), with(3, &long)];
    let entries = stored(queue, &events, &[]).unwrap();
    let died = Settlement {
        target: "t".into(),
        entry: entries[0],
        outcome: Settled::Dead {
            attempts: 1,
            died_at: 2,
            note: Vec::new(),
        },
        guard: SlotGuard::SOLE,
    };
    queue.commit(&[], &[died]).unwrap();
    let letters = dead(queue, None, None);
    let found = owed(queue, "t", None);
    assert_eq!(letters[0].owed.attributes, b"dead");
    assert_eq!(found[0].attributes, b"");
    assert_eq!(found[1].attributes, long);
}

#[test]
fn attributes_are_read_back_after_reopening_and_a_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, memory) = (
        DiskQueue::open(dir.path(), &OPTIONS).unwrap(),
        MemoryQueue::new(64 << 20),
    );
    fill(&disk);
    fill(&memory);
    assert_eq!(View::of(&disk), View::of(&memory));
    drop(disk);
    compact(dir.path()).unwrap();
    assert!(verify(dir.path()).unwrap().is_whole());
    let disk = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    assert_eq!(View::of(&disk), View::of(&memory));
}

#[test]
fn attributes_are_written_back_with_a_queue_whose_files_were_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    fill(&disk);
    let before = View::of(&disk);
    for name in ["data.mdb", "FORMAT"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    disk.close().unwrap();
    drop(disk);
    let mark = fs::read_to_string(dir.path().join("FORMAT")).unwrap();
    assert!(mark.starts_with("webhook-queue 3\n"), "{mark}");
    let disk = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    assert_eq!(View::of(&disk), before);
}
