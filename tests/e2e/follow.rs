//! Files that grow: rotated, cut off, not there yet, and read on after a restart.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use testkit::{Folder, Launch, Process, Receiver, Reply, Signal, event};

fn config(folder: &Folder, receiver: &Receiver) -> std::path::PathBuf {
    folder.config(&json!({
        "headers": {},
        "targetURL": receiver.url(),
        "timeoutMsec": 30_000,
        "responseTimeoutMsec": 30_000,
        "retry": { "initialMsec": 10, "maxMsec": 100 },
    }))
}

fn follow(config: &Path) -> Launch {
    Launch::with_config(config).args(["--events", "events.ndjson", "--follow"])
}

fn append(path: &Path, from: usize, to: usize) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("the folder takes files");
    for number in from..to {
        writeln!(file, "{}", event("one", number)).expect("it takes lines");
    }
}

fn expect_in_order(receiver: &Receiver, count: usize) {
    let arrived = receiver.wait_for_requests(count);
    for (number, request) in arrived.iter().enumerate() {
        assert_eq!(request.body, event("one", number).as_bytes());
    }
    assert_eq!(arrived.len(), count);
}

fn end(process: Process) {
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
}

#[test]
fn a_file_is_followed_over_its_making_rotation_and_truncation() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = config(&folder, &receiver);
    let file = folder.path().join("events.ndjson");
    let process = follow(&config).spawn();
    // It is not there yet.
    append(&file, 0, 3);
    expect_in_order(&receiver, 3);
    // Rotated; the writer has the old one open, and writes a last line without an end.
    let mut old = OpenOptions::new()
        .append(true)
        .open(&file)
        .expect("it is there");
    std::fs::rename(&file, folder.path().join("events.ndjson.1")).expect("it can be renamed");
    write!(old, "{}", event("one", 3)).expect("it takes a line");
    append(&file, 4, 6);
    expect_in_order(&receiver, 6);
    // Cut off, and written anew, shorter than before.
    File::create(&file).expect("it can be cut off");
    append(&file, 6, 7);
    expect_in_order(&receiver, 7);
    end(process);
    assert_eq!(receiver.requests().len(), 7);
}

#[test]
fn what_is_in_the_way_of_a_file_for_a_time_ends_nothing() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = config(&folder, &receiver);
    let file = folder.path().join("events.ndjson");
    let process = follow(&config).spawn();
    append(&file, 0, 3);
    expect_in_order(&receiver, 3);
    // A link to itself cannot be opened, not even by root.
    std::fs::remove_file(&file).expect("it is there");
    std::os::unix::fs::symlink("events.ndjson", &file).expect("a link can be made");
    process.wait_for_error("for now");
    std::fs::remove_file(&file).expect("it is there");
    append(&file, 3, 6);
    expect_in_order(&receiver, 6);
    end(process);
}

#[test]
fn a_restart_reads_on_where_it_was_and_what_was_rotated_meanwhile() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = config(&folder, &receiver);
    let file = folder.path().join("events.ndjson");
    append(&file, 0, 100);
    let process = follow(&config).spawn();
    expect_in_order(&receiver, 100);
    end(process);
    append(&file, 100, 150);
    let process = follow(&config).spawn();
    expect_in_order(&receiver, 150);
    end(process);
    append(&file, 150, 200);
    std::fs::rename(&file, folder.path().join("events.ndjson.1")).expect("it can be renamed");
    append(&file, 200, 250);
    let process = follow(&config).spawn();
    expect_in_order(&receiver, 250);
    end(process);
}

#[test]
fn nothing_is_lost_or_stored_twice_by_kills() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = config(&folder, &receiver);
    let file = folder.path().join("events.ndjson");
    let mut ids = BTreeSet::new();
    for round in 0..5 {
        append(&file, round * 200, (round + 1) * 200);
        let process = follow(&config).spawn();
        receiver.wait_for_requests(round * 200 + 50);
        process.signal(Signal::KILL);
        let _ended = process.wait();
    }
    let process = follow(&config).spawn();
    let mut bodies = BTreeSet::new();
    while bodies.len() < 1000 {
        receiver.wait_for_requests(receiver.requests().len());
        bodies = receiver.bodies().into_iter().collect();
        std::thread::yield_now();
    }
    end(process);
    let mut order = Vec::new();
    for request in receiver.requests() {
        // What a kill let arrive twice has one id.
        if ids.insert(request.header("webhook-id")) {
            order.push(request.body);
        }
    }
    let expected: Vec<_> = (0..1000)
        .map(|number| event("one", number).into_bytes())
        .collect();
    assert!(order == expected, "{} ids", order.len());
}

#[test]
fn acknowledgements_of_several_files_name_their_source() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = config(&folder, &receiver);
    folder.write("a", event("a", 1) + "\n");
    folder.write("b", "\n".to_owned() + &event("b", 2));
    let launch = Launch::with_config(&config);
    let ended = launch
        .args(["--events", "a", "--events", "b", "--acks", "-"])
        .run("")
        .expect_code(0);
    let acks = String::from_utf8(ended.stdout).expect("UTF-8");
    let mut named: Vec<_> = acks
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|ack| (ack["source"].to_string(), ack["line"].to_string()))
        .collect();
    named.sort();
    let expected = [("\"a\"", "1"), ("\"b\"", "2")];
    assert_eq!(named, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn standard_input_cannot_be_followed() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = config(&folder, &receiver);
    let launch = Launch::with_config(&config).args(["--events", "-", "--follow"]);
    let ended = launch.run("").expect_code(2);
    assert!(ended.stderr.contains("--follow"), "{}", ended.stderr);
}
