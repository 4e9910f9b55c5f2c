//! CloudEvents, parsed by the `cloudevents` package from PyPI.

use crate::durable::{acks, reliable};
use serde_json::{Value, json};
use std::collections::HashMap;
use testkit::{Folder, Launch, Python, Receiver, Reply, Request, event, events, task_of};

/// Reads `[{headers, body, sent}]`, bodies in hex, and prints for each request what the package
/// makes of it, and whether its data is the event that was sent.
const PARSER: &str = r#"
import json, sys
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
for request in json.load(sys.stdin):
    body = bytes.fromhex(request["body"])
    event = from_http_event(HTTPMessage(headers=request["headers"], body=body))
    data = event.get_data()
    if isinstance(data, bytes):
        data = json.loads(data)
    print(json.dumps({
        "specversion": event.get_specversion(),
        "id": event.get_id(),
        "source": event.get_source(),
        "type": event.get_type(),
        "subject": event.get_subject(),
        "time_ms": round(event.get_time().timestamp() * 1000),
        "same": data == json.loads(bytes.fromhex(request["sent"])),
    }))
"#;

const TYPE: &str = "org.apache.aurora.task.state-change";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All headers of a request, as a package that is given a request has them.
fn headers(request: &Request) -> Value {
    let head = String::from_utf8(request.head.clone()).expect("headers are ASCII");
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let headers: serde_json::Map<_, _> = pairs
        .map(|(name, value)| (name.to_owned(), value.trim().into()))
        .collect();
    headers.into()
}

/// Sends these events of Aurora's in a format; each request with what was sent, and the id that was
/// acknowledged for it.
fn send(format: &str, lines: &[Vec<u8>]) -> Vec<(Request, Vec<u8>, String)> {
    send_with(&json!({ "format": format }), lines)
}

/// The same with these settings.
fn send_with(settings: &Value, lines: &[Vec<u8>]) -> Vec<(Request, Vec<u8>, String)> {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["headers"] = json!({});
    for (key, value) in settings.as_object().expect("it is an object") {
        config[key] = value.clone();
    }
    let path = folder.config(&config);
    let ended = Launch::with_config(&path)
        .args(["--acks", "-"])
        .run(lines.join(&b'\n'))
        .expect_code(0);
    let sent: HashMap<String, &Vec<u8>> = acks(&ended.stdout)
        .into_iter()
        .map(|(line, id)| (id, &lines[usize::try_from(line).expect("a line") - 1]))
        .collect();
    let requests = receiver.requests();
    assert_eq!(requests.len(), lines.len());
    let each = requests.into_iter().map(|request| {
        let id = request.header("webhook-id");
        let line = sent[&id].clone();
        (request, line, id)
    });
    each.collect()
}

/// What the package makes of each request.
fn parse(python: &Python, sent: &[(Request, Vec<u8>, String)]) -> Vec<Value> {
    let requests: Vec<_> = sent
        .iter()
        .map(|(request, line, _)| {
            json!({
                "headers": headers(request),
                "body": hex(&request.body),
                "sent": hex(line),
            })
        })
        .collect();
    let printed = python.run(PARSER, Value::from(requests).to_string());
    let parsed: Vec<_> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("the parser prints JSON"))
        .collect();
    assert_eq!(parsed.len(), sent.len());
    parsed
}

/// The time of an event's last change, epoch milliseconds.
fn changed_at(event: &Value) -> u64 {
    let events = event["task"]["taskEvents"]
        .as_array()
        .expect("it has a history");
    let last = events.last().expect("it has changed once at least");
    last["timestamp"].as_u64().expect("epoch milliseconds")
}

fn check(format: &str) {
    let Some(python) = Python::with_verifiers() else {
        return;
    };
    let sent = send(format, &events());
    for ((_, line, id), parsed) in sent.iter().zip(parse(&python, &sent)) {
        let event: Value = serde_json::from_slice(line).expect("the fixtures are JSON");
        let job = &event["task"]["assignedTask"]["task"]["job"];
        let part = |name: &str| job[name].as_str().expect("a job's name has three parts");
        let source = format!(
            "/aurora/jobs/{}/{}/{}",
            part("role"),
            part("environment"),
            part("name")
        );
        let expected = json!({
            "specversion": "1.0",
            "id": id,
            "source": source,
            "type": TYPE,
            "subject": task_of(line),
            "time_ms": changed_at(&event),
            "same": true,
        });
        assert_eq!(parsed, expected);
    }
}

#[test]
fn binary_mode_is_what_the_package_parses() {
    check("cloudevents-binary");
}

#[test]
fn structured_mode_is_what_the_package_parses() {
    check("cloudevents-structured");
}

#[test]
fn names_beyond_ascii_reach_the_package_as_they_are() {
    let Some(python) = Python::with_verifiers() else {
        return;
    };
    let task = "täsk 100% \u{1f600}";
    let line = event(task, 1)
        .replace("\"role\":\"r\"", "\"role\":\"rö le\"")
        .replace("\"name\":\"n\"", "\"name\":\"a/b\"");
    for format in ["cloudevents-binary", "cloudevents-structured"] {
        let sent = send(format, &[line.clone().into_bytes()]);
        let parsed = parse(&python, &sent);
        assert_eq!(parsed[0]["subject"], task, "{format}");
        assert_eq!(parsed[0]["same"], true, "{format}");
    }
}

#[test]
fn a_binary_events_body_is_the_event_byte_for_byte_and_its_headers_say_the_rest() {
    let events = events();
    for (request, line, id) in send("cloudevents-binary", &events) {
        assert_eq!(request.body, line);
        assert_eq!(request.header("Content-Type"), "application/json");
        assert_eq!(request.header("ce-id"), id);
        assert_eq!(request.header("ce-specversion"), "1.0");
        assert!(request.headers("ce-datacontenttype").is_empty());
    }
}

#[test]
fn a_structured_events_data_is_the_event_byte_for_byte() {
    let events = events();
    for (request, line, _) in send("cloudevents-structured", &events) {
        let data = request.body.windows(line.len()).any(|part| part == line);
        assert!(data, "{}", String::from_utf8_lossy(&request.body));
        assert_eq!(
            request.header("Content-Type"),
            "application/cloudevents+json; charset=UTF-8"
        );
        assert!(
            request.headers("ce-id").is_empty(),
            "its attributes are in its body"
        );
    }
}

const SLURM: &str = r#"{"jobid":17,"state":"FAILED","partition":"long run","username":"älice","job_name":"a/b","@end":"2026-11-29T11:51:11"}"#;

#[test]
fn an_event_of_slurm_is_what_the_package_parses() {
    let Some(python) = Python::with_verifiers() else {
        return;
    };
    for format in ["cloudevents-binary", "cloudevents-structured"] {
        let mut settings = json!({ "format": format, "events": { "schema": "slurm" } });
        let sent = send_with(&settings, &[SLURM.into()]);
        let mut expected = json!({
            "specversion": "1.0",
            "id": sent[0].2,
            "source": "/jobs/long%20run/%C3%A4lice/a%2Fb",
            "type": "webhookd.task.state-change",
            "subject": "17",
            "time_ms": 1_795_953_071_000_u64,
            "same": true,
        });
        assert_eq!(parse(&python, &sent), [expected.clone()], "{format}");

        settings["cloudEvents"] = json!({
            "source": "https://example.com/{/partition}/{job}", "type": "com.example.{state}",
        });
        let sent = send_with(&settings, &[SLURM.into()]);
        expected["id"] = sent[0].2.as_str().into();
        expected["source"] = "https://example.com/long%20run/long%20run/%C3%A4lice/a%2Fb".into();
        expected["type"] = "com.example.FAILED".into();
        assert_eq!(parse(&python, &sent), [expected], "{format}");
    }
}

#[test]
fn a_cloud_event_that_came_in_goes_out_as_itself() {
    let Some(python) = Python::with_verifiers() else {
        return;
    };
    let data = r#"{"n": 1.50}"#;
    let event = format!(
        r#"{{"specversion":"1.0","id":"a b","source":"/s","type":"t","subject":"ü","time":"2026-11-29T11:51:11Z","data":{data}}}"#
    );
    for format in ["cloudevents-binary", "cloudevents-structured"] {
        let settings = json!({ "format": format, "events": { "schema": "cloudevents" } });
        let (request, _, id) = send_with(&settings, &[event.clone().into()]).remove(0);
        match format {
            "cloudevents-binary" => assert_eq!(request.body, data.as_bytes()),
            _ => assert_eq!(request.body, event.as_bytes()),
        }
        let expected = json!({
            "specversion": "1.0",
            "id": "a b",
            "source": "/s",
            "type": "t",
            "subject": "ü",
            "time_ms": 1_795_953_071_000_u64,
            "same": true,
        });
        let parsed = parse(&python, &[(request, data.into(), id)]);
        assert_eq!(parsed, [expected], "{format}");
    }
}
