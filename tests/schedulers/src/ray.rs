//! A real Ray, which posts its events in batches to webhookd.
//!
//! webhookd is killed between two rounds of tasks and is away during the second. The end of each
//! attempt of a task must arrive, and each event of Ray under one id.

use crate::delivered::{Delivered, delivered};
use crate::wait::wait_for;
use crate::{config, say, target};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use testkit::{Launch, Process, Python, Receiver, Reply, Signal, free_port};

/// How long a round of tasks may take, the start of Ray included.
const DONE_WITHIN: Duration = Duration::from_secs(180);

/// How many attempts of a round finish, and how many fail.
const ROUND: (usize, usize) = (3, 3);

pub(crate) fn run(folder: &Path) {
    let python = Python::with(&[testkit::RAY]).unwrap_or_else(|why| panic!("no Ray: {why}"));
    say("Ray is installed");
    let receiver = Receiver::always(Reply::status(200));
    let targets = json!([target("all", &receiver)]);
    let config = config(folder, &json!({ "ray": { "schema": "ray" } }), &targets);
    let address = format!("127.0.0.1:{}", free_port());
    let start = || {
        let launch = Launch::with_config(&config).args(["--listen", &address]);
        let webhookd = launch.spawn();
        webhookd.listens();
        webhookd
    };
    let webhookd = start();
    let mut ray = start_ray(&python, folder, &format!("http://{address}/events/ray"));
    ray.write("first\n");
    wait_for_output(&ray, "done first");
    wait_for("the ends of the first round", DONE_WITHIN, || {
        (ends(&delivered(receiver.requests())) == ROUND).then_some(())
    });
    webhookd.signal(Signal::KILL);
    webhookd.wait();
    say("the first round has ended and arrived; webhookd was killed");
    ray.write("second\n");
    wait_for_output(&ray, "done second");
    let webhookd = start();
    wait_for("the ends of the second round", DONE_WITHIN, || {
        (ends(&delivered(receiver.requests())) == (2 * ROUND.0, 2 * ROUND.1)).then_some(())
    });
    ray.close_input();
    ray.wait_at_most(DONE_WITHIN).expect_code(0);
    webhookd.signal(Signal::TERM);
    webhookd.wait().expect_code(0);
    let events = delivered(receiver.requests());
    let ids: BTreeSet<_> = events
        .iter()
        .map(|it| it.event["eventId"].to_string())
        .collect();
    assert_eq!(ids.len(), events.len(), "an event came under two ids");
    say(&format!(
        "{} events of {} attempts arrived",
        events.len(),
        attempts(&events).len()
    ));
}

fn start_ray(python: &Python, folder: &Path, url: &str) -> Process {
    let script = folder.join("job.py");
    std::fs::write(&script, include_bytes!("ray/job.py")).expect("the folder takes files");
    Launch::of(python.bin().join("python3"))
        .arg(script)
        .arg(folder.join("ray"))
        .env("RAY_enable_core_worker_ray_event_to_aggregator", "1")
        .env("RAY_DASHBOARD_AGGREGATOR_AGENT_EVENTS_EXPORT_ADDR", url)
        .env("RAY_USAGE_STATS_ENABLED", "0")
        .spawn()
}

fn wait_for_output(ray: &Process, text: &str) {
    wait_for(&format!("`{text}` of Ray"), DONE_WITHIN, || {
        ray.output_so_far().contains(text).then_some(())
    });
}

/// The states of each attempt, by the task and the attempt's number. An event that defines a task
/// has none.
fn attempts(events: &[Delivered]) -> BTreeMap<String, BTreeSet<String>> {
    let mut attempts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Delivered { event, .. } in events {
        let task = &event["taskLifecycleEvent"];
        let transitions = task["stateTransitions"].as_array();
        let states = transitions
            .into_iter()
            .flatten()
            .filter_map(|it| it["state"].as_str());
        let attempt = format!("{} {}", task["taskId"], task["taskAttempt"]);
        attempts
            .entry(attempt)
            .or_default()
            .extend(states.map(str::to_owned));
    }
    attempts.retain(|_, states| !states.is_empty());
    attempts
}

/// How many attempts have finished, and how many have failed.
fn ends(events: &[Delivered]) -> (usize, usize) {
    let attempts = attempts(events);
    let count = |state: &str| attempts.values().filter(|it| it.contains(state)).count();
    (count("FINISHED"), count("FAILED"))
}
