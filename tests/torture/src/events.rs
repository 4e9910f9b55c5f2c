//! The events that are fed: tasks of an imagined cluster, most of them short-lived, some with
//! thousands of events.

use crate::behaviour::choose;
use fastrand::Rng;
use serde_json::Value;

/// Tasks that live at once.
const TASKS: usize = 1_500;
/// Tasks that never end, so that they have long lanes.
const RESTLESS: usize = 12;
/// One in so many events is of a restless task.
const RESTLESS_ONE_IN: usize = 8;
/// The newest events of a task that its body lists.
const LISTED: usize = 8;

/// What a task goes through.
const LIFE: &[&str] = &["PENDING", "ASSIGNED", "STARTING", "RUNNING"];
const ENDS: &[&str] = &["FINISHED", "FAILED", "KILLED", "LOST"];

/// An event, as far as the filters look at it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) task: u32,
    pub(crate) environment: String,
    pub(crate) status: &'static str,
    pub(crate) old_status: Option<&'static str>,
    pub(crate) body: Vec<u8>,
}

/// Makes events, each with a body of its own.
#[derive(Debug)]
pub(crate) struct Cluster {
    random: Rng,
    configs: Vec<Config>,
    tasks: Vec<Task>,
    next_task: u32,
    now: u64,
}

/// The configuration of a task, from the fixtures.
#[derive(Debug)]
struct Config {
    name: Value,
    environment: String,
    json: String,
}

#[derive(Debug)]
struct Task {
    number: u32,
    config: usize,
    status: Option<&'static str>,
    /// The newest events, as JSON.
    events: Vec<String>,
}

impl Cluster {
    /// The same events for the same seed.
    pub(crate) fn new(seed: u64) -> Cluster {
        let mut configs: Vec<Config> = Vec::new();
        for event in testkit::events() {
            let event: Value = serde_json::from_slice(&event).expect("a fixture is JSON");
            let config = &event["task"]["assignedTask"]["task"];
            let (name, environment) = (&config["job"]["name"], &config["job"]["environment"]);
            if configs.iter().all(|known| known.name != *name) {
                configs.push(Config {
                    name: name.clone(),
                    environment: environment.as_str().unwrap_or_default().to_owned(),
                    json: config.to_string(),
                });
            }
        }
        let mut cluster = Cluster {
            random: Rng::with_seed(seed),
            configs,
            tasks: Vec::new(),
            next_task: 0,
            now: 1_464_992_060_258,
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
            config: self.random.usize(..self.configs.len()),
            status: None,
            events: Vec::new(),
        }
    }

    pub(crate) fn next(&mut self) -> Event {
        self.now += self.random.u64(1..=50);
        let restless = self.random.usize(..RESTLESS_ONE_IN) == 0;
        let index = if restless {
            self.random.usize(..RESTLESS)
        } else {
            RESTLESS + self.random.usize(..TASKS)
        };
        if self.tasks[index]
            .status
            .is_some_and(|status| ENDS.contains(&status))
        {
            self.tasks[index] = self.launch();
        }
        let (task, now) = (&mut self.tasks[index], self.now);
        let old_status = task.status;
        let status = successor(old_status, restless, &mut self.random);
        task.status = Some(status);
        task.events.push(format!(
            r#"{{"timestamp":{now},"status":"{status}","message":"step {now}","scheduler":"aurora-1.example.com"}}"#
        ));
        if task.events.len() > LISTED {
            task.events.remove(0);
        }
        let (config, number) = (&self.configs[task.config], task.number);
        let body = format!(
            r#"{{"task":{{"assignedTask":{{"taskId":"torture-{number}","task":{},"assignedPorts":{{}},"instanceId":{}}},"status":"{status}","failureCount":0,"taskEvents":[{}]}},"oldState":{{{}}}}}"#,
            config.json,
            number % 100,
            task.events.join(","),
            old_status.map_or(String::new(), |old| format!(r#""value":"{old}""#)),
        );
        Event {
            task: number,
            environment: config.environment.clone(),
            status,
            old_status,
            body: body.into_bytes(),
        }
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
            let event = cluster.next();
            let header = EventHeader::read(&event.body).unwrap();
            let name = |state: &Option<StatusName<'_>>| {
                state.as_ref().map(|state| state.name().to_owned())
            };
            let id = format!("torture-{}", event.task);
            assert_eq!(header.task_id.as_deref(), Some(&*id));
            assert_eq!(header.environment.as_deref(), Some(&*event.environment));
            assert_eq!(name(&header.new_state).as_deref(), Some(event.status));
            assert_eq!(name(&header.old_state).as_deref(), event.old_status);
            states.insert(event.status);
            assert!(bodies.insert(event.body), "two events have one body");
        }
        for state in LIFE.iter().chain(ENDS) {
            assert!(states.contains(state), "no event of {state}");
        }
    }
}
