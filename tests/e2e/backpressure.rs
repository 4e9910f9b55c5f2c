//! Bounds: a full queue blocks the feeder, who goes on once there is room.

use crate::deliver::by_task;
use crate::durable::{acks, reliable};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::{Admin, Folder, Launch, Receiver, Reply, Signal, event, post};

const JSON: &str = "Content-Type: application/json";

/// The smallest queue that there is, bytes.
const SMALLEST: u64 = 1 << 20;

/// An event of 20 KB or so.
fn large(task: &str, number: usize) -> String {
    let padding = "x".repeat(20_000);
    event(task, number).replacen('{', &format!("{{\"padding\":\"{padding}\","), 1)
}

#[test]
fn a_full_queue_blocks_the_feeder_until_there_is_room() {
    let receiver = Receiver::always(Reply::status(200).held());
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["queue"] = json!({ "maxBytes": SMALLEST, "whenFull": "block" });
    let config = folder.config(&config);
    // Many times what the queue, and all that waits before it, can hold.
    let count = 3_000;
    let events: Vec<_> = (0..count)
        .map(|number| large(&format!("task-{}", number % 4), number))
        .collect();
    let input = folder.write("events.ndjson", events.join("\n"));
    let process = Launch::with_config(&config)
        .arg("--events")
        .arg(input)
        .args(["--acks", "-"])
        .spawn();
    // No answer is out yet, so that nothing is settled and no room comes.
    process.wait_for_output("\"line\":20,");
    receiver.wait_for_requests(4);
    receiver.release();
    let ended = process.wait().expect_code(0);
    assert_eq!(by_task(&receiver.bodies()), by_task(&events));
    assert_eq!(
        acks(&ended.stdout).len(),
        count,
        "each was taken in the end"
    );
    assert_eq!(ended.summary().count("/refused"), 0);
    // Of 60 MB, no more than this was ever kept.
    let data = std::fs::metadata(folder.path().join("webhook-queue/data.mdb"));
    let size = data.expect("the queue's data is there").len();
    assert!(size <= SMALLEST, "{size} bytes on the disk");
}

#[test]
fn a_signal_ends_a_webhookd_that_waits_for_room() {
    let receiver = Receiver::always(Reply::silence());
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["queue"] = json!({ "maxBytes": SMALLEST });
    let config = folder.config(&config);
    let events: Vec<_> = (0..3_000).map(|number| large("one", number)).collect();
    let input = folder.write("events.ndjson", events.join("\n"));
    let process = Launch::with_config(&config)
        .arg("--events")
        .arg(input)
        .args(["--acks", "-", "--grace", "100ms"])
        .spawn();
    process.wait_for_output("\"line\":1,");
    receiver.wait_for_requests(1);
    process.signal(Signal::TERM);
    let ended = process.wait().expect_code(3);
    let acknowledged = acks(&ended.stdout).len();
    assert!((1..3_000).contains(&acknowledged), "{acknowledged}");
    assert_eq!(ended.summary().count("/owed"), acknowledged as u64);
}

#[test]
fn a_full_disk_blocks_the_feeder_until_there_is_room() {
    let receiver = Receiver::always(Reply::status(200).held());
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let count = 300;
    let events: Vec<_> = (0..count)
        .map(|number| large(&format!("task-{}", number % 4), number))
        .collect();
    let input = folder.write("events.ndjson", events.join("\n"));
    let process = Launch::with_config(&config)
        .args(["--acks", "-", "--events"])
        .arg(input)
        .limiting_file_size(512)
        .spawn();
    process.wait_for_error("commits to the queue fail: ");
    process.lift_file_size_limit();
    receiver.release();
    let ended = process.wait().expect_code(0);
    assert_eq!(by_task(&receiver.bodies()), by_task(&events));
    assert_eq!(acks(&ended.stdout).len(), count);
    assert_eq!(ended.summary().count("/refused"), 0);
}

#[test]
fn over_http_a_full_disk_is_answered_503_and_nothing_is_accepted() {
    let receiver = Receiver::always(Reply::status(200).held());
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--grace", "100ms"])
        .limiting_file_size(256)
        .spawn();
    let url = process.listens();
    let mut accepted = Vec::new();
    let mut post = |task: &str| {
        let event = large(task, accepted.len());
        let status = post(&url, &[JSON], &event).status;
        if status == 200 {
            accepted.push(event);
        }
        status
    };
    let refused = std::iter::repeat_with(|| post("one")).find(|status| *status != 200);
    assert_eq!(refused, Some(503));
    process.lift_file_size_limit();
    while post("two") != 200 {}
    process.wait_for_error("commits to the queue succeed again");
    receiver.release();
    receiver.wait_for_requests(accepted.len());
    assert_eq!(by_task(&receiver.bodies()), by_task(&accepted));
    process.signal(Signal::TERM);
    // A refused event makes it 1.
    process.wait().expect_code(1);
}

#[test]
fn a_full_queue_that_rejects_names_each_line_that_it_did_not_take() {
    let receiver = Receiver::always(Reply::silence());
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["queue"] = json!({ "maxBytes": SMALLEST, "whenFull": "reject" });
    let config = folder.config(&config);
    // Some more than fit, and so few that each is told of by itself.
    let count = 45;
    let events: Vec<_> = (0..count).map(|number| large("one", number)).collect();
    let ended = Launch::with_config(&config)
        .args(["--acks", "-", "--grace", "100ms"])
        .run(events.join("\n"))
        .expect_code(3);
    let acks = acks(&ended.stdout);
    let summary = ended.summary();
    assert_eq!(summary.count("/owed"), acks.len() as u64);
    assert!(summary.count("/refused") > 0, "all of it fits");
    assert_eq!(acks.len() as u64 + summary.count("/refused"), count as u64);
    for line in 1..=count as u64 {
        let refused = ended.stderr.contains(&format!("line {line}: "));
        assert_eq!(
            refused,
            !acks.contains_key(&line),
            "line {line}: {}",
            ended.stderr
        );
    }
}

#[test]
fn a_full_disk_keeps_readyz_failing_until_there_is_room() {
    let receiver = Receiver::always(Reply::status(200).held());
    let folder = Folder::new();
    let mut config = json!({
        "targets": [reliable(&receiver.url())],
        "queue": { "dir": "queue", "whenFull": "reject" },
    });
    config["targets"][0]["name"] = json!("audit");
    let config = folder.config(&config);
    let mut process = Launch::with_config(&config)
        .args(["--admin", "0"])
        .limiting_file_size(512)
        .spawn();
    let admin = Admin::of(&process);
    let readyz = || admin.ask("GET", "/readyz", &[], "").status;
    for number in 0..300 {
        process.write(large(&format!("task-{number}"), number) + "\n");
    }
    process.wait_for_error("commits to the queue fail: ");
    // Longer than any failure used to count, without an event that could find out.
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until {
        assert_eq!(readyz(), 503);
    }
    let failing = "\nwebhookd_queue_failing 1\n";
    assert!(admin.text("/metrics").contains(failing));
    process.lift_file_size_limit();
    receiver.release();
    let until = Instant::now() + testkit::DEADLINE;
    while readyz() != 200 {
        assert!(Instant::now() < until, "it is not ready");
        std::thread::yield_now();
    }
    assert!(!admin.text("/metrics").contains(failing));
    process.close_input();
    let _ended = process.wait().expect_code(1);
}
