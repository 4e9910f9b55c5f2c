//! The configuration of a task: its job, resources and executor.

use super::{Constraint, Container, Resource, SlaPolicy};
use crate::Union;
use crate::field::structure::structure;
use crate::release::{Release, Span};

structure! {
    /// The configuration of a task: what it runs and what it needs.
    TaskConfig {
        /// The job that the task belongs to.
        part(JobKey) job, with_job, "job", Span::ALWAYS;
        /// The user who created the job.
        part(Identity) owner, with_owner, "owner", Span::ALWAYS;
        /// Whether the task is a service, which is restarted when it ends.
        scalar(bool) is_service, with_is_service, "isService", Span::ALWAYS;
        /// Processor cores (until 0.19; see `resources`).
        scalar(f64) num_cpus, with_num_cpus, "numCpus", Span::until(Release::V0_17);
        /// Memory, in MB (until 0.19; see `resources`).
        scalar(i64) ram_mb, with_ram_mb, "ramMb", Span::until(Release::V0_17);
        /// Disk space, in MB (until 0.19; see `resources`).
        scalar(i64) disk_mb, with_disk_mb, "diskMb", Span::until(Release::V0_17);
        /// The task's priority within its role and tier; a higher number is more important.
        scalar(i32) priority, with_priority, "priority", Span::ALWAYS;
        /// How often the task may fail and be rescheduled; -1 means without limit.
        scalar(i32) max_task_failures, with_max_task_failures, "maxTaskFailures", Span::ALWAYS;
        /// Whether the task counts against its role's quota, and may preempt others.
        scalar(bool) production, with_production, "production", Span::ALWAYS;
        /// The tier: `preferred`, `preemptible` or `revocable`, as the cluster configures them.
        text tier, with_tier, "tier", Span::ALWAYS;
        /// The resources that the task needs.
        set(Union<Resource>) resources, with_resources, "resources", Span::ALWAYS;
        /// The constraints on the hosts that the task may run on.
        set(Constraint) constraints, with_constraints, "constraints", Span::ALWAYS;
        /// The names of the ports that the task needs (until 0.19; see `resources`).
        set(String) requested_ports, with_requested_ports, "requestedPorts",
            Span::until(Release::V0_17);
        /// The URIs that Mesos fetches before the task starts (from 0.15).
        set(MesosFetcherUri) mesos_fetcher_uris, with_mesos_fetcher_uris, "mesosFetcherUris",
            Span::from(Release::V0_15);
        /// Links for the scheduler's web page, by their names.
        map(String) task_links, with_task_links, "taskLinks", Span::ALWAYS;
        /// The contact address for the job.
        text contact_email, with_contact_email, "contactEmail", Span::ALWAYS;
        /// The executor and its own configuration.
        part(ExecutorConfig) executor_config, with_executor_config, "executorConfig", Span::ALWAYS;
        /// Labels.
        set(Metadata) metadata, with_metadata, "metadata", Span::ALWAYS;
        /// What to do when the agent cannot be reached (from 0.20).
        part(PartitionPolicy) partition_policy, with_partition_policy, "partitionPolicy",
            Span::from(Release::V0_20);
        /// How many of the job's instances maintenance must leave running (from 0.21).
        part(Union<SlaPolicy>) sla_policy, with_sla_policy, "slaPolicy",
            Span::from(Release::V0_21);
        /// The container that the task runs in.
        part(Union<Container>) container, with_container, "container", Span::ALWAYS;
    }
}

structure! {
    /// A job's name, unique in a cluster.
    JobKey {
        /// The role (the account) that the job runs as.
        text role, with_role, "role", Span::ALWAYS;
        /// The environment: `prod`, `devel`, `test` or `staging` with a number.
        text environment, with_environment, "environment", Span::ALWAYS;
        /// The job's name in its role and environment.
        text name, with_name, "name", Span::ALWAYS;
    }
}

structure! {
    /// A user of the cluster.
    Identity {
        /// The user's name.
        text user, with_user, "user", Span::ALWAYS;
    }
}

structure! {
    /// The executor that runs the task, and its configuration.
    ExecutorConfig {
        /// The executor's name, `AuroraExecutor` for Thermos.
        text name, with_name, "name", Span::ALWAYS;
        /// The executor's own configuration, opaque to the scheduler: JSON, for Thermos.
        text data, with_data, "data", Span::ALWAYS;
    }
}

structure! {
    /// A label of a task.
    Metadata {
        /// The label's name.
        text key, with_key, "key", Span::ALWAYS;
        /// The label's value.
        text value, with_value, "value", Span::ALWAYS;
    }
}

structure! {
    /// A URI that Mesos fetches into the task's sandbox.
    MesosFetcherUri {
        /// The URI.
        text value, with_value, "value", Span::ALWAYS;
        /// Whether to unpack the file.
        scalar(bool) extract, with_extract, "extract", Span::ALWAYS;
        /// Whether to keep the file in the agent's cache.
        scalar(bool) cache, with_cache, "cache", Span::ALWAYS;
        /// The name of the file in the sandbox (from 0.22).
        text output_file, with_output_file, "outputFile", Span::from(Release::V0_22);
    }
}

structure! {
    /// What to do with a task whose agent cannot be reached.
    PartitionPolicy {
        /// Whether to start the task elsewhere.
        scalar(bool) reschedule, with_reschedule, "reschedule", Span::ALWAYS;
        /// How long to wait before that, in seconds.
        scalar(i64) delay_secs, with_delay_secs, "delaySecs", Span::ALWAYS;
    }
}

impl TaskConfig {
    /// The configuration of a task of `job`, owned by the job's role, with nothing else set.
    #[must_use]
    pub fn new(job: JobKey) -> Self {
        let owner = job.role().map(Identity::new);
        let config = TaskConfig::default().with_job(job);
        match owner {
            Some(owner) => config.with_owner(owner),
            None => config,
        }
    }
}

impl JobKey {
    /// The job `role/environment/name`.
    #[must_use]
    pub fn new(
        role: impl Into<String>,
        environment: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        JobKey::default()
            .with_role(role)
            .with_environment(environment)
            .with_name(name)
    }
}

impl Identity {
    /// The user of this name.
    #[must_use]
    pub fn new(user: impl Into<String>) -> Self {
        Identity::default().with_user(user)
    }
}

impl ExecutorConfig {
    /// The executor `name` with its configuration.
    #[must_use]
    pub fn new(name: impl Into<String>, data: impl Into<String>) -> Self {
        ExecutorConfig::default().with_name(name).with_data(data)
    }
}

impl Metadata {
    /// The label `key` with its value.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Metadata::default().with_key(key).with_value(value)
    }
}

impl MesosFetcherUri {
    /// The URI `uri`, neither unpacked nor cached.
    #[must_use]
    pub fn new(uri: impl Into<String>) -> Self {
        MesosFetcherUri::default().with_value(uri)
    }
}

impl PartitionPolicy {
    /// Whether to start the task elsewhere, after `delay_secs` seconds.
    #[must_use]
    pub fn new(reschedule: bool, delay_secs: i64) -> Self {
        PartitionPolicy::default()
            .with_reschedule(reschedule)
            .with_delay_secs(delay_secs)
    }
}
