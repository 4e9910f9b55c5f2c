//! Reads the part of a payload that a dispatcher needs, without building the rest.

use crate::StatusName;
use crate::field::FieldValue;
use crate::field::structure::read_into;
use crate::json::error::ReadError;
use crate::json::scan::Scanner;
use crate::known_configs::KnownConfigs;
use std::borrow::Cow;

type Text<'a> = Option<Cow<'a, str>>;
type Result<T> = std::result::Result<T, ReadError>;

/// The fields of an event that filters and ordering need.
///
/// Texts are borrowed from the payload unless they have escapes.
///
/// ```
/// use webhook_model::{EventHeader, ScheduleStatus};
/// let json = br#"{"task":{"assignedTask":{"taskId":"t-1"},"status":"LOST"},"oldState":{"value":"RUNNING"}}"#;
/// let header = EventHeader::read(json)?;
/// assert_eq!(header.task_id.as_deref(), Some("t-1"));
/// assert_eq!(header.new_state, Some(ScheduleStatus::Lost.into()));
/// assert_eq!(header.old_state, Some(ScheduleStatus::Running.into()));
/// # Ok::<(), webhook_model::ReadError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// The time of the last of `task.taskEvents`, epoch milliseconds.
    pub last_event_at: Option<i64>,
    /// Whether the payload has a `task`.
    pub has_task: bool,
}

impl<'a> EventHeader<'a> {
    /// Reads the header of one JSON payload, in one pass.
    ///
    /// It accepts every payload that [`TaskStateChange::read`](crate::TaskStateChange::read)
    /// accepts, with the same result as
    /// [`TaskStateChange::header`](crate::TaskStateChange::header). It accepts more, because it
    /// checks less: that the whole payload is UTF-8 and one well-formed JSON value, no deeper than
    /// [`MAX_DEPTH`](crate::MAX_DEPTH), and that the members it reports, and the objects and arrays
    /// that contain them, have the right types and occur once. Other members may have any value.
    ///
    /// # Errors
    /// When one of these checks fails. The error names the member and the byte.
    pub fn read(bytes: &'a [u8]) -> Result<EventHeader<'a>> {
        EventHeader::read_with(bytes, None)
    }

    /// Reads the same, and does not scan a task's configuration again that is known from earlier
    /// events.
    ///
    /// # Errors
    /// The same.
    pub fn read_known(bytes: &'a [u8], known: &mut KnownConfigs) -> Result<EventHeader<'a>> {
        EventHeader::read_with(bytes, Some(known))
    }

    fn read_with(bytes: &'a [u8], mut known: Option<&mut KnownConfigs>) -> Result<EventHeader<'a>> {
        let mut scanner = Scanner::for_skipping(bytes)?;
        let mut header = EventHeader::default();
        let mut task = None;
        let mut old_state = None;
        members(
            &mut scanner,
            "a payload, which is an object",
            |scanner, key| {
                Some(match key {
                    b"task" => read_into(scanner, "task", &mut task, |scanner| {
                        header.task(scanner, known.as_deref_mut())
                    }),
                    b"oldState" => read_into(scanner, "oldState", &mut old_state, read_old_state),
                    _ => return None,
                })
            },
        )?;
        scanner.end()?;
        header.has_task = task.is_some();
        header.old_state = old_state.flatten().map(StatusName::from);
        Ok(header)
    }

    fn task(
        &mut self,
        scanner: &mut Scanner<'a>,
        mut known: Option<&mut KnownConfigs>,
    ) -> Result<()> {
        let mut assigned = None;
        let mut status = None;
        let mut events = None;
        members(scanner, "an object", |scanner, key| {
            Some(match key {
                b"assignedTask" => read_into(scanner, "assignedTask", &mut assigned, |scanner| {
                    self.assigned_task(scanner, known.as_deref_mut())
                }),
                b"status" => read_into(scanner, "status", &mut status, Scanner::string),
                b"taskEvents" => read_into(scanner, "taskEvents", &mut events, last_event_at),
                _ => return None,
            })
        })?;
        self.new_state = status.map(StatusName::from);
        self.last_event_at = events.flatten();
        Ok(())
    }

    fn assigned_task(
        &mut self,
        scanner: &mut Scanner<'a>,
        mut known: Option<&mut KnownConfigs>,
    ) -> Result<()> {
        let mut config = None;
        members(scanner, "an object", |scanner, key| {
            Some(match key {
                b"taskId" => read_into(scanner, "taskId", &mut self.task_id, Scanner::string),
                b"instanceId" => read_into(scanner, "instanceId", &mut self.instance_id, i32::read),
                b"task" => read_into(scanner, "task", &mut config, |scanner| {
                    self.config(scanner, known.as_deref_mut())
                }),
                _ => return None,
            })
        })
    }

    fn config(
        &mut self,
        scanner: &mut Scanner<'a>,
        known: Option<&mut KnownConfigs>,
    ) -> Result<()> {
        let Some(known) = known else {
            return self.read_config(scanner).map(drop);
        };
        let (start, rest) = (scanner.place(), scanner.remaining());
        if let Some(config) = known.find(rest) {
            if let Some(at) = config.job_at {
                scanner.return_to(start + at);
                self.read_job(scanner)?;
            }
            scanner.return_to(start + config.length);
            return Ok(());
        }
        let job_at = self.read_config(scanner)?;
        let text = rest.get(..scanner.place() - start).unwrap_or_default();
        known.learn(text, job_at.map(|at| at - start));
        Ok(())
    }

    /// Reads a task's configuration. Returns where its job begins.
    fn read_config(&mut self, scanner: &mut Scanner<'a>) -> Result<Option<usize>> {
        let mut job = None;
        members(scanner, "an object", |scanner, key| {
            (key == b"job").then(|| {
                read_into(scanner, "job", &mut job, |scanner| {
                    let at = scanner.place();
                    self.read_job(scanner).map(|()| at)
                })
            })
        })?;
        Ok(job)
    }

    fn read_job(&mut self, scanner: &mut Scanner<'a>) -> Result<()> {
        members(scanner, "an object", |scanner, key| {
            Some(match key {
                b"role" => read_into(scanner, "role", &mut self.role, Scanner::string),
                b"environment" => {
                    let environment = &mut self.environment;
                    read_into(scanner, "environment", environment, Scanner::string)
                }
                b"name" => read_into(scanner, "name", &mut self.job_name, Scanner::string),
                _ => return None,
            })
        })
    }
}

/// The time of the task's last event, if there is one and it has a time.
fn last_event_at(scanner: &mut Scanner<'_>) -> Result<Option<i64>> {
    scanner.enter_array("an array")?;
    let mut last = None;
    let mut index = 0;
    let mut first = true;
    while scanner.next_element(&mut first)? {
        last = None;
        members(scanner, "an object", |scanner, key| {
            (key == b"timestamp").then(|| read_into(scanner, "timestamp", &mut last, i64::read))
        })
        .map_err(|error| error.in_element(index))?;
        index += 1;
    }
    Ok(last)
}

/// The state, as a string or as the `value` of an object.
fn read_old_state<'a>(scanner: &mut Scanner<'a>) -> Result<Text<'a>> {
    if scanner.peek() == Some(b'"') {
        return scanner.string().map(Some);
    }
    let mut value = None;
    members(scanner, "an object or a state", |scanner, key| {
        (key == b"value").then(|| read_into(scanner, "value", &mut value, Scanner::string))
    })?;
    Ok(value)
}

/// Visits the members of an object: `read` reads the value of a key, or returns `None` to skip it.
#[inline]
fn members<'a>(
    scanner: &mut Scanner<'a>,
    what: &str,
    mut read: impl FnMut(&mut Scanner<'a>, &[u8]) -> Option<Result<()>>,
) -> Result<()> {
    scanner.enter_object(what)?;
    let mut first = true;
    scanner.skip_cached_hash(&mut first);
    while let Some(key) = scanner.next_name(&mut first)? {
        match read(scanner, &key) {
            Some(read) => read?,
            None => scanner
                .skip_value()
                .map_err(|error| error.in_member(&String::from_utf8_lossy(&key)))?,
        }
    }
    Ok(())
}
