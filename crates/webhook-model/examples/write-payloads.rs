//! An example of a scheduler: builds a task, changes its state, and prints the payload.
//!
//! ```text
//! cargo run --example write-payloads -p webhook-model
//! ```

use std::io::{self, Write};
use webhook_model::{
    AssignedTask, Constraint, Container, DockerContainer, ExecutorConfig, JobKey, Layout, Release,
    Resource, ScheduleStatus, ScheduledTask, TaskConfig, TaskEvent, TaskStateChange,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = TaskConfig::new(JobKey::new("www-data", "prod", "hello"))
        .with_is_service(true)
        .with_tier("preferred")
        .with_resources([
            Resource::NumCpus(0.5),
            Resource::RamMb(256),
            Resource::NamedPort("http".to_owned()),
        ])
        .with_constraints([Constraint::limit("host", 1)])
        .with_executor_config(ExecutorConfig::new(
            "AuroraExecutor",
            r#"{"processes": []}"#,
        ))
        .with_container(Container::Docker(DockerContainer::new("hello:1.2")));
    let assigned = AssignedTask::new("www-data-prod-hello-0-7d3c", 0, config);

    let old = ScheduleStatus::Pending;
    let new = ScheduleStatus::Assigned;
    assert!(old.may_become(new));
    let task = ScheduledTask::new(assigned.on_host("agent-7", "host7.example.com"))
        .entered(old, 1_464_992_060_258)
        .with_event(TaskEvent::new(1_464_992_061_000, new).with_scheduler("aurora-1"));
    // Hashes that were computed before are written; this computes all of the task's.
    task.hash_code();

    let change = TaskStateChange::transition(task, old);
    let mut out = io::stdout().lock();
    let mut line = change.to_json()?;
    line.push(b'\n');
    out.write_all(&line)?;

    // For receivers that know only Aurora 0.14.
    let mut line = change.with_layout(Layout::Of(Release::V0_14)).to_json()?;
    line.push(b'\n');
    out.write_all(&line)?;
    Ok(())
}
