//! Damage to LMDB's own pages, which have no checksums; files deleted from under an open queue.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use webhook_queue::{
    DiskQueue, Event, Options, Queue, QueueError, Settled, Settlement, SlotGuard, compact, verify,
    verify_tables, was_left_open,
};

use crate::kills;
use crate::support::{self, View, delivered, event};

const OPTIONS: Options = Options::with_max_bytes(64 << 20);
const PAGE: usize = 4096;

/// A page's flags, and the flag of a leaf.
const FLAGS: usize = 10;
const LEAF: u8 = 2;
/// The end of a page's list of entries: two bytes for each.
const LOWER: usize = 12;

/// Most are short, some are stored in pieces.
fn size(number: u64) -> usize {
    match number % 60 {
        0 => 9_000,
        rest => rest as usize * 10,
    }
}

/// A queue with entries in all tables but `aside`.
fn fill(dir: &Path) {
    let queue = DiskQueue::open(dir, &OPTIONS).unwrap();
    let events: Vec<Event> = (0..3000_u64)
        .map(|at| Event {
            idempotency_key: Some(at.to_le_bytes().into()),
            ..event(at, &(at % 90).to_le_bytes(), size(at), ["a", "b"])
        })
        .collect();
    let entries = support::stored(&queue, &events, &[]).unwrap();
    let settle = |at: usize, outcome: &Settled| Settlement {
        target: "a".into(),
        entry: entries[at],
        outcome: outcome.clone(),
        guard: SlotGuard::SOLE,
    };
    let died = Settled::Dead {
        attempts: 1,
        died_at: 1,
        note: b"note".into(),
    };
    let mut settlements: Vec<_> = (0..500).map(|at| settle(at, &died)).collect();
    settlements.extend((500..800).map(|at| settle(at, &Settled::Delivered)));
    queue.commit(&[], &settlements).unwrap();
}

fn digest(dir: &Path) -> u64 {
    let view = View::of(&DiskQueue::open(dir, &OPTIONS).unwrap());
    let mut hasher = DefaultHasher::new();
    format!("{view:?}").hash(&mut hasher);
    hasher.finish()
}

/// Prints whether the tables and the queue are whole, and its content.
fn check(dir: &Path) {
    let is_whole = |found: Result<webhook_queue::Verification, QueueError>| {
        found.is_ok_and(|found| found.is_whole())
    };
    if is_whole(verify(dir)) {
        let tables = is_whole(verify_tables(dir));
        assert!(tables, "the tables are a part of the queue");
        kills::report(&format!("\nwhole {}\n", digest(dir)));
    } else {
        kills::report("\ndamaged\n");
    }
}

#[test]
fn no_damaged_page_leaves_a_queue_that_verifies_as_whole_and_shows_less() {
    if let Some(dir) = std::env::var_os(kills::CHILD) {
        return check(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let expected = format!("whole {}", digest(dir.path()));
    let data = fs::read(dir.path().join("data.mdb")).unwrap();
    let pages = data.len() / PAGE;
    let mut found = BTreeSet::new();
    // The same pages in each run, spread over the file.
    for at in (2..pages).step_by(pages / 24) {
        let page = &data[at * PAGE..][..PAGE];
        for kind in 0..4_usize {
            let mut damaged = page.to_vec();
            match kind {
                0 => damaged.fill(0),
                // Another page of the file.
                1 => damaged.copy_from_slice(&data[(at * 7 % pages) * PAGE..][..PAGE]),
                // An entry less.
                2 => damaged[LOWER] = damaged[LOWER].wrapping_sub(2),
                _ => damaged[100..300].fill(0x5a),
            }
            let copy = tempfile::tempdir().unwrap();
            fs::copy(dir.path().join("FORMAT"), copy.path().join("FORMAT")).unwrap();
            let mut image = data.clone();
            image[at * PAGE..][..PAGE].copy_from_slice(&damaged);
            fs::write(copy.path().join("data.mdb"), image).unwrap();
            let test =
                "damage::no_damaged_page_leaves_a_queue_that_verifies_as_whole_and_shows_less";
            let output = kills::child(test, copy.path(), &[]).wait_with_output();
            let output = output.unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let result = match output.status.signal() {
                Some(signal) => {
                    assert!([6, 7, 11].contains(&signal), "signal {signal}");
                    "ended by a signal"
                }
                None if text.lines().any(|line| line == "damaged") => "damaged",
                None => {
                    let same = text.lines().any(|line| line == expected);
                    assert!(same, "page {at}, damage {kind}: {text}");
                    "whole"
                }
            };
            found.insert(result);
        }
    }
    assert!(found.contains("damaged"), "{found:?}");
}

/// Makes all leaves of the data pages of another kind.
fn damage_leaves(dir: &Path) {
    let path = dir.join("data.mdb");
    let data = fs::read(&path).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    for (at, page) in data.chunks(PAGE).enumerate().skip(2) {
        if page[FLAGS] & LEAF != 0 && usize::from(page[0]) + usize::from(page[1]) * 256 == at {
            let flags = page[FLAGS] & !LEAF;
            file.write_all_at(&[flags], (at * PAGE + FLAGS) as u64)
                .unwrap();
        }
    }
}

/// Settles in a queue whose pages are damaged, and prints the errors.
fn settle_damaged(dir: &Path) {
    let queue = DiskQueue::open(dir, &OPTIONS).unwrap();
    let entries = support::handles(&queue, "b");
    damage_leaves(dir);
    for entry in &entries[..2] {
        let error = queue.commit(&[], &[delivered("b", *entry)]).unwrap_err();
        kills::report(&format!("\n{error}\n"));
        assert!(!error.is_retryable());
        assert!(matches!(queue.check(), Err(QueueError::Corrupt { .. })));
    }
}

#[test]
fn damage_found_by_a_commit_ends_all_and_is_remembered() {
    if let Some(dir) = std::env::var_os(kills::CHILD) {
        return settle_damaged(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let whole = fs::read(dir.path().join("data.mdb")).unwrap();
    let test = "damage::damage_found_by_a_commit_ends_all_and_is_remembered";
    let output = kills::child(test, dir.path(), &[]).wait_with_output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let told = text.lines().filter(|line| line.contains("is damaged: "));
    assert_eq!(told.count(), 2, "{text}");
    // Also when the pages look right again: what reads them may have found them in a cache.
    fs::write(dir.path().join("data.mdb"), whole).unwrap();
    let error = DiskQueue::open(dir.path(), &OPTIONS).unwrap_err();
    assert!(matches!(error, QueueError::Corrupt { .. }), "{error}");
    assert!(verify(dir.path()).unwrap().is_whole());
    DiskQueue::open(dir.path(), &OPTIONS).unwrap_err();
    compact(dir.path()).unwrap();
    let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    assert_eq!(queue.statistics().unwrap().events, 3000);
}

#[test]
fn a_table_that_a_damaged_page_hides_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let path = dir.path().join("data.mdb");
    let data = fs::read(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    // In the list of tables, also in former versions of it.
    for at in (0..data.len() - 6).filter(|&at| data[at..].starts_with(b"learnt")) {
        file.write_all_at(b"learns", at as u64).unwrap();
    }
    for error in [
        verify(dir.path()).unwrap_err(),
        compact(dir.path()).unwrap_err(),
        DiskQueue::open(dir.path(), &OPTIONS).unwrap_err(),
    ] {
        assert!(error.to_string().contains("list of tables"), "{error}");
    }
}

/// A damaged record is quarantined, and leaves an entry in the index by key if its key is damaged.
#[test]
fn a_contradiction_that_is_harmless_is_no_damage_to_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    let events = [1, 2].map(|at| event(at, b"the key of an event", 10, ["t"]));
    queue.commit(&events, &[]).unwrap();
    drop(queue);
    let path = dir.path().join("data.mdb");
    let data = fs::read(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let key = b"the key of an event";
    for at in (0..data.len() - key.len()).filter(|&at| data[at..].starts_with(key)) {
        file.write_all_at(b"T", at as u64).unwrap();
    }
    let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    assert_eq!(support::owed(&queue, "t", None), []);
    drop(queue);
    let found = verify_tables(dir.path()).unwrap();
    assert_eq!((found.quarantined, found.disagreement_count), (2, 1));
    assert_eq!(found.table_damage, <[String; 0]>::default());
    compact(dir.path()).unwrap();
}

#[test]
fn compaction_does_not_replace_a_damaged_queue() {
    if let Some(dir) = std::env::var_os(kills::CHILD) {
        compact(Path::new(&dir)).unwrap_err();
        return kills::report("\nrefused\n");
    }
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    damage_leaves(dir.path());
    let damaged = fs::read(dir.path().join("data.mdb")).unwrap();
    let test = "damage::compaction_does_not_replace_a_damaged_queue";
    let output = kills::child(test, dir.path(), &[]).wait_with_output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(text.lines().any(|line| line == "refused"), "{text}");
    assert!(fs::read(dir.path().join("data.mdb")).unwrap() == damaged);
}

#[test]
fn a_queue_that_was_not_closed_is_known_until_it_is_verified() {
    if let Some(dir) = std::env::var_os(kills::CHILD) {
        let queue = DiskQueue::open(Path::new(&dir), &OPTIONS).unwrap();
        queue.commit(&[event(1, b"k", 10, ["t"])], &[]).unwrap();
        std::process::abort();
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(!was_left_open(dir.path()));
    let test = "damage::a_queue_that_was_not_closed_is_known_until_it_is_verified";
    let mut child = kills::child(test, dir.path(), &[]);
    assert_eq!(child.wait().unwrap().signal(), Some(6));
    assert!(was_left_open(dir.path()));
    // Opening it does not verify it.
    drop(DiskQueue::open(dir.path(), &OPTIONS).unwrap());
    assert!(was_left_open(dir.path()));
    let found = verify_tables(dir.path()).unwrap();
    assert!(found.is_whole() && found.events == 1, "{found:?}");
    assert!(!was_left_open(dir.path()));
    let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    assert!(was_left_open(dir.path()));
    queue.close().unwrap();
    assert!(!was_left_open(dir.path()));
    drop(queue);
    assert!(!was_left_open(dir.path()));
    drop(DiskQueue::open(dir.path(), &OPTIONS).unwrap());
    assert!(!was_left_open(dir.path()), "it was dropped");
}

#[test]
fn what_an_open_queue_holds_is_written_back_if_its_files_were_deleted() {
    for name in ["", "FORMAT", "data.mdb", "lock", "lock.mdb"] {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("queue");
        fill(&dir);
        let queue = DiskQueue::open(&dir, &OPTIONS).unwrap();
        match name {
            "" => fs::remove_dir_all(&dir).unwrap(),
            name => fs::remove_file(dir.join(name)).unwrap(),
        }
        assert!(matches!(queue.check(), Err(QueueError::Deleted { .. })));
        let entry = support::handles(&queue, "b")[0];
        queue.commit(&[], &[delivered("b", entry)]).unwrap();
        let (view, identity) = (View::of(&queue), queue.identity());
        queue.close().unwrap();
        queue.close().unwrap();
        drop(queue);
        assert!(!dir.join("data.mdb.saved").exists());
        assert!(verify(&dir).unwrap().is_whole());
        let queue = DiskQueue::open(&dir, &OPTIONS).unwrap();
        assert_eq!((View::of(&queue), queue.identity()), (view, identity));
    }
}

#[test]
fn data_whose_place_another_file_has_is_saved_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
    let view = View::of(&queue);
    let (data, saved) = (
        dir.path().join("data.mdb"),
        dir.path().join("data.mdb.saved"),
    );
    fs::write(&saved, "another").unwrap();
    fs::rename(&saved, &data).unwrap();
    queue.close().unwrap();
    drop(queue);
    assert_eq!(fs::read_to_string(&data).unwrap(), "another");
    fs::rename(&saved, &data).unwrap();
    assert_eq!(
        View::of(&DiskQueue::open(dir.path(), &OPTIONS).unwrap()),
        view
    );
}

/// The first key of a page, if it is a leaf of events.
fn first_event(page: &[u8]) -> Option<u64> {
    let number = |at: usize| usize::from(page[at]) + usize::from(page[at + 1]) * 256;
    let entry = page.get(number(16)..)?;
    let is_event = page[FLAGS] == LEAF && entry.get(6..8)? == [8, 0] && entry[0] > 32;
    let key = entry.get(8..16).filter(|_| is_event)?;
    Some(u64::from_be_bytes(key.try_into().unwrap()))
}

#[test]
fn a_damaged_page_that_leads_back_to_earlier_events_is_found() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let path = dir.path().join("data.mdb");
    let data = fs::read(&path).unwrap();
    let pages: Vec<_> = data.chunks(PAGE).enumerate().skip(2).collect();
    let first = |page: &[u8]| first_event(page).unwrap_or(0);
    let (_, earliest) = pages.iter().find(|(_, page)| first(page) == 1).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    // The second thousand of events that are read ends in one of these pages.
    let later = pages
        .iter()
        .filter(|(_, page)| (1500..2600).contains(&first(page)));
    for (at, _) in later {
        file.write_all_at(earliest, (at * PAGE) as u64).unwrap();
    }
    for found in [verify(dir.path()), verify_tables(dir.path())] {
        let found = found.unwrap();
        let damage = "the entries of `events` are not in order";
        assert!(
            found.table_damage.iter().any(|it| it == damage),
            "{found:?}"
        );
    }
}
