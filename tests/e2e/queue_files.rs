//! The queue's files are deleted, moved, damaged, or cannot be written while webhookd runs: nothing
//! accepted is lost, nothing is accepted into the void, and the exit status says what to do.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use testkit::{
    Admin, DEADLINE, Folder, Launch, Port, Process, Receiver, Reply, Signal, event, post,
};

const JSON: &str = "Content-Type: application/json";
const PAGE: usize = 4096;

fn config(folder: &Folder, url: &str) -> PathBuf {
    let mut config = reliable(url);
    config["queue"] = json!({ "dir": folder.path().join("queue") });
    folder.config(&config)
}

fn listening(config: &Path) -> Launch {
    Launch::with_config(config).args(["--listen", "127.0.0.1:0", "--admin", "0", "--grace", "1s"])
}

fn readiness(admin: &Admin) -> (u16, String) {
    let answer = admin.ask("GET", "/readyz", &[], "");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    (answer.status, text)
}

/// Starts it with a receiver that is up, waits until each event has arrived, and ends it.
fn deliver(folder: &Folder, events: &[String]) {
    let receiver = Receiver::always(Reply::status(200));
    let process = listening(&config(folder, &receiver.url())).spawn();
    receiver.wait_for_requests(events.len());
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
    let mut bodies: Vec<String> = receiver
        .bodies()
        .into_iter()
        .map(|body| String::from_utf8(body).expect("it is UTF-8"))
        .collect();
    bodies.sort();
    assert_eq!(bodies, events);
}

#[test]
fn what_was_accepted_before_a_file_of_the_queue_was_deleted_is_delivered_after_a_restart() {
    for name in ["", "FORMAT", "data.mdb", "lock", "lock.mdb"] {
        let folder = Folder::new();
        let port = Port::take();
        let process = listening(&config(&folder, &port.url())).spawn();
        let (url, admin) = (process.listens(), Admin::of(&process));
        let events: Vec<String> = (0..3)
            .map(|number| event(&format!("task-{number}"), number))
            .collect();
        for event in &events {
            assert_eq!(post(&url, &[JSON], event).status, 200);
        }
        let dir = folder.path().join("queue");
        match name {
            "" => std::fs::remove_dir_all(&dir).expect("it is there"),
            name => std::fs::remove_file(dir.join(name)).expect("it is there"),
        }
        // The end may begin before either is asked.
        let refused = testkit::Client::connect(&url)
            .and_then(|mut client| client.post(&[JSON], event("late", 9)));
        if let Ok(refused) = refused {
            assert_eq!(refused.status, 503, "{name}: {refused:?}");
        }
        drop(admin);
        let ended = process.wait().expect_code(75);
        let told = "was deleted while the queue was open";
        assert!(ended.stderr.contains(told), "{name}: {}", ended.stderr);
        assert!(
            !ended.stderr.contains("run webhookd again"),
            "{}",
            ended.stderr
        );
        deliver(&folder, &events);
    }
}

#[test]
fn a_queue_that_was_moved_takes_no_events_until_it_is_back() {
    let folder = Folder::new();
    let receiver = Receiver::always(Reply::status(200));
    let process = listening(&config(&folder, &receiver.url())).spawn();
    let (url, admin) = (process.listens(), Admin::of(&process));
    assert_eq!(post(&url, &[JSON], event("before", 0)).status, 200);
    let (dir, away) = (folder.path().join("queue"), folder.path().join("away"));
    for path in [dir.clone(), dir.join("data.mdb")] {
        std::fs::rename(&path, &away).expect("it is there");
        let refused = post(&url, &[JSON], event("during", 1));
        assert_eq!(refused.status, 503, "{refused:?}");
        let (status, text) = readiness(&admin);
        assert_eq!(status, 503);
        assert!(
            text.contains("queue-unusable") && text.contains("data.mdb was moved or replaced"),
            "{text}"
        );
        assert!(admin.text("/metrics").contains("webhookd_queue_failing 1"));
        // The log of the first of the two is enough.
        process.wait_for_error("the queue takes no events: ");
        std::fs::rename(&away, &path).expect("it is there");
        let accepted = post(&url, &[JSON], event("after", 2));
        assert_eq!(accepted.status, 200, "{accepted:?}");
        // The probe of the disk has to succeed first.
        let until = Instant::now() + testkit::DEADLINE;
        while readiness(&admin).0 != 200 {
            assert!(Instant::now() < until, "it is not ready");
            std::thread::yield_now();
        }
    }
    process.wait_for_error("the queue takes events again");
    receiver.wait_for_requests(3);
    process.signal(Signal::TERM);
    // Two events were refused.
    let _ended = process.wait().expect_code(1);
    assert_eq!(receiver.requests().len(), 3);
}

/// A queue that owes a target some hundred events.
fn owing(folder: &Folder) -> PathBuf {
    let port = Port::take();
    let events: Vec<String> = (0..400)
        .map(|number| event(&format!("task-{number}"), number))
        .collect();
    let _ended = Launch::with_config(&config(folder, &port.url()))
        .args(["--grace", "300ms"])
        .run(events.join("\n"))
        .expect_code(3);
    folder.path().join("queue")
}

/// Damages the leaves of the index by key: deliveries do not read it, and a settlement changes it.
fn damage_the_index(dir: &Path) {
    let path = dir.join("data.mdb");
    let data = std::fs::read(&path).expect("it is there");
    let file = std::fs::File::options()
        .write(true)
        .open(path)
        .expect("it can be written");
    let two = |page: &[u8], at: usize| {
        let bytes = page.get(at..at + 2)?;
        Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
    };
    let mut count = 0;
    for (at, page) in data.chunks(PAGE).enumerate().skip(2) {
        let is_leaf = page[10] == 2;
        let key = two(page, 16).and_then(|entry| two(page, entry + 6));
        if is_leaf && key == Some(14) {
            file.write_all_at(&[0], (at * PAGE + 10) as u64)
                .expect("it can be written");
            count += 1;
        }
    }
    assert!(count > 0, "it was not found");
}

#[test]
fn damage_found_while_settling_ends_deliveries_and_no_start_repeats_them() {
    let folder = Folder::new();
    let dir = owing(&folder);
    damage_the_index(&dir);
    let receiver = Receiver::always(Reply::status(200));
    let config = config(&folder, &receiver.url());
    let ended = listening(&config).spawn().wait().expect_code(65);
    assert!(ended.stderr.contains("is damaged: "), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("webhookd queue compact"),
        "{}",
        ended.stderr
    );
    assert!(
        !ended.stderr.contains("run webhookd again"),
        "{}",
        ended.stderr
    );
    let delivered = receiver.requests().len();
    for _ in 0..2 {
        let ended = listening(&config).spawn().wait().expect_code(65);
        assert!(ended.stderr.contains("is damaged: "), "{}", ended.stderr);
        assert_eq!(receiver.requests().len(), delivered);
    }
    let ended = Launch::new()
        .args(["queue", "verify", "--queue"])
        .arg(&dir)
        .run("")
        .expect_code(1);
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(
        text.contains("`by_key`") || text.contains("cannot be read"),
        "{text}"
    );
}

#[test]
fn after_an_end_by_a_signal_the_tables_are_verified_before_anything_is_delivered() {
    let folder = Folder::new();
    let dir = owing(&folder);
    let port = Port::take();
    for signal in [Signal::ABORT, Signal::KILL] {
        let process = listening(&config(&folder, &port.url())).spawn();
        let _listens = process.listens();
        process.signal(signal);
        let ended = process.wait();
        assert_eq!(ended.signal, Some(signal.as_raw()));
    }
    damage_the_index(&dir);
    let receiver = Receiver::always(Reply::status(200));
    let whole = config(&folder, &receiver.url());
    let ended = listening(&whole).spawn().wait().expect_code(65);
    assert!(ended.stderr.contains("is damaged: "), "{}", ended.stderr);
    assert_eq!(receiver.requests().len(), 0);
}

#[test]
fn a_queue_that_a_signal_left_whole_is_delivered() {
    let folder = Folder::new();
    let _dir = owing(&folder);
    let port = Port::take();
    let process = listening(&config(&folder, &port.url())).spawn();
    let _listens = process.listens();
    process.signal(Signal::ABORT);
    assert_eq!(process.wait().signal, Some(Signal::ABORT.as_raw()));
    let mut events: Vec<String> = (0..400)
        .map(|number| event(&format!("task-{number}"), number))
        .collect();
    events.sort();
    deliver(&folder, &events);
}

#[test]
fn reading_ends_with_the_first_line_that_a_deleted_queue_refuses() {
    let folder = Folder::new();
    let port = Port::take();
    let mut process = Launch::with_config(&config(&folder, &port.url()))
        .args(["--acks", "-", "--grace", "1s"])
        .spawn();
    process.write(event("first", 0) + "\n");
    process.wait_for_output("\n");
    std::fs::remove_file(folder.path().join("queue/data.mdb")).expect("it is there");
    let mut input = process.take_input();
    // Its end closes the pipe.
    let mut lines = 0;
    let late = event("late", 1) + "\n";
    while std::io::Write::write_all(&mut input, late.as_bytes()).is_ok() {
        lines += 1;
        assert!(lines < 1_000_000, "it reads on");
    }
    let ended = process.wait().expect_code(75);
    let refused = ended.summary().count("/refused");
    // What was handed to the queue's writer before the first refusal.
    assert!((1..=2_048).contains(&refused), "{refused} lines");
    deliver(&folder, &[event("first", 0)]);
}

/// A library to preload: while the file `$FAILS_WHILE` is there, writes of LMDB's meta page fail. They
/// are shorter than a page.
const PRELOAD: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static ssize_t write_at(const char *name, int fd, const void *bytes, size_t count, off64_t at) {
    ssize_t (*next)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, name);
    if (count < 200 && access(getenv("FAILS_WHILE"), F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return next(fd, bytes, count, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return write_at("pwrite64", fd, bytes, count, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return write_at("pwrite64", fd, bytes, count, at);
}
"#;

/// Compiles [`PRELOAD`].
fn failing_disk(folder: &Folder) -> PathBuf {
    let source = folder.write("failing_disk.c", PRELOAD);
    let library = folder.path().join("failing_disk.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .expect("there is a C compiler");
    assert!(compiled.success());
    library
}

#[test]
fn an_io_error_of_the_meta_page_ends_it_for_a_restart_that_goes_on() {
    let folder = Folder::new();
    let library = failing_disk(&folder);
    let fails = folder.path().join("fails");
    let port = Port::take();
    let process: Process = listening(&config(&folder, &port.url()))
        .env("LD_PRELOAD", library.to_str().expect("it is UTF-8"))
        .env("FAILS_WHILE", fails.to_str().expect("it is UTF-8"))
        .spawn();
    let url = process.listens();
    assert_eq!(post(&url, &[JSON], event("task-0", 0)).status, 200);
    std::fs::write(&fails, "").expect("it can be written");
    let refused = post(&url, &[JSON], event("task-1", 1));
    assert_eq!(refused.status, 503, "{refused:?}");
    let until = Instant::now() + DEADLINE;
    let ended = process.wait().expect_code(75);
    assert!(Instant::now() < until);
    let told = "since a commit failed at its last step";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    std::fs::remove_file(&fails).expect("it is there");

    let receiver = Receiver::always(Reply::status(200));
    let process = listening(&config(&folder, &receiver.url())).spawn();
    let url = process.listens();
    assert_eq!(post(&url, &[JSON], event("task-2", 2)).status, 200);
    receiver.wait_for_requests(2);
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
    let bodies = receiver.bodies();
    for number in [0, 2] {
        let expected = event(&format!("task-{number}"), number);
        assert!(bodies.contains(&expected.into_bytes()), "{number}");
    }
}

#[test]
fn the_queue_commands_tell_of_damage_in_json_and_text_alike() {
    let folder = Folder::new();
    let dir = owing(&folder);
    // Another target than the one that is owed the events, whose worker would read the index, too: a
    // debug build of LMDB aborts when a page changes under a cursor.
    let mut target = reliable(&Port::take().url());
    target["name"] = json!("other");
    let config = folder.config(&json!({ "targets": [target], "queue": { "dir": dir } }));
    let process = listening(&config).spawn();
    let admin = Admin::of(&process);
    let whole: Value = admin
        .post("/api/v1/queue/verify", "")
        .expect_status(200)
        .json();
    assert_eq!(whole["whole"], true, "{whole}");
    assert_eq!(whole["events"], 400);
    damage_the_index(&dir);
    let damaged: Value = admin
        .post("/api/v1/queue/verify", "")
        .expect_status(200)
        .json();
    assert_eq!(damaged["whole"], false, "{damaged}");
    process.signal(Signal::KILL);
    let _ended = process.wait();
}
