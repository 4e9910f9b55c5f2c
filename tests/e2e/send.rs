//! `webhookd send`: one test delivery.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Ended, Folder, Launch, Port, Receiver, Reply, event};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Sends an event to a target of these settings.
fn send(folder: &Folder, config: &Value, args: &[&str]) -> Ended {
    let config = folder.config(config);
    let event = folder.write("event.json", event("a", 1) + "\n");
    Launch::new()
        .arg("send")
        .arg(event)
        .arg("--webhook-config")
        .arg(config)
        .args(args)
        .current_dir(folder.path())
        .run("")
}

fn text(ended: &Ended) -> String {
    String::from_utf8(ended.stdout.clone()).expect("it prints text")
}

fn report(ended: &Ended) -> Value {
    serde_json::from_slice(&ended.stdout).expect("it prints JSON")
}

/// What follows from this answer, as told.
fn follows(reply: Reply, settings: &[(&str, Value)]) -> (String, String) {
    let receiver = Receiver::always(reply);
    let mut config = reliable(&receiver.url());
    for (key, value) in settings {
        config[*key] = value.clone();
    }
    let ended = send(&Folder::new(), &config, &["--format", "json"]).expect_code(1);
    assert_eq!(receiver.requests().len(), 1, "one attempt and no other");
    let report = report(&ended);
    let said = |key: &str| report[key].as_str().expect("it is a text").to_owned();
    (said("nextStep"), said("hint"))
}

#[test]
fn what_is_shown_is_what_was_sent_and_secrets_are_masked() {
    let receiver = Receiver::always(Reply::status(202).body("thanks\u{1b}[2J"));
    let mut config = reliable(&receiver.url());
    config["headers"] = json!({ "X-Api-Key": "hush-hush", "X-Rack": "r7" });
    config["signing"] = json!({ "secrets": [SECRET] });
    let folder = Folder::new();

    let ended = send(&folder, &config, &[]).expect_code(0);
    let shown = text(&ended);
    let requests = receiver.requests();
    let [request] = requests.as_slice() else {
        panic!("{} requests came", requests.len());
    };
    assert_eq!(String::from_utf8_lossy(&request.body), event("a", 1));
    for line in [
        "> x-api-key: ***".to_owned(),
        "> x-rack: r7".to_owned(),
        format!("> webhook-id: {}", request.header("webhook-id")),
        format!(
            "> webhook-signature: {}",
            request.header("webhook-signature")
        ),
        format!("> {}", event("a", 1)),
        "< 202".to_owned(),
        "< thanks\\u{1b}[2J".to_owned(),
    ] {
        assert!(
            shown.lines().any(|it| it == line),
            "{line} is not in:\n{shown}"
        );
    }
    assert!(shown.contains("\ndelivered (2xx), in "), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
    assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);
    assert!(
        !folder.path().join("webhook-queue").exists(),
        "the queue is not touched"
    );

    let ended = send(&folder, &config, &["--show-secrets"]).expect_code(0);
    assert!(text(&ended).contains("> x-api-key: hush-hush\n"));
}

#[test]
fn it_tells_what_would_follow_from_an_answer() {
    let patient = ("retry", json!({}));
    let (follow, hint) = follows(Reply::status(503).header("Retry-After", "7"), &[patient]);
    assert_eq!(follow, "retry");
    assert!(hint.contains("7 s, as Retry-After asks"), "{hint}");
    assert_eq!(follows(Reply::status(302), &[]).0, "retry");
    assert_eq!(follows(Reply::close(), &[]).0, "retry");
    assert_eq!(follows(Reply::status(422), &[]).0, "dead-letter");
    assert_eq!(follows(Reply::status(410), &[]).0, "stop");
    let once = ("retry", json!({ "maxAttempts": 1 }));
    assert_eq!(follows(Reply::status(500), &[once]).0, "dead-letter");
    let best_effort = ("delivery", json!("best-effort"));
    assert_eq!(follows(Reply::status(500), &[best_effort]).0, "nothing");
    let kafka = ("format", json!("kafka-rest-v2"));
    let (follow, hint) = follows(Reply::status(200), &[kafka]);
    assert_eq!(follow, "retry", "{hint}");
    let filter = ("statuses", json!([]));
    let (_, hint) = follows(Reply::status(500), &[filter]);
    assert!(hint.contains("filters"), "{hint}");
}

#[test]
fn a_receiver_that_does_not_answer_is_given_up_in_time() {
    let receiver = Receiver::always(Reply::silence());
    let mut config = reliable(&receiver.url());
    config["responseTimeoutMsec"] = json!(50);
    let ended = send(&Folder::new(), &config, &["--format", "json"]).expect_code(1);
    let report = report(&ended);
    assert_eq!(report["outcome"], "timeout");
    assert_eq!(report["response"], Value::Null);
    let took = report["tookMs"].as_f64().expect("it is a number");
    assert!(Duration::from_secs_f64(took / 1_000.0) >= Duration::from_millis(50));
}

#[test]
fn a_url_alone_will_do() {
    let receiver = Receiver::always(Reply::status(200));
    let ended = Launch::new()
        .args(["send", "-", "--url", &receiver.url()])
        .run(event("a", 1));
    let _ended = ended.expect_code(0);
    assert_eq!(receiver.bodies(), [event("a", 1).into_bytes()]);

    let closed = Port::take();
    let ended = Launch::new()
        .args(["send", "-", "--url", &closed.url()])
        .run(event("a", 1))
        .expect_code(1);
    assert!(text(&ended).contains("not delivered (connect)"));
}

#[test]
fn bad_input_is_named_and_nothing_is_sent() {
    let receiver = Receiver::always(Reply::status(200));
    let two = json!({ "targets": [
        { "name": "audit", "targetURL": receiver.url(), "headers": {}, "timeoutMsec": 1_000 },
        { "name": "pager", "targetURL": receiver.url(), "headers": {}, "timeoutMsec": 1_000 },
    ]});
    let folder = Folder::new();
    let said = |args: &[&str]| send(&folder, &two, args).expect_code(2).stderr;
    assert!(said(&[]).contains("--target: audit, pager"));
    assert!(said(&["--target", "adit"]).contains("it names: audit, pager"));

    let to = receiver.url();
    let refused = |input: &str| {
        let launch = Launch::new().args(["send", "-", "--url", &to]);
        launch.run(input).expect_code(2).stderr
    };
    assert!(refused("{").contains("- is not an event"));
    assert!(refused("{}").contains("there is no `task` object in it"));
    assert!(refused(&"x".repeat(2 << 20)).contains("longer than 1048576 bytes"));
    let neither = Launch::new().args(["send", "-"]).run("").expect_code(2);
    assert!(neither.stderr.contains("--url"), "{}", neither.stderr);
    assert!(receiver.requests().is_empty());
}
