//! Notices: events about webhookd itself, delivered like all others.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use testkit::{
    Admin, Folder, Launch, Process, Receiver, Reply, Request, Signal, event, post, post_to,
};

fn target(name: &str, receiver: &Receiver) -> Value {
    let mut target = reliable(&receiver.url());
    target["name"] = json!(name);
    target
}

/// A target that gets notices alone, as CloudEvents.
fn ops(receiver: &Receiver) -> Value {
    let mut target = target("ops", receiver);
    target["inputs"] = json!([]);
    target["format"] = json!("cloudevents-binary");
    target
}

fn listening(config: &std::path::Path) -> Process {
    Launch::with_config(config)
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--grace", "100ms"])
        .spawn()
}

/// Waits for the notice of this kind.
fn wait_for(receiver: &Receiver, kind: &str) -> Request {
    let kind = format!("webhookd.notice.{kind}");
    let mut count = 1;
    loop {
        let requests = receiver.wait_for_requests(count);
        count = requests.len() + 1;
        let mut requests = requests.into_iter();
        if let Some(found) = requests.find(|it| it.header("ce-type") == kind) {
            return found;
        }
    }
}

fn data(notice: &Request) -> Value {
    serde_json::from_slice(&notice.body).expect("the data of a notice is JSON")
}

fn end(process: Process) {
    process.signal(Signal::TERM);
    process.wait();
}

#[test]
fn a_target_gets_notices_about_the_others_and_they_get_none() {
    let status = Arc::new(AtomicU16::new(503));
    let answer = Arc::clone(&status);
    let audit = Receiver::start(move |_| Reply::status(answer.load(Ordering::SeqCst)));
    let other = Receiver::always(Reply::status(200));
    // Refuses one of them: there is no notice about its own dead letters.
    let notified = Receiver::start(|request| match request.header("ce-type").as_str() {
        "webhookd.notice.breaker-closed" => Reply::status(422),
        _ => Reply::status(200),
    });
    let folder = Folder::new();
    let targets = [
        target("audit", &audit),
        target("other", &other),
        ops(&notified),
    ];
    let config = folder.config(&json!({ "targets": targets, "notices": { "target": "ops" } }));
    let process = listening(&config);
    let (url, admin) = (process.listens(), Admin::of(&process));
    for number in 0..20 {
        post(&url, &[], event(&format!("task-{number}"), number)).expect_status(200);
    }
    let opened = wait_for(&notified, "breaker-opened");
    assert_eq!(opened.header("ce-source"), "/webhookd");
    assert_eq!(opened.header("ce-subject"), "audit");
    let opened = data(&opened);
    assert_eq!(opened["notice"], "breaker-opened");
    assert_eq!(opened["target"], "audit");
    let message = opened["message"].as_str().expect("a text");
    assert!(
        message.starts_with("target audit: cannot be reached"),
        "{message}"
    );

    status.store(422, Ordering::SeqCst);
    wait_for(&notified, "breaker-closed");
    let dead = data(&wait_for(&notified, "dead-letters-growing"));
    assert_eq!(dead["target"], "audit");
    assert!(dead["count"].as_u64().expect("a number") > 0, "{dead}");
    admin.wait_for("ops", "deadHeld", 1);

    std::fs::write(&config, "{").expect("the file can be written");
    process.signal(Signal::HUP);
    let failed = wait_for(&notified, "reload-failed");
    assert!(failed.headers("ce-subject").is_empty());
    assert_eq!(data(&failed)["target"], Value::Null);

    post_to(&url, "/events/notices", &[], "{}").expect_status(404);
    assert_eq!(other.requests().len(), 20);
    let about_itself = |it: &Request| it.headers("ce-subject").contains(&"ops".to_owned());
    assert!(!notified.requests().iter().any(about_itself));
    assert_eq!(notified.requests().len(), 4);
    end(process);
}

#[test]
fn a_target_gets_a_notice_of_another_one_that_is_over_its_quota() {
    let down = Receiver::always(Reply::silence());
    let good = Receiver::always(Reply::status(200));
    let notified = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut audit = target("audit", &down);
    audit["maxOwedBytes"] = json!(20_000);
    let config = folder.config(&json!({
        "targets": [audit, target("good", &good), ops(&notified)],
        "notices": { "target": "ops" },
    }));
    let process = listening(&config);
    let url = process.listens();
    let padding = "x".repeat(3_000);
    let is_over = (0..100).any(|number| {
        let body = event("one", number).replacen('{', &format!("{{\"padding\":\"{padding}\","), 1);
        let answer = post(&url, &[], body).expect_status(200);
        answer.json()["overQuota"] == json!(["audit"])
    });
    assert!(is_over, "20 KB are not 100 events");
    let over = data(&wait_for(&notified, "over-quota"));
    assert_eq!(over["target"], "audit");
    assert!(over["count"].as_u64().expect("a number") > 0, "{over}");
    end(process);
}

#[test]
fn a_target_gets_a_notice_of_the_only_other_one_whose_events_are_refused_for_its_quota() {
    let down = Receiver::always(Reply::silence());
    let notified = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut audit = target("audit", &down);
    audit["maxOwedBytes"] = json!(20_000);
    let config = folder.config(&json!({
        "targets": [audit, ops(&notified)],
        "notices": { "target": "ops" },
    }));
    let process = listening(&config);
    let url = process.listens();
    let padding = "x".repeat(3_000);
    let is_refused = (0..100).any(|number| {
        let body = event("one", number).replacen('{', &format!("{{\"padding\":\"{padding}\","), 1);
        post(&url, &[], body).status != 200
    });
    assert!(is_refused, "20 KB are not 100 events");
    let over = data(&wait_for(&notified, "over-quota"));
    assert_eq!(over["target"], "audit");
    end(process);
}

#[test]
fn a_target_gets_a_notice_of_another_one_that_answers_410() {
    let gone = Receiver::always(Reply::status(410));
    let notified = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&json!({
        "targets": [target("audit", &gone), ops(&notified)],
        "notices": { "target": "ops" },
    }));
    let process = listening(&config);
    post(&process.listens(), &[], event("one", 1)).expect_status(200);
    let stopped = data(&wait_for(&notified, "target-stopped"));
    assert_eq!(stopped["target"], "audit");
    end(process);
}
