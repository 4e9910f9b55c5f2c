//! The JSON Schema of a payload against what the reader accepts and refuses.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use webhook_model::{ReadErrorKind, TaskStateChange};

fn validator() -> Validator {
    let schema = TaskStateChange::json_schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn payloads() -> Vec<String> {
    let mut paths = files("tests/fixtures/payloads");
    paths.extend(["events.ndjson", "sample.json"].map(|name| root("tests/fixtures").join(name)));
    let texts = paths
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap());
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_payload_of_the_fixtures_is_valid() {
    let validator = validator();
    let payloads = payloads();
    assert!(payloads.len() > 150, "{}", payloads.len());
    for payload in payloads {
        let value: Value = serde_json::from_str(&payload).unwrap();
        if let Err(error) = validator.validate(&value) {
            panic!("{error} at {} of {payload}", error.instance_path());
        }
    }
}

#[test]
fn every_payload_that_aurora_wrote_is_valid() {
    let validator = validator();
    let mut count = 0;
    for path in files("crates/webhook-model/tests/data") {
        if path
            .extension()
            .is_none_or(|extension| extension != "ndjson")
        {
            continue;
        }
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let vector: Value = serde_json::from_str(line).unwrap();
            let payload = serde_json::from_str(vector["payload"].as_str().unwrap()).unwrap();
            assert!(validator.is_valid(&payload), "{payload}");
            count += 1;
        }
    }
    assert!(count > 1000, "{count}");
}

/// What the reader refuses, the schema refuses, too, but for these: a parsed document does not show that a
/// member occurs twice.
#[test]
fn what_the_reader_refuses_is_not_valid() {
    const NOT_SEEN: [&str; 3] = ["port-twice", "task-twice", "union-with-two-values"];
    let validator = validator();
    let mut refused = 0;
    for path in files("tests/fixtures/invalid") {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let Ok(value) = serde_json::from_slice(&std::fs::read(path).unwrap()) else {
            continue;
        };
        let is_seen = !NOT_SEEN.contains(&&*name);
        assert_eq!(!validator.is_valid(&value), is_seen, "{name}");
        refused += usize::from(is_seen);
    }
    assert!(refused >= 12, "{refused}");
}

#[test]
fn a_newer_scheduler_is_valid() {
    let payload = json!({
        "task": {
            "status": "SLEEPING",
            "assignedTask": { "task": {
                "resources": [{ "setField": "NUM_FPGAS", "value": [1] }],
                "tier": null,
                "colour": "red",
            } },
        },
        "oldState": "RUNNING",
        "reason": {},
    });
    assert!(TaskStateChange::read(payload.to_string().as_bytes()).is_ok());
    assert!(validator().is_valid(&payload));
}

/// Every place in a document, by its pointer.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(member, format!("{at}/{name}"), all);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                pointers(element, format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
    all.push(at);
}

proptest! {
    /// One value in a payload is replaced by another.
    #[test]
    fn what_the_reader_accepts_is_valid_and_what_has_another_type_is_not(
        payload in prop::sample::select(payloads()),
        place in any::<prop::sample::Index>(),
        other in prop_oneof![
            Just(json!(null)), Just(json!(true)), Just(json!("text")), Just(json!(7)),
            Just(json!(i64::MAX)), Just(json!(-0.5)), Just(json!([])), Just(json!({})),
            Just(json!([1, 1])), Just(json!({ "a": "b" })), Just(json!({ "value": "LOST" })),
            Just(json!({ "setField": "RAM_MB", "value": 5 })),
        ],
    ) {
        thread_local! {
            static VALIDATOR: Validator = validator();
        }
        let mut payload: Value = serde_json::from_str(&payload).unwrap();
        let mut places = Vec::new();
        pointers(&payload, String::new(), &mut places);
        let place: &str = place.get::<String>(&places);
        *payload.pointer_mut(place).unwrap() = other;
        let is_valid = VALIDATOR.with(|validator| validator.is_valid(&payload));
        match TaskStateChange::read(payload.to_string().as_bytes()) {
            Ok(_) => prop_assert!(is_valid, "{}", payload),
            Err(error) if error.kind() == ReadErrorKind::Type => {
                prop_assert!(!is_valid, "{}: {}", error, payload);
            }
            Err(_) => {}
        }
    }
}
