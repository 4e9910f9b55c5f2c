//! An example of a receiver: reads payloads from standard input, one a line, and prints the
//! changes.
//!
//! ```text
//! cargo run --example read-payloads -p webhook-model < tests/fixtures/events.ndjson
//! ```

use std::io::{self, BufRead, Write};
use webhook_model::{AssignedTask, ScheduledTask, StatusName, TaskConfig, TaskStateChange};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().split(b'\n') {
        match TaskStateChange::read(&line?) {
            Ok(change) => writeln!(out, "{}", describe(&change))?,
            Err(error) => writeln!(out, "no payload: {error}")?,
        }
    }
    Ok(())
}

/// `www-data/prod/hello instance 3 on host7: RUNNING → FAILED (out of memory)`.
fn describe(change: &TaskStateChange) -> String {
    let assigned = change.task().and_then(ScheduledTask::assigned_task);
    let job = assigned
        .and_then(AssignedTask::task)
        .and_then(TaskConfig::job);
    let job = job.map_or_else(String::new, |job| {
        let part = |part: Option<&str>| part.unwrap_or("?").to_owned();
        format!(
            "{}/{}/{}",
            part(job.role()),
            part(job.environment()),
            part(job.name())
        )
    });
    let instance = assigned.map_or(0, AssignedTask::instance_id);
    let host = assigned
        .and_then(AssignedTask::slave_host)
        .unwrap_or("no host");
    let old = change.old_state().map_or("(unknown)", StatusName::name);
    let new = change.new_state().map_or("(unknown)", StatusName::name);
    let last = change.task().and_then(|task| task.task_events().last());
    let why = last
        .and_then(|event| event.message())
        .map_or_else(String::new, |why| format!(" ({why})"));
    format!("{job} instance {instance} on {host}: {old} → {new}{why}")
}
