//! A small scheduler that sends its tasks' changes of state by webhook.
//!
//! ```text
//! cargo run -p webhookd -- receive                          # in another terminal
//! cargo run -p webhook-dispatch --example scheduler -- http://127.0.0.1:5000/
//! ```
//!
//! It takes the tasks of a job through their states and submits an event of Aurora's shape for every
//! transition, and at the end one of its own shape for the job. Run it without the receiver: undelivered events stay in the queue, in the directory that it prints,
//! and the next run delivers them first.

#![expect(clippy::print_stdout, reason = "a program for people to watch")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use webhook_config::{Config, QueueSettings, Target, TargetUrl};
use webhook_dispatch::{ChannelObserver, Dispatcher, Submission, Submitter};
use webhook_model::ScheduleStatus::{self, Assigned, Finished, Init, Pending, Running, Starting};
use webhook_model::{AssignedTask, JobKey, ScheduledTask, TaskConfig, TaskStateChange};

/// Tasks of the job.
const TASKS: i32 = 20;

/// How long one event may block the scheduler.
const AT_MOST: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("http://127.0.0.1:5000/");
    let queue = std::env::temp_dir().join("webhook-example-scheduler");
    println!(
        "sending to {url}; undelivered events are kept in {}",
        queue.display()
    );

    let target = Target::builder(TargetUrl::parse(url)?)
        .connect_timeout(Duration::from_millis(500))
        .header("Content-Type", "application/json")
        .build()?;
    let config = Config::builder()
        .target(target)
        .queue(QueueSettings::new(queue))
        .build()?;
    // A thread of its own prints incidents, so that no delivery waits for the terminal.
    let (observer, incidents) = ChannelObserver::new(1024, |incident| Some(incident.to_string()));
    let observer = Arc::new(observer);
    let printing = std::thread::spawn(move || {
        for incident in incidents {
            println!("{incident}");
        }
    });
    let dispatcher = Dispatcher::builder(config)
        .observer(observer.clone())
        .start()?;

    let submitter = dispatcher.submitter();
    let job = JobKey::new("www-data", "prod", "hello");
    let run = epoch_ms()?;
    let mut tasks: Vec<ScheduledTask> = (0..TASKS)
        .map(|instance| {
            let id = format!("www-data-prod-hello-{instance}-{run}");
            ScheduledTask::new(AssignedTask::new(
                id,
                instance,
                TaskConfig::new(job.clone()),
            ))
        })
        .collect();
    let states = [Init, Pending, Assigned, Starting, Running, Finished];
    for step in states.windows(2) {
        for task in &mut tasks {
            *task = enter(&submitter, task.clone(), step[0], step[1])?;
        }
        println!("{} tasks are {} now", tasks.len(), step[1]);
    }
    // An event of any other shape comes with the fields that filters and the order of deliveries
    // need: its key, its states and its job.
    let event = format!(r#"{{"job":"www-data/prod/hello","tasks":{TASKS},"state":"DONE"}}"#);
    let event = Submission::of(format!("job-{run}"), "DONE", event.into_bytes())
        .old_state("ACTIVE")
        .job(["www-data", "prod", "hello"])
        .time(SystemTime::now());
    submitter.submit(event, Instant::now() + AT_MOST)?;
    println!("the job is DONE now");

    let report = dispatcher.shutdown(Duration::from_secs(5));
    for target in &report.stats.targets {
        println!(
            "target {}: {} accepted, {} delivered, {} attempts failed and were followed by \
             another, {} dead letters, {} pending; median {:?}",
            target.name,
            target.accepted,
            target.delivered,
            target.retried,
            target.dead_letters(),
            target.pending,
            target.delivery_latency.quantile(0.5).unwrap_or_default(),
        );
    }
    if report.drained {
        println!("every event was delivered");
    } else {
        println!("the pending events are in the queue; the next run delivers them");
    }
    if observer.dropped() > 0 {
        println!("{} incidents were not printed", observer.dropped());
    }
    // The channel ends with its last sender.
    drop((submitter, observer));
    printing.join().map_err(|_| "the printer panicked")?;
    Ok(())
}

/// Lets a task enter a state, and submits the event. The transition counts only once the event is
/// durable, so that none is forgotten.
fn enter(
    submitter: &Submitter,
    task: ScheduledTask,
    from: ScheduleStatus,
    to: ScheduleStatus,
) -> Result<ScheduledTask, Box<dyn Error>> {
    let task = task.entered(to, i64::try_from(epoch_ms()?)?);
    let event = TaskStateChange::transition(task.clone(), from).to_json()?;
    submitter.submit(event, Instant::now() + AT_MOST)?;
    Ok(task)
}

fn epoch_ms() -> Result<u128, Box<dyn Error>> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())
}
