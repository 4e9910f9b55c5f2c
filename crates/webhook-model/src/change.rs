//! The payload of an event: a task and its old state.

use crate::field::InLayout;
use crate::field::structure::{read_field, read_into};
use crate::field::unknown::UnknownFields;
use crate::field::value::FieldValue;
use crate::hash::identity::HashedPayload;
use crate::hash::recover::recover_in;
use crate::hash::verify::{Asked, Check, HashReport};
use crate::hash::visit::{Hashed, Site, Visitor};
use crate::json::error::ReadError;
use crate::json::scan::Scanner;
use crate::json::write::{Fault, Writer};
use crate::old_state::{OldState, OldStateInLayout};
use crate::payload_schema;
use crate::release::Span;
use crate::{
    EventHeader, IdentityHashes, Jvm, Layout, Release, ScheduleStatus, ScheduledTask, StatusName,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use std::cmp::Reverse;
use std::fmt;
use std::io;

/// A task's change of state: the payload that the webhook posts.
///
/// Equality ignores cached hashes and the order of sets and maps.
///
/// ```
/// use webhook_model::{AssignedTask, JobKey, ScheduleStatus, ScheduledTask, TaskConfig};
/// use webhook_model::TaskStateChange;
///
/// let config = TaskConfig::new(JobKey::new("www-data", "prod", "hello"));
/// let task = ScheduledTask::new(AssignedTask::new("hello-0", 0, config))
///     .entered(ScheduleStatus::Pending, 1_464_992_060_258);
/// let change = TaskStateChange::transition(task, ScheduleStatus::Init);
/// let json = change.to_json()?;
/// assert_eq!(TaskStateChange::read(&json)?, change);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TaskStateChange {
    task: Option<ScheduledTask>,
    old_state: OldState,
    layout: Layout,
    unknown: UnknownFields,
}

impl TaskStateChange {
    /// An initial event, without an old state: of a task that the scheduler has loaded, for example
    /// at start-up.
    #[must_use]
    pub fn initialized(task: ScheduledTask) -> Self {
        TaskStateChange {
            task: Some(task),
            old_state: OldState::optional(None),
            layout: Layout::Of(Release::LATEST),
            unknown: UnknownFields::default(),
        }
    }

    /// A transition of a task from the state `old` to its present `status`.
    #[must_use]
    pub fn transition(task: ScheduledTask, old: ScheduleStatus) -> Self {
        let mut change = TaskStateChange::initialized(task);
        change.old_state = OldState::optional(Some(old));
        change
    }

    /// The task after the change; `None` if the payload has no task.
    #[must_use]
    pub fn task(&self) -> Option<&ScheduledTask> {
        self.task.as_ref()
    }

    /// The task after the change; `None` if the payload has no task.
    #[must_use]
    pub fn into_task(self) -> Option<ScheduledTask> {
        self.task
    }

    /// The state before the change; `None` in an initial event, and in all events until Aurora
    /// 0.19.
    #[must_use]
    pub fn old_state(&self) -> Option<&StatusName<'static>> {
        self.old_state.status()
    }

    /// The state after the change.
    #[must_use]
    pub fn new_state(&self) -> Option<&StatusName<'static>> {
        self.task.as_ref()?.status_field()
    }

    /// The fields of the payload's outermost object that this crate does not know.
    pub fn unknown_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.unknown.iter()
    }

    /// The layout that it is written in: as it was read, or that of the latest release.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Changes the layout. For the layout of a release, the fields that the release does not have
    /// are removed, and elements of a set that become equal by that are merged.
    ///
    /// Cached hashes are not changed: they belong to the release and the JVM that computed them.
    /// See [`TaskStateChange::rebuilt`].
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        if let (Layout::Of(release), Some(task)) = (layout, &mut self.task) {
            task.restrict(release);
        }
        self
    }

    /// The payload as `jvm` would have built it before any hash was requested, in the layout of its
    /// release: every `cachedHashCode` is 0, except in elements of sets of two or more.
    ///
    /// An element whose hash `jvm` cannot compute keeps 0.
    #[must_use]
    pub fn rebuilt(self, jvm: &Jvm) -> Self {
        struct Forget;
        impl Visitor for Forget {
            fn visit(&mut self, node: &dyn Hashed, _: &Site<'_>) {
                node.cached().set(0);
            }
        }
        struct AskInSets<'j>(&'j Jvm);
        impl Visitor for AskInSets<'_> {
            fn hashes(&self, span: Span) -> bool {
                span.holds(self.0.release())
            }

            fn visit(&mut self, node: &dyn Hashed, site: &Site<'_>) {
                if let (true, Ok(hash)) = (site.asked, node.afresh(self.0)) {
                    node.cached().set(hash);
                }
            }
        }
        let change = self.with_layout(Layout::Of(jvm.release()));
        change.walk(&mut Forget);
        change.walk(&mut AskInSets(jvm));
        change
    }

    /// Whether a scheduler of this release may have written the payload: whether the layout of the
    /// release gives the same bytes.
    #[must_use]
    pub fn fits(&self, release: Release) -> bool {
        let written = |layout| self.clone().with_layout(layout).to_json().ok();
        written(Layout::AsRead) == written(Layout::Of(release))
    }

    /// Checks every `cachedHashCode` that is not 0, and every 0 that must not be 0: computing the
    /// hash of a struct caches the hashes of everything in it.
    #[must_use]
    pub fn verify_hashes(&self, jvm: &Jvm) -> HashReport {
        self.verify_hashes_asked(jvm, Asked::Unknown)
    }

    /// Checks every `cachedHashCode`, given the struct whose hash was requested.
    #[must_use]
    pub fn verify_hashes_asked(&self, jvm: &Jvm, asked: Asked) -> HashReport {
        let mut check = Check::new(jvm, asked);
        self.walk(&mut check);
        check.report
    }

    fn walk<V: Visitor>(&self, visitor: &mut V) {
        if let Some(task) = &self.task {
            task.walk(&Site::ROOT.member("task"), visitor);
        }
    }

    /// The [header](EventHeader::read) of the payload.
    #[must_use]
    pub fn header(&self) -> EventHeader<'_> {
        let assigned = self.task.as_ref().and_then(ScheduledTask::assigned_task);
        let job = assigned.and_then(|assigned| assigned.task()?.job());
        EventHeader {
            task_id: assigned
                .and_then(|assigned| assigned.task_id())
                .map(Into::into),
            role: job.and_then(|job| job.role()).map(Into::into),
            environment: job.and_then(|job| job.environment()).map(Into::into),
            job_name: job.and_then(|job| job.name()).map(Into::into),
            instance_id: assigned.and_then(|assigned| assigned.instance_id_field()),
            old_state: self.old_state().cloned(),
            new_state: self.new_state().cloned(),
            last_event_at: self.task.as_ref().and_then(ScheduledTask::last_event_at),
            has_task: self.task.is_some(),
        }
    }

    /// Reads one JSON payload of any release. Blanks in it and around it are allowed.
    ///
    /// No field is required, and null means absent. Unknown fields, unknown states, and unknown
    /// tags of unions with their values are kept.
    ///
    /// # Errors
    /// When the bytes are not one JSON value in UTF-8, or are nested deeper than
    /// [`MAX_DEPTH`](crate::MAX_DEPTH), when a member has another type than in Aurora; or when the
    /// payload contradicts itself: a known member or a key of a map occurs twice, a set has two
    /// equal elements, or a union has no tag, no value, or a value of another type than its tag's.
    pub fn read(bytes: &[u8]) -> Result<TaskStateChange, ReadError> {
        let mut scanner = Scanner::new(bytes)?;
        scanner.enter_object("a payload, which is an object")?;
        let mut task = None;
        let mut old_state = None;
        let mut unknown = UnknownFields::default();
        let mut reached = 0;
        let mut first = true;
        while let Some(key) = scanner.next_key(&mut first)? {
            match &*key {
                "task" => {
                    read_field(&mut scanner, "task", &mut task)?;
                    reached = 1;
                }
                "oldState" => {
                    read_into(&mut scanner, "oldState", &mut old_state, OldState::read)?;
                    reached = 2;
                }
                _ => unknown.keep(reached, &key, &mut scanner)?,
            }
        }
        scanner.end()?;
        let old_state = old_state.unwrap_or_default();
        Ok(TaskStateChange {
            task,
            old_state,
            layout: Layout::AsRead,
            unknown,
        })
    }

    /// The JSON Schema (draft 2020-12) of a payload of any release.
    ///
    /// Every payload that [`read`](TaskStateChange::read) accepts is valid by it. The reverse does not
    /// hold: a schema cannot see a member that occurs twice, for example.
    ///
    /// ```
    /// let schema = webhook_model::TaskStateChange::json_schema();
    /// let task = &schema["$defs"]["ScheduledTask"]["properties"];
    /// assert_eq!(task["failureCount"]["type"], serde_json::json!(["integer", "null"]));
    /// ```
    #[must_use]
    pub fn json_schema() -> Value {
        payload_schema::payload()
    }

    /// The JSON of the payload, as Aurora posts it.
    ///
    /// # Errors
    /// When a double is NaN or infinite. The error names its field.
    pub fn to_json(&self) -> Result<Vec<u8>, WriteError> {
        let mut json = Vec::with_capacity(4096);
        self.write_json(&mut json)?;
        Ok(json)
    }

    /// Appends the JSON of the payload to `buffer`. Allocates only if the buffer is too small.
    ///
    /// # Errors
    /// When a double is NaN or infinite. The error names its field, and the buffer is unchanged.
    pub fn write_json(&self, buffer: &mut Vec<u8>) -> Result<(), WriteError> {
        if let Some(path) = self.unwritable() {
            return Err(WriteError { path });
        }
        let written = self.serialize(&mut Writer::new(buffer));
        written.expect("the doubles are finite, and a vector takes all bytes");
        Ok(())
    }

    /// Writes the JSON of the payload to `writer` in many small pieces: use a buffered one.
    ///
    /// # Errors
    /// When a double is NaN or infinite, as a [`WriteError`] of kind
    /// [`InvalidData`](io::ErrorKind::InvalidData), before anything is written; or when `writer`
    /// fails, after a part of the payload is written.
    pub fn write_json_to(&self, writer: impl io::Write) -> io::Result<()> {
        if let Some(path) = self.unwritable() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                WriteError { path },
            ));
        }
        match self.serialize(&mut Writer::new(writer)) {
            Ok(()) => Ok(()),
            Err(Fault::Io(error)) => Err(error),
            Err(Fault::Value(message)) => Err(io::Error::new(io::ErrorKind::InvalidData, message)),
        }
    }

    fn unwritable(&self) -> Option<String> {
        self.task
            .as_ref()?
            .unwritable(&Site::ROOT.member("task"), self.layout)
    }
}

impl HashedPayload for TaskStateChange {
    fn recover(&self, release: Option<Release>) -> (Release, IdentityHashes) {
        let in_release = |release| recover_in(release, |solve| self.walk(solve));
        let best = |&release: &Release| {
            let wrong = self.verify_hashes(&in_release(release)).wrong.len();
            (wrong, !self.fits(release), Reverse(release))
        };
        let likely = || Release::ALL.iter().copied().min_by_key(best);
        let release = release.or_else(likely).unwrap_or(Release::LATEST);
        (release, in_release(release).identities().clone())
    }
}

impl PartialEq for TaskStateChange {
    fn eq(&self, other: &Self) -> bool {
        self.task == other.task
            && self.old_state() == other.old_state()
            && self.unknown == other.unknown
    }
}

impl Eq for TaskStateChange {}

/// Serializes in its layout. With [`Gson`](crate::Gson) as the formatter, the bytes are those that
/// Aurora posts.
impl Serialize for TaskStateChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.unknown.write(0, &mut map)?;
        if let Some(task) = &self.task {
            map.serialize_entry("task", &InLayout(task, self.layout))?;
        }
        self.unknown.write(1, &mut map)?;
        if self.old_state != OldState::Absent || self.layout != Layout::AsRead {
            map.serialize_entry("oldState", &OldStateInLayout(&self.old_state, self.layout))?;
        }
        self.unknown.write(2, &mut map)?;
        map.end()
    }
}

/// Why a payload cannot be written: a double is NaN or infinite, which JSON cannot express. Nothing
/// was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError {
    path: String,
}

impl WriteError {
    /// The path of the double, for example `task.assignedTask.task.numCpus`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: NaN and infinite numbers are not JSON; use a finite number",
            self.path
        )
    }
}

impl std::error::Error for WriteError {}
