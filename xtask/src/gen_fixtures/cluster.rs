//! A simulated cluster, whose tasks change state by Aurora's state machine.

use super::job;
use super::random::Random;
use anyhow::{Context, Result};
use webhook_model::ScheduleStatus::{
    self, Assigned, Draining, Failed, Finished, Init, Killed, Killing, Lost, Partitioned, Pending,
    Preempting, Restarting, Running, Starting, Throttled,
};
use webhook_model::{AssignedTask, ScheduledTask, TaskConfig, TaskEvent, TaskStateChange};

/// The time before the first event, in epoch milliseconds: that of Aurora's sample.
const START: i64 = 1_464_992_060_258;

/// A cluster whose scheduler has just started.
pub(crate) struct Cluster {
    random: Random,
    /// A slot for each instance of each job.
    slots: Vec<Slot>,
    now: i64,
}

struct Slot {
    config: TaskConfig,
    instance: i32,
    task: Option<Task>,
    /// The id of the slot's task before this one.
    ancestor: Option<String>,
    failures: i32,
}

struct Task {
    scheduled: ScheduledTask,
    status: ScheduleStatus,
    /// Whether the scheduler has posted the task's state since it started.
    known: bool,
}

impl Cluster {
    /// A cluster of `jobs` jobs with `instances` each. Some instances were running before the
    /// scheduler started.
    pub(crate) fn new(seed: u64, jobs: usize, instances: usize) -> Self {
        let mut random = Random::new(seed);
        let mut slots = Vec::with_capacity(jobs * instances);
        for number in 0..jobs {
            let config = job::config(number, &mut random);
            slots.extend((0..instances).map(|instance| Slot {
                config: config.clone(),
                instance: instance as i32,
                task: None,
                ancestor: None,
                failures: 0,
            }));
        }
        let now = START;
        let mut cluster = Cluster { random, slots, now };
        for index in 0..cluster.slots.len() {
            if cluster.random.percent(25) {
                cluster.start_before(index);
            }
        }
        cluster
    }

    /// Launches the task of a slot before the stream's start.
    fn start_before(&mut self, index: usize) {
        let Cluster { random, slots, now } = self;
        let mut task = slots[index].launch(random);
        for (status, ago) in [(Pending, 90_000), (Assigned, 60_000), (Running, 45_000)] {
            task.enter(status, *now - ago, random);
        }
        task.known = false;
        slots[index].task = Some(task);
    }

    /// Appends the JSON of the next event to `buffer`.
    pub(crate) fn next_event(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        let Cluster { random, slots, now } = self;
        *now += 1 + random.below(2_000) as i64;
        let slot_index = random.below(slots.len());
        let slot = &mut slots[slot_index];
        let mut task = match slot.task.take() {
            Some(task) => task,
            None => slot.launch(random),
        };
        let change = if task.known {
            let old = task.status;
            task.enter(successor(old, random), *now, random);
            TaskStateChange::transition(task.scheduled, old)
        } else {
            task.known = true;
            TaskStateChange::initialized(task.scheduled)
        };
        change.write_json(buffer)?;
        task.scheduled = change
            .into_task()
            .context("the change was made of a task")?;
        if task.status.is_terminal() {
            slot.failures += i32::from(task.status == Failed);
            let id = task
                .scheduled
                .assigned_task()
                .and_then(AssignedTask::task_id);
            slot.ancestor = id.map(str::to_owned);
        } else {
            slot.task = Some(task);
        }
        Ok(())
    }
}

impl Slot {
    /// A new task for this slot, without an event yet.
    fn launch(&self, random: &mut Random) -> Task {
        let job = self.config.job();
        let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
        let task_id = format!(
            "{}-{}-{}-{}-{}",
            part(job.and_then(|job| job.role())),
            part(job.and_then(|job| job.environment())),
            part(job.and_then(|job| job.name())),
            self.instance,
            random.uuid()
        );
        let assigned = AssignedTask::new(task_id, self.instance, self.config.clone());
        let task = ScheduledTask::new(assigned).with_failure_count(self.failures);
        let scheduled = match &self.ancestor {
            Some(ancestor) => task.with_ancestor_id(ancestor),
            None => task,
        };
        Task {
            scheduled,
            status: Init,
            known: true,
        }
    }
}

impl Task {
    fn enter(&mut self, status: ScheduleStatus, at: i64, random: &mut Random) {
        let mut task = std::mem::take(&mut self.scheduled);
        if status == Assigned {
            let host = random.below(400);
            let agent = format!("20160603-210000-16842879-5050-1337-S{host}");
            let host = format!("host{host:03}.example.com");
            let http = 31_000 + random.below(999) as i32;
            task = task.on_host(agent, host, [("http", http), ("health", 31_999)]);
        }
        if status == Partitioned {
            let times = task.times_partitioned() + 1;
            task = task.with_times_partitioned(times);
        }
        let event = TaskEvent::new(at, status).with_scheduler("aurora-1.example.com");
        let event = match message(status, random) {
            Some(message) => event.with_message(message),
            None => event,
        };
        self.scheduled = task.with_event(event);
        self.status = status;
    }
}

/// The task's next state: mostly the usual one, sometimes another that is allowed.
fn successor(status: ScheduleStatus, random: &mut Random) -> ScheduleStatus {
    let usual = match status {
        Init => Pending,
        Throttled => Pending,
        Pending => Assigned,
        Assigned => Starting,
        Starting => Running,
        Running => *random.choose(&[Finished, Killing, Failed]),
        Partitioned => Running,
        Restarting | Draining | Preempting | Killing => Killed,
        ended => ended,
    };
    if random.percent(75) {
        return usual;
    }
    // Killing a task without a host deletes it, without an event.
    let unseen = |next: ScheduleStatus| next == Killing && matches!(status, Pending | Throttled);
    let allowed = status.transitions().iter().copied();
    let allowed: Vec<ScheduleStatus> = allowed.filter(|next| !unseen(*next)).collect();
    if allowed.is_empty() {
        return usual;
    }
    *random.choose(&allowed)
}

fn message(status: ScheduleStatus, random: &mut Random) -> Option<&'static str> {
    match status {
        Starting => Some("Initializing sandbox."),
        Running if random.percent(50) => Some("No health-check defined, task is assumed healthy."),
        Failed => Some("Task failed: process 'run' <exit code 1> & \"max_failures\" = 1"),
        Lost => Some("Executor lost: it didn't answer in time"),
        Killing => Some("Killed by www-data@example.com"),
        Restarting => Some("Restarted by www-data@example.com"),
        Draining => Some("Draining machine for maintenance."),
        Preempting => Some("Preempting in favor of a production task"),
        Throttled => Some("Rescheduled, penalized for 30000 ms for flapping"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashMap};
    use webhook_model::{EventHeader, StatusName};

    fn events(seed: u64, count: usize) -> Vec<Vec<u8>> {
        let mut cluster = Cluster::new(seed, 6, 2);
        let next = |_| {
            let mut json = Vec::new();
            cluster.next_event(&mut json).map(|()| json)
        };
        (0..count).map(next).collect::<Result<_>>().unwrap()
    }

    #[test]
    fn every_task_lives_by_the_state_machine() {
        let mut last: HashMap<String, (ScheduleStatus, i64)> = HashMap::new();
        for json in events(7, 3_000) {
            let header = EventHeader::read(&json).unwrap();
            let Some(StatusName::Known(new)) = header.new_state else {
                panic!("no state")
            };
            let task = header.task_id.unwrap().into_owned();
            let at = header.last_event_at.unwrap();
            match (header.old_state, last.get(&task)) {
                (None, before) => assert!(before.is_none(), "{task} is loaded twice"),
                (Some(StatusName::Known(old)), before) => {
                    assert!(old.may_become(new), "{task}: {old} to {new}");
                    match before {
                        Some((state, time)) => assert!(*state == old && *time < at, "{task}"),
                        None => assert_eq!(old, Init, "{task}"),
                    }
                }
                (Some(other), _) => panic!("{other}"),
            }
            last.insert(task, (new, at));
        }
    }

    #[test]
    fn a_stream_meets_every_state() {
        let state = |json: &Vec<u8>| {
            EventHeader::read(json)
                .unwrap()
                .new_state
                .unwrap()
                .to_string()
        };
        let met: BTreeSet<String> = events(7, 3_000).iter().map(state).collect();
        // All but INIT, which has no event.
        assert_eq!(met.len(), ScheduleStatus::ALL.len() - 1);
    }

    #[test]
    fn one_seed_makes_one_stream() {
        assert_eq!(events(1, 50), events(1, 50));
        assert_ne!(events(1, 50), events(2, 50));
    }
}
