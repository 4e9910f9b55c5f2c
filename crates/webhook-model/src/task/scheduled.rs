//! A task as the scheduler stores it: its state, its host and its history.

use super::TaskConfig;
use crate::field::structure::structure;
use crate::release::{Release, Span};
use crate::{ScheduleStatus, StatusName};

structure! {
    /// A task, its state, and the states it has been through.
    ScheduledTask {
        /// The task's id, configuration and host.
        part(AssignedTask) assigned_task, with_assigned_task, "assignedTask", Span::ALWAYS;
        /// The present state of the task: the new state of an event.
        part(StatusName<'static>) status, with_status, "status", Span::ALWAYS;
        /// How often the task has failed, its ancestors' failures included.
        scalar(i32) failure_count, with_failure_count, "failureCount", Span::ALWAYS;
        /// How often the task has been partitioned (from 0.20).
        scalar(i32) times_partitioned, with_times_partitioned, "timesPartitioned",
            Span::from(Release::V0_20);
        /// The states that the task has been through, oldest first.
        list(TaskEvent) task_events, with_task_events, "taskEvents", Span::ALWAYS;
        /// The id of the task that this one was rescheduled from.
        text ancestor_id, with_ancestor_id, "ancestorId", Span::ALWAYS;
    }
}

structure! {
    /// A task's id, its configuration, and the host it runs on.
    AssignedTask {
        /// The task's id, unique in the cluster.
        text task_id, with_task_id, "taskId", Span::ALWAYS;
        /// The Mesos agent's id; none before the task is assigned.
        text slave_id, with_slave_id, "slaveId", Span::ALWAYS;
        /// The Mesos agent's host name; none before the task is assigned.
        text slave_host, with_slave_host, "slaveHost", Span::ALWAYS;
        /// The configuration of the task.
        part(TaskConfig) task, with_task, "task", Span::ALWAYS;
        /// The ports on the host, by their names.
        map(i32) assigned_ports, with_assigned_ports, "assignedPorts", Span::ALWAYS;
        /// The number of the instance in its job, from 0.
        scalar(i32) instance_id, with_instance_id, "instanceId", Span::ALWAYS;
    }
}

structure! {
    /// A state that a task has entered, and when.
    TaskEvent {
        /// The time, in epoch milliseconds.
        scalar(i64) timestamp, with_timestamp, "timestamp", Span::ALWAYS;
        /// The state.
        part(StatusName<'static>) status, with_status, "status", Span::ALWAYS;
        /// The reason, as given by the scheduler or the executor.
        text message, with_message, "message", Span::ALWAYS;
        /// The host name of the scheduler that recorded it.
        text scheduler, with_scheduler, "scheduler", Span::ALWAYS;
    }
}

impl ScheduledTask {
    /// The task `assigned` in the state `status`, with no history yet.
    ///
    /// ```
    /// use webhook_model::{AssignedTask, JobKey, ScheduleStatus, ScheduledTask, TaskConfig};
    /// let config = TaskConfig::new(JobKey::new("www-data", "prod", "hello")).with_tier("preferred");
    /// let task = ScheduledTask::new(AssignedTask::new("www-data-prod-hello-0-1", 0, config))
    ///     .entered(ScheduleStatus::Pending, 1_464_992_060_258);
    /// assert_eq!(task.status(), Some(&ScheduleStatus::Pending.into()));
    /// ```
    #[must_use]
    pub fn new(assigned: AssignedTask) -> Self {
        ScheduledTask::default()
            .with_assigned_task(assigned)
            .with_status(ScheduleStatus::Init)
    }

    /// The task after it has entered `status` at `timestamp` (epoch milliseconds).
    #[must_use]
    pub fn entered(self, status: ScheduleStatus, timestamp: i64) -> Self {
        self.with_event(TaskEvent::new(timestamp, status))
    }

    /// The task after `event`: its state is that of the event, which is the last of its history.
    #[must_use]
    pub fn with_event(mut self, event: TaskEvent) -> Self {
        self.status = event.status.clone();
        self.task_events.get_or_insert_default().push(event);
        self.cached_hash_code.set(0);
        self
    }

    /// The task on a host, with these ports.
    #[must_use]
    pub fn on_host(
        mut self,
        slave_id: impl Into<String>,
        slave_host: impl Into<String>,
        ports: impl IntoIterator<Item = (impl Into<String>, i32)>,
    ) -> Self {
        let assigned = self.assigned_task.take().unwrap_or_default();
        let assigned = assigned.on_host(slave_id, slave_host);
        self.with_assigned_task(assigned.with_assigned_ports(ports))
    }

    pub(crate) fn status_field(&self) -> Option<&StatusName<'static>> {
        self.status.as_ref()
    }

    /// The time of the last of its events, if the payload has one.
    pub(crate) fn last_event_at(&self) -> Option<i64> {
        self.task_events.as_ref()?.last()?.timestamp
    }
}

impl AssignedTask {
    /// Instance `instance_id` of the job that `config` describes.
    #[must_use]
    pub fn new(task_id: impl Into<String>, instance_id: i32, config: TaskConfig) -> Self {
        let assigned = AssignedTask::default()
            .with_task_id(task_id)
            .with_task(config);
        assigned.with_instance_id(instance_id)
    }

    /// The task on a host.
    #[must_use]
    pub fn on_host(self, slave_id: impl Into<String>, slave_host: impl Into<String>) -> Self {
        self.with_slave_id(slave_id).with_slave_host(slave_host)
    }

    pub(crate) fn instance_id_field(&self) -> Option<i32> {
        self.instance_id
    }
}

impl TaskEvent {
    /// The task entered `status` at `timestamp` (epoch milliseconds).
    #[must_use]
    pub fn new(timestamp: i64, status: impl Into<StatusName<'static>>) -> Self {
        TaskEvent::default()
            .with_timestamp(timestamp)
            .with_status(status)
    }
}
