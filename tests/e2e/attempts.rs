//! The log of attempts: what became of an event, and why.

use serde_json::{Value, json};
use std::time::Instant;
use testkit::{Admin, DEADLINE, Folder, Launch, Receiver, Reply, Signal, event, post};

/// A configuration of the target `audit`, with a secret in its headers.
fn config(url: &str) -> Value {
    json!({
        "targets": [{
            "name": "audit",
            "targetURL": url,
            "headers": { "Authorization": "Bearer hidden-token" },
            "timeoutMsec": 30_000,
            "retry": { "initialMsec": 1, "maxMsec": 1 },
        }],
        "queue": { "dir": "queue" },
    })
}

/// The numbers of a page's attempts.
fn numbers(page: &Value) -> Vec<u64> {
    let attempts = page["attempts"].as_array().expect("a list").iter();
    attempts.filter_map(|it| it["number"].as_u64()).collect()
}

/// Waits until the log has this many attempts that match.
fn wait_for_attempts(admin: &Admin, query: &str, count: usize) -> Value {
    let until = Instant::now() + DEADLINE;
    loop {
        let page = admin.get(&format!("/api/v1/targets/audit/attempts?{query}"));
        if numbers(&page).len() >= count {
            return page;
        }
        assert!(Instant::now() < until, "{page:#}");
        std::thread::yield_now();
    }
}

#[test]
fn a_failing_receiver_is_seen_with_the_error_in_words_and_its_answer() {
    let receiver = Receiver::start(|request| {
        let token = request.header("authorization");
        match String::from_utf8_lossy(&request.body).contains("good") {
            true => Reply::status(200).body("secret of the receiver"),
            false => Reply::status(503).body(format!("{token} is over its limit")),
        }
    });
    let folder = Folder::new();
    let process = Launch::with_config(&folder.config(&config(&receiver.url())))
        .args(["--listen", "127.0.0.1:0", "--admin", "0", "--grace", "1s"])
        .spawn();
    let (url, admin) = (process.listens(), Admin::of(&process));
    let empty = admin.get("/api/v1/targets/audit/attempts");
    assert_eq!(empty, json!({ "attempts": [], "next": null }));
    post(&url, &[], event("good", 1)).expect_status(200);
    wait_for_attempts(&admin, "", 1);
    post(&url, &[], event("bad/1 ü", 1)).expect_status(200);

    let page = wait_for_attempts(&admin, "outcome=failed&key=bad%2F1%20%C3%BC", 2);
    let failed = page["attempts"].as_array().unwrap().last().unwrap();
    for (member, value) in [
        ("number", json!(2)),
        ("target", json!("audit")),
        ("key", json!("bad/1 ü")),
        ("state", json!("RUNNING")),
        ("job", json!("r/e/n")),
        ("attempt", json!(1)),
        ("outcome", json!("5xx")),
        ("status", json!(503)),
        ("error", json!("the receiver answered 503")),
        ("answer", json!("*** is over its limit")),
    ] {
        assert_eq!(failed[member], value, "{member}: {failed:#}");
    }
    let text = page.to_string();
    assert!(!text.contains("hidden-token"), "{text}");
    let delivered = admin.get("/api/v1/targets/audit/attempts?outcome=delivered");
    assert_eq!(numbers(&delivered), [1]);
    let delivered = &delivered["attempts"][0];
    for (member, value) in [
        ("key", json!("good")),
        ("outcome", json!("2xx")),
        ("status", json!(200)),
        ("error", json!(null)),
        ("answer", json!(null)),
        ("bytes", json!(event("good", 1).len())),
    ] {
        assert_eq!(delivered[member], value, "{member}: {delivered:#}");
    }
    process.signal(Signal::TERM);
    let _ended = process.wait();
}

#[test]
fn pages_of_attempts_follow_each_other_from_the_newest_to_the_oldest() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = Launch::with_config(&folder.config(&config(&receiver.url())))
        .args(["--listen", "127.0.0.1:0", "--admin", "0", "--grace", "1s"])
        .spawn();
    let (url, admin) = (process.listens(), Admin::of(&process));
    for number in 0..7 {
        post(&url, &[], event(&format!("task-{number}"), 1)).expect_status(200);
    }
    wait_for_attempts(&admin, "", 7);
    let mut query = String::from("limit=3");
    for (expected, next) in [
        (vec![7, 6, 5], json!(5)),
        (vec![4, 3, 2], json!(2)),
        (vec![1], json!(null)),
    ] {
        let page = admin.get(&format!("/api/v1/targets/audit/attempts?{query}"));
        assert_eq!((numbers(&page), &page["next"]), (expected, &next));
        query = format!("limit=3&after={next}");
    }
    for query in ["outcome=good", "after=x", "limit=0", "task=task-1"] {
        let path = format!("/api/v1/targets/audit/attempts?{query}");
        let answer = admin.ask("GET", &path, &[], "").expect_status(400).json();
        let (name, _) = query.split_once('=').unwrap();
        assert!(
            answer["detail"].as_str().unwrap().contains(name),
            "{answer}"
        );
    }
    process.signal(Signal::TERM);
    process.wait().expect_code(0);
}

#[test]
fn a_task_shows_what_is_owed_and_why_and_a_stuck_one_what_waits_behind_it() {
    let receiver =
        Receiver::start(
            |request| match String::from_utf8_lossy(&request.body).contains("stuck") {
                // Unlike a 5xx, it lets no retry be made before its time.
                true => Reply::status(404),
                false => Reply::status(200),
            },
        );
    let folder = Folder::new();
    let mut settings = config(&receiver.url());
    settings["targets"][0]["retry"] = json!({ "initialMsec": 3_600_000, "maxMsec": 3_600_000 });
    let process = Launch::with_config(&folder.config(&settings))
        .args(["--listen", "127.0.0.1:0", "--admin", "0", "--grace", "1s"])
        .spawn();
    let (url, admin) = (process.listens(), Admin::of(&process));
    for number in 1..=3 {
        post(&url, &[], event("stuck", number)).expect_status(200);
    }
    post(&url, &[], event("other", 1)).expect_status(200);
    wait_for_attempts(&admin, "key=stuck", 1);
    wait_for_attempts(&admin, "key=other", 1);
    let until = Instant::now() + DEADLINE;
    let next_retry = || admin.get("/api/v1/targets/audit")["stats"]["nextRetryAt"].take();
    // Its attempt is logged a moment before the task waits.
    let waiting = loop {
        let waiting = admin.get("/api/v1/targets/audit/waiting");
        if waiting["waiting"][0]["nextTryAt"].is_string() && next_retry().is_string() {
            break waiting;
        }
        assert!(Instant::now() < until, "{waiting:#}");
        std::thread::yield_now();
    };
    assert_eq!(waiting["waiting"].as_array().map(Vec::len), Some(1));
    assert_eq!(waiting["more"], false);
    for (member, value) in [
        ("key", json!("stuck")),
        ("reason", json!("the receiver answered 404")),
        ("attempts", json!(1)),
        ("behind", json!(2)),
    ] {
        let found = &waiting["waiting"][0][member];
        assert_eq!(*found, value, "{member}: {waiting:#}");
    }
    let task = admin.get("/api/v1/tasks/stuck");
    assert_eq!(task["key"], "stuck");
    assert_eq!(task["deadLettersComplete"], true);
    let of_audit = &task["targets"][0];
    assert_eq!(of_audit["target"], "audit");
    assert_eq!(of_audit["pending"].as_array().map(Vec::len), Some(3));
    let first = &of_audit["pending"][0];
    assert_eq!(first["reason"], "the receiver answered 404");
    assert_eq!(first["state"], "RUNNING");
    assert!(of_audit["nextTryAt"].is_string(), "{task:#}");
    assert_eq!(of_audit["inFlight"], false);
    // Until its settlement is synced, an event is still in the queue.
    let delivered = loop {
        let delivered = admin.get("/api/v1/tasks/other");
        if delivered["targets"][0]["pending"] == json!([]) {
            break delivered;
        }
        assert!(Instant::now() < until, "{delivered:#}");
        std::thread::yield_now();
    };
    let of_audit = &delivered["targets"][0];
    assert_eq!(of_audit["attempts"][0]["outcome"], "2xx");
    assert_eq!(admin.get("/api/v1/tasks/none")["targets"], json!([]));
    process.signal(Signal::TERM);
    let _ended = process.wait();
}
