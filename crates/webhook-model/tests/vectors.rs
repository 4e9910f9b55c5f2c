//! Aurora's own output, read and written again.

use serde::Deserialize;
use std::fs;
use std::path::PathBuf;
use webhook_model::{Release, TaskStateChange};

#[derive(Deserialize)]
struct Vector {
    case: String,
    payload: String,
    release: String,
}

fn data(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn vectors() -> impl Iterator<Item = Vector> {
    Release::ALL.iter().flat_map(|release| {
        let lines = data(&format!("payloads-{release}.ndjson"));
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<Vector>>()
    })
}

#[test]
fn every_payload_comes_out_as_it_went_in() {
    for vector in vectors() {
        let change = TaskStateChange::read(vector.payload.as_bytes()).unwrap();
        let written = String::from_utf8(change.to_json().unwrap()).unwrap();
        assert_eq!(
            written, vector.payload,
            "{} {}",
            vector.release, vector.case
        );
    }
}

#[test]
fn the_sample_comes_out_as_it_went_in() {
    let sample = data("sample-exact.json");
    let change = TaskStateChange::read(sample.as_bytes()).unwrap();
    assert_eq!(
        String::from_utf8(change.to_json().unwrap()).unwrap(),
        sample
    );
}
