//! The queue's directory, its bounds, and the handling of damage.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use webhook_queue::{
    DiskQueue, EntryId, Event, Options, Queue, QueueError, Settled, Settlement, SlotGuard, Verify,
    compact, verify,
};

use crate::kills;
use crate::support::{self, View, delivered, event, number};

const OPTIONS: Options = Options::with_max_bytes(64 << 20);

fn open(dir: &Path) -> Result<DiskQueue, QueueError> {
    DiskQueue::open(dir, &OPTIONS)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_queue_whose_files_were_deleted_refuses_events_and_applies_settlements() {
    for name in ["", "FORMAT", "data.mdb", "lock", "lock.mdb"] {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("queue");
        let queue = open(&dir).unwrap();
        let entry = support::stored(&queue, &[event(1, b"key", 10, ["t"])], &[]).unwrap()[0];
        match name {
            "" => fs::remove_dir_all(&dir).unwrap(),
            name => fs::remove_file(dir.join(name)).unwrap(),
        }
        let refused = queue
            .commit(&[event(2, b"key", 10, ["t"])], &[])
            .unwrap_err();
        assert!(
            matches!(&refused, QueueError::Deleted { path } if path.starts_with(dir.join(name))),
            "{name}: {refused}"
        );
        assert!(!refused.is_retryable());
        queue.commit(&[], &[delivered("t", entry)]).unwrap();
        assert_eq!(queue.statistics().unwrap().events, 0);
    }
}

#[test]
fn a_queue_whose_files_were_moved_or_replaced_refuses_events_until_they_are_back() {
    for name in ["", "FORMAT", "data.mdb", "lock"] {
        let parent = tempfile::tempdir().unwrap();
        let (dir, away) = (parent.path().join("queue"), parent.path().join("away"));
        let queue = open(&dir).unwrap();
        let path = if name.is_empty() {
            dir.clone()
        } else {
            dir.join(name)
        };
        let append = |number| queue.commit(&[event(number, b"key", 10, ["t"])], &[]);
        fs::rename(&path, &away).unwrap();
        for replaced in [false, true] {
            if replaced && name.is_empty() {
                let other = parent.path().join("other");
                drop(open(&other).unwrap());
                fs::rename(other, &dir).unwrap();
            } else if replaced {
                fs::copy(&away, &path).unwrap();
            }
            let refused = append(1).unwrap_err();
            assert!(
                matches!(&refused, QueueError::Moved { path: told } if told.starts_with(&path)),
                "{name}: {refused}"
            );
            assert!(refused.is_retryable());
        }
        if name.is_empty() {
            fs::remove_dir_all(&dir).unwrap();
        }
        fs::rename(&away, &path).unwrap();
        append(2).unwrap();
        assert_eq!(support::owed(&queue, "t", None).len(), 1);
    }
}

#[test]
fn a_directory_that_others_can_change_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("queue");
    drop(open(&dir).unwrap());
    let with_mode = |mode| {
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
        open(&dir).map(drop)
    };
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        let error = with_mode(mode).unwrap_err();
        assert!(
            matches!(&error, QueueError::UnsafeDirectory { .. }),
            "{error}"
        );
        let told = format!("its mode is {mode:o}");
        assert!(error.to_string().contains(&told), "{error}");
        assert!(matches!(
            compact(&dir),
            Err(QueueError::UnsafeDirectory { .. })
        ));
    }
    // The last is how Kubernetes prepares a volume with an fsGroup.
    for mode in [0o700, 0o755, 0o2770] {
        with_mode(mode).unwrap();
    }
}

#[test]
fn a_volumes_own_entries_may_be_beside_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["lost+found", ".snapshot"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    drop(open(dir.path()).unwrap());
    open(dir.path()).unwrap();
}

#[test]
fn a_symbolic_link_in_the_place_of_a_file_is_neither_followed_nor_written() {
    let parent = tempfile::tempdir().unwrap();
    let precious = parent.path().join("precious");
    for name in [
        "FORMAT",
        "FORMAT.new",
        "data.mdb",
        "data.mdb.compacted",
        "lock",
        "lock.mdb",
    ] {
        fs::write(&precious, "precious").unwrap();
        for existing in [false, true] {
            let dir = parent.path().join(format!("{name}-{existing}"));
            fs::create_dir(&dir).unwrap();
            if existing {
                drop(open(&dir).unwrap());
                fs::remove_file(dir.join(name)).ok();
            }
            std::os::unix::fs::symlink(&precious, dir.join(name)).unwrap();
            // Whether it is refused or replaced is the same to what it names.
            let opened = open(&dir).map(drop);
            if existing && ["FORMAT", "data.mdb", "lock", "lock.mdb"].contains(&name) {
                assert!(
                    matches!(&opened, Err(QueueError::Io { path, .. }) if *path == dir.join(name)),
                    "{name}: {opened:?}"
                );
            }
            drop(compact(&dir));
            assert_eq!(fs::read_to_string(&precious).unwrap(), "precious", "{name}");
        }
    }
}

#[test]
fn a_fifo_in_the_place_of_a_file_is_refused_at_once() {
    let make_fifo = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    };
    let dir = tempfile::tempdir().unwrap();
    make_fifo(&dir.path().join("FORMAT"));
    assert!(matches!(
        open(dir.path()),
        Err(QueueError::ForeignDirectory { .. })
    ));
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let data = dir.path().join("data.mdb");
    fs::remove_file(&data).unwrap();
    make_fifo(&data);
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, QueueError::Io { path, .. } if *path == data),
        "{error:?}"
    );
}

#[test]
fn what_cannot_be_looked_at_or_read_is_neither_missing_nor_moved() {
    let parent = tempfile::tempdir().unwrap();
    let action = |error| match error {
        QueueError::Io { action, .. } => action,
        error => panic!("{error:?}"),
    };
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("queue");
    assert_eq!(action(open(&below).unwrap_err()), "look at");
    let existing = DiskQueue::open_existing(&below, &OPTIONS);
    assert_eq!(action(existing.unwrap_err()), "look at");

    let dir = parent.path().join("queue");
    let queue = open(&dir).unwrap();
    let away = parent.path().join("away");
    fs::rename(&dir, &away).unwrap();
    // A link to itself leads nowhere.
    std::os::unix::fs::symlink(&dir, &dir).unwrap();
    assert_eq!(action(queue.check().unwrap_err()), "look at");
    drop(queue);
    let mark = away.join("FORMAT");
    fs::remove_file(&mark).unwrap();
    fs::create_dir(&mark).unwrap();
    assert_eq!(action(open(&away).unwrap_err()), "read");
}

#[test]
fn a_deleted_mark_is_written_again_only_where_no_other_file_is() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("queue");
    let queue = open(&dir).unwrap();
    let mark = dir.join("FORMAT");
    fs::remove_file(&mark).unwrap();
    fs::write(&mark, "another").unwrap();
    queue.close().unwrap();
    assert_eq!(fs::read_to_string(&mark).unwrap(), "another");
    drop(queue);
    fs::remove_dir_all(&dir).unwrap();

    let queue = open(&dir).unwrap();
    let away = parent.path().join("away");
    fs::remove_file(&mark).unwrap();
    fs::rename(&dir, &away).unwrap();
    let error = queue.close().unwrap_err();
    assert!(
        matches!(&error, QueueError::Io { action: "create", path, .. } if *path == mark),
        "{error:?}"
    );
    fs::rename(&away, &dir).unwrap();
    queue.close().unwrap();
    drop(queue);
    open(&dir).unwrap();
}

#[test]
fn compaction_keeps_the_mode_of_the_data() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let data = dir.path().join("data.mdb");
    for mode in [0o600, 0o640] {
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        compact(dir.path()).unwrap();
        let found = fs::metadata(&data).unwrap().permissions().mode();
        assert_eq!(found & 0o7777, mode);
    }
}

/// Only root can give files away; for other users there is nothing to check.
#[test]
fn a_tool_that_root_runs_leaves_all_files_to_the_queues_owner() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let owner = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        (found.uid(), found.gid())
    };
    drop(open(dir.path()).unwrap());
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(4242), Some(4343)).unwrap();
    give(dir.path());
    for name in names(dir.path()) {
        give(&dir.path().join(name));
    }
    let theirs = open(dir.path()).unwrap_err();
    assert!(
        matches!(&theirs, QueueError::UnsafeDirectory { .. })
            && theirs.to_string().contains("it belongs to user 4242"),
        "{theirs}"
    );
    for name in ["lock", "lock.mdb"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    compact(dir.path()).unwrap();
    verify(dir.path()).unwrap();
    drop(DiskQueue::open_existing(dir.path(), &OPTIONS).unwrap());
    assert_eq!(
        names(dir.path()),
        ["FORMAT", "data.mdb", "lock", "lock.mdb"]
    );
    for name in names(dir.path()) {
        assert_eq!(owner(&dir.path().join(&name)), (4242, 4343), "{name}");
    }
}

#[test]
fn the_table_of_readers_has_no_holes_that_a_full_disk_could_not_fill() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let readers = dir.path().join("lock.mdb");
    for file in [None, Some(0), Some(1 << 20)] {
        fs::remove_file(&readers).unwrap();
        if let Some(len) = file {
            fs::File::create(&readers).unwrap().set_len(len).unwrap();
        }
        let queue = open(dir.path()).unwrap();
        queue.commit(&[event(1, b"k", 1, ["t"])], &[]).unwrap();
        let found = fs::metadata(&readers).unwrap();
        assert!(found.blocks() * 512 >= found.len(), "{found:?}");
    }
    // A whole one is not written again: LMDB does not use its end.
    let end = fs::metadata(&readers).unwrap().len() - 1;
    let file = fs::File::options().read(true).write(true).open(&readers);
    let (file, mut found) = (file.unwrap(), [0]);
    file.write_all_at(b"x", end).unwrap();
    drop(open(dir.path()).unwrap());
    file.read_exact_at(&mut found, end).unwrap();
    assert_eq!(found, *b"x");
}

/// The length of the data file is kept by the open file: another queue that has the old path is not
/// changed.
#[test]
fn a_queue_that_was_moved_while_open_does_not_change_the_length_of_another() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, away) = (parent.path().join("queue"), parent.path().join("away"));
    let queue = open(&dir).unwrap();
    let events: Vec<Event> = (0..500)
        .map(|at| event(at, &at.to_le_bytes(), 3_000, ["t"]))
        .collect();
    queue.commit(&events, &[]).unwrap();
    queue.drop_target("t").unwrap();
    let settle_one = |at| {
        let entry = support::stored(&queue, &[event(at, b"k", 10, ["u"])], &[]).unwrap()[0];
        queue.commit(&[], &[delivered("u", entry)]).unwrap();
    };
    // Commits that move the used pages to the front.
    (0..20).for_each(settle_one);
    let entry = support::stored(&queue, &[event(20, b"k", 10, ["u"])], &[]).unwrap()[0];
    fs::rename(&dir, &away).unwrap();
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("data.mdb"), "another").unwrap();
    // As if the last commit had not written the free pages at the end.
    let data = fs::File::options().write(true).open(away.join("data.mdb"));
    let data = data.unwrap();
    let len = data.metadata().unwrap().len();
    data.set_len(len - (16 << 10)).unwrap();
    queue.commit(&[], &[delivered("u", entry)]).unwrap();
    assert_eq!(data.metadata().unwrap().len(), len);
    assert_eq!(fs::read_to_string(dir.join("data.mdb")).unwrap(), "another");
}

#[test]
fn a_queue_is_created_for_its_owner_alone_and_keeps_its_identity() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep/queue");
    let missing = DiskQueue::open_existing(&dir, &OPTIONS).unwrap_err();
    assert!(matches!(missing, QueueError::Missing { .. }));
    assert!(!dir.exists());
    let identity = open(&dir).unwrap().identity();
    assert_eq!(names(&dir), ["FORMAT", "data.mdb", "lock", "lock.mdb"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for name in names(&dir) {
        assert_eq!(mode(&dir.join(&name)), 0o600, "{name}");
    }
    let text: String = identity.iter().map(|byte| format!("{byte:02x}")).collect();
    let mark = fs::read_to_string(dir.join("FORMAT")).unwrap();
    assert_eq!(mark, format!("webhook-queue 1\n{text}\n"));
    assert_eq!(
        DiskQueue::open_existing(&dir, &OPTIONS).unwrap().identity(),
        identity
    );
    assert_ne!(
        open(&parent.path().join("other")).unwrap().identity(),
        identity
    );
}

#[test]
fn a_foreign_directory_is_refused_and_unchanged() {
    for (name, text) in [
        ("precious", "x"),
        ("data.mdb", "x"),
        ("FORMAT", "of mine\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), text).unwrap();
        for error in [
            open(dir.path()).unwrap_err(),
            DiskQueue::open_existing(dir.path(), &OPTIONS).unwrap_err(),
            compact(dir.path()).unwrap_err(),
            verify(dir.path()).unwrap_err(),
        ] {
            assert!(
                matches!(&error, QueueError::ForeignDirectory { found, .. } if found == name),
                "{error}"
            );
        }
        assert_eq!(names(dir.path()), [name]);
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), text);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(
        open(file.path()),
        Err(QueueError::NotADirectory { .. })
    ));
}

#[test]
fn an_unknown_format_is_refused_and_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let mark = dir.path().join("FORMAT");
    let data = fs::read(dir.path().join("data.mdb")).unwrap();
    let text = fs::read_to_string(&mark).unwrap();
    fs::write(&mark, text.replace("webhook-queue 1", "webhook-queue 4")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, QueueError::UnknownVersion { found, known: 3, .. } if found == "4"));
    assert!(error.to_string().contains("format \"4\""));
    assert_eq!(fs::read(dir.path().join("data.mdb")).unwrap(), data);
    fs::write(&mark, &text).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn a_damaged_mark_is_reported_as_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let mark = dir.path().join("FORMAT");
    let text = fs::read(&mark).unwrap();
    for (at, to) in [(3, b'x'), (0, 0xff), (14, b'\x01'), (20, b'g')] {
        let mut damaged = text.clone();
        damaged[at] = to;
        fs::write(&mark, &damaged).unwrap();
        let error = verify(dir.path()).unwrap_err();
        assert!(
            matches!(&error, QueueError::Corrupt { .. }),
            "{at}: {error}"
        );
        assert!(error.to_string().contains("the file FORMAT"), "{error}");
        assert!(error.to_string().contains("restore it"), "{error}");
    }
    for digits in [31, 33] {
        let line = String::from_utf8_lossy(&text[..16]).into_owned() + &"7".repeat(digits);
        fs::write(&mark, line).unwrap();
        let error = verify(dir.path()).unwrap_err();
        assert!(
            error.to_string().contains("not 32 hexadecimal digits"),
            "{error}"
        );
    }
    fs::write(&mark, &text).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn a_queue_is_open_once() {
    if let Some(dir) = std::env::var_os(kills::CHILD) {
        let _queue = open(Path::new(&dir)).unwrap();
        kills::report("\nopen\n");
        loop {
            std::thread::park();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(QueueError::Locked { .. })));
    assert!(matches!(
        compact(dir.path()),
        Err(QueueError::Locked { .. })
    ));
    assert!(matches!(verify(dir.path()), Err(QueueError::Locked { .. })));
    drop(queue);
    let mut holder = kills::child("files::a_queue_is_open_once", dir.path(), &[]);
    let _output = kills::until(&mut holder, "open");
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, QueueError::Locked { .. }) && error.is_retryable());
    assert!(
        error
            .to_string()
            .contains("close the program that holds it first")
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn a_queue_whose_creation_was_interrupted_is_created_again() {
    let dir = tempfile::tempdir().unwrap();
    for names in [
        &["lock"][..],
        &["lock", "FORMAT.new"],
        &["lock", "FORMAT.new", "data.mdb"],
    ] {
        let dir = dir.path().join(names.len().to_string());
        fs::create_dir(&dir).unwrap();
        for name in names {
            fs::write(dir.join(name), "cut").unwrap();
        }
        assert!(matches!(
            DiskQueue::open_existing(&dir, &OPTIONS),
            Err(QueueError::Missing { .. })
        ));
        open(&dir)
            .unwrap()
            .commit(&[event(1, b"k", 1, ["t"])], &[])
            .unwrap();
        assert_eq!(support::owed(&open(&dir).unwrap(), "t", None).len(), 1);
    }
}

#[test]
fn missing_truncated_and_exchanged_data_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    for dir in [&one, &other] {
        let events: Vec<Event> = (0..100).map(|at| event(at, b"k", 3000, ["t"])).collect();
        open(dir).unwrap().commit(&events, &[]).unwrap();
    }
    let data = one.join("data.mdb");
    let detail = |error| match error {
        QueueError::Corrupt { detail, .. } => detail,
        error => panic!("{error}"),
    };
    let whole = fs::read(&data).unwrap();
    fs::write(&data, &whole[..whole.len() / 2]).unwrap();
    assert!(detail(open(&one).unwrap_err()).starts_with("data.mdb has "));
    for another in [&fs::read(other.join("data.mdb")).unwrap()[..], &[]] {
        fs::write(&data, another).unwrap();
        assert_eq!(
            detail(open(&one).unwrap_err()),
            "data.mdb belongs to another queue than FORMAT, or FORMAT is damaged"
        );
    }
    fs::remove_file(&data).unwrap();
    assert_eq!(detail(open(&one).unwrap_err()), "data.mdb is missing");
    fs::write(&data, vec![b'?'; 100_000]).unwrap();
    detail(open(&one).unwrap_err());
    fs::write(&data, &whole).unwrap();
    assert_eq!(support::owed(&open(&one).unwrap(), "t", None).len(), 100);
}

#[test]
fn data_that_ends_within_a_page_is_opened_whole_or_refused_and_left_as_it_is() {
    const PAGE: usize = 4096;
    let dir = tempfile::tempdir().unwrap();
    let events: Vec<Event> = (0..12)
        .map(|at| event(at, b"k", [40, 9000][at as usize % 2], ["t"]))
        .collect();
    open(dir.path()).unwrap().commit(&events, &[]).unwrap();
    let data = dir.path().join("data.mdb");
    let whole = fs::read(&data).unwrap();
    let mut refused = 0;
    // Within the head of a page, its list of entries, and its first entry, which is its end.
    for rest in [1, 9, 13, 15, 20, 2048, PAGE - 40, PAGE - 9, PAGE - 1] {
        for page in 0..whole.len() / PAGE {
            let cut = &whole[..page * PAGE + rest];
            fs::write(&data, cut).unwrap();
            match open(dir.path()) {
                Ok(queue) => assert_eq!(support::owed(&queue, "t", None).len(), events.len()),
                Err(QueueError::Corrupt { .. }) => {
                    refused += 1;
                    assert!(
                        fs::read(&data).unwrap() == cut,
                        "{page} pages and {rest} bytes"
                    );
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(refused > 0);
    // Both of LMDB's heads say that there are more pages than many file systems give a file.
    let mut cut = whole[..whole.len() - 100].to_vec();
    for head in [0, PAGE] {
        cut[head + 136..head + 144].copy_from_slice(&(1_u64 << 33).to_le_bytes());
    }
    fs::write(&data, &cut).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(fs::read(&data).unwrap() == cut, "{error}");
    fs::write(&data, &whole).unwrap();
    assert_eq!(
        support::owed(&open(dir.path()).unwrap(), "t", None).len(),
        12
    );
}

/// Flips a bit wherever the data file holds `bytes`: in the record, and in copies of it in unused
/// parts of pages.
fn flip(dir: &Path, bytes: &[u8]) {
    let path = dir.join("data.mdb");
    let data = fs::read(&path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let mut places = data
        .windows(bytes.len())
        .enumerate()
        .filter(|(_, found)| *found == bytes);
    let first = places.next().unwrap();
    for (at, _) in std::iter::once(first).chain(places) {
        file.write_all_at(&[bytes[0] ^ 1], at as u64).unwrap();
    }
}

#[test]
fn a_damaged_event_is_quarantined_and_counted_and_others_are_delivered() {
    // The damage is in the only piece of a record, in its second, or in its fourth.
    for padding in [0, 5000, 15_000] {
        a_damaged_event_is_quarantined(padding);
    }
}

fn a_damaged_event_is_quarantined(padding: usize) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path()).unwrap();
    let events: Vec<Event> = (0..3)
        .map(|at| Event {
            body: [
                "y".repeat(padding),
                format!("the body of number {at}, {}", "x".repeat(3000)),
            ]
            .concat()
            .into_bytes()
            .into(),
            ..event(at, b"k", 0, ["a", "b", "c"])
        })
        .collect();
    let entries = support::stored(&queue, &events, &[]).unwrap();
    let died = Settled::Dead {
        attempts: 1,
        died_at: 1,
        note: vec![],
    };
    let died = Settlement {
        target: "c".into(),
        entry: entries[1],
        outcome: died,
        guard: SlotGuard::SOLE,
    };
    queue
        .commit(&[], &[died, delivered("b", entries[0])])
        .unwrap();
    drop(queue);
    flip(dir.path(), b"the body of number 1");

    let found = verify(dir.path()).unwrap();
    assert!(!found.is_whole());
    assert_eq!(
        (found.events, found.corrupt_count, found.disagreement_count),
        (3, 1, 0)
    );
    assert_eq!(found.corrupt[0].entry, entries[1]);

    let queue = open(dir.path()).unwrap();
    let kept = |queue: &DiskQueue, target| -> Vec<u64> {
        support::owed(queue, target, None)
            .iter()
            .map(|owed| number(owed.id))
            .collect()
    };
    assert_eq!(queue.statistics().unwrap().corrupt, 0);
    assert_eq!(kept(&queue, "a"), [0, 2]);
    assert_eq!(support::owed_of_key(&queue, "b", b"k", None).len(), 1);
    assert_eq!(support::dead(&queue, None, None), []);
    let statistics = queue.statistics().unwrap();
    assert_eq!((statistics.events, statistics.corrupt), (2, 1));
    let pending: Vec<(u64, u64)> = statistics
        .targets
        .iter()
        .map(|of| (of.pending, of.dead))
        .collect();
    assert_eq!(pending, [(2, 0), (1, 0), (2, 0)]);
    // A late settlement of the entry has no effect.
    queue.commit(&[], &[delivered("a", entries[1])]).unwrap();
    drop(queue);

    let found = verify(dir.path()).unwrap();
    assert!(found.is_whole(), "{found:?}");
    assert_eq!((found.events, found.quarantined), (2, 1));
    let queue = open(dir.path()).unwrap();
    assert_eq!(kept(&queue, "b"), [2]);
    let mut quarantined = Vec::new();
    queue
        .quarantined(None, &mut |found| {
            let targets: Vec<String> = found.targets.iter().map(ToString::to_string).collect();
            assert_eq!(found.reason, "its event does not match its checksum");
            quarantined.push((found.entry, targets, found.record.len() > 3000));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(
        quarantined,
        [(entries[1], vec!["a".into(), "b".into(), "c".into()], true)]
    );
    let mut none = |_: webhook_queue::Quarantined<'_>| panic!("it is not after itself");
    queue.quarantined(Some(entries[1]), &mut none).unwrap();
}

#[test]
fn a_dead_letter_with_a_damaged_record_can_be_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path()).unwrap();
    let entry = support::stored(&queue, &[event(1, b"k", 10, ["t"])], &[]).unwrap()[0];
    let note = b"the note of the test".to_vec();
    let outcome = Settled::Dead {
        attempts: 7,
        died_at: 9,
        note: note.clone(),
    };
    let settlement = Settlement {
        target: "t".into(),
        entry,
        outcome,
        guard: SlotGuard::SOLE,
    };
    queue.commit(&[], &[settlement]).unwrap();
    drop(queue);
    flip(dir.path(), &note);
    let found = verify(dir.path()).unwrap();
    assert_eq!((found.corrupt_count, found.corrupt[0].entry), (1, entry));
    let queue = open(dir.path()).unwrap();
    let letter = support::dead(&queue, Some("t"), None).pop().unwrap();
    assert_eq!(
        (letter.died_at, letter.owed.attempts, &letter.note[..]),
        (0, 0, &b""[..])
    );
    assert_eq!(queue.replay("t", &[entry]).unwrap(), 1);
    assert_eq!(support::owed(&queue, "t", None).len(), 1);
    drop(queue);
    assert!(verify(dir.path()).unwrap().is_whole());
}

/// Appends events with bodies of this size until the queue is full; their handles.
fn fill(queue: &DiskQueue, size: usize, targets: &[&str]) -> Vec<EntryId> {
    let mut entries = Vec::new();
    for group in 0.. {
        let events: Vec<Event> = (0..64)
            .map(|at| {
                event(
                    group * 64 + at,
                    &at.to_le_bytes(),
                    size,
                    targets.iter().copied(),
                )
            })
            .collect();
        match support::stored(queue, &events, &[]) {
            Ok(added) => entries.extend(added),
            Err(QueueError::Full { used, max }) => {
                assert!(used <= max);
                return entries;
            }
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("the queue has a bound")
}

#[test]
fn a_full_queue_can_be_settled_whatever_the_outcome_and_used_again() {
    let options = Options::with_max_bytes(2 << 20);
    for (size, targets) in [
        (3500, &["a"][..]),
        (10, &["a", "b", "c", "d", "e", "f", "g", "h"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &options).unwrap();
        let length = || fs::metadata(dir.path().join("data.mdb")).unwrap().len();
        let mut capacity = None;
        for round in 0..3 {
            let entries = fill(&queue, size, targets);
            let first = *capacity.get_or_insert(entries.len());
            assert!(
                entries.len() * 10 >= first * 9,
                "round {round}: {} of {first}",
                entries.len()
            );
            for group in entries.chunks(100) {
                // Attempts, and then a dead letter whose note does not fit.
                for outcome in [
                    Settled::Attempted {
                        attempts: 1,
                        not_before: 5,
                    },
                    Settled::Dead {
                        attempts: 2,
                        died_at: 6,
                        note: vec![b'n'; 1500],
                    },
                ] {
                    let settlements: Vec<Settlement> = group
                        .iter()
                        .flat_map(|&entry| targets.iter().map(move |&target| (target, entry)))
                        .map(|(target, entry)| {
                            let (target, outcome) = (target.into(), outcome.clone());
                            Settlement {
                                target,
                                entry,
                                outcome,
                                guard: SlotGuard::SOLE,
                            }
                        })
                        .collect();
                    queue.commit(&[], &settlements).unwrap();
                }
            }
            let statistics = queue.statistics().unwrap();
            let dead: u64 = statistics.targets.iter().map(|of| of.dead).sum();
            assert_eq!(dead, (entries.len() * targets.len()) as u64);
            assert!(statistics.bytes <= options.max_bytes && length() <= options.max_bytes);
            for target in targets {
                for group in entries.chunks(100) {
                    assert_eq!(queue.drop_dead(target, group).unwrap(), group.len() as u64);
                }
            }
            assert_eq!(queue.statistics().unwrap().events, 0);
        }
        drop(queue);
        assert!(verify(dir.path()).unwrap().is_whole());
        let done = compact(dir.path()).unwrap();
        assert!(done.after < 200_000 && done.after < done.before, "{done:?}");
        fill(
            &DiskQueue::open(dir.path(), &options).unwrap(),
            size,
            targets,
        );
    }
}

#[test]
fn an_event_that_can_never_fit_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 20)).unwrap();
    let error = queue
        .commit(&[event(1, b"k", 1 << 20, ["t"])], &[])
        .unwrap_err();
    assert!(matches!(error, QueueError::TooLarge { .. }) && !error.is_retryable());
    queue
        .commit(&[event(2, b"k", 600_000, ["t"])], &[])
        .unwrap();
    assert!(matches!(
        queue.commit(&[event(3, b"k", 600_000, ["t"])], &[]),
        Err(QueueError::Full { .. })
    ));
}

#[test]
fn a_queue_opened_with_a_smaller_bound_can_be_drained() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path()).unwrap();
    let events: Vec<Event> = (0..2000).map(|at| event(at, b"k", 3500, ["t"])).collect();
    let entries = support::stored(&queue, &events, &[]).unwrap();
    drop(queue);
    let small = Options::with_max_bytes(1 << 20);
    let queue = DiskQueue::open(dir.path(), &small).unwrap();
    let more = event(9999, b"k", 10, ["t"]);
    let full = queue.commit(std::slice::from_ref(&more), &[]);
    assert!(matches!(full, Err(QueueError::Full { .. })));
    for group in entries.chunks(64) {
        let settlements: Vec<Settlement> =
            group.iter().map(|&entry| delivered("t", entry)).collect();
        queue.commit(&[], &settlements).unwrap();
    }
    queue.commit(&[more], &[]).unwrap();
    assert_eq!(support::owed(&queue, "t", None).len(), 1);
}

#[test]
fn entries_of_a_key_are_found_across_segments_and_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path()).unwrap();
    let mut expected = Vec::new();
    // 51,200 events; the index by key has segments of 16,384.
    for group in 0..10_u64 {
        let events: Vec<Event> = (0..5120)
            .map(|at| group * 5120 + at)
            .map(|at| match at % 5000 {
                0 => event(at, b"wanted", 0, ["t"]),
                _ => event(at, &at.to_le_bytes(), 0, ["t"]),
            })
            .collect();
        let entries = support::stored(&queue, &events, &[]).unwrap();
        let gone: Vec<Settlement> = entries
            .iter()
            .zip(&events)
            .filter(|(_, event)| *event.key != *b"wanted" || number(event.id) % 10_000 == 5000)
            // Nothing remains of the second segment, and a part of the others.
            .filter(|(entry, _)| (16_384..32_768).contains(&entry.0) || entry.0 % 2 == 0)
            .map(|(&entry, _)| delivered("t", entry))
            .collect();
        expected.extend(
            entries
                .iter()
                .zip(&events)
                .filter(|(entry, event)| {
                    *event.key == *b"wanted" && !gone.iter().any(|gone| gone.entry == **entry)
                })
                .map(|(entry, event)| (*entry, number(event.id))),
        );
        queue.commit(&[], &gone).unwrap();
    }
    assert!(expected.len() > 5);
    let found = |after| -> Vec<u64> {
        let of_key = support::owed_of_key(&queue, "t", b"wanted", after);
        of_key.iter().map(|owed| number(owed.id)).collect()
    };
    let numbers: Vec<u64> = expected.iter().map(|(_, number)| *number).collect();
    assert_eq!(found(None), numbers);
    for (at, (entry, _)) in expected.iter().enumerate() {
        assert_eq!(found(Some(*entry)), numbers[at + 1..]);
    }
    assert_eq!(found(Some(EntryId(u64::MAX))), []);
    assert_eq!(found(Some(EntryId(u64::MAX - 1))), []);
    assert_eq!(support::owed_of_key(&queue, "t", b"unknown", None), []);
}

#[test]
fn a_visitor_may_read_and_commit() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path()).unwrap();
    let events: Vec<Event> = (0..10).map(|at| event(at, b"k", 5000, ["t"])).collect();
    queue.commit(&events, &[]).unwrap();
    let mut seen = Vec::new();
    queue
        .owed("t", None, &mut |owed| {
            queue
                .commit(
                    &[event(99, b"k", 5000, ["u"])],
                    &[delivered("t", owed.entry)],
                )
                .unwrap();
            assert!(support::owed(&queue, "t", None).len() < 10);
            // The snapshot does not change under the visitor.
            seen.push((number(owed.id), owed.body == &*events[seen.len()].body));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(seen.iter().copied().eq((0..10).map(|at| (at, true))));
    assert_eq!(support::owed(&queue, "t", None), []);
    assert_eq!(support::owed(&queue, "u", None).len(), 10);
}

#[test]
fn a_queue_moved_to_another_directory_is_the_same() {
    let parent = tempfile::tempdir().unwrap();
    let (from, to) = (parent.path().join("from"), parent.path().join("to"));
    let queue = open(&from).unwrap();
    let events: Vec<Event> = (0..10).map(|at| event(at, b"k", 100, ["a", "b"])).collect();
    queue.commit(&events, &[]).unwrap();
    let (view, identity) = (View::of(&queue), queue.identity());
    drop(queue);
    fs::rename(&from, &to).unwrap();
    let queue = open(&to).unwrap();
    assert_eq!((View::of(&queue), queue.identity()), (view, identity));
}

#[test]
fn anonymous_memory_does_not_grow_with_the_entries_owed() {
    let anonymous = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(256 << 20)).unwrap();
    let commit = |group: u64| {
        let events: Vec<Event> = (0..256)
            .map(|at| event(group * 256 + at, &at.to_le_bytes(), 3500, ["t"]))
            .collect();
        queue.commit(&events, &[]).unwrap();
    };
    (0..4).for_each(commit);
    let before = anonymous();
    // 50 MB.
    (4..60).for_each(commit);
    let mut count = 0;
    queue
        .owed("t", None, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(count, 60 * 256);
    let grown = anonymous().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB");
}

#[test]
fn errors_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue");
    fs::create_dir(&path).unwrap();
    fs::File::create(path.join("notes.txt"))
        .unwrap()
        .write_all(b"mine")
        .unwrap();
    let message = open(&path).unwrap_err().to_string();
    let expected = expect_test::expect![[
        r#"DIR/queue holds "notes.txt" and is not a queue: name a directory that is empty or does not exist"#
    ]];
    expected.assert_eq(&message.replace(&dir.path().display().to_string(), "DIR"));
}

#[test]
fn a_limit_of_the_address_space_is_named_with_the_bound_to_lower() {
    if let Some(dir) = std::env::var_os(kills::CHILD) {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let limit = Rlimit {
            current: Some(4 << 30),
            maximum: Some(4 << 30),
        };
        setrlimit(Resource::As, limit).unwrap();
        let error = DiskQueue::open(Path::new(&dir), &Options::default()).unwrap_err();
        kills::report(&format!("\n{error}\n"));
        drop(open(Path::new(&dir)).unwrap());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "files::a_limit_of_the_address_space_is_named_with_the_bound_to_lower";
    let output = kills::child(test, dir.path(), &[])
        .wait_with_output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("lower maxBytes, or raise the limit"),
        "{text}"
    );
}

#[test]
fn free_pages_that_were_never_written_are_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data.mdb");
    let queue = open(dir.path()).unwrap();
    let events: Vec<Event> = (0..500)
        .map(|at| event(at, &at.to_le_bytes(), 3_000, ["t"]))
        .collect();
    queue.commit(&events, &[]).unwrap();
    let in_use = fs::metadata(&data).unwrap().len();
    assert_eq!(queue.drop_target("t").unwrap(), 500);
    // Commits that move the used pages to the front.
    for at in 0..20 {
        let entry = support::stored(&queue, &[event(at, b"k", 10, ["u"])], &[]).unwrap()[0];
        queue.commit(&[], &[delivered("u", entry)]).unwrap();
    }
    drop(queue);
    let all = fs::metadata(&data).unwrap().len();
    assert!(all >= in_use);
    // The state after a crash, before the file is extended.
    let file = fs::File::options().write(true).open(&data).unwrap();
    file.set_len(all - (16 << 10)).unwrap();
    let queue = open(dir.path()).unwrap();
    queue.commit(&events, &[]).unwrap();
    assert!(queue.verify().unwrap().is_whole());
    drop(queue);
    // A missing page in use is noticed.
    let all = fs::metadata(&data).unwrap().len();
    file.set_len(all - (16 << 10)).unwrap();
    let damaged = open(dir.path()).unwrap_err();
    assert!(matches!(damaged, QueueError::Corrupt { .. }), "{damaged}");
    assert_eq!(fs::metadata(&data).unwrap().len(), all - (16 << 10));
}
