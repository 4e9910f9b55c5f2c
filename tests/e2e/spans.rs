//! Spans of accepted requests and of attempts, by OTLP.

use crate::durable::reliable;
use crate::traces::{PARENT, TRACE, end, listening, traceparent};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Instant;
use testkit::{Admin, DEADLINE, Folder, Launch, Receiver, Reply, Request, Signal, event, post};

/// The spans that a collector got, by their ids.
fn spans(requests: &[Request]) -> HashMap<String, Value> {
    let mut spans = HashMap::new();
    for request in requests {
        assert_eq!(request.line(), "POST /v1/traces HTTP/1.1");
        assert_eq!(request.header("content-type"), "application/json");
        let document: Value = serde_json::from_slice(&request.body).expect("JSON");
        let service = &document["resourceSpans"][0]["resource"]["attributes"][0];
        assert_eq!(
            service,
            &json!({ "key": "service.name", "value": { "stringValue": "webhookd" } })
        );
        let found = document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array();
        for span in found.expect("a list") {
            let id = span["spanId"].as_str().expect("an id").to_owned();
            assert!(
                spans.insert(id, span.clone()).is_none(),
                "a span comes once"
            );
        }
    }
    spans
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a str {
    let attributes = span["attributes"].as_array().expect("a list");
    let found = attributes.iter().find(|it| it["key"] == key);
    let value = found.map(|it| &it["value"]);
    let value = value.and_then(|it| it["stringValue"].as_str().or(it["intValue"].as_str()));
    value.unwrap_or_else(|| panic!("no {key} in {span:#}"))
}

#[test]
fn across_a_relay_the_trace_is_one_from_the_sender_to_the_receiver() {
    let collector = Receiver::always(Reply::status(200).body("{}"));
    let receiver = Receiver::start(|request| match request.number {
        0 => Reply::status(503),
        _ => Reply::status(200),
    });
    let (here, there) = (Folder::new(), Folder::new());
    let otlp = ["--otlp", &collector.url()];
    let mut last = reliable(&receiver.url());
    last["retry"] = json!({ "initialMsec": 1, "maxMsec": 1 });
    let second = listening(&there, &last, &otlp);
    let first = listening(&here, &reliable(&second.listens()), &otlp);
    let parent = format!("traceparent: {}", traceparent());
    post(
        &first.listens(),
        &[&parent, "tracestate: a=1"],
        event("a", 1),
    )
    .expect_status(200);
    let received = receiver.wait_for_requests(2);
    receiver.wait_for_done(2);
    for process in [first, second] {
        end(process);
    }
    let spans = spans(&collector.requests());
    // The receiver got the second attempt's span as its parent.
    let sent = received[1].header("traceparent");
    assert_eq!(received[1].header("tracestate"), "a=1");
    let parts: Vec<_> = sent.split('-').collect();
    assert_eq!((parts[1], parts[3]), (TRACE, "01"));
    let mut id = parts[2].to_owned();
    let mut names = Vec::new();
    while id != PARENT {
        let span = spans
            .get(&id)
            .unwrap_or_else(|| panic!("no span {id} in {spans:#?}"));
        assert_eq!(
            (&span["traceId"], &span["traceState"]),
            (&json!(TRACE), &json!("a=1"))
        );
        names.push((
            span["name"].as_str().expect("a name").to_owned(),
            span["kind"].as_u64(),
        ));
        let times = ["startTimeUnixNano", "endTimeUnixNano"].map(|it| {
            span[it]
                .as_str()
                .and_then(|it| it.parse::<u64>().ok())
                .expect("a time")
        });
        assert!(times[0] <= times[1]);
        id = span["parentSpanId"].as_str().expect("a parent").to_owned();
    }
    let (deliver, accept) = (
        ("deliver default".to_owned(), Some(3)),
        ("accept".to_owned(), Some(2)),
    );
    assert_eq!(names, [deliver.clone(), accept.clone(), deliver, accept]);
    assert_eq!(spans.len(), 5, "and the attempt that failed");
    let failed = spans
        .values()
        .find(|it| it["status"]["code"] == 2)
        .expect("one failed");
    assert_eq!(attribute(failed, "http.response.status_code"), "503");
    assert_eq!(attribute(failed, "error.type"), "503");
    let repeated = &spans[parts[2]];
    assert_eq!(attribute(repeated, "http.request.resend_count"), "1");
    assert_eq!(attribute(repeated, "http.request.method"), "POST");
    assert_eq!(attribute(repeated, "server.address"), "127.0.0.1");
    assert_eq!(
        attribute(repeated, "messaging.message.id"),
        received[1].header("webhook-id")
    );
}

#[test]
fn a_trace_begins_here_without_one_and_one_that_is_not_sampled_has_no_spans() {
    let collector = Receiver::always(Reply::status(200));
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(
        &folder,
        &reliable(&receiver.url()),
        &["--otlp", &collector.url()],
    );
    let url = process.listens();
    let unsampled = traceparent().replace("-01", "-00");
    post(&url, &[&format!("traceparent: {unsampled}")], event("a", 1)).expect_status(200);
    post(&url, &[], event("a", 2)).expect_status(200);
    let received = receiver.wait_for_requests(2);
    receiver.wait_for_done(2);
    end(process);
    assert_eq!(received[0].header("traceparent"), unsampled);
    let spans = spans(&collector.requests());
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let sent = received[1].header("traceparent");
    let parts: Vec<_> = sent.split('-').collect();
    let attempt = &spans[parts[2]];
    let accept = &spans[attempt["parentSpanId"].as_str().expect("a parent")];
    assert_eq!(
        (&attempt["traceId"], &accept["traceId"]),
        (&json!(parts[1]), &json!(parts[1]))
    );
    assert_eq!(accept["parentSpanId"], "");
}

#[test]
fn a_batch_of_many_traces_has_a_bounded_number_of_links() {
    let collector = Receiver::always(Reply::status(200));
    let receiver = Receiver::start(|request| match request.number {
        0 => Reply::status(200).held(),
        _ => Reply::status(200),
    });
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["format"] = json!("ndjson");
    config["concurrency"] = json!(1);
    config["window"] = json!(1_000);
    config["batch"] = json!({ "maxEvents": 200, "maxWaitMsec": 0 });
    let process = listening(&folder, &config, &["--otlp", &collector.url()]);
    let url = process.listens();
    post(&url, &[], event("first", 1)).expect_status(200);
    receiver.wait_for_requests(1);
    for number in 0..130 {
        post(&url, &[], event(&format!("t{number}"), 1)).expect_status(200);
    }
    receiver.release();
    receiver.wait_for_requests(2);
    receiver.wait_for_done(2);
    end(process);
    let spans = spans(&collector.requests());
    let mut batches = spans
        .values()
        .filter(|it| it["links"].as_array().is_some_and(|it| !it.is_empty()));
    let batch = batches.next().expect("a batch");
    assert_eq!(attribute(batch, "messaging.batch.message_count"), "130");
    assert_eq!(batch["links"].as_array().map(Vec::len), Some(128));
    assert_eq!(batch["droppedLinksCount"], 2);
}

#[test]
fn a_collector_that_fails_delays_no_delivery_and_its_spans_are_counted() {
    let collector = Receiver::start(|request| match request.number {
        0 => Reply::status(400),
        _ => Reply::silence(),
    });
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(
        &folder,
        &reliable(&receiver.url()),
        &["--admin", "0", "--otlp", &collector.url()],
    );
    let (url, admin) = (process.listens(), Admin::of(&process));
    post(&url, &[], event("a", 1)).expect_status(200);
    collector.wait_for_done(1);
    let until = Instant::now() + DEADLINE;
    while !admin
        .text("/metrics")
        .contains("webhookd_trace_spans_total{result=\"dropped\"} 2\n")
    {
        assert!(Instant::now() < until, "{}", admin.text("/metrics"));
        std::thread::yield_now();
    }
    process.wait_for_error("spans were dropped: the collector");
    // The collector holds the next request, and more spans come than wait.
    for number in 2..60 {
        let lines: String = (0..100)
            .map(|task| event(&format!("t{task}"), number) + "\n")
            .collect();
        post(&url, &["Content-Type: application/x-ndjson"], lines).expect_status(200);
    }
    receiver.wait_for_requests(5_801);
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
}

#[test]
fn spans_that_a_collector_rejects_in_a_partial_success_are_dropped() {
    let partial = r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}"#;
    let collector = Receiver::start(move |request| match request.number {
        0 => Reply::status(200).body(partial),
        _ => Reply::status(200).body("{}"),
    });
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(
        &folder,
        &reliable(&receiver.url()),
        &["--admin", "0", "--otlp", &collector.url()],
    );
    let admin = Admin::of(&process);
    // A span for the request, and one for the attempt.
    post(&process.listens(), &[], event("a", 1)).expect_status(200);
    let counted = ["dropped", "exported"]
        .map(|result| format!("webhookd_trace_spans_total{{result=\"{result}\"}} 1\n"));
    let until = Instant::now() + DEADLINE;
    loop {
        let metrics = admin.text("/metrics");
        if counted.iter().all(|it| metrics.contains(it)) {
            break;
        }
        assert!(Instant::now() < until, "{metrics}");
        std::thread::yield_now();
    }
    process.wait_for_error("it rejected them: too old");
    end(process);
}

#[test]
fn a_collector_whose_url_has_a_password_is_refused_since_it_would_not_be_sent() {
    let folder = Folder::new();
    let config = folder.config(&reliable("http://127.0.0.1:9/"));
    let launch = Launch::with_config(&config).args(["--otlp", "http://me:hunter22@127.0.0.1:9"]);
    let ended = launch.run("").expect_code(2);
    assert!(
        ended.stderr.contains("would not be sent"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("hunter22"), "{}", ended.stderr);
}
