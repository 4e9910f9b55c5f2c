//! What follows when a batch fails.

use super::{FORMATS, Running, all_events, events, events_in, ids_in, target};
use crate::deliver::check_arrived;
use crate::workers::JSON;
use serde_json::json;
use std::collections::BTreeSet;
use testkit::{Folder, Receiver, Reply, Request, Signal, event, post};

fn bodies(events: &[String]) -> Vec<Vec<u8>> {
    events.iter().map(|it| it.clone().into_bytes()).collect()
}

/// What is the same in each attempt at a batch.
fn composition(request: &Request) -> (String, Vec<String>, Vec<u8>) {
    let id = request.header("webhook-id");
    (
        id,
        request.headers("webhook-event-ids"),
        request.body.clone(),
    )
}

fn attempts(requests: &[Request]) -> Vec<String> {
    let numbers = requests.iter().map(|it| it.header("webhook-attempt"));
    numbers.collect()
}

/// The events of the requests that were answered so, in the order in which they came.
fn events_of(requests: &[Request], was: impl Fn(&Request) -> bool) -> Vec<Vec<u8>> {
    let requests: Vec<_> = requests.iter().filter(|it| was(it)).cloned().collect();
    all_events("ndjson", &requests)
}

#[test]
fn a_batch_that_failed_is_sent_again_under_the_same_id_with_the_same_body() {
    for format in FORMATS {
        let receiver = Receiver::start(move |request| match request.number {
            0 | 1 => Reply::status(503),
            _ if format == "kafka-rest-v2" => Reply::status(200).body(super::taken(&request.body)),
            _ => Reply::status(200),
        });
        let folder = Folder::new();
        let mut target = target(&receiver.url(), format, 10);
        target["retry"] = json!({ "initialMsec": 1, "maxMsec": 5_000 });
        let running = Running::start(&folder, &target);
        let first = events(10, 3);
        running.accept_together(&first);
        receiver.wait_for_requests(1);
        // These come while the batch waits, and do not join it.
        let mut more = events(14, 3);
        more.drain(..10);
        running.accept(&more);
        running.wait_for_delivered(14);
        let requests = receiver.requests();
        let retried: Vec<_> = requests
            .iter()
            .filter(|it| composition(it) == composition(&requests[0]))
            .cloned()
            .collect();
        assert_eq!(events_in(format, &requests[0].body).len(), 10);
        assert!(retried.len() >= 2, "{format}");
        let numbers: Vec<_> = (1..=retried.len()).map(|it| it.to_string()).collect();
        assert_eq!(attempts(&retried), numbers, "{format}");
        let answered: Vec<_> = requests
            .iter()
            .filter(|it| it.number > 1)
            .cloned()
            .collect();
        let mut sent = first;
        sent.extend(more);
        check_arrived(&all_events(format, &answered), &bodies(&sent));
        running.stop().expect_code(0);
    }
}

#[test]
fn a_batch_that_failed_is_the_same_after_a_kill() {
    let failing = Receiver::always(Reply::status(503));
    let folder = Folder::new();
    let mut settings = target(&failing.url(), "ndjson", 10);
    settings["retry"] = json!({ "initialMsec": 36_000_000, "maxMsec": 36_000_000 });
    let running = Running::start(&folder, &settings);
    let sent = events(10, 3);
    running.accept_together(&sent);
    failing.wait_for_done(1);
    running.process.wait_for_error("503");
    let until = std::time::Instant::now() + testkit::DEADLINE;
    // The failure is in the queue once the tasks show when they are tried again.
    let noted = || {
        let pending = |task| running.admin.get(&format!("/api/v1/tasks/task-{task}"));
        (0..3).all(|task| pending(task)["targets"][0]["pending"][0]["attempts"] == 1)
    };
    while !noted() {
        assert!(std::time::Instant::now() < until, "no attempt is noted");
        std::thread::yield_now();
    }
    running.process.signal(Signal::KILL);
    let _killed = running.process.wait();
    let before = failing.requests();
    assert_eq!(before.len(), 1);

    let receiver = Receiver::always(Reply::status(200));
    settings["targetURL"] = receiver.url().into();
    let running = Running::start(&folder, &settings);
    // It is not due yet, and new events of other tasks go ahead of it.
    post(&running.url, &[JSON], event("other", 1)).expect_status(200);
    running.wait_for_delivered(11);
    let requests = receiver.requests();
    let again: Vec<_> = requests
        .iter()
        .filter(|it| it.body == before[0].body)
        .collect();
    assert_eq!(again.len(), 1, "{requests:?}");
    assert_eq!(composition(again[0]), composition(&before[0]));
    assert_eq!(again[0].header("webhook-attempt"), "2");
    running.stop().expect_code(0);
}

#[test]
fn a_kill_in_mid_stream_loses_nothing_and_keeps_each_tasks_order() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut settings = target(&receiver.url(), "ndjson", 20);
    settings["concurrency"] = 4.into();
    let sent = events(600, 7);
    for part in sent.chunks(200) {
        let running = Running::start(&folder, &settings);
        running.accept(part);
        running.process.signal(Signal::KILL);
        let _killed = running.process.wait();
    }
    let running = Running::start(&folder, &settings);
    running.admin.wait_for("audit", "pending", 0);
    let mut seen = BTreeSet::new();
    // What was under way during a kill may come twice, recognised by its id.
    let mut first = Vec::new();
    for request in receiver.requests() {
        let ids = ids_in("ndjson", &request);
        for (id, event) in ids.into_iter().zip(events_in("ndjson", &request.body)) {
            if seen.insert(id) {
                first.push(event.into_bytes());
            }
        }
    }
    check_arrived(&first, &bodies(&sent));
    running.stop().expect_code(0);
}

#[test]
fn a_batch_that_is_too_large_is_halved() {
    const MOST: usize = 2_000;
    let receiver = Receiver::start(|request| {
        let fits = request.body.len() <= MOST;
        Reply::status(if fits { 200 } else { 413 })
    });
    let folder = Folder::new();
    let running = Running::start(&folder, &target(&receiver.url(), "ndjson", 100));
    let sent = events(100, 7);
    assert!(sent.iter().all(|event| event.len() < MOST / 4));
    running.accept_together(&sent);
    running.wait_for_delivered(100);
    let requests = receiver.requests();
    let taken = events_of(&requests, |request| request.body.len() <= MOST);
    check_arrived(&taken, &bodies(&sent));
    let largest = requests.iter().map(|it| it.body.len()).max();
    assert!(largest > Some(MOST), "none was too large");
    assert_eq!(running.stat("deadHeld"), 0);
    running.stop().expect_code(0);
}

#[test]
fn a_poisoned_event_is_a_dead_letter_alone() {
    for status in [400, 422] {
        let is_poisoned = |body: &[u8]| String::from_utf8_lossy(body).contains("poison");
        let receiver = Receiver::start(move |request| {
            Reply::status(if is_poisoned(&request.body) {
                status
            } else {
                200
            })
        });
        let folder = Folder::new();
        let running = Running::start(&folder, &target(&receiver.url(), "ndjson", 32));
        let mut sent = events(32, 5);
        // In the middle of its task's events.
        let poisoned = 13;
        sent[poisoned] = sent[poisoned].replace("\"role\":\"r\"", "\"role\":\"poison\"");
        let ids = running.accept_together(&sent);
        running.wait_for_delivered(31);
        running.admin.wait_for("audit", "deadHeld", 1);
        let requests = receiver.requests();
        let taken = events_of(&requests, |request| !is_poisoned(&request.body));
        let mut expected = bodies(&sent);
        expected.remove(poisoned);
        check_arrived(&taken, &expected);
        let sizes: Vec<_> = requests
            .iter()
            .map(|it| events_in("ndjson", &it.body).len())
            .collect();
        assert!(sizes.len() < 32, "the others stay together: {sizes:?}");
        let letters = running.admin.get("/api/v1/dead-letters")["deadLetters"].take();
        let letters = letters.as_array().expect("a list");
        assert_eq!(letters.len(), 1, "{letters:?}");
        assert_eq!(letters[0]["id"], ids[poisoned]);
        assert_eq!(letters[0]["reason"], "refused");
        running.stop().expect_code(1);
    }
}
