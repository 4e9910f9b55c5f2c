//! Inputs with `onlyChanges`: of a scheduler's stream, its transitions arrive, whatever is repeated and
//! whenever webhookd is killed.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use testkit::{Admin, Folder, Launch, Process, Receiver, Reply, Request, Signal, fixture, post_to};

/// Presets as inputs that take changes alone, and a target that gets `[key, old state, state]`.
fn config(url: &str) -> Value {
    let mut target = reliable(url);
    target["format"] = json!("template");
    target["template"] = json!(["{key}", "{oldState}", "{state}"]);
    let mut config = json!({ "targets": [target], "queue": { "dir": "queue" } });
    for name in ["slurm", "nomad", "kubernetes", "airflow", "ray"] {
        config["inputs"][name] = json!({ "schema": name, "onlyChanges": true });
    }
    config["inputs"]["jobs"] = json!({
        "schema": "pointers", "key": "/job", "state": "/state", "id": "/id", "onlyChanges": true
    });
    config
}

fn samples(name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read(fixture(&format!("schedulers/{name}"))).expect("it is committed");
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// The transitions that arrived, `OLD > NEW`, by key. A delivery that a kill repeated counts once.
fn arrived(requests: &[Request]) -> BTreeMap<String, Vec<String>> {
    let mut ids = HashSet::new();
    let mut arrived: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in requests {
        if !ids.insert(request.header("webhook-id")) {
            continue;
        }
        let body: [Option<String>; 3] =
            serde_json::from_slice(&request.body).expect("the template's list");
        let [key, old, new] = body.map(Option::unwrap_or_default);
        arrived
            .entry(key)
            .or_default()
            .push(format!("{old} > {new}"));
    }
    arrived
}

fn start(folder: &Folder, config: &Value) -> Process {
    let config = folder.config(config);
    Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .spawn()
}

/// Submits the documents of a stream one by one. After each, the process is killed, and the next one
/// gets all documents so far again, as from a scheduler that got no answer.
fn transitions(input: &str, documents: &[Vec<u8>]) -> BTreeMap<String, Vec<String>> {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = config(&receiver.url());
    for count in 1..=documents.len() {
        let process = start(&folder, &config);
        let url = process.listens();
        for document in &documents[..count] {
            let headers = ["Content-Type: application/json"];
            let path = format!("/events/{input}");
            post_to(&url, &path, &headers, document).expect_status(200);
        }
        process.signal(Signal::KILL);
        process.wait();
    }
    let process = start(&folder, &config);
    process.listens();
    process.signal(Signal::TERM);
    process.wait().expect_code(0);
    arrived(&receiver.requests())
}

/// Checks the transitions of each key; `expected` has `KEY: OLD > NEW`, in any order of the keys.
fn check(input: &str, file: &str, expected: &[&str]) {
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in expected {
        let (key, change) = line.split_once(": ").expect("a key and a change");
        by_key.entry(key.into()).or_default().push(change.into());
    }
    assert_eq!(transitions(input, &samples(file)), by_key, "{file}");
}

#[test]
fn the_transitions_of_nomads_allocations_arrive() {
    check(
        "nomad",
        "nomad.ndjson",
        &[
            "5f3b1c1e-0b0e-4c1d-9a57-3d0f6b0f7a11:  > pending",
            "5f3b1c1e-0b0e-4c1d-9a57-3d0f6b0f7a11: pending > running",
            "5f3b1c1e-0b0e-4c1d-9a57-3d0f6b0f7a11: running > failed",
            "a81d7d0c-52f8-4b0e-8a4b-1f5f4c3f2b22:  > pending",
            "a81d7d0c-52f8-4b0e-8a4b-1f5f4c3f2b22: pending > lost",
        ],
    );
}

#[test]
fn the_transitions_of_kubernetes_pods_and_jobs_arrive() {
    check(
        "kubernetes",
        "kubernetes.ndjson",
        &[
            "2b0c7c0a-7c3b-4a0e-8c1f-5f6a7b8c9d02:  > ",
            "2b0c7c0a-7c3b-4a0e-8c1f-5f6a7b8c9d02:  > ",
            "2b0c7c0a-7c3b-4a0e-8c1f-5f6a7b8c9d02:  > Failed",
            "6c1f1c52-3f0e-4f6b-9b57-0d8f6a2b1c01:  > Pending",
            "6c1f1c52-3f0e-4f6b-9b57-0d8f6a2b1c01: Pending > Running",
            "6c1f1c52-3f0e-4f6b-9b57-0d8f6a2b1c01: Running > Failed",
            "6c1f1c52-3f0e-4f6b-9b57-0d8f6a2b1c01: Failed > DELETED",
        ],
    );
}

#[test]
fn the_transitions_of_rays_tasks_arrive() {
    check(
        "ray",
        "ray-batches.ndjson",
        &[
            "FjEKDwpFr1z///////////////8BAAAA/0:  > RUNNING",
            "FjEKDwpFr1z///////////////8BAAAA/0:  > ",
            "FjEKDwpFr1z///////////////8BAAAA/0: SUBMITTED_TO_WORKER > FAILED",
            "wmaKZb2mFsH///////////////8BAAAA/0:  > RUNNING",
            "wmaKZb2mFsH///////////////8BAAAA/0:  > ",
            "wmaKZb2mFsH///////////////8BAAAA/0: SUBMITTED_TO_WORKER > FAILED",
            "wmaKZb2mFsH///////////////8BAAAA/1:  > ",
            "wmaKZb2mFsH///////////////8BAAAA/1:  > PENDING_ARGS_AVAIL",
            "yO9FzNARJXH///////////////8BAAAA/0:  > RUNNING",
            "yO9FzNARJXH///////////////8BAAAA/0:  > ",
            "yO9FzNARJXH///////////////8BAAAA/0: SUBMITTED_TO_WORKER > FINISHED",
        ],
    );
    // One event a request. The state before is in an earlier event.
    let found = transitions("ray", &samples("ray.ndjson"));
    let retried = &found["wmaKZb2mFsH///////////////8BAAAA/1"];
    assert!(
        retried.contains(&"PENDING_ARGS_AVAIL > RUNNING".to_owned()),
        "{found:?}"
    );
}

/// The transitions by the fields that the scheduler's own documents have.
fn by_fields(
    documents: &[Vec<u8>],
    key: impl Fn(&Value) -> String,
    old: impl Fn(&Value) -> Option<String>,
) -> BTreeMap<String, Vec<String>> {
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for document in documents {
        let text = String::from_utf8_lossy(document);
        let event: Value = serde_json::from_str(&text).expect("it is JSON");
        let (key, state) = (
            key(&event),
            event["state"].as_str().expect("a state").to_owned(),
        );
        let before = last.insert(key.clone(), state.clone());
        if before.as_ref() != Some(&state) {
            let old = old(&event).or(before).unwrap_or_default();
            expected
                .entry(key)
                .or_default()
                .push(format!("{old} > {state}"));
        }
    }
    expected
}

#[test]
fn the_transitions_of_slurms_jobs_and_airflows_tasks_arrive() {
    let slurm = samples("slurm.ndjson");
    let expected = by_fields(&slurm, |event| event["jobid"].to_string(), |_| None);
    assert_eq!(transitions("slurm", &slurm), expected);

    let airflow = samples("airflow.ndjson");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let key = |event: &Value| {
        let names = ["dag_id", "run_id", "task_id", "map_index"];
        let parts = names.map(|name| text(&event[name]).unwrap_or(event[name].to_string()));
        parts.join("/")
    };
    let expected = by_fields(&airflow, key, |event| text(&event["previous_state"]));
    assert!(
        expected
            .values()
            .flatten()
            .any(|it| it == "running > success")
    );
    assert_eq!(transitions("airflow", &airflow), expected);
}

#[test]
fn transitions_are_exact_over_kills_in_mid_stream_and_a_stream_that_is_sent_again() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&config(&receiver.url()));
    // Each key goes through states of which most come several times.
    let states = [
        "queued", "queued", "running", "running", "running", "queued", "done", "done",
    ];
    let events: Vec<Value> = (0..3_000_usize)
        .map(|id| {
            let state = states[id / 7 % states.len()];
            json!({ "job": format!("job-{}", id % 7), "state": state, "id": id })
        })
        .collect();
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let input = folder.write("input.ndjson", lines.join("\n") + "\n");
    let launch = || {
        Launch::with_config(&config)
            .args(["--acks", "-", "--admin", "0", "--events"])
            .arg(format!("jobs={}", input.display()))
            .spawn()
    };
    for kill_at in [1, 100, 700, 1_500] {
        let process = launch();
        process.wait_for_output(&format!("\"line\":{kill_at},"));
        process.signal(Signal::KILL);
        process.wait();
    }
    launch().wait().expect_code(0);
    let documents: Vec<Vec<u8>> = lines.iter().map(|line| line.clone().into_bytes()).collect();
    let key = |event: &Value| event["job"].as_str().expect("a key").to_owned();
    let expected = by_fields(&documents, key, |_| None);
    let arrived = arrived(&receiver.requests());
    assert_eq!(arrived, expected);
}

#[test]
fn the_metrics_tell_the_events_without_a_change_and_the_states_that_are_known() {
    let receiver = Receiver::always(Reply::status(200));
    for delivery in ["reliable", "best-effort"] {
        let folder = Folder::new();
        let mut config = config(&receiver.url());
        config["targets"][0]["delivery"] = json!(delivery);
        config["queue"]["maxLastStates"] = json!(1);
        let process = start(&folder, &config);
        let url = process.listens();
        let submit = |job: &str, state: &str| {
            let body = json!({ "job": job, "state": state }).to_string();
            let headers = ["Content-Type: application/json"];
            let answer = post_to(&url, "/events/jobs", &headers, body.as_bytes());
            answer.expect_status(200).json()
        };
        assert_eq!(submit("a", "queued")["targets"], 1);
        let told = submit("a", "queued");
        assert_eq!(
            (&told["ignored"], &told["targets"]),
            (&json!(true), &json!(0))
        );
        submit("b", "queued");
        // It was forgotten for the other.
        submit("a", "queued");
        let text = Admin::of(&process).text("/metrics");
        for sample in [
            "webhookd_events_unchanged_total{input=\"jobs\"} 1\n",
            "webhookd_events_unchanged_total{input=\"nomad\"} 0\n",
            "webhookd_last_states 1\n",
        ] {
            assert!(text.contains(sample), "{delivery}: {sample} in\n{text}");
        }
        process.signal(Signal::TERM);
        process.wait().expect_code(0);
    }
    assert_eq!(
        arrived(&receiver.requests())["a"],
        [" > queued", " > queued"].repeat(2)
    );
}
