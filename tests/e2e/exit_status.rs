//! The exit status of `webhookd run`: what a retry may mend, and what was delivered in the end.

use crate::durable::reliable;
use serde_json::json;
use std::net::TcpListener;
use testkit::{Admin, Folder, Launch, Receiver, Reply, Signal, event};

const TEMPORARY: i32 = 75;

#[test]
fn a_port_in_use_a_queue_in_use_and_a_full_disk_at_the_start_are_temporary() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    // The queue is still to be made.
    let full = Launch::with_config(&config).limiting_file_size(0);
    let _ended = full.run("").expect_code(TEMPORARY);
    let held = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = held.local_addr().expect("it has an address").to_string();
    for option in ["--listen", "--admin"] {
        let launch = Launch::with_config(&config).args([option, &address]);
        let ended = launch.run("").expect_code(TEMPORARY);
        assert!(ended.stderr.contains(&address), "{}", ended.stderr);
    }

    let holder = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let _admin = Admin::of(&holder);
    let second = Launch::with_config(&config).args(["--queue-lock-timeout", "0s"]);
    let ended = second.run("").expect_code(TEMPORARY);
    assert!(ended.stderr.contains("is in use"), "{}", ended.stderr);
}

#[test]
fn a_start_waits_for_a_queue_that_another_program_has_open() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let mut holder = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let _admin = Admin::of(&holder);
    let mut second = Launch::with_config(&config)
        .args(["--queue-lock-timeout", "1h"])
        .spawn();
    second.wait_for_error("waiting for it up to 3600s");
    holder.close_input();
    let _ended = holder.wait().expect_code(0);
    second.write(event("one", 1) + "\n");
    second.close_input();
    let _ended = second.wait().expect_code(0);
    assert_eq!(receiver.bodies(), [event("one", 1).into_bytes()]);
}

#[test]
fn a_signal_ends_the_wait_for_a_queue() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let holder = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let _admin = Admin::of(&holder);
    let second = Launch::with_config(&config)
        .args(["--queue-lock-timeout", "1h"])
        .spawn();
    second.wait_for_error("waiting for it");
    second.signal(Signal::TERM);
    let _ended = second.wait().expect_code(TEMPORARY);
}

#[test]
fn a_dead_letter_that_was_replayed_and_delivered_leaves_the_status_at_0() {
    for (replays, expected) in [(true, 0), (false, 1)] {
        // What is refused first is accepted later.
        let receiver = Receiver::start(|request| match request.number {
            0 => Reply::status(422),
            _ => Reply::status(200),
        });
        let folder = Folder::new();
        let mut target = reliable(&receiver.url());
        target["name"] = json!("audit");
        let config = folder.config(&json!({ "targets": [target], "queue": { "dir": "queue" } }));
        let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
        let admin = Admin::of(&process);
        process.write(event("one", 1) + "\n");
        admin.wait_for("audit", "deadHeld", 1);
        if replays {
            let replay = admin.post("/api/v1/dead-letters/replay", r#"{"target": "audit"}"#);
            let _replayed = replay.expect_status(200);
            admin.wait_for("audit", "delivered", 1);
        }
        process.signal(Signal::TERM);
        let _ended = process.wait().expect_code(expected);
    }
}
