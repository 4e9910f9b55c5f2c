//! The header of Aurora's events, beside serde_json and beside what is remembered of configurations.

use crate::seeds::Files;
use serde_json::Value;
use webhook_model::{EventHeader, KnownConfigs, ReadErrorKind, TaskStateChange};

/// A header has what serde_json finds at its places; what is malformed by one is malformed by the
/// other; a header does not depend on what is known of earlier events.
pub(crate) fn run(input: &[u8]) {
    let header = EventHeader::read(input);
    let mut known = KnownConfigs::default();
    for _ in 0..2 {
        assert_eq!(EventHeader::read_known(input, &mut known), header);
    }
    let value: Result<Value, _> = serde_json::from_slice(input);
    match (&header, &value) {
        (Ok(header), Ok(value)) => agree(header, value),
        // It holds no number beyond the largest double, and counts its own depth.
        (Ok(_), Err(error)) => {
            let why = error.to_string();
            let is_bound = ["out of range", "recursion limit"].map(|it| why.contains(it));
            assert!(is_bound.contains(&true), "serde_json: {why}");
        }
        (Err(error), Ok(_)) => {
            let of_members = [
                ReadErrorKind::Type,
                ReadErrorKind::Contradiction,
                ReadErrorKind::TooDeep,
            ];
            assert!(of_members.contains(&error.kind()), "{error}");
        }
        (Err(_), Err(_)) => {}
    }
    if let Err(error) = &header {
        assert!(error.offset() <= input.len(), "{error}");
        assert!(TaskStateChange::read(input).is_err(), "{error}");
    }
}

fn agree(header: &EventHeader<'_>, value: &Value) {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let job = |name: &str| text(&format!("/task/assignedTask/task/job/{name}"));
    assert_eq!(header.task_id.as_deref(), text("/task/assignedTask/taskId"));
    assert_eq!(header.role.as_deref(), job("role"));
    assert_eq!(header.environment.as_deref(), job("environment"));
    assert_eq!(header.job_name.as_deref(), job("name"));
    let instance = value.pointer("/task/assignedTask/instanceId");
    let instance = instance.and_then(Value::as_i64).map(i32::try_from);
    assert_eq!(header.instance_id.map(Ok), instance);
    let state = |state: &Option<webhook_model::StatusName<'_>>| {
        state.as_ref().map(|state| state.name().to_owned())
    };
    assert_eq!(state(&header.new_state).as_deref(), text("/task/status"));
    let old = text("/oldState").or(text("/oldState/value"));
    assert_eq!(state(&header.old_state).as_deref(), old);
    let events = value.pointer("/task/taskEvents").and_then(Value::as_array);
    let last = events.and_then(|events| events.last()?["timestamp"].as_i64());
    assert_eq!(header.last_event_at, last);
    let has_task = value.get("task").is_some_and(|task| !task.is_null());
    assert_eq!(header.has_task, has_task);
}

pub(crate) fn seeds(files: &mut Files) {
    crate::model::seeds(files);
    for name in ["slurm", "nomad", "kubernetes"] {
        files.each_line(&format!("schedulers/{name}.ndjson"), <[u8]>::to_vec);
    }
}
