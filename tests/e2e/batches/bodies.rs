//! What a receiver of batches gets.

use super::{FORMATS, Running, all_events, events, events_in, ids_in, taken, target};
use crate::deliver::check_arrived;
use crate::signatures::{SECRETS, given, verdicts};
use serde_json::{Value, json};
use testkit::{Folder, Python, Receiver, Reply, event};

/// A receiver that takes everything.
fn receiver() -> Receiver {
    Receiver::start(|request| {
        let reply = Reply::status(200);
        match request.header("content-type").contains("kafka") {
            true => reply.body(taken(&request.body)),
            false => reply,
        }
    })
}

#[test]
fn events_that_wait_together_share_a_request_in_every_format() {
    for format in FORMATS {
        let receiver = receiver();
        let folder = Folder::new();
        let running = Running::start(&folder, &target(&receiver.url(), format, 10));
        let mut sent = events(24, 5);
        sent[3] = sent[3].replace(":{", ": \t{");
        let ids = running.accept_together(&sent);
        running.wait_for_delivered(24);
        let requests = receiver.requests();
        let sizes: Vec<_> = requests
            .iter()
            .map(|request| events_in(format, &request.body).len())
            .collect();
        assert_eq!(sizes, [10, 10, 4], "{format}");
        assert_eq!(running.stat("requests"), 3);
        let bodies: Vec<_> = sent.iter().map(|it| it.clone().into_bytes()).collect();
        check_arrived(&all_events(format, &requests), &bodies);
        let content_type = match format {
            "ndjson" => "application/x-ndjson",
            "json-array" => "application/json",
            "cloudevents-batch" => "application/cloudevents-batch+json; charset=UTF-8",
            _ => "application/vnd.kafka.json.v2+json",
        };
        let mut named = Vec::new();
        for request in &requests {
            assert_eq!(request.header("content-type"), content_type);
            assert_eq!(request.header("webhook-attempt"), "1");
            let id = request.header("webhook-id");
            assert!(id.starts_with("bat_"), "{format}: {id}");
            named.extend(ids_in(format, request));
        }
        // The proxy of Kafka drops headers, and a record has no room for an id.
        if format != "kafka-rest-v2" {
            named.sort();
            let mut ids = ids;
            ids.sort();
            assert_eq!(named, ids, "{format}");
        }
        running.stop().expect_code(0);
    }
}

#[test]
fn an_event_alone_has_its_own_id_and_is_sent_at_once() {
    for format in FORMATS {
        let receiver = receiver();
        let folder = Folder::new();
        let mut target = target(&receiver.url(), format, 10);
        // An event that waited for others would make the test fail by its deadline.
        target["batch"]["maxWaitMsec"] = 60_000.into();
        target["concurrency"] = 4.into();
        let running = Running::start(&folder, &target);
        for number in 0..3 {
            let sent = event("one", number);
            let ids = running.accept(std::slice::from_ref(&sent));
            running.wait_for_delivered(number + 1);
            let requests = receiver.requests();
            assert_eq!(requests.len(), number + 1);
            let request = &requests[number];
            assert_eq!(request.header("webhook-id"), ids[0]);
            let listed = match format {
                "ndjson" | "json-array" => &ids[..1],
                _ => &[],
            };
            assert_eq!(request.headers("webhook-event-ids"), listed);
            assert_eq!(events_in(format, &request.body), [sent]);
        }
        running.stop().expect_code(0);
    }
}

#[test]
fn a_batch_is_bounded_in_bytes_and_a_longer_event_goes_alone() {
    let receiver = receiver();
    let folder = Folder::new();
    let mut target = target(&receiver.url(), "ndjson", 100);
    target["batch"]["maxBytes"] = 4_096.into();
    let running = Running::start(&folder, &target);
    let long = |number, length: usize| {
        let padding = "x".repeat(length);
        event("one", number).replace(
            "{\"task\"",
            &format!("{{\"padding\":\"{padding}\",\"task\""),
        )
    };
    let sent = [100, 9_000, 1_500, 1_500, 1_500, 100];
    let sent: Vec<_> = sent
        .iter()
        .enumerate()
        .map(|(at, it)| long(at, *it))
        .collect();
    running.accept_together(&sent);
    running.wait_for_delivered(6);
    let requests = receiver.requests();
    let sizes: Vec<_> = requests
        .iter()
        .map(|request| events_in("ndjson", &request.body).len())
        .collect();
    assert_eq!(sizes, [1, 1, 2, 2]);
    let bodies: Vec<_> = sent.into_iter().map(String::into_bytes).collect();
    assert_eq!(all_events("ndjson", &requests), bodies, "in order");
    running.stop().expect_code(0);
}

#[test]
fn the_package_verifies_the_signatures_of_batches() {
    let Some(python) = Python::with_verifiers() else {
        return;
    };
    for format in FORMATS {
        let receiver = receiver();
        let folder = Folder::new();
        let mut target = target(&receiver.url(), format, 10);
        target["signing"] = json!({ "secrets": SECRETS });
        let running = Running::start(&folder, &target);
        let mut sent = events(11, 3);
        sent[4] = event("täsk \u{1f600}", 4);
        running.accept_together(&sent);
        running.wait_for_delivered(11);
        let given: Vec<_> = receiver.requests().iter().map(given).collect();
        let verdicts = verdicts(&python, &SECRETS, &given);
        assert_eq!(verdicts, [["verified", "verified"]; 2], "{format}");
        running.stop().expect_code(0);
    }
}

/// Reads a batch in hex, and prints what the package makes of each of its events. The package reads no
/// batches: a batch is a JSON array of events in the JSON format (JSON format 1.0, section 4).
const PARSER: &str = r#"
import json, sys
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
for line in sys.stdin:
    for event in json.loads(bytes.fromhex(line)):
        headers = {"content-type": "application/cloudevents+json"}
        event = from_http_event(HTTPMessage(headers=headers, body=json.dumps(event).encode()))
        print(json.dumps({
            "id": event.get_id(), "subject": event.get_subject(), "type": event.get_type(),
            "source": event.get_source(), "specversion": event.get_specversion(),
            "data": event.get_data(),
        }))
"#;

#[test]
fn the_package_reads_the_events_of_a_batch() {
    let Some(python) = Python::with_verifiers() else {
        return;
    };
    let receiver = receiver();
    let folder = Folder::new();
    let running = Running::start(&folder, &target(&receiver.url(), "cloudevents-batch", 10));
    let sent = events(20, 6);
    let ids = running.accept_together(&sent);
    running.wait_for_delivered(20);
    let hex = |body: Vec<u8>| -> String { body.iter().map(|byte| format!("{byte:02x}")).collect() };
    let input: Vec<String> = receiver.bodies().into_iter().map(hex).collect();
    assert_eq!(input.len(), 2);
    let printed = python.run(PARSER, input.join("\n"));
    let mut parsed: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("the parser prints JSON"))
        .collect();
    let number = |event: &Value| event["data"]["task"]["failureCount"].as_u64();
    parsed.sort_by_key(number);
    let expected = sent
        .iter()
        .zip(&ids)
        .enumerate()
        .map(|(number, (sent, id))| {
            let data: Value = serde_json::from_str(sent).expect("it is JSON");
            json!({
                "id": id,
                "subject": format!("task-{}", number % 6),
                "type": "org.apache.aurora.task.state-change",
                "source": "/aurora/jobs/r/e/n",
                "specversion": "1.0",
                "data": data,
            })
        });
    assert_eq!(parsed, expected.collect::<Vec<_>>());
    running.stop().expect_code(0);
}

#[test]
fn a_test_delivery_is_a_batch_of_one() {
    for format in FORMATS {
        let receiver = receiver();
        let folder = Folder::new();
        let target = target(&receiver.url(), format, 10);
        let config = folder.config(&super::config(&target));
        let sent = folder.write("event.json", event("one", 1));
        for (args, code) in [(&["--dry-run"][..], 0), (&[][..], 0)] {
            let launch = testkit::Launch::new().arg("send").arg(&sent);
            let launch = launch.arg("--webhook-config").arg(&config).args(args);
            launch.current_dir(folder.path()).run("").expect_code(code);
        }
        let requests = receiver.requests();
        assert_eq!(requests.len(), 1, "{format}: a dry run sends nothing");
        assert_eq!(events_in(format, &requests[0].body), [event("one", 1)]);
    }
}
