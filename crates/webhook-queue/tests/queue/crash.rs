//! Everything acknowledged survives a kill of the process at any instant, and a power loss.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use webhook_queue::{
    Committed, DiskQueue, EntryId, Event, GroupWriter, LastState, Limits, Options, Queue,
    QueueError, Settled, Settlement, SlotGuard, compact, verify,
};

use crate::support::{self, View, delivered, event, number};

/// The variable that names the directory of a test's child process. The child runs code of the same
/// test.
pub(crate) const CHILD: &str = "WEBHOOK_QUEUE_TEST_CHILD";

const TARGETS: [&str; 2] = ["a", "b"];
const OPTIONS: Options = Options::with_max_bytes(64 << 20);

/// Starts this test binary as a child process that runs one test on `dir`.
pub(crate) fn child(test: &str, dir: &Path, prefix: &[&str]) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut words = prefix.to_vec();
    words.push(this.to_str().unwrap());
    words.extend([test, "--exact", "--nocapture", "--test-threads=1"]);
    Command::new(words[0])
        .args(&words[1..])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Writes lines to the parent immediately, bypassing the capture of the test harness.
pub(crate) fn report(lines: &str) {
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())
        .and_then(|()| out.flush())
        .unwrap();
}

/// Reads a child's output up to a line; the returned reader keeps the output open.
pub(crate) fn until(child: &mut Child, wanted: &str) -> impl Sized + use<> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = lines.by_ref().any(|line| line.unwrap() == wanted);
    assert!(found, "the child ended before it printed {wanted:?}");
    lines
}

fn key(number: u64) -> [u8; 1] {
    [(number % 7) as u8]
}

/// Some are so long that their records are stored in pieces.
fn size(number: u64) -> usize {
    let size = match number % 13 {
        7 => 20_000,
        _ => number % 5 * 1000,
    };
    size as usize
}

/// Each brings its key to a new state.
fn nth(number: u64) -> Event {
    Event {
        idempotency_key: Some(Arc::from(number.to_le_bytes())),
        last_state: Some(Box::new(LastState {
            key: Arc::from(key(number)),
            state: Arc::from(number.to_le_bytes()),
            append_previous: true,
            changes_only: [].into(),
        })),
        ..event(number, &key(number), size(number), TARGETS)
    }
}

/// Appends events without end, settles most of them, and prints what was acknowledged.
fn feed(dir: &Path) {
    let queue = Arc::new(DiskQueue::open(dir, &OPTIONS).unwrap());
    let entries = support::stored(&*queue, &[event(0, b"", 0, [])], &[]).unwrap();
    // An event without targets returns the next handle, from which the numbers follow.
    let next = entries[0].0;
    let (sender, receiver) = std::sync::mpsc::channel();
    let on_commit = move |committed: Committed<u64>| {
        let mut lines = String::new();
        for appended in committed.appended {
            let entry = appended.result.unwrap().entry().unwrap();
            lines += &format!("\nappended {} {}", appended.ticket, entry.0);
            sender.send((appended.ticket, entry)).unwrap();
        }
        for settlement in committed.settled {
            lines += &format!("\nsettled {} {}", settlement.target, settlement.entry.0);
        }
        report(&lines);
        report("\n");
    };
    let limits = Limits {
        waiting_events: 40,
        ..Limits::default()
    };
    let writer = GroupWriter::start(queue, limits, on_commit).unwrap();
    let start = std::time::Instant::now();
    for number in next.. {
        let deadline = start + std::time::Duration::from_secs(60);
        writer.append(nth(number), number, Some(deadline)).unwrap();
        for (number, entry) in receiver.try_iter() {
            for (at, target) in TARGETS.into_iter().enumerate() {
                // A few stay owed, some become dead letters.
                let outcome = match (number + at as u64) % 20 {
                    0 => continue,
                    1 => Settled::Dead {
                        attempts: 3,
                        died_at: 9,
                        note: b"x".repeat(100),
                    },
                    _ => Settled::Delivered,
                };
                report(&format!("\nasked {target} {}\n", entry.0));
                writer.settle(Settlement {
                    target: target.into(),
                    entry,
                    outcome,
                    guard: SlotGuard::SOLE,
                });
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_minus_nine() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return feed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut appended: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut asked, mut settled) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..8_usize {
        let test = "crash::nothing_acknowledged_is_lost_by_kill_minus_nine";
        let mut child = child(test, dir.path(), &[]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        let mut last = String::new();
        while let Some(Ok(line)) = lines.next() {
            // The text after the last line end may be incomplete.
            let whole = std::mem::replace(&mut last, line);
            let words: Vec<&str> = whole.split(' ').collect();
            match words[..] {
                ["appended", number, entry] => {
                    appended.insert(number.parse().unwrap(), entry.parse().unwrap());
                }
                ["asked", target, entry] => {
                    asked.insert((target.to_owned(), entry.parse::<u64>().unwrap()));
                }
                ["settled", target, entry] => {
                    settled.insert((target.to_owned(), entry.parse::<u64>().unwrap()));
                }
                _ => {}
            }
            seen += 1;
            if seen == 200 + round * 311 {
                child.kill().unwrap();
            }
        }
        assert!(seen >= 200 + round * 311, "the child ended by itself");
        child.wait().unwrap();
        let found = verify(dir.path()).unwrap();
        assert!(found.is_whole(), "{found:?}");
        check(dir.path(), &appended, &asked, &settled);
    }
    assert!(appended.len() > 1000 && settled.len() > 500);
}

fn check(
    dir: &Path,
    appended: &BTreeMap<u64, u64>,
    asked: &BTreeSet<(String, u64)>,
    settled: &BTreeSet<(String, u64)>,
) {
    let queue = DiskQueue::open(dir, &OPTIONS).unwrap();
    let again: Vec<Event> = appended.keys().map(|&number| nth(number)).collect();
    let accepted = queue.commit(&again, &[]).unwrap().accepted;
    for (accepted, event) in accepted.iter().zip(&again) {
        assert_eq!(accepted.duplicate_of(), Some(event.id), "its key is lost");
    }
    // The last events may have been stored without being acknowledged.
    let owed = support::owed(&queue, TARGETS[0], None);
    let mut stored: BTreeSet<u64> = owed.iter().map(|owed| number(owed.id)).collect();
    stored.extend(appended.keys());
    let of_key = |number| {
        let same = move |other: &u64| key(*other) == key(number);
        stored.iter().copied().filter(same)
    };
    for number in 0..7 {
        let last = queue.last_state(&key(number)).unwrap();
        assert_eq!(
            last.as_deref(),
            of_key(number)
                .max()
                .map(u64::to_le_bytes)
                .as_ref()
                .map(|it| &it[..])
        );
    }
    for target in TARGETS {
        let owed = support::owed(&queue, target, None);
        let handles = support::handles(&queue, target);
        let owed_entries: BTreeSet<u64> = handles.iter().map(|entry| entry.0).collect();
        let mut dead = BTreeSet::new();
        queue
            .dead_letters(Some(target), None, &mut |letter| {
                assert_eq!(letter.note, b"x".repeat(100));
                dead.insert(letter.owed.entry.0);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        for (number, entry) in appended {
            let name = (target.to_owned(), *entry);
            if settled.contains(&name) {
                assert!(!owed_entries.contains(entry), "{number} is owed again");
            } else if !asked.contains(&name) {
                assert!(owed_entries.contains(entry), "{number} is lost");
            }
        }
        for owed in &owed {
            let number = number(owed.id);
            let as_appended = nth(number);
            assert!(*owed.body == *as_appended.body && *owed.key == *as_appended.key);
            let previous = of_key(number).filter(|before| *before < number).max();
            let previous = previous.map(u64::to_le_bytes);
            assert_eq!(owed.attributes, previous.as_slice().concat());
        }
        for key in 0..7 {
            let of_key = support::owed_of_key(&queue, target, &[key], None);
            assert!(of_key.iter().map(|owed| number(owed.id)).is_sorted());
            let expected = owed.iter().filter(|owed| owed.key == [key]);
            assert!(of_key.iter().eq(expected));
        }
    }
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
