//! Batches: requests with several events.

mod bodies;
mod failures;
mod kafka;
mod operate;
mod workers;

use crate::durable::reliable;
use crate::workers::JSON;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use testkit::{Admin, Ended, Folder, Launch, Process, Request, Signal, event, post};

/// The formats of a batch.
const FORMATS: [&str; 4] = ["ndjson", "json-array", "cloudevents-batch", "kafka-rest-v2"];

/// The target `audit`, with batches of at most so many events. One request is under way at a time, so
/// that the events of the next one are known.
fn target(url: &str, format: &str, max_events: usize) -> Value {
    let mut target = reliable(url);
    target["name"] = "audit".into();
    target["headers"] = json!({});
    target["format"] = format.into();
    target["concurrency"] = 1.into();
    target["batch"] = json!({ "maxEvents": max_events });
    target
}

fn config(target: &Value) -> Value {
    json!({ "targets": [target], "queue": { "dir": "queue" } })
}

/// A running webhookd with the target `audit`.
struct Running {
    process: Process,
    admin: Admin,
    url: String,
}

impl Running {
    fn start(folder: &Folder, target: &Value) -> Running {
        let process = Launch::with_config(&folder.config(&config(target)))
            .args(["--listen", "127.0.0.1:0", "--admin", "0", "--grace", "0s"])
            .spawn();
        let (url, admin) = (process.listens(), Admin::of(&process));
        Running {
            process,
            admin,
            url,
        }
    }

    /// Posts these events one by one; their ids.
    fn accept(&self, events: &[String]) -> Vec<String> {
        let ids = events.iter().map(|event| {
            let told = post(&self.url, &[JSON], event).expect_status(200).json();
            told["id"].as_str().expect("it has an id").to_owned()
        });
        ids.collect()
    }

    /// Accepts these events while the target is paused, so that the next batches are as large as they
    /// may be; their ids.
    fn accept_together(&self, events: &[String]) -> Vec<String> {
        self.command("pause");
        let held = self.stat("inMemory");
        let ids = self.accept(events);
        let held = held + events.len() as u64;
        self.admin.wait_for("audit", "inMemory", held);
        self.command("resume");
        ids
    }

    fn command(&self, command: &str) {
        let path = format!("/api/v1/targets/audit/{command}");
        let status = self.admin.post(&path, "").status;
        assert!(matches!(status, 200..=299), "{command}: {status}");
    }

    fn stat(&self, name: &str) -> u64 {
        let stats = &self.admin.get("/api/v1/targets/audit")["stats"];
        stats[name].as_u64().expect("it is a count")
    }

    fn wait_for_delivered(&self, count: usize) {
        self.admin.wait_for("audit", "delivered", count as u64);
    }

    fn stop(self) -> Ended {
        self.process.signal(Signal::TERM);
        self.process.wait()
    }
}

/// So many events of so many tasks in turns.
fn events(count: usize, tasks: usize) -> Vec<String> {
    (0..count)
        .map(|number| event(&format!("task-{}", number % tasks), number))
        .collect()
}

type Members = BTreeMap<String, Box<RawValue>>;

/// The events of a request, byte for byte.
fn events_in(format: &str, body: &[u8]) -> Vec<String> {
    let text = |value: &RawValue| value.get().to_owned();
    let members = |name: &str, objects: &[Members]| -> Vec<String> {
        objects.iter().map(|object| text(&object[name])).collect()
    };
    match format {
        "ndjson" => {
            let body = String::from_utf8(body.to_vec()).expect("it is UTF-8");
            let lines = body.strip_suffix('\n').expect("the last line ends");
            lines.split('\n').map(str::to_owned).collect()
        }
        "json-array" => {
            let array: Vec<Box<RawValue>> = serde_json::from_slice(body).expect("an array");
            array.iter().map(|event| text(event)).collect()
        }
        "cloudevents-batch" => {
            let array: Vec<Members> = serde_json::from_slice(body).expect("an array of objects");
            members("data", &array)
        }
        _ => {
            let produce: BTreeMap<String, Vec<Members>> =
                serde_json::from_slice(body).expect("a produce request");
            members("value", &produce["records"])
        }
    }
}

/// The ids of a request's events: in the headers, or in the body of a batch of CloudEvents.
fn ids_in(format: &str, request: &Request) -> Vec<String> {
    if format == "cloudevents-batch" {
        let array: Value = serde_json::from_slice(&request.body).expect("an array");
        let events = array.as_array().expect("an array").iter();
        return events
            .map(|event| event["id"].as_str().expect("an id").to_owned())
            .collect();
    }
    let listed = request.headers("webhook-event-ids");
    if listed.is_empty() {
        return vec![request.header("webhook-id")];
    }
    let ids = listed.iter().flat_map(|line| line.split(','));
    ids.map(str::to_owned).collect()
}

/// The events of all requests in the order in which they came.
fn all_events(format: &str, requests: &[Request]) -> Vec<Vec<u8>> {
    let events = requests
        .iter()
        .flat_map(|request| events_in(format, &request.body));
    events.map(String::into_bytes).collect()
}

/// The receipt of a proxy that takes all records of a request.
fn taken(body: &[u8]) -> String {
    let records = events_in("kafka-rest-v2", body).len();
    let offset = json!({ "partition": 0, "offset": 7, "error_code": null, "error": null });
    json!({ "offsets": vec![offset; records] }).to_string()
}
