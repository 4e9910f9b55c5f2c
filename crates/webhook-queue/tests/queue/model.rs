//! The queue on the disk behaves like the queue in memory, over reopening.

use std::sync::Arc;

use crate::steps::{Tested, compare, step};
use crate::support::{self, event};
use proptest::prelude::*;
use tempfile::TempDir;
use webhook_queue::{DiskQueue, DuplicateWindow, Event, MemoryQueue, Options, Queue, verify};

const MAX: u64 = 64 << 20;
/// Fewer than there are keys.
const STATES: u64 = 5;

/// A queue on the disk.
struct OnDisk {
    dir: TempDir,
    options: Options,
    /// `None` while it is opened again.
    queue: Option<DiskQueue>,
}

impl OnDisk {
    fn open(options: Options) -> OnDisk {
        let dir = tempfile::tempdir().unwrap();
        let queue = Some(DiskQueue::open(dir.path(), &options).unwrap());
        OnDisk {
            dir,
            options,
            queue,
        }
    }
}

impl Tested for OnDisk {
    fn queue(&self) -> &dyn Queue {
        self.queue.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.queue = None;
        let found = verify(self.dir.path()).unwrap();
        assert!(found.is_whole(), "{found:?}");
        self.queue = Some(DiskQueue::open(self.dir.path(), &self.options).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_disk_and_the_memory_agree_over_reopening(steps in prop::collection::vec(step(), 1..24)) {
        // So few keys and so short an age that both bounds are reached.
        let window = DuplicateWindow { age_ms: 20, keys: 6 };
        let options = Options {
            duplicates: window,
            max_last_states: STATES,
            ..Options::with_max_bytes(MAX)
        };
        let memory = MemoryQueue::with_window(MAX, window).with_max_last_states(STATES);
        compare(&mut OnDisk::open(options), &memory, &steps);
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
