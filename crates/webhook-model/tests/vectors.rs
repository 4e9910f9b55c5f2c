//! Aurora's own output: it is read and written back, and its hashes are recomputed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use webhook_model::{Asked, Gson, IdentityHashes, Jvm, Layout, Release, ScheduledTask, TaskConfig};
use webhook_model::{AssignedTask, JobKey, TaskStateChange};

#[derive(Deserialize)]
struct Vector {
    case: String,
    payload: String,
    release: String,
    hashes_called: String,
    initialized: bool,
    identity: BTreeMap<String, i32>,
    task_config_hash: Option<i32>,
    scheduled_task_hash: Option<i32>,
}

impl Vector {
    fn name(&self) -> String {
        format!("{} {}", self.release, self.case)
    }

    fn change(&self) -> TaskStateChange {
        TaskStateChange::read(self.payload.as_bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name()))
    }

    fn release(&self) -> Release {
        Release::from_name(&self.release).unwrap()
    }

    fn jvm(&self) -> Jvm {
        Jvm::new(
            self.release(),
            self.identity.iter().map(|(name, id)| (name, *id)).collect(),
        )
    }
}

fn data(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for release in Release::ALL {
        let lines = data(&format!("payloads-{release}.ndjson"));
        vectors.extend(
            lines
                .lines()
                .map(|line| serde_json::from_str::<Vector>(line).unwrap()),
        );
    }
    assert!(vectors.len() > 1_000);
    vectors
}

fn sample() -> TaskStateChange {
    TaskStateChange::read(data("sample-exact.json").as_bytes()).unwrap()
}

fn config(change: &TaskStateChange) -> Option<&TaskConfig> {
    change
        .task()
        .and_then(ScheduledTask::assigned_task)
        .and_then(AssignedTask::task)
}

fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap()
}

#[test]
fn every_payload_comes_out_as_it_went_in() {
    for vector in vectors() {
        assert_eq!(
            text(vector.change().to_json().unwrap()),
            vector.payload,
            "{}",
            vector.name()
        );
    }
    assert_eq!(text(sample().to_json().unwrap()), data("sample-exact.json"));
}

#[test]
fn every_payload_comes_out_the_same_in_its_releases_layout() {
    for vector in vectors() {
        let change = vector.change();
        assert!(change.fits(vector.release()), "{}", vector.name());
        let written = change
            .with_layout(Layout::Of(vector.release()))
            .to_json()
            .unwrap();
        assert_eq!(text(written), vector.payload, "{}", vector.name());
    }
}

#[test]
fn the_published_sample_differs_from_the_sent_one_by_its_blanks_alone() {
    let published = TaskStateChange::read(data("sample-published.json").as_bytes()).unwrap();
    let written = text(published.to_json().unwrap());
    // One blank too many was printed inside a string.
    let mended = written.replace(
        r#"\"health_checker\": { \"http\""#,
        r#"\"health_checker\": {\"http\""#,
    );
    assert_eq!(mended, data("sample-exact.json"));
}

#[test]
fn every_hash_comes_out_and_the_right_ones_are_0() {
    for vector in vectors() {
        let asked = match vector.hashes_called.as_str() {
            "none" => Asked::Nobody,
            "task_config" => Asked::TaskConfig,
            "all" => Asked::ScheduledTask,
            other => panic!("{other}"),
        };
        let report = vector.change().verify_hashes_asked(&vector.jvm(), asked);
        assert_eq!(report.wrong, [], "{}", vector.name());
        assert_eq!(report.unchecked, [], "{}", vector.name());
        assert!(report.checked > 0, "{}", vector.name());
    }
}

#[test]
fn a_rebuilt_task_that_is_asked_as_aurora_asked_it_is_aurora_s_to_the_byte() {
    for vector in vectors() {
        let jvm = vector.jvm();
        let change = vector.change().rebuilt(&jvm);
        let ask_config = || config(&change).map_or(0, |config| config.hash_code_in(&jvm).unwrap());
        let ask_task = || {
            change
                .task()
                .map_or(0, |task| task.hash_code_in(&jvm).unwrap())
        };
        match vector.hashes_called.as_str() {
            "task_config" => drop(ask_config()),
            "all" => drop(ask_task()),
            _ => {}
        }
        assert_eq!(
            text(change.to_json().unwrap()),
            vector.payload,
            "{}",
            vector.name()
        );
        assert_eq!(
            Some(ask_config()),
            vector.task_config_hash,
            "{}",
            vector.name()
        );
        assert_eq!(
            Some(ask_task()),
            vector.scheduled_task_hash,
            "{}",
            vector.name()
        );
    }
}

#[test]
fn only_an_initial_event_and_an_old_release_s_transition_have_no_old_state() {
    for vector in vectors() {
        let lost = vector.initialized || vector.release() < Release::V0_20;
        assert_eq!(
            vector.change().old_state().is_none(),
            lost,
            "{}",
            vector.name()
        );
    }
}

#[test]
fn the_sample_tells_its_release_and_the_identities_of_its_unions() {
    #[derive(Deserialize)]
    struct Expected {
        identity: BTreeMap<String, i32>,
    }
    let expected: Expected = serde_json::from_str(&data("sample-identity.json")).unwrap();
    let sample = sample();

    let recovered = IdentityHashes::recover(&sample);
    assert_eq!(
        recovered.entries().into_iter().collect::<BTreeMap<_, _>>(),
        expected.identity
    );

    let jvm = Jvm::recover(&sample);
    assert_eq!(jvm.release(), Release::V0_14);
    let report = sample.verify_hashes(&jvm);
    assert_eq!(
        (report.checked, report.wrong, report.unchecked),
        (11, vec![], vec![])
    );
    let forgotten = sample.rebuilt(&jvm);
    assert_eq!(
        config(&forgotten).unwrap().hash_code_in(&jvm),
        Ok(-1_819_348_376)
    );
}

#[test]
fn what_is_recovered_from_a_payload_is_what_its_jvm_had() {
    let mut solved = 0;
    for vector in vectors() {
        let jvm = Jvm::recover_in(&vector.change(), vector.release());
        for (constant, identity) in jvm.identities().entries() {
            assert_eq!(
                vector.identity.get(&constant),
                Some(&identity),
                "{}",
                vector.name()
            );
            solved += 1;
        }
    }
    assert!(solved > 3_000, "{solved}");
}

#[test]
fn a_hash_that_is_one_off_is_found_with_its_path() {
    let jvm = Jvm::recover(&sample());
    let broken = data("sample-exact.json").replace("803049425", "803049426");
    let report = TaskStateChange::read(broken.as_bytes())
        .unwrap()
        .verify_hashes(&jvm);
    let wrong: Vec<String> = report.wrong.iter().map(ToString::to_string).collect();
    assert_eq!(
        wrong,
        ["task.assignedTask.task.job.cachedHashCode: expected 803049425, found 803049426"]
    );
    let forgotten = data("sample-exact.json").replace("803049425", "0");
    let report = TaskStateChange::read(forgotten.as_bytes())
        .unwrap()
        .verify_hashes(&jvm);
    assert_eq!(
        report.wrong.len(),
        1,
        "whoever asked the configuration asked its job"
    );
}

/// A double as the model writes it.
fn written(double: f64) -> String {
    let mut json = Vec::new();
    double
        .serialize(&mut serde_json::Serializer::with_formatter(&mut json, Gson))
        .unwrap();
    text(json)
}

/// A double as the model reads it.
fn read(json: &str) -> f64 {
    let payload = format!(r#"{{"task":{{"assignedTask":{{"task":{{"numCpus":{json}}}}}}}}}"#);
    config(&TaskStateChange::read(payload.as_bytes()).unwrap())
        .unwrap()
        .num_cpus()
}

#[test]
fn every_double_is_java_s_and_an_older_jdk_s_is_read_as_well() {
    let table = data("doubles.tsv");
    assert!(table.lines().count() > 6_000);
    for line in table.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let bits = u64::from_str_radix(columns[0], 16).unwrap();
        assert_eq!(written(f64::from_bits(bits)), columns[1], "{line}");
        assert_eq!(read(columns[1]).to_bits(), bits, "{line}");
        if let Some(older) = columns.get(2).filter(|older| !older.is_empty()) {
            assert_eq!(read(older).to_bits(), bits, "{line}");
        }
    }
}

#[test]
fn the_characters_that_gson_escapes_are_escaped_and_no_other() {
    let table = data("escapes.tsv");
    let escapes: BTreeMap<u32, &str> = table
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(code, escape)| (u32::from_str_radix(code, 16).unwrap(), escape))
        .collect();
    assert_eq!(escapes.len(), 41);
    for character in '\0'..=char::MAX {
        let string = character.to_string();
        let expected = escapes
            .get(&u32::from(character))
            .copied()
            .unwrap_or(&string);
        let mut json = Vec::new();
        string
            .serialize(&mut serde_json::Serializer::with_formatter(&mut json, Gson))
            .unwrap();
        assert_eq!(text(json), format!("\"{expected}\""));
    }
}

#[test]
fn a_map_s_keys_are_escaped_as_its_values_are() {
    let config = TaskConfig::new(JobKey::new("r", "e", "n")).with_task_links([("<a>", "'b'")]);
    let task = ScheduledTask::new(AssignedTask::new("t", 0, config));
    let json = text(TaskStateChange::initialized(task).to_json().unwrap());
    assert!(
        json.contains(r#""taskLinks":{"\u003ca\u003e":"\u0027b\u0027"}"#),
        "{json}"
    );
}
