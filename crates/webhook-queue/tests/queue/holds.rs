//! Until when a target gets nothing.

use webhook_queue::{
    DiskQueue, EntryId, MemoryQueue, Options, Queue, Settled, Settlement, SlotGuard, TargetHold,
};

use crate::support::event;

fn held(target: &str, until: u64, note: &[u8]) -> Settlement {
    Settlement {
        target: target.into(),
        entry: EntryId(0),
        outcome: Settled::Held {
            until,
            note: note.to_vec(),
        },
        guard: SlotGuard::SOLE,
    }
}

/// The holds of the targets `a`, `b` and `unknown`.
fn holds(queue: &dyn Queue) -> [Option<TargetHold>; 3] {
    ["a", "b", "unknown"].map(|target| queue.hold(target).unwrap())
}

#[test]
fn a_hold_is_known_until_another_one_its_end_or_the_removal_of_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let open = || DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 20)).unwrap();
    let hold = |until, note: &[u8]| Some(TargetHold::new(until, note.to_vec()));
    let set = |queue: &dyn Queue| {
        queue.commit(&[event(1, b"k", 1, ["a", "b"])], &[]).unwrap();
        assert_eq!(holds(queue), [None, None, None]);
        let both = [held("a", 70, b"wait"), held("b", u64::MAX, b"")];
        queue.commit(&[], &both).unwrap();
        assert_eq!(holds(queue), [hold(70, b"wait"), hold(u64::MAX, b""), None]);
        queue.commit(&[], &[held("b", 80, b"more")]).unwrap();
    };
    let end = |queue: &dyn Queue| {
        assert_eq!(holds(queue), [hold(70, b"wait"), hold(80, b"more"), None]);
        queue.commit(&[], &[held("a", 0, b"")]).unwrap();
        assert_eq!(holds(queue), [None, hold(80, b"more"), None]);
        // The target that is added later has the number of the one that was removed.
        queue.drop_target("b").unwrap();
        queue.commit(&[event(2, b"k", 1, ["b"])], &[]).unwrap();
        assert_eq!(holds(queue), [None, None, None]);
    };
    let memory = MemoryQueue::new(1 << 20);
    set(&memory);
    end(&memory);
    set(&open());
    end(&open());
}
