//! What a dispatcher needs of a payload, without building the rest.

use crate::{ReadError, StatusName};
use serde::Deserialize;
use std::borrow::Cow;

/// What filters and lanes ask of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventHeader<'a> {
    /// `task.assignedTask.taskId`.
    pub task_id: Option<Cow<'a, str>>,
    /// `task.assignedTask.task.job.role`.
    pub role: Option<Cow<'a, str>>,
    /// `task.assignedTask.task.job.environment`.
    pub environment: Option<Cow<'a, str>>,
    /// `task.assignedTask.task.job.name`.
    pub job_name: Option<Cow<'a, str>>,
    /// `task.assignedTask.instanceId`.
    pub instance_id: Option<i32>,
    /// `oldState`; `None` in an initial event, and in all events until Aurora 0.19.
    pub old_state: Option<StatusName<'a>>,
    /// `task.status`.
    pub new_state: Option<StatusName<'a>>,
    /// Time of the last of `task.taskEvents`, epoch milliseconds.
    pub last_event_at: Option<i64>,
    /// Whether the payload holds a `task` at all.
    pub has_task: bool,
}

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    task: Option<Task<'a>>,
    #[serde(borrow)]
    old_state: Option<OldState<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OldState<'a> {
    Name(#[serde(borrow)] Cow<'a, str>),
    Optional {
        #[serde(borrow)]
        value: Text<'a>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task<'a> {
    #[serde(borrow)]
    assigned_task: Option<Assigned<'a>>,
    #[serde(borrow)]
    status: Text<'a>,
    task_events: Option<Vec<TaskEvent>>,
}

#[derive(Deserialize)]
struct TaskEvent {
    timestamp: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Assigned<'a> {
    #[serde(borrow)]
    task_id: Text<'a>,
    #[serde(borrow)]
    task: Option<Config<'a>>,
    instance_id: Option<i32>,
}

#[derive(Deserialize)]
struct Config<'a> {
    #[serde(borrow)]
    job: Option<Job<'a>>,
}

#[derive(Deserialize)]
struct Job<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    environment: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

impl<'a> EventHeader<'a> {
    /// Reads the header of one JSON payload.
    ///
    /// # Errors
    /// When the bytes are not a payload.
    pub fn read(bytes: &'a [u8]) -> Result<EventHeader<'a>, ReadError> {
        let event: Event<'a> = serde_json::from_slice(bytes)
            .map_err(|e| ReadError::new(crate::ReadErrorKind::Syntax, e.to_string(), bytes, 0))?;
        let old_state = match event.old_state {
            None => None,
            Some(OldState::Name(name)) => Some(name),
            Some(OldState::Optional { value }) => value,
        };
        let has_task = event.task.is_some();
        let (assigned, status, events) = match event.task {
            Some(task) => (task.assigned_task, task.status, task.task_events),
            None => (None, None, None),
        };
        let (task_id, config, instance_id) = match assigned {
            Some(assigned) => (assigned.task_id, assigned.task, assigned.instance_id),
            None => (None, None, None),
        };
        let job = config.and_then(|config| config.job);
        let (role, environment, job_name) = match job {
            Some(job) => (job.role, job.environment, job.name),
            None => (None, None, None),
        };
        Ok(EventHeader {
            task_id,
            role,
            environment,
            job_name,
            instance_id,
            old_state: old_state.map(StatusName::from),
            new_state: status.map(StatusName::from),
            last_event_at: events.and_then(|events| events.last()?.timestamp),
            has_task,
        })
    }
}
