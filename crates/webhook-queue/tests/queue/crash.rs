//! Everything acknowledged survives a kill of the process at any instant, and a power loss.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use webhook_queue::{
    DiskQueue, EntryId, Event, Options, Queue, QueueError, Settlement, compact, verify,
};

use crate::kills::{Acknowledged, CHILD, child, feed, nth, report, until};
use crate::support::{self, View, delivered, number};

const TARGETS: [&str; 2] = ["a", "b"];
const OPTIONS: Options = Options::with_max_bytes(64 << 20);

#[test]
fn nothing_acknowledged_is_lost_by_kill_minus_nine() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let queue = DiskQueue::open(Path::new(&dir), &OPTIONS).unwrap();
        return feed(&Arc::new(queue));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for round in 0..8_usize {
        let test = "crash::nothing_acknowledged_is_lost_by_kill_minus_nine";
        let mut child = child(test, dir.path(), &[]);
        let kill_at = 200 + round * 311;
        let seen = acknowledged.read(&mut child, |seen, child| {
            if seen == kill_at {
                child.kill().unwrap();
            }
        });
        assert!(seen >= kill_at, "the child ended by itself");
        let found = verify(dir.path()).unwrap();
        assert!(found.is_whole(), "{found:?}");
        acknowledged.check(&DiskQueue::open(dir.path(), &OPTIONS).unwrap());
    }
    acknowledged.expect(1000, 500);
}

/// A small random generator with the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// The data file after a power loss during the second of two commits: any of the sectors that it
/// wrote have arrived, but not the meta page, which it writes after its sync. The file has any
/// length between the two.
fn power_loss(before: &[u8], after: &[u8], random: &mut Random) -> Vec<u8> {
    let sectors = after.len().max(before.len()) / SECTOR;
    let arrived = random.below(5);
    let mut image = before.to_vec();
    for at in 2 * PAGE / SECTOR..sectors {
        let range = at * SECTOR..(at + 1) * SECTOR;
        if random.below(4) < arrived {
            image.resize(image.len().max(range.end), 0);
            image[range.clone()].copy_from_slice(&after[range]);
        }
    }
    image
}

fn open_image(mark: &Path, image: &[u8]) -> (tempfile::TempDir, DiskQueue) {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(mark.join("FORMAT"), dir.path().join("FORMAT")).unwrap();
    fs::write(dir.path().join("data.mdb"), image).unwrap();
    let found = verify(dir.path()).unwrap();
    assert!(found.is_whole(), "{found:?}");
    let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    (dir, queue)
}

#[test]
fn a_power_loss_during_a_commit_keeps_the_state_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data.mdb");
    let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut entries: Vec<EntryId> = Vec::new();
    let mut differing = 0;
    for step in 0..16 {
        let (before, view) = (fs::read(&data).unwrap(), View::of(&queue));
        let appends: Vec<Event> = (0..random.below(12) as u64)
            .map(|at| nth(step * 12 + at))
            .collect();
        let settlements: Vec<Settlement> = (0..random.below(14))
            .filter_map(|at| {
                let entry = *entries.get(random.below(entries.len().max(1)))?;
                Some(delivered(TARGETS[at % 2], entry))
            })
            .collect();
        entries.extend(support::stored(&queue, &appends, &settlements).unwrap());
        let after = fs::read(&data).unwrap();
        differing += usize::from(before != after);
        for _ in 0..4 {
            let image = power_loss(&before, &after, &mut random);
            let (_dir, lost) = open_image(dir.path(), &image);
            assert_eq!(View::of(&lost), view, "in step {step}");
        }
        // With the meta page everything is on the disk, and the commit took effect.
        let (_dir, kept) = open_image(dir.path(), &after);
        assert_eq!(View::of(&kept), View::of(&queue), "after step {step}");
    }
    assert!(differing > 10);
}

/// Fills the queue up to the limit on the size of files, and further when the limit is lifted.
fn fill(dir: &Path) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let queue = DiskQueue::open(dir, &OPTIONS).unwrap();
    let first = support::stored(&queue, &[nth(4)], &[]).unwrap()[0];
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: Some(2 << 20),
            maximum,
        },
    )
    .unwrap();
    let mut number = 5;
    let error = loop {
        match queue.commit(&[nth(number)], &[]) {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            error,
            QueueError::NoSpace { .. } | QueueError::Storage { .. }
        ),
        "{error:?}"
    );
    assert!(error.is_retryable());
    let again = queue.commit(&[nth(number)], &[]);
    assert!(
        again.is_err(),
        "what is new is refused as long as there is no room"
    );
    assert_eq!(support::owed(&queue, "a", None).len() as u64, number - 4);
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .unwrap();
    queue
        .commit(&[nth(number)], &[delivered("a", first)])
        .unwrap();
    report(&format!("\nappended {number}\n"));
}

#[test]
fn a_full_disk_refuses_new_events_and_keeps_stored_ones() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return fill(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "crash::a_full_disk_refuses_new_events_and_keeps_stored_ones";
    // With the signal for a write beyond the limit ignored, the write fails as on a full disk.
    let child = child(
        test,
        dir.path(),
        &["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""],
    );
    let output = child.wait_with_output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let last = output
        .lines()
        .find_map(|line| line.strip_prefix("appended "));
    let last: u64 = last.unwrap_or_else(|| panic!("{output}")).parse().unwrap();
    assert!(last > 100);
    assert!(verify(dir.path()).unwrap().is_whole());
    let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    let kept = |target| {
        support::owed(&queue, target, None)
            .into_iter()
            .map(|owed| number(owed.id))
    };
    assert!(kept("a").eq(5..=last));
    assert!(kept("b").eq(4..=last));
}

/// Commits under limits on the size of files that let a part of the write through, or none.
fn write_a_part(dir: &Path) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = |current| {
        setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
    };
    for pages in 2..16 {
        let dir = dir.join(pages.to_string());
        let queue = DiskQueue::open(&dir, &OPTIONS).unwrap();
        limit(Some((pages << 12) + 100));
        let committed = queue.commit(&[nth(7)], &[]);
        assert!(
            matches!(committed, Err(QueueError::NoSpace { .. })),
            "{pages}: {committed:?}"
        );
        drop(queue);
        // LMDB begins the file anew.
        fs::write(dir.join("data.mdb"), "").unwrap();
        limit(Some(100));
        let opened = DiskQueue::open(&dir, &OPTIONS).map(drop);
        assert!(
            matches!(opened, Err(QueueError::NoSpace { .. })),
            "{opened:?}"
        );
        limit(maximum);
    }
    report("\nrefused\n");
}

#[test]
fn a_write_that_finds_room_for_a_part_is_refused_for_lack_of_room() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return write_a_part(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "crash::a_write_that_finds_room_for_a_part_is_refused_for_lack_of_room";
    let ignored = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
    let output = child(test, dir.path(), &ignored)
        .wait_with_output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.lines().any(|line| line == "refused"), "{output}");
}

#[test]
fn a_compaction_killed_midway_leaves_the_queue_as_it_was() {
    if let Some(dir) = std::env::var_os(CHILD) {
        report("\nbegun\n");
        compact(Path::new(&dir)).unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    let events: Vec<Event> = (0..4000).map(nth).collect();
    let entries = support::stored(&queue, &events, &[]).unwrap();
    let settlements: Vec<Settlement> = entries[..3000]
        .iter()
        .flat_map(|&entry| TARGETS.map(|target| delivered(target, entry)))
        .collect();
    queue.commit(&[], &settlements).unwrap();
    let view = View::of(&queue);
    drop(queue);
    let test = "crash::a_compaction_killed_midway_leaves_the_queue_as_it_was";
    let mut random = Random(77);
    for round in 0..8 {
        let mut child = child(test, dir.path(), &[]);
        let _output = until(&mut child, "begun");
        // The kill hits any instant of the compaction.
        for _ in 0..round * random.below(20_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
        assert_eq!(View::of(&queue), view);
        assert!(!dir.path().join("data.mdb.compacted").exists());
    }
    // The state just before the copy replaces the data.
    fs::copy(
        dir.path().join("data.mdb"),
        dir.path().join("data.mdb.compacted"),
    )
    .unwrap();
    assert!(verify(dir.path()).unwrap().is_whole());
    let done = compact(dir.path()).unwrap();
    assert!(
        done.after < done.before || done.before < 4 << 20,
        "{done:?}"
    );
    let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    assert_eq!(View::of(&queue), view);
}
