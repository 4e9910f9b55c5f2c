//! The events that are fed: tasks of an imagined cluster, most of them short-lived, some with
//! thousands of events.

use crate::behaviour::choose;
use fastrand::Rng;
use serde_json::json;
use std::collections::HashMap;
use testkit::load::{self, Label, Load};

/// Tasks that live at once.
const TASKS: usize = 1_500;
/// Tasks that never end, so that they have long lanes.
const RESTLESS: usize = 12;
/// One in so many events is of a restless task.
const RESTLESS_ONE_IN: usize = 8;

/// What a task goes through.
const LIFE: &[&str] = &["PENDING", "ASSIGNED", "STARTING", "RUNNING"];
const ENDS: &[&str] = &["FINISHED", "FAILED", "KILLED", "LOST"];
const ENVIRONMENTS: &[&str] = &["prod", "test", "devel"];

/// The fields of an event that the filters look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fields {
    pub(crate) environment: &'static str,
    pub(crate) status: &'static str,
    pub(crate) old_status: Option<&'static str>,
}

/// An event, and its body, which is of no other event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) task: u32,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
}

/// Makes events.
#[derive(Debug)]
pub(crate) struct Cluster {
    random: Rng,
    tasks: Vec<Task>,
    next_task: u32,
    /// The events with these fields.
    loads: HashMap<Fields, Load>,
}

#[derive(Debug)]
struct Task {
    number: u32,
    environment: &'static str,
    status: Option<&'static str>,
    events: u32,
}

/// The task of an event, read from its body.
pub(crate) fn task_of(body: &[u8]) -> Option<u32> {
    const PREFIX: &str = "\"taskId\":\"task-";
    let text = std::str::from_utf8(body).ok()?;
    let digits = text.find(PREFIX)? + PREFIX.len();
    load::read_digits(body, digits)?.try_into().ok()
}

impl Cluster {
    /// The same events for the same seed.
    pub(crate) fn new(seed: u64) -> Cluster {
        let mut cluster = Cluster {
            random: Rng::with_seed(seed),
            tasks: Vec::new(),
            next_task: 0,
            loads: HashMap::new(),
        };
        for _ in 0..RESTLESS + TASKS {
            let task = cluster.launch();
            cluster.tasks.push(task);
        }
        cluster
    }

    fn launch(&mut self) -> Task {
        self.next_task += 1;
        Task {
            number: self.next_task - 1,
            environment: choose::<&str>(&mut self.random, ENVIRONMENTS),
            status: None,
            events: 0,
        }
    }

    pub(crate) fn next(&mut self) -> Event {
        let restless = self.random.usize(..RESTLESS_ONE_IN) == 0;
        let index = match restless {
            true => self.random.usize(..RESTLESS),
            false => RESTLESS + self.random.usize(..TASKS),
        };
        let ended = |status| ENDS.contains(&status);
        if self.tasks[index].status.is_some_and(ended) {
            self.tasks[index] = self.launch();
        }
        let task = &mut self.tasks[index];
        let fields = Fields {
            environment: task.environment,
            status: successor(task.status, restless, &mut self.random),
            old_status: task.status,
        };
        task.status = Some(fields.status);
        task.events += 1;
        let (task, number) = (task.number, task.events);
        let load = self.loads.entry(fields).or_insert_with(|| fields.load());
        let body = load.event(Label { task, number });
        Event { task, fields, body }
    }
}

impl Fields {
    fn load(self) -> Load {
        Load::changed(|event| {
            let task = &mut event["task"];
            task["assignedTask"]["task"]["job"]["environment"] = self.environment.into();
            task["status"] = self.status.into();
            event["oldState"] = match self.old_status {
                Some(old) => json!({ "value": old }),
                None => json!({}),
            };
        })
    }
}

fn successor(status: Option<&str>, restless: bool, random: &mut Rng) -> &'static str {
    let step = status.and_then(|status| LIFE.iter().position(|step| *step == status));
    match step {
        None if status.is_some() => "RUNNING",
        None => LIFE[0],
        Some(step) => match LIFE.get(step + 1) {
            Some(next) => next,
            None if restless => "RESTARTING",
            None => choose::<&str>(random, ENDS),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use webhook_model::{EventHeader, StatusName};

    #[test]
    fn an_event_is_what_webhookd_reads_in_its_body() {
        let mut cluster = Cluster::new(3);
        let mut bodies = HashSet::new();
        let mut states = HashSet::new();
        for _ in 0..4_000 {
            let Event { task, fields, body } = cluster.next();
            let header = EventHeader::read(&body).unwrap();
            let name = |state: &Option<StatusName<'_>>| {
                state.as_ref().map(|state| state.name().to_owned())
            };
            let id = format!("task-{task:08}");
            assert_eq!(header.task_id.as_deref(), Some(&*id));
            assert_eq!(task_of(&body), Some(task));
            assert_eq!(header.environment.as_deref(), Some(fields.environment));
            assert_eq!(name(&header.new_state).as_deref(), Some(fields.status));
            assert_eq!(name(&header.old_state).as_deref(), fields.old_status);
            states.insert(fields.status);
            assert!(bodies.insert(body), "two events have one body");
        }
        for state in LIFE.iter().chain(ENDS) {
            assert!(states.contains(state), "no event of {state}");
        }
    }
}
