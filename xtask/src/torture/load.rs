//! The events that are fed: tasks of an imagined cluster, most of them short-lived, some with
//! thousands of events.

use crate::gen_fixtures::{Cluster, Random};
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::Write;

/// Jobs whose tasks are imagined.
const JOBS: usize = 60;
/// Tasks that live at once.
const TASKS: usize = 1_500;
/// Tasks that never end, so that they have long lanes.
const RESTLESS: usize = 12;
/// One in so many events is of a restless task.
const RESTLESS_ONE_IN: usize = 8;

/// What a task goes through.
const LIFE: &[&str] = &["PENDING", "ASSIGNED", "STARTING", "RUNNING"];
const ENDS: &[&str] = &["FINISHED", "FAILED", "KILLED", "LOST"];

/// An event, as far as the torture looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'e> {
    pub(super) task: u32,
    pub(super) environment: &'e str,
    pub(super) status: &'static str,
    pub(super) old_status: Option<&'static str>,
}

/// Makes events, each with a body of its own.
#[derive(Debug)]
pub(super) struct Load {
    random: Random,
    jobs: Vec<Job>,
    tasks: Vec<Task>,
    next_task: u32,
    now: u64,
}

/// A job of the cluster, and its configuration as Aurora writes it.
#[derive(Debug)]
struct Job {
    name: String,
    environment: String,
    config: Box<RawValue>,
}

#[derive(Debug)]
struct Task {
    number: u32,
    job: usize,
    status: Option<&'static str>,
    /// The events so far, as JSON; the first ones are forgotten in time.
    events: Vec<String>,
}

#[derive(Deserialize)]
struct Payload {
    task: ScheduledTask,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScheduledTask {
    assigned_task: AssignedTask,
}

#[derive(Deserialize)]
struct AssignedTask {
    task: Box<RawValue>,
}

#[derive(Deserialize)]
struct Config {
    job: JobKey,
}

#[derive(Deserialize)]
struct JobKey {
    environment: String,
    name: String,
}

impl Load {
    /// The same events for the same seed.
    pub(super) fn new(seed: u64) -> Result<Load> {
        let mut jobs: Vec<Job> = Vec::new();
        let mut cluster = Cluster::new(seed, JOBS, 1);
        let mut line = Vec::new();
        while jobs.len() < JOBS / 2 {
            line.clear();
            cluster.next_event(&mut line)?;
            let payload: Payload =
                serde_json::from_slice(&line).context("an event of the load generator")?;
            let config = payload.task.assigned_task.task;
            let parsed: Config = serde_json::from_str(config.get())?;
            if jobs.iter().all(|job| job.name != parsed.job.name) {
                jobs.push(Job {
                    name: parsed.job.name,
                    environment: parsed.job.environment,
                    config,
                });
            }
        }
        let mut load = Load {
            random: Random::new(seed),
            jobs,
            tasks: Vec::new(),
            next_task: 0,
            now: 1_464_992_060_258,
        };
        for _ in 0..RESTLESS + TASKS {
            let task = load.launch();
            load.tasks.push(task);
        }
        Ok(load)
    }

    fn launch(&mut self) -> Task {
        let number = self.next_task;
        self.next_task += 1;
        Task {
            number,
            job: self.random.below(self.jobs.len()),
            status: None,
            events: Vec::new(),
        }
    }

    /// Writes the next event to `body`, which is empty.
    pub(super) fn next(&mut self, body: &mut Vec<u8>) -> Result<Event<'_>> {
        self.now += 1 + self.random.below(50) as u64;
        let restless = self.random.below(RESTLESS_ONE_IN) == 0;
        let index = if restless {
            self.random.below(RESTLESS)
        } else {
            RESTLESS + self.random.below(TASKS)
        };
        if self.tasks[index]
            .status
            .is_some_and(|status| ENDS.contains(&status))
        {
            self.tasks[index] = self.launch();
        }
        let old_status = self.tasks[index].status;
        let status = successor(old_status, restless, &mut self.random);
        let (task, now) = (&mut self.tasks[index], self.now);
        task.status = Some(status);
        task.events.push(format!(
            r#"{{"cachedHashCode":0,"timestamp":{now},"status":"{status}","message":"step {now}","scheduler":"aurora-1.example.com"}}"#
        ));
        if task.events.len() > 8 {
            task.events.remove(0);
        }
        let job = &self.jobs[task.job];
        let number = task.number;
        write!(
            body,
            r#"{{"task":{{"cachedHashCode":0,"assignedTask":{{"cachedHashCode":0,"taskId":"torture-{number}","task":{},"assignedPorts":{{}},"instanceId":{}}},"status":"{status}","failureCount":0,"taskEvents":[{}]}},"oldState":{{"#,
            job.config.get(),
            number % 100,
            task.events.join(","),
        )?;
        match old_status {
            Some(old) => write!(body, r#""value":"{old}"}}}}"#)?,
            None => write!(body, "}}}}")?,
        }
        Ok(Event {
            task: number,
            environment: &job.environment,
            status,
            old_status,
        })
    }
}

fn successor(status: Option<&str>, restless: bool, random: &mut Random) -> &'static str {
    let step = status.and_then(|status| LIFE.iter().position(|step| *step == status));
    match step {
        None if status.is_some() => "RUNNING",
        None => LIFE[0],
        Some(step) => match LIFE.get(step + 1) {
            Some(next) => next,
            None if restless => "RESTARTING",
            None => random.choose::<&str>(ENDS),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use webhook_model::{EventHeader, StatusName};

    #[test]
    fn what_is_said_of_an_event_is_what_webhookd_reads_in_it() {
        let mut load = Load::new(3).unwrap();
        let mut bodies = HashSet::new();
        let mut states = HashSet::new();
        for _ in 0..4_000 {
            let mut body = Vec::new();
            let event = load.next(&mut body).unwrap();
            let header = EventHeader::read(&body).unwrap();
            let name = |state: &Option<StatusName<'_>>| {
                state.as_ref().map(|state| state.name().to_owned())
            };
            assert_eq!(
                header.task_id.as_deref(),
                Some(format!("torture-{}", event.task).as_str())
            );
            assert_eq!(header.environment.as_deref(), Some(event.environment));
            assert_eq!(name(&header.new_state).as_deref(), Some(event.status));
            assert_eq!(name(&header.old_state).as_deref(), event.old_status);
            states.insert(event.status);
            assert!(bodies.insert(body), "two events have one body");
        }
        for state in LIFE.iter().chain(ENDS) {
            assert!(states.contains(state), "no event of {state}");
        }
    }
}
