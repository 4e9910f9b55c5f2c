//! The data in `tests/fixtures`, and small events of our own.

use std::path::{Path, PathBuf};
use webhook_model::EventHeader;

/// The path of a file of the repository.
pub fn repository(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("this crate is two folders below it").join(path)
}

/// The path of a file in `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    repository("tests/fixtures").join(name)
}

/// The fixture stream, as it is in the file.
pub fn events_file() -> Vec<u8> {
    std::fs::read(fixture("events.ndjson")).expect("the fixture stream is committed")
}

/// The events of the fixture stream, without line feeds.
pub fn events() -> Vec<Vec<u8>> {
    let file = events_file();
    let lines = file
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(<[u8]>::to_vec).collect();
    assert!(lines.len() > 1, "a stream of one event shows no order");
    lines
}

/// A small event of a task, `number` making it unlike the task's others.
pub fn event(task: &str, number: usize) -> String {
    format!(
        r#"{{"task":{{"assignedTask":{{"taskId":"{task}","task":{{"job":{{"role":"r","environment":"e","name":"n"}}}}}},"status":"RUNNING","failureCount":{number}}},"oldState":{{"value":"STARTING"}}}}"#
    )
}

/// The task id of a body.
pub fn task_of(body: &[u8]) -> String {
    let header = EventHeader::read(body).expect("the body is an event");
    header
        .task_id
        .expect("the event has a task id")
        .into_owned()
}
