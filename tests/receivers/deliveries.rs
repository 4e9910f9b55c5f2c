//! Deliveries of the real webhookd to each receiver.

use crate::programs::{Language, Program};
use crate::{FOREIGN, SECRET, in_each_language};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use testkit::{
    Admin, Folder, Launch, Receiver, Reply, Request, Signal, event, events, events_file, post,
    task_of,
};

in_each_language! {
    events_are_stored_in_each_tasks_order_in_every_format
    the_events_of_a_batch_are_stored_each_and_in_order
    a_request_of_another_secret_is_retried_and_then_a_dead_letter
    what_was_stored_before_a_kill_is_not_stored_again
}

fn target(url: &str, secret: &str, format: &str) -> Value {
    json!({
        "name": "audit",
        "targetURL": url,
        "headers": {},
        "timeoutMsec": 30_000,
        "responseTimeoutMsec": 30_000,
        "retry": { "initialMsec": 10, "maxMsec": 100 },
        "concurrency": 1,
        "format": format,
        "signing": { "secrets": [secret] },
    })
}

/// The stored events by their tasks: the state and the time of each.
fn by_task(texts: impl IntoIterator<Item = String>) -> BTreeMap<String, Vec<(String, String)>> {
    let mut tasks: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for text in texts {
        let event: Value = serde_json::from_str(&text).unwrap();
        // Of a CloudEvent, some receivers store the whole.
        let event = event.get("data").unwrap_or(&event);
        let task = &event["task"];
        let id = task["assignedTask"]["taskId"].as_str().unwrap();
        let about = (task["status"].to_string(), task["failureCount"].to_string());
        tasks.entry(id.to_owned()).or_default().push(about);
    }
    tasks
}

fn texts(program: &Program) -> Vec<String> {
    program.stored().into_iter().map(|(_, text)| text).collect()
}

fn events_are_stored_in_each_tasks_order_in_every_format(language: Language) {
    for format in [
        "aurora",
        "cloudevents-binary",
        "cloudevents-structured",
        "cloudevents-batch",
        "ndjson",
        "json-array",
    ] {
        let Some(program) = Program::find(language) else {
            return;
        };
        let (_process, url) = program.start();
        let folder = Folder::new();
        let config = folder.config(&target(&url, SECRET, format));
        let ended = Launch::with_config(&config)
            .run(events_file())
            .expect_code(0);
        assert_eq!(
            ended.summary().count("/delivered"),
            events().len() as u64,
            "{format}"
        );
        let sent = events()
            .into_iter()
            .map(|event| String::from_utf8(event).unwrap());
        assert_eq!(by_task(texts(&program)), by_task(sent.clone()), "{format}");
        if matches!(format, "aurora" | "cloudevents-binary" | "ndjson") {
            let mut stored = texts(&program);
            let mut sent: Vec<_> = sent.collect();
            stored.sort();
            sent.sort();
            assert_eq!(
                stored, sent,
                "the bytes of {format} are stored as they came"
            );
        }
    }
}

fn the_events_of_a_batch_are_stored_each_and_in_order(language: Language) {
    for format in ["ndjson", "json-array", "cloudevents-batch"] {
        let Some(program) = Program::find(language) else {
            return;
        };
        let (_process, url) = program.start();
        // Counts the requests; the receiver gets them as they are.
        let relay = Receiver::start(move |request| Reply::status(forward(&url, request)));
        let folder = Folder::new();
        let mut target = target(&relay.url(), SECRET, format);
        target["batch"] = json!({ "maxEvents": 120 });
        let webhookd = Launch::with_config(&folder.config(&target))
            .args(["--listen", "127.0.0.1:0", "--admin", "0", "--grace", "0s"])
            .spawn();
        let (intake, admin) = (webhookd.listens(), Admin::of(&webhookd));
        let command = |name: &str| {
            let path = format!("/api/v1/targets/audit/{name}");
            assert!(matches!(admin.post(&path, "").status, 200..=299), "{name}");
        };
        // More than 100, so that the ids are on two lines.
        let sent: Vec<String> = (0..110)
            .map(|number| event(&format!("task-{}", number % 3), number))
            .collect();
        command("pause");
        for event in &sent {
            let _answer =
                post(&intake, &["Content-Type: application/json"], event).expect_status(200);
        }
        admin.wait_for("audit", "inMemory", sent.len() as u64);
        command("resume");
        admin.wait_for("audit", "delivered", sent.len() as u64);
        assert_eq!(relay.requests().len(), 1, "{format}: all in one request");
        let stored = program.stored();
        assert_eq!(stored.len(), sent.len(), "{format}");
        assert_eq!(by_task(texts(&program)), by_task(sent.clone()), "{format}");
    }
}

/// Sends a request on to a receiver; the status of its answer.
fn forward(url: &str, request: &Request) -> u16 {
    let head = String::from_utf8(request.head.clone()).unwrap();
    let is_kept = |line: &&str| {
        let name = line
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        !line.is_empty() && name != "host" && name != "content-length"
    };
    let lines: Vec<&str> = head.lines().skip(1).filter(is_kept).collect();
    post(url, &lines, &request.body).status
}

fn a_request_of_another_secret_is_retried_and_then_a_dead_letter(language: Language) {
    let Some(program) = Program::find(language) else {
        return;
    };
    let (_process, url) = program.start();
    let folder = Folder::new();
    let mut target = target(&url, FOREIGN, "aurora");
    target["retry"]["maxAttempts"] = 2.into();
    let config = folder.config(&target);
    let ended = Launch::with_config(&config)
        .run(event("one", 1))
        .expect_code(1);
    assert_eq!(ended.summary().outcomes(), "4xx 2");
    assert_eq!(ended.summary().count("/targets/0/deadLetters"), 1);
    assert_eq!(program.stored(), []);
}

/// The receiver is killed when it has stored the event and its answer is on the way.
fn what_was_stored_before_a_kill_is_not_stored_again(language: Language) {
    let Some(program) = Program::find(language) else {
        return;
    };
    let program = std::sync::Arc::new(program);
    let running = Mutex::new(Some(program.start()));
    let relay = Receiver::start({
        let program = std::sync::Arc::clone(&program);
        move |request| {
            let mut running = running.lock().unwrap();
            let (_, url) = running.get_or_insert_with(|| program.start());
            let status = forward(url, request);
            // The first attempt of two events.
            if request.header("webhook-attempt") == "1" && matches!(request.number, 0 | 4) {
                assert_eq!(status, 204);
                let (process, _) = running.take().unwrap();
                process.signal(Signal::KILL);
                assert!(process.wait().signal.is_some());
                program.leave_half_a_line();
                return Reply::close();
            }
            Reply::status(status)
        }
    });
    let folder = Folder::new();
    let config = folder.config(&target(&relay.url(), SECRET, "aurora"));
    let sent: Vec<String> = (0..6).map(|number| event("one", number)).collect();
    let ended = Launch::with_config(&config)
        .run(sent.join("\n"))
        .expect_code(0);
    assert_eq!(ended.summary().count("/delivered"), 6);
    assert_eq!(relay.requests().len(), 8, "two were sent again");
    assert_eq!(texts(&program), sent, "each is stored once, in order");
    assert!(sent.iter().all(|event| task_of(event.as_bytes()) == "one"));
}
