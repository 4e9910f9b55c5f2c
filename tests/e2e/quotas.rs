//! A target that accepts nothing, or refuses everything, leaves room in the queue for the others.

use crate::durable::reliable;
use serde_json::{Value, json};
use testkit::{Admin, Folder, Launch, Process, Receiver, Reply, Signal, event, post};

const JSON: &str = "Content-Type: application/json";

/// The smallest queue that there is, bytes.
const SMALLEST: u64 = 1 << 20;

/// An event of some 3 KB.
fn sized(task: &str, number: usize) -> String {
    let padding = "x".repeat(3_000);
    event(task, number).replacen('{', &format!("{{\"padding\":\"{padding}\","), 1)
}

fn target(name: &str, receiver: &Receiver) -> Value {
    let mut target = reliable(&receiver.url());
    target["name"] = json!(name);
    target
}

fn listening(folder: &Folder, targets: &[Value], queue: &Value) -> Process {
    let config = folder.config(&json!({ "targets": targets, "queue": queue }));
    Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--grace", "100ms"])
        .spawn()
}

fn metric(admin: &Admin, name: &str) -> f64 {
    let metrics = admin.text("/metrics");
    let line = metrics.lines().find(|line| line.starts_with(name));
    let (_, value) = line
        .expect("it is there")
        .rsplit_once(' ')
        .expect("a value");
    value.parse().expect("a number")
}

#[test]
fn a_target_that_is_down_misses_events_and_the_other_gets_all() {
    let down = Receiver::always(Reply::silence());
    let good = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let targets = [target("down", &down), target("good", &good)];
    let queue = json!({ "maxBytes": SMALLEST, "whenFull": "block" });
    let process = listening(&folder, &targets, &queue);
    let (url, admin) = (process.listens(), Admin::of(&process));
    let count = 600;
    let mut missed = 0;
    for number in 0..count {
        let answer = post(&url, &[JSON], sized("one", number))
            .expect_status(200)
            .json();
        if answer["reliable"] == 1 {
            assert_eq!(answer["overQuota"], json!(["down"]), "{answer}");
            assert_eq!(answer["targets"], 2);
            missed += 1;
        } else {
            assert_eq!(answer.get("overQuota"), None, "{answer}");
        }
    }
    assert!((300..count).contains(&missed), "{missed}");
    good.wait_for_requests(count);
    let counted = metric(&admin, "webhookd_over_quota_events_total{target=\"down\"}");
    assert_eq!(counted, missed as f64);
    process.wait_for_error("target down: ");
    process.wait_for_error("since it is over its quota (maxOwedBytes)");
    let lines = format!("{}\n{}\n", sized("one", 1), sized("one", 2));
    let answer = post(&url, &["Content-Type: application/x-ndjson"], lines);
    let answer = answer.expect_status(200).json();
    assert_eq!(answer["lines"][1]["overQuota"], json!(["down"]), "{answer}");
    process.signal(Signal::TERM);
    process.wait();
}

#[test]
fn a_single_target_whose_quota_blocks_the_queue_is_shown_until_something_is_settled() {
    let down = Receiver::always(Reply::silence());
    let folder = Folder::new();
    let mut target = target("down", &down);
    target["maxOwedBytes"] = json!(20_000);
    let process = listening(&folder, &[target], &json!({ "whenFull": "reject" }));
    let (url, admin) = (process.listens(), Admin::of(&process));
    let blocks = || admin.get("/api/v1/targets/down")["blocksQueue"].take();
    assert_eq!(blocks(), false);
    let is_refused = (0..100).any(|number| post(&url, &[JSON], sized("one", number)).status == 503);
    assert!(is_refused, "20 KB are not 100 events");
    assert_eq!(blocks(), true);
    let queue = admin.get("/api/v1/queue");
    assert!(
        queue["bytes"].as_u64() < queue["usableBytes"].as_u64(),
        "{queue}"
    );
    assert!(
        queue["usableBytes"].as_u64() < queue["maxBytes"].as_u64(),
        "{queue}"
    );
    process.signal(Signal::TERM);
    process.wait();
}

#[test]
fn an_acknowledgement_names_the_targets_that_are_over_their_quotas() {
    let down = Receiver::always(Reply::silence());
    let good = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut small = target("down", &down);
    small["maxOwedBytes"] = json!(20_000);
    let config = folder.config(&json!({ "targets": [small, target("good", &good)] }));
    let lines = (0..20).map(|number| sized("one", number) + "\n");
    let ended = Launch::with_config(&config)
        .args(["--acks", "-", "--grace", "100ms"])
        .run(lines.collect::<String>());
    let acks = String::from_utf8(ended.stdout).expect("text");
    let acks: Vec<Value> = acks
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(acks.len(), 20, "{}", ended.stderr);
    let (owed, missed): (Vec<_>, Vec<_>) =
        acks.iter().partition(|ack| ack.get("overQuota").is_none());
    assert!((4..8).contains(&owed.len()), "{acks:?}");
    for ack in missed {
        assert_eq!(ack["overQuota"], json!(["down"]), "{ack}");
    }
}

#[test]
fn an_event_for_a_target_over_its_quota_alone_gets_503_and_delays_no_other() {
    let down = Receiver::always(Reply::silence());
    let good = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut alone = target("down", &down);
    alone["statuses"] = json!(["LOST"]);
    alone["maxOwedBytes"] = json!(20_000);
    let mut other = target("good", &good);
    other["statuses"] = json!(["RUNNING"]);
    let queue = json!({ "maxBytes": SMALLEST, "whenFull": "block" });
    let process = listening(&folder, &[alone, other], &queue);
    let url = process.listens();
    let with = |status: &str, number| {
        let body = json!({
            "padding": "x".repeat(3_000),
            "task": { "assignedTask": { "taskId": format!("task-{number}") }, "status": status },
        });
        post(&url, &[JSON], body.to_string())
    };
    let refused = (0..100)
        .map(|number| with("LOST", number))
        .find(|it| it.status != 200);
    let refused = refused
        .expect("20 KB are not 100 events")
        .expect_status(503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(
        refused.json()["error"]
            .as_str()
            .expect("a text")
            .contains("quota: down")
    );
    for number in 0..20 {
        with("RUNNING", number).expect_status(200);
    }
    good.wait_for_requests(20);
    process.signal(Signal::TERM);
    process.wait();
}

#[test]
fn the_dead_letters_of_a_target_do_not_fill_the_queue() {
    let refusing = Receiver::always(Reply::status(400));
    let good = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let targets = [target("refusing", &refusing), target("good", &good)];
    let queue = json!({ "maxBytes": SMALLEST, "deadLetters": { "maxCount": 5 } });
    let process = listening(&folder, &targets, &queue);
    let (url, admin) = (process.listens(), Admin::of(&process));
    let count = 500;
    for number in 0..count {
        let task = format!("task-{number}");
        post(&url, &[JSON], sized(&task, number)).expect_status(200);
    }
    good.wait_for_requests(count);
    process.wait_for_error("of its dead letters, since");
    assert!(
        metric(
            &admin,
            "webhookd_dead_letters_removed_total{target=\"refusing\"}"
        ) > 0.0
    );
    assert!(metric(&admin, "webhookd_queue_dead_letters{target=\"refusing\"}") <= 5.0);
    process.signal(Signal::TERM);
    process.wait();
}

#[test]
fn old_dead_letters_are_removed_though_nothing_happens() {
    let refusing = Receiver::always(Reply::status(400));
    let folder = Folder::new();
    let queue = json!({ "maxBytes": SMALLEST, "deadLetters": { "maxAgeMsec": 1 } });
    let process = listening(&folder, &[target("refusing", &refusing)], &queue);
    let (url, admin) = (process.listens(), Admin::of(&process));
    post(&url, &[JSON], sized("one", 1)).expect_status(200);
    process.wait_for_error("removed 1 of its dead letters");
    assert_eq!(
        metric(&admin, "webhookd_queue_dead_letters{target=\"refusing\"}"),
        0.0
    );
    process.signal(Signal::TERM);
    process.wait();
}
