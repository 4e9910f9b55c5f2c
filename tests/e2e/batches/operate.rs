//! Batches and what operators set, see and repair.

use super::{Running, all_events, config, events, events_in, ids_in, target};
use crate::deliver::check_arrived;
use crate::retention::kept;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{Folder, Launch, Receiver, Reply, event};

fn bodies(events: &[String]) -> Vec<Vec<u8>> {
    events.iter().map(|it| it.clone().into_bytes()).collect()
}

#[test]
fn the_log_of_attempts_has_each_event_with_its_batch() {
    let receiver = Receiver::start(|request| {
        Reply::status(if request.number == 0 { 503 } else { 200 }).body("busy")
    });
    let folder = Folder::new();
    let running = Running::start(&folder, &target(&receiver.url(), "ndjson", 10));
    let mut ids = running.accept_together(&events(10, 3));
    running.wait_for_delivered(10);
    let batch = json!({ "id": receiver.requests()[0].header("webhook-id"), "events": 10 });
    ids.sort();
    for (number, outcome, error) in [
        (1, "5xx", json!("the receiver answered 503")),
        (2, "2xx", json!(null)),
    ] {
        let path = "/api/v1/targets/audit/attempts?limit=100";
        let page = running.admin.get(path)["attempts"].take();
        let attempts = page.as_array().expect("a list").iter();
        let mut found: Vec<&str> = Vec::new();
        for attempt in attempts.filter(|it| it["attempt"] == number) {
            assert_eq!(attempt["batch"], batch, "{attempt:#}");
            assert_eq!(attempt["outcome"], outcome);
            assert_eq!(attempt["error"], error);
            found.push(attempt["id"].as_str().expect("an id"));
        }
        found.sort_unstable();
        assert_eq!(found, ids, "attempt {number}");
    }
    let requests = running.stat("requests");
    assert_eq!(requests, receiver.requests().len() as u64);
    running.stop().expect_code(0);
}

#[test]
fn an_event_alone_is_logged_without_a_batch() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let running = Running::start(&folder, &target(&receiver.url(), "ndjson", 10));
    running.accept(&[event("one", 1)]);
    running.wait_for_delivered(1);
    let page = running.admin.get("/api/v1/targets/audit/attempts");
    assert_eq!(page["attempts"][0]["batch"], json!(null), "{page:#}");
    running.stop().expect_code(0);
}

#[test]
fn the_rate_counts_events_and_not_requests() {
    const RATE: usize = 20;
    let came = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let receiver = Receiver::start({
        let came = std::sync::Arc::clone(&came);
        move |request| {
            let count = events_in("ndjson", &request.body).len();
            let mut came = came.lock().expect("no holder panics");
            came.extend(vec![Instant::now(); count]);
            Reply::status(200)
        }
    });
    let folder = Folder::new();
    let mut settings = target(&receiver.url(), "ndjson", 10);
    settings["maxPerSecond"] = RATE.into();
    let running = Running::start(&folder, &settings);
    running.accept_together(&events(60, 60));
    running.wait_for_delivered(60);
    let came = came.lock().expect("no holder panics").clone();
    assert_eq!(came.len(), 60);
    // Sixty events take the time of forty after a burst of at most twenty.
    let took = came[59].saturating_duration_since(came[0]);
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert!(receiver.requests().len() < 60, "there were batches");
    running.stop().expect_code(0);
}

#[test]
fn a_reload_changes_the_size_of_batches_and_ends_them() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut settings = target(&receiver.url(), "ndjson", 10);
    let running = Running::start(&folder, &settings);
    let reload = |settings: &Value| {
        folder.config(&config(settings));
        let answer = running.admin.post("/api/v1/reload", "");
        answer.expect_status(200);
    };
    let sent = events(60, 6);
    let mut sizes = Vec::new();
    for (round, batch) in [
        json!({ "maxEvents": 10 }),
        json!({ "maxEvents": 5 }),
        Value::Null,
    ]
    .into_iter()
    .enumerate()
    {
        settings["batch"] = batch;
        reload(&settings);
        running.accept_together(&sent[round * 20..(round + 1) * 20]);
        running.wait_for_delivered((round + 1) * 20);
        let requests = receiver.requests();
        let lengths = requests
            .iter()
            .map(|it| events_in("ndjson", &it.body).len());
        sizes.push(lengths.max());
    }
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2 + 4 + 20);
    assert_eq!(sizes[0], Some(10));
    let lengths = requests[2..6]
        .iter()
        .map(|it| events_in("ndjson", &it.body).len());
    assert_eq!(lengths.collect::<Vec<_>>(), [5; 4]);
    check_arrived(&all_events("ndjson", &requests), &bodies(&sent));
    running.stop().expect_code(0);
}

#[test]
fn a_batch_that_waits_for_its_retry_is_delivered_after_a_reload_that_ends_batches() {
    let failing = Receiver::always(Reply::status(503));
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut settings = target(&failing.url(), "ndjson", 10);
    let running = Running::start(&folder, &settings);
    let sent = events(10, 3);
    running.accept_together(&sent);
    failing.wait_for_done(1);
    // A format without room for several events.
    settings["targetURL"] = receiver.url().into();
    settings["format"] = "aurora".into();
    settings["batch"] = Value::Null;
    folder.config(&config(&settings));
    running.admin.post("/api/v1/reload", "").expect_status(200);
    running.wait_for_delivered(10);
    check_arrived(&receiver.bodies(), &bodies(&sent));
    running.stop().expect_code(0);
}

#[test]
fn dead_letters_of_batches_are_replayed_one_by_one_or_together() {
    let healed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let receiver = Receiver::start({
        let healed = std::sync::Arc::clone(&healed);
        move |_| {
            let is_healed = healed.load(std::sync::atomic::Ordering::SeqCst);
            Reply::status(if is_healed { 200 } else { 500 })
        }
    });
    let folder = Folder::new();
    let mut settings = target(&receiver.url(), "ndjson", 10);
    settings["retry"] = json!({ "initialMsec": 1, "maxMsec": 1, "maxAttempts": 1 });
    let running = Running::start(&folder, &settings);
    let sent = events(10, 3);
    let mut ids = running.accept_together(&sent);
    running.admin.wait_for("audit", "deadHeld", 10);
    let letters = running.admin.get("/api/v1/dead-letters")["deadLetters"].take();
    let letters = letters.as_array().expect("a list");
    assert_eq!(letters.len(), 10, "each event has its own");
    assert!(
        letters
            .iter()
            .all(|it| it["reason"] == "attempts-exhausted")
    );
    healed.store(true, std::sync::atomic::Ordering::SeqCst);
    let before = receiver.requests().len();
    let replay = running
        .admin
        .post("/api/v1/dead-letters/replay", r#"{"all":true}"#);
    replay.expect_status(200);
    running.wait_for_delivered(10);
    let requests = receiver.requests().split_off(before);
    check_arrived(&all_events("ndjson", &requests), &bodies(&sent));
    let mut named: Vec<_> = requests
        .iter()
        .flat_map(|it| ids_in("ndjson", it))
        .collect();
    named.sort();
    ids.sort();
    assert_eq!(named, ids, "under their ids");
    running.stop().expect_code(0);
}

#[test]
fn what_was_delivered_in_a_batch_is_kept_event_by_event() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut settings = target(&receiver.url(), "ndjson", 10);
    settings["retain"] = json!({ "maxBytes": 1 << 20 });
    let running = Running::start(&folder, &settings);
    let sent = events(20, 4);
    let mut ids = running.accept_together(&sent);
    running.admin.wait_for("audit", "kept", 20);
    let queue = folder.path().join("queue");
    let queue = queue.to_str().expect("it is a text");
    let letters = kept(&["--queue", queue]);
    let mut found: Vec<_> = letters
        .iter()
        .map(|it| it["id"].as_str().expect("it has an id").to_owned())
        .collect();
    found.sort();
    ids.sort();
    assert_eq!(found, ids);
    let before = receiver.requests().len();
    let replay = ["dead-letters", "replay", "--delivered", "--task", "task-2"];
    let replay = Launch::new().args(replay).args(["--queue", queue]);
    replay.run("").expect_code(0);
    running.wait_for_delivered(25);
    let requests = receiver.requests().split_off(before);
    let expected = sent.iter().skip(2).step_by(4).cloned();
    let expected = bodies(&expected.collect::<Vec<_>>());
    assert_eq!(all_events("ndjson", &requests), expected);
    running.stop().expect_code(0);
}

#[test]
fn a_best_effort_batch_is_tried_once() {
    let receiver = Receiver::start(|request| {
        let body = String::from_utf8_lossy(&request.body);
        Reply::status(if body.contains("bad") { 500 } else { 200 })
    });
    let folder = Folder::new();
    let mut settings = target(&receiver.url(), "json-array", 10);
    settings["delivery"] = "best-effort".into();
    settings["retry"] = Value::Null;
    let running = Running::start(&folder, &settings);
    let good = events(10, 3);
    running.accept_together(&good);
    running.wait_for_delivered(10);
    let bad: Vec<_> = (0..10).map(|number| event("bad", number)).collect();
    running.accept_together(&bad);
    running.admin.wait_for("audit", "failed", 10);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    let mut sent = good;
    sent.extend(bad);
    check_arrived(&all_events("json-array", &requests), &bodies(&sent));
    running.stop();
}
