//! The presets on events of the schedulers that they are for: recorded ones of tests/fixtures, and
//! others in the schedulers' documented forms.

use serde_json::{Value, json};
use std::collections::HashMap;
use webhook_event::{EventFields, Schema};

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/fixtures/schedulers/", $name))
    };
}

mod kubernetes;

fn preset(name: &str) -> Schema {
    Schema::from_json(&json!({"schema": name})).expect("a preset is a schema")
}

/// The fields of the events of a document that are not to be ignored.
fn read(schema: &Schema, document: &str) -> Vec<EventFields<'static>> {
    let events = schema.split(document.as_bytes()).expect("it has events");
    let fields = events.iter().filter_map(|event| {
        let bytes = event.bytes().to_vec().leak();
        schema.read(bytes).expect("it is understood")
    });
    fields.collect()
}

/// The fields of a document with one event.
fn read_one(schema: &Schema, document: &Value) -> EventFields<'static> {
    let mut fields = read(schema, &document.to_string());
    assert_eq!(fields.len(), 1, "{document}");
    fields.remove(0)
}

fn is_ignored(schema: &Schema, document: &Value) -> bool {
    read(schema, &document.to_string()).is_empty()
}

/// Key, state, previous state, job and id, as lines to compare.
fn shown(fields: &EventFields<'_>) -> String {
    let state = |state: &Option<_>| state.clone().unwrap_or_else(|| "none".into());
    format!(
        "{} {} after {} of {} by {}",
        fields.key,
        state(&fields.state),
        state(&fields.old_state),
        fields.job.join(" "),
        fields.id.as_deref().unwrap_or("none"),
    )
}

/// What `onlyChanges` passes: `key: old state > state`.
fn changes(schema: &Schema, lines: &str) -> Vec<String> {
    let mut last: HashMap<String, String> = HashMap::new();
    let mut passed = Vec::new();
    for fields in lines.lines().flat_map(|line| read(schema, line)) {
        let Some(state) = fields.state else {
            passed.push(format!("{}: no state", fields.key));
            continue;
        };
        let before = last.insert(fields.key.to_string(), state.to_string());
        if before.as_deref() == Some(&*state) {
            continue;
        }
        let old = fields.old_state.map(|old| old.to_string()).or(before);
        passed.push(format!(
            "{}: {} > {state}",
            fields.key,
            old.unwrap_or_default()
        ));
    }
    passed
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn each_record_of_slurm_is_the_end_of_a_job() {
    let schema = preset("slurm");
    let (_, request) = sample!("slurm.http").split_once("\r\n\r\n").unwrap();
    for line in sample!("slurm.ndjson").lines().chain([request]) {
        let event: Value = serde_json::from_str(line).unwrap();
        let fields = read_one(&schema, &event);
        let id = ["jobid", "@submit", "@end", "state"].map(|name| text(&event[name]));
        assert_eq!(fields.key, text(&event["jobid"]));
        assert_eq!(fields.state.as_deref(), event["state"].as_str());
        assert_eq!(fields.old_state, None);
        let job = ["partition", "username", "job_name"].map(|name| text(&event[name]));
        assert_eq!(fields.job, job);
        assert_eq!(fields.id, Some(id.join("/")));
        let end: jiff::civil::DateTime = event["@end"].as_str().unwrap().parse().unwrap();
        let end = end.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        assert_eq!(fields.time, Some(end.timestamp().as_millisecond()));
    }
    let fields = read(&schema, request).remove(0);
    assert_eq!(fields.job[2], "naïve-größe-日本 \"q\"");
}

#[test]
fn other_records_of_slurm_are_read() {
    let schema = preset("slurm");
    let record = |state: &str| {
        json!({"jobid": 7, "username": "alice", "partition": "debug", "state": state,
            "account": "physics", "cluster": "c1", "qos": "normal", "job_name": "a/b",
            "@submit": "2026-11-29T11:51:10", "@end": "2026-11-29T11:51:11"})
    };
    for state in [
        "TIMEOUT",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "BOOT_FAIL",
        "DEADLINE",
    ] {
        let fields = read_one(&schema, &record(state));
        let expected = format!(
            "7 {state} after none of debug alice a/b by \
            7/2026-11-29T11:51:10/2026-11-29T11:51:11/{state}"
        );
        assert_eq!(shown(&fields), expected);
    }
    // A requeue, and the same job's end.
    let requeue = read_one(&schema, &record("PENDING"));
    let end = read_one(&schema, &record("COMPLETED"));
    assert!(requeue.key == end.key && requeue.id != end.id);
    let mut without_times = record("CANCELLED");
    without_times["@end"] = json!("Unknown");
    assert_eq!(read_one(&schema, &without_times).time, None);
    let error = schema.read(b"{\"state\":\"FAILED\"}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "key: no value at \"/jobid\": the document is an object without \"jobid\" (byte 0)"
    );
}

#[test]
fn airflows_listener_says_the_task_instance() {
    let schema = preset("airflow");
    for line in sample!("airflow.ndjson").lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let fields = read_one(&schema, &event);
        let key = ["dag_id", "run_id", "task_id", "map_index"].map(|name| text(&event[name]));
        assert_eq!(fields.key, key.join("/"));
        assert_eq!(fields.state.as_deref(), event["state"].as_str());
        assert_eq!(
            fields.old_state.as_deref(),
            event["previous_state"].as_str()
        );
        assert_eq!(fields.job, ["demo"]);
        assert_eq!(fields.id.as_deref(), event["event_id"].as_str());
        let time: jiff::Timestamp = event["timestamp"].as_str().unwrap().parse().unwrap();
        assert_eq!(fields.time, Some(time.as_millisecond()));
    }
    let without_event_id = json!({"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": null,
        "state": "up_for_retry", "previous_state": null, "ti_id": "i"});
    let fields = read_one(&schema, &without_event_id);
    assert_eq!(
        shown(&fields),
        "d/r/t/-1 up_for_retry after none of d by i/up_for_retry"
    );
}

#[test]
fn rays_task_events_are_read_and_its_noise_is_ignored() {
    let schema = preset("ray");
    let driver = "//////////////////////////8BAAAA";
    let mut count = 0;
    for line in sample!("ray.ndjson")
        .lines()
        .chain(sample!("ray-batches.ndjson").lines())
    {
        let document: Value = serde_json::from_str(line).unwrap();
        let events = document
            .as_array()
            .map_or(vec![&document], |events| events.iter().collect());
        let mut fields = read(&schema, line).into_iter();
        for event in events {
            let lifecycle = &event["taskLifecycleEvent"];
            let definition = &event["taskDefinitionEvent"];
            let task = if lifecycle.is_null() {
                definition
            } else {
                lifecycle
            };
            let states = lifecycle["stateTransitions"].as_array();
            if task.is_null() || task["taskId"] == driver || states.is_some_and(Vec::is_empty) {
                continue;
            }
            count += 1;
            let fields = fields.next().unwrap();
            assert_eq!(
                fields.key,
                format!("{}/{}", text(&task["taskId"]), task["taskAttempt"])
            );
            let mut states = states
                .into_iter()
                .flatten()
                .rev()
                .map(|it| it["state"].as_str());
            assert_eq!(fields.state.as_deref(), states.next().flatten());
            assert_eq!(fields.old_state.as_deref(), states.next().flatten());
            assert_eq!(fields.job, ["AQAAAA=="]);
            assert_eq!(fields.id.as_deref(), event["eventId"].as_str());
            assert!(fields.time.is_some());
        }
        assert_eq!(fields.next(), None);
    }
    assert_eq!(count, 23);
}

#[test]
fn what_has_no_type_of_rays_is_not_taken_for_its_noise() {
    let ray = preset("ray");
    for element in [
        "7",
        "\"text\"",
        "[]",
        "{}",
        r#"{"event":"TASK_LIFECYCLE_EVENT"}"#,
    ] {
        let error = ray.read(element.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("key: no value at "), "{element}: {error}");
    }
    assert!(ray.split(b"null").is_err());
}

#[test]
fn the_changes_of_rays_tasks_are_those_that_it_reports() {
    let batches = changes(&preset("ray"), sample!("ray-batches.ndjson"));
    assert_eq!(
        batches,
        [
            "FjEKDwpFr1z///////////////8BAAAA/0:  > RUNNING",
            "wmaKZb2mFsH///////////////8BAAAA/0:  > RUNNING",
            "yO9FzNARJXH///////////////8BAAAA/0:  > RUNNING",
            "wmaKZb2mFsH///////////////8BAAAA/1: no state",
            "wmaKZb2mFsH///////////////8BAAAA/1:  > PENDING_ARGS_AVAIL",
            "FjEKDwpFr1z///////////////8BAAAA/0: no state",
            "FjEKDwpFr1z///////////////8BAAAA/0: SUBMITTED_TO_WORKER > FAILED",
            "yO9FzNARJXH///////////////8BAAAA/0: no state",
            "yO9FzNARJXH///////////////8BAAAA/0: SUBMITTED_TO_WORKER > FINISHED",
            "wmaKZb2mFsH///////////////8BAAAA/0: no state",
            "wmaKZb2mFsH///////////////8BAAAA/0: SUBMITTED_TO_WORKER > FAILED",
        ]
    );
    // The state before is in an earlier event.
    let retried = "wmaKZb2mFsH///////////////8BAAAA/1: PENDING_ARGS_AVAIL > RUNNING";
    assert!(changes(&preset("ray"), sample!("ray.ndjson")).contains(&retried.to_owned()));
}

#[test]
fn nomads_allocations_are_read_and_other_topics_ignored() {
    let schema = preset("nomad");
    for line in sample!("nomad.ndjson").lines() {
        let frame: Value = serde_json::from_str(line).unwrap();
        let mut fields = read(&schema, line).into_iter();
        for event in frame["Events"].as_array().into_iter().flatten() {
            if event["Topic"] != "Allocation" {
                continue;
            }
            let allocation = &event["Payload"]["Allocation"];
            let fields = fields.next().unwrap();
            let name = |name: &str| text(&allocation[name]);
            assert_eq!(fields.key, text(&event["Key"]));
            assert_eq!(fields.state.as_deref(), allocation["ClientStatus"].as_str());
            assert_eq!(fields.job, ["Namespace", "JobID", "TaskGroup"].map(name));
            let id = ["Index", "Topic", "Key"].map(|name| text(&event[name]));
            assert_eq!(fields.id, Some(id.join("/")));
            let nanoseconds = allocation["ModifyTime"].as_i64().unwrap();
            assert_eq!(fields.time, Some(nanoseconds / 1_000_000));
        }
        assert_eq!(fields.next(), None);
    }
    let (first, second) = (
        "5f3b1c1e-0b0e-4c1d-9a57-3d0f6b0f7a11",
        "a81d7d0c-52f8-4b0e-8a4b-1f5f4c3f2b22",
    );
    assert_eq!(
        changes(&schema, sample!("nomad.ndjson")),
        [
            format!("{first}:  > pending"),
            format!("{second}:  > pending"),
            format!("{first}: pending > running"),
            format!("{first}: running > failed"),
            format!("{second}: pending > lost"),
        ]
    );
}

#[test]
fn frames_of_nomad_without_a_whole_allocation_are_read() {
    let schema = preset("nomad");
    for empty in [
        json!({}),
        json!({"Index": 7, "Events": []}),
        json!({"Index": 7, "Events": null}),
    ] {
        assert!(is_ignored(&schema, &empty), "{empty}");
    }
    for payload in [json!(null), json!({"Allocation": null}), json!({})] {
        let event = json!({"Topic": "Allocation", "Type": "AllocationUpdated", "Key": "a",
            "Namespace": "default", "Index": 7, "Payload": payload});
        let fields = read_one(&schema, &json!({"Index": 7, "Events": [event]}));
        assert_eq!(shown(&fields), "a none after none of  by 7/Allocation/a");
    }
    let error = schema.split(br#"{"Index":7,"Events":"x"}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "each: expected an array at \"/Events\", found a string (byte 20)"
    );
}

/// A binary-mode event as the structured one with the same attributes.
fn structured(line: &str) -> Value {
    let sample: Value = serde_json::from_str(line).expect("it is JSON");
    let mut event = json!({"data": sample["body"]});
    for (name, value) in sample["headers"].as_object().expect("they are an object") {
        if let Some(attribute) = name.strip_prefix("Ce-") {
            event[attribute.to_lowercase()] = value.clone();
        }
    }
    event
}

#[test]
fn knatives_events_are_read_by_their_attributes_and_data() {
    let schema = preset("cloudevents");
    let states = [
        "Pending",
        "Running",
        "dev.knative.apiserver.resource.delete",
    ];
    let mut count = 0;
    for (line, state) in sample!("knative.ndjson").lines().zip(states) {
        let event = structured(line);
        let fields = read_one(&schema, &event);
        assert_eq!(fields.key, text(&event["subject"]));
        assert_eq!(fields.state.as_deref(), Some(state));
        assert_eq!(fields.job, ["batch", "Pod"]);
        assert_eq!(
            fields.id,
            Some(format!("https:~1~1192.0.2.1:443/{}", text(&event["id"])))
        );
        assert!(fields.time.is_some());
        count += 1;
    }
    assert_eq!(count, 3);
    let plain = json!({"specversion": "1.0", "id": "1", "source": "/a", "type": "t"});
    assert_eq!(
        shown(&read_one(&schema, &plain)),
        "/a t after none of /a by ~1a/1"
    );
}

#[test]
fn an_unknown_programs_json_is_ordered_by_its_id() {
    let schema = preset("json");
    let fields = read_one(&schema, &json!({"id": 7, "state": "done"}));
    assert_eq!(shown(&fields), "7 done after none of  by none");
    for other in [json!({}), json!([1]), json!(null), json!({"id": null})] {
        assert_eq!(read_one(&schema, &other).key, "");
    }
}

#[test]
fn auroras_printed_preset_reads_what_auroras_reader_reads() {
    let events = include_str!("../../../../tests/fixtures/events.ndjson");
    let mut settings: Value = serde_json::from_str(Schema::preset("aurora").unwrap()).unwrap();
    let own = Schema::from_json(&settings).unwrap();
    settings["id"] = json!("/none");
    let pointers = Schema::from_json(&settings).unwrap();
    assert!(own.has_aurora_fields() && !pointers.has_aurora_fields());
    for line in events.lines() {
        assert_eq!(read(&own, line), read(&pointers, line), "{line}");
    }
}
