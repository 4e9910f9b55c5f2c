//! The payload in Aurora's documentation, built by the model.

use anyhow::Result;
use webhook_model::{
    AssignedTask, Container, ExecutorConfig, IdentityHashes, JobKey, Jvm, MesosContainer, Release,
    Resource, ScheduleStatus, ScheduledTask, TaskConfig, TaskEvent, TaskStateChange,
};

/// Aurora's sample configuration, as its documentation prints it.
pub(super) const WEBHOOK_JSON: &str = r#"{
  "headers": {
    "Content-Type": "application/vnd.kafka.json.v1+json",
    "Producer-Type": "reliable"
  },
  "targetURL": "http://localhost:5000/",
  "timeoutMsec": 5
}
"#;

/// The Thermos task in the sample.
const THERMOS: &str = include_str!("thermos_sample.txt");

/// The JVM that wrote the sample, as far as its hashes reveal it.
fn jvm() -> Jvm {
    let identities: IdentityHashes = [
        ("Resource.NUM_CPUS", 1_873_297_633),
        ("Resource.RAM_MB", 1_541_856_103),
        ("Resource.DISK_MB", 1_335_542_054),
        ("Resource.NAMED_PORT", 478_677_926),
        ("Container.MESOS", 75_470_648),
    ]
    .into_iter()
    .collect();
    Jvm::new(Release::V0_14, identities)
}

/// The sample, byte for byte. The scheduler had computed the configuration's hash.
pub(super) fn payload() -> Result<Vec<u8>> {
    let config = TaskConfig::new(JobKey::new("vagrant", "test", "http_example"))
        .with_is_service(true)
        .with_num_cpus(0.1)
        .with_ram_mb(16)
        .with_disk_mb(8)
        .with_max_task_failures(1)
        .with_resources([
            Resource::NumCpus(0.1),
            Resource::RamMb(16),
            Resource::DiskMb(8),
            Resource::NamedPort("http".to_owned()),
            Resource::NamedPort("tcp".to_owned()),
        ])
        .with_requested_ports(["http", "tcp"])
        .with_task_links([("http", "http://%host%:%port:http%")])
        .with_contact_email("vagrant@localhost")
        .with_executor_config(ExecutorConfig::new("AuroraExecutor", THERMOS))
        .with_container(Container::Mesos(MesosContainer::default()));
    let task_id = "vagrant-test-http_example-8-a6cf7ec5-d793-49c7-b10f-0e14ab80bfff";
    let pending = TaskEvent::new(1_464_992_060_258, ScheduleStatus::Pending);
    let task = ScheduledTask::new(AssignedTask::new(task_id, 8, config))
        .with_event(pending.with_scheduler("aurora"));

    let jvm = jvm();
    let change = TaskStateChange::initialized(task).rebuilt(&jvm);
    let config = change.task().and_then(|task| task.assigned_task()?.task());
    if let Some(config) = config {
        config.hash_code_in(&jvm)?;
    }
    Ok(change.to_json()?)
}
