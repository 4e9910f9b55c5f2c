//! The guarantees of the writer besides Aurora's bytes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde::Serialize;
use std::io;
use webhook_model::{
    AssignedTask, Gson, JobKey, Layout, PercentageSlaPolicy, Release, Resource, ScheduleStatus,
    ScheduledTask, SlaPolicy, TaskConfig, TaskStateChange,
};

const SAMPLE: &[u8] = include_bytes!("data/sample-exact.json");

fn config() -> TaskConfig {
    TaskConfig::new(JobKey::new("www-data", "prod", "hello"))
}

fn change(config: TaskConfig) -> TaskStateChange {
    let task = ScheduledTask::new(AssignedTask::new("t", 0, config));
    TaskStateChange::transition(task, ScheduleStatus::Init)
}

#[test]
fn a_double_that_json_cannot_express_is_an_error_that_names_it() {
    let policy = PercentageSlaPolicy::default().with_percentage(f64::INFINITY);
    let cases = [
        (
            config().with_resources([Resource::RamMb(1), Resource::NumCpus(f64::NAN)]),
            "task.assignedTask.task.resources[1].value",
        ),
        (
            config().with_sla_policy(SlaPolicy::Percentage(policy)),
            "task.assignedTask.task.slaPolicy.value.percentage",
        ),
    ];
    for (config, path) in cases {
        let change = change(config);
        let mut buffer = b"before".to_vec();
        let error = change.write_json(&mut buffer).unwrap_err();
        assert_eq!(error.path(), path);
        assert!(error.to_string().starts_with(path), "{error}");
        assert_eq!(buffer, b"before");
        assert_eq!(change.to_json().unwrap_err(), error);
        let error = change.write_json_to(io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, Gson);
        assert!(change.serialize(&mut serializer).is_err());
    }
}

#[test]
fn a_double_that_the_release_does_not_have_is_not_written_and_no_error() {
    let change = change(config().with_num_cpus(f64::NAN));
    assert!(
        change
            .clone()
            .with_layout(Layout::Of(Release::V0_22))
            .to_json()
            .is_ok()
    );
    assert!(change.with_layout(Layout::AsRead).to_json().is_err());
}

#[test]
fn a_large_enough_buffer_is_not_reallocated() {
    let change = TaskStateChange::read(SAMPLE).unwrap();
    let mut buffer = Vec::with_capacity(SAMPLE.len());
    let place = buffer.as_ptr();
    for _ in 0..3 {
        buffer.clear();
        change.write_json(&mut buffer).unwrap();
        assert_eq!(buffer, SAMPLE);
    }
    assert_eq!((buffer.as_ptr(), buffer.capacity()), (place, SAMPLE.len()));
}

#[test]
fn a_writer_gets_the_same_bytes_and_its_error_comes_back() {
    let change = TaskStateChange::read(SAMPLE).unwrap();
    let mut written = Vec::new();
    change.write_json_to(&mut written).unwrap();
    assert_eq!(written, SAMPLE);
    let mut too_small = [0; 100];
    let error = change.write_json_to(&mut too_small[..]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    assert_eq!(too_small, SAMPLE[..100]);
}

#[test]
fn an_older_layout_has_the_fields_that_java_cannot_omit() {
    let written = change(config())
        .with_layout(Layout::Of(Release::V0_14))
        .to_json()
        .unwrap();
    let json = String::from_utf8(written).unwrap();
    for field in [
        r#""numCpus":0.0,"#,
        r#""ramMb":0,"#,
        r#""requestedPorts":[],"#,
        r#""oldState":{}"#,
    ] {
        assert!(json.contains(field), "{field} in {json}");
    }
    for newer in ["mesosFetcherUris", "timesPartitioned", "partitionPolicy"] {
        assert!(!json.contains(newer), "{newer} in {json}");
    }
}

#[test]
fn a_new_task_is_written_in_the_latest_layout() {
    let task = change(config());
    assert_eq!(task.layout(), Layout::Of(Release::LATEST));
    assert!(
        TaskStateChange::read(&task.to_json().unwrap())
            .unwrap()
            .fits(Release::LATEST)
    );
}
