//! W3C Trace Context through webhookd.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use testkit::{
    Admin, DEADLINE, Folder, Launch, Postgres, Process, Receiver, Reply, Signal, event, post,
};

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const PARENT: &str = "00f067aa0ba902b7";

pub(crate) fn traceparent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

pub(crate) fn listening(folder: &Folder, config: &Value, more: &[&str]) -> Process {
    Launch::with_config(&folder.config(config))
        .args(["--listen", "127.0.0.1:0", "--grace", "5s"])
        .args(more)
        .spawn()
}

pub(crate) fn end(process: Process) {
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
}

#[test]
fn the_trace_of_a_request_goes_on_with_its_events() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &reliable(&receiver.url()), &[]);
    let url = process.listens();
    let parent = format!("traceparent: {}", traceparent());
    let later = parent.replace("00-4", "cc-4") + "-more";
    for (headers, expected, state) in [
        (
            vec![&*parent, "tracestate: a=1", "tracestate: b=2"],
            Some(traceparent()),
            Some("a=1,b=2"),
        ),
        (
            vec![&*parent, "tracestate: not valid"],
            Some(traceparent()),
            None,
        ),
        (vec![&*later], Some(traceparent()), None),
        (vec![], None, None),
        (
            vec!["traceparent: 00-0-0-01", "tracestate: a=1"],
            None,
            None,
        ),
        (vec![&*parent, &*parent], None, None),
        (vec!["tracestate: a=1"], None, None),
    ] {
        let before = receiver.requests().len();
        post(&url, &headers, event("a", before)).expect_status(200);
        let request = receiver.wait_for_requests(before + 1).remove(before);
        let parents = request.headers("traceparent");
        assert_eq!(parents, Vec::from_iter(expected), "{headers:?}");
        assert_eq!(
            request.headers("tracestate"),
            Vec::from_iter(state),
            "{headers:?}"
        );
        assert_eq!(request.body, event("a", before).as_bytes());
    }
    end(process);
}

#[test]
fn a_trace_is_kept_over_a_kill_and_for_any_input() {
    check_kill(&Value::Null);
}

#[test]
fn a_trace_is_kept_over_a_kill_in_a_database() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    check_kill(&json!({ "postgres": { "url": postgres.url() } }));
}

/// Kills webhookd with an event of each kind under way, and checks what its successor sends.
fn check_kill(queue: &Value) {
    let is_killed = Arc::new(AtomicBool::new(false));
    let killed = Arc::clone(&is_killed);
    let receiver = Receiver::start(move |_| match killed.load(Ordering::SeqCst) {
        false => Reply::silence(),
        true => Reply::status(200),
    });
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    if !queue.is_null() {
        config["queue"] = queue.clone();
    }
    config["inputs"] = json!({ "jobs": { "schema": "pointers", "key": "/id", "state": "/state" } });
    let process = listening(&folder, &config, &[]);
    let url = process.listens();
    let headers = [
        &*format!("traceparent: {}", traceparent()),
        "tracestate: a=\"\\",
    ];
    post(&url, &headers, event("a", 1)).expect_status(200);
    testkit::post_to(
        &url,
        "/events/jobs",
        &headers,
        r#"{"id":"b","state":"done"}"#,
    )
    .expect_status(200);
    receiver.wait_for_requests(2);
    process.signal(Signal::KILL);
    let _ended = process.wait();
    is_killed.store(true, Ordering::SeqCst);
    let process = listening(&folder, &config, &["--admin", "0"]);
    let admin = Admin::of(&process);
    admin.wait_for("default", "delivered", 2);
    // An attempt that another one replaced is a request, too.
    for request in receiver.wait_for_requests(4) {
        assert_eq!(request.header("traceparent"), traceparent());
        assert_eq!(request.header("tracestate"), "a=\"\\");
    }
    let attempts = admin.get("/api/v1/targets/default/attempts?outcome=delivered");
    let attempts = attempts["attempts"].as_array().expect("a list");
    let mut states = attempts.iter().map(|it| &it["state"]);
    assert!(states.any(|state| state == "done"), "{attempts:#?}");
    end(process);
}

#[test]
fn a_batch_has_a_trace_if_all_its_events_share_it() {
    let receiver = Receiver::start(|request| match request.number {
        0 => Reply::status(200).held(),
        _ => Reply::status(200),
    });
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["format"] = json!("cloudevents-batch");
    config["concurrency"] = json!(1);
    config["batch"] = json!({ "maxWaitMsec": 0 });
    let process = listening(&folder, &config, &[]);
    let url = process.listens();
    let (first, second) = (
        traceparent(),
        traceparent().replace(PARENT, "00f067aa0ba902b8"),
    );
    let lines = event("a", 1) + "\n" + &event("b", 1) + "\n" + &event("c", 1);
    let ndjson = "Content-Type: application/x-ndjson";
    let send = |trace: &str| {
        post(&url, &[ndjson, &format!("traceparent: {trace}")], &lines).expect_status(200)
    };
    // Of the first request, one event or more are under way; the rest and the second are a batch.
    send(&first);
    receiver.wait_for_requests(1);
    send(&second);
    receiver.release();
    let mut seen = 0;
    let until = Instant::now() + DEADLINE;
    while seen < 6 {
        assert!(Instant::now() < until, "{seen} of 6 events");
        seen = receiver
            .bodies()
            .iter()
            .map(|body| elements(body).len())
            .sum();
        std::thread::yield_now();
    }
    let mut mixed = 0;
    for request in receiver.requests() {
        let own: Vec<_> = elements(&request.body)
            .iter()
            .map(|it| {
                it["traceparent"]
                    .as_str()
                    .expect("each has its own")
                    .to_owned()
            })
            .collect();
        let is_shared = own.iter().all(|it| *it == own[0]);
        let expected: Vec<_> = own.into_iter().take(usize::from(is_shared)).collect();
        assert_eq!(request.headers("traceparent"), expected);
        mixed += usize::from(!is_shared);
    }
    assert!(mixed <= 1);
    end(process);
}

fn elements(body: &[u8]) -> Vec<Value> {
    serde_json::from_slice(body).expect("an array of CloudEvents")
}

#[test]
fn a_cloud_event_brings_its_trace_in_its_attributes_and_gets_it_there() {
    let (binary, structured) = (
        Receiver::always(Reply::status(200)),
        Receiver::always(Reply::status(200)),
    );
    let folder = Folder::new();
    let target = |name: &str, receiver: &Receiver| {
        let mut target = reliable(&receiver.url());
        target["name"] = json!(name);
        target["format"] = json!(format!("cloudevents-{name}"));
        target
    };
    let config = json!({
        "targets": [target("binary", &binary), target("structured", &structured)],
        "inputs": { "ce": { "schema": "cloudevents" } },
    });
    let process = listening(&folder, &config, &[]);
    let url = process.listens();
    post(
        &url,
        &[
            &format!("traceparent: {}", traceparent()),
            "tracestate: a=1",
        ],
        event("a", 1),
    )
    .expect_status(200);
    let request = &binary.wait_for_requests(1)[0];
    assert_eq!(request.header("ce-traceparent"), traceparent());
    assert_eq!(request.header("ce-tracestate"), "a=1");
    let body: Value =
        serde_json::from_slice(&structured.wait_for_requests(1)[0].body).expect("JSON");
    assert_eq!(
        (&body["traceparent"], &body["tracestate"]),
        (&json!(traceparent()), &json!("a=1"))
    );

    let document = json!({ "specversion": "1.0", "id": "1", "source": "/x", "type": "t", "traceparent": traceparent(), "tracestate": "a=1" });
    let json = "Content-Type: application/cloudevents+json";
    testkit::post_to(&url, "/events/ce", &[json], document.to_string()).expect_status(200);
    let headers = [
        "ce-specversion: 1.0",
        "ce-id: 2",
        "ce-source: /x",
        "ce-type: t",
    ];
    let own = [
        &format!("ce-traceparent: {}", traceparent()),
        "ce-tracestate: a=1",
    ];
    testkit::post_to(&url, "/events/ce", &[&headers[..], &own].concat(), "").expect_status(200);
    for request in &binary.wait_for_requests(3)[1..] {
        assert_eq!(request.header("traceparent"), traceparent());
        assert_eq!(request.header("tracestate"), "a=1");
        assert_eq!(request.header("ce-traceparent"), traceparent());
    }
    end(process);
}
