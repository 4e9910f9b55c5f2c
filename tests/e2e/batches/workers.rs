//! Batches of workers that share a queue in PostgreSQL.

use super::{events_in, ids_in, target};
use crate::workers::{Arrivals, Cluster, JSON, LINES, Worker, wait_for_shares};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use testkit::{Receiver, Reply, Signal, event, post};

const TASKS: usize = 12;

fn configure(cluster: &Cluster, receiver: &Receiver, max_events: usize) {
    let config = json!({
        "targets": [target(&receiver.url(), "ndjson", max_events)],
        "queue": { "postgres": { "url": cluster.postgres.url(), "leaseMsec": 1_000 } },
    });
    cluster.folder.config(&config);
}

/// Posts the events of these numbers, each of its task in order, as lines.
fn send(worker: &Worker, numbers: std::ops::Range<usize>) {
    let lines: Vec<_> = numbers
        .map(|number| event(&format!("task-{}", number % TASKS), number / TASKS))
        .collect();
    post(&worker.url, &[LINES], lines.join("\n")).expect_status(200);
}

fn accepted(events: usize) -> BTreeMap<String, usize> {
    let tasks = (0..TASKS).map(|task| (format!("task-{task}"), events / TASKS));
    tasks.collect()
}

#[test]
fn workers_deliver_batches_and_take_over_from_one_that_is_killed() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let noting = arrivals.clone();
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let receiver = Receiver::start({
        let sizes = Arc::clone(&sizes);
        move |request| {
            let events = events_in("ndjson", &request.body);
            assert_eq!(ids_in("ndjson", request).len(), events.len());
            for event in &events {
                noting.note(event.as_bytes());
            }
            let mut sizes = sizes.lock().unwrap_or_else(PoisonError::into_inner);
            sizes.push(events.len());
            Reply::status(200)
        }
    });
    configure(&cluster, &receiver, 20);
    let (first, second) = (cluster.worker(), cluster.worker());
    wait_for_shares(&[&first, &second]);
    send(&first, 0..600);
    send(&second, 600..1_200);
    first.process.signal(Signal::KILL);
    send(&second, 1_200..1_800);
    arrivals.expect(&accepted(1_800), &[&first, &second]);
    let sizes = sizes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(sizes.iter().any(|size| *size > 1), "there were batches");
    assert!(sizes.iter().all(|size| *size <= 20));
    second.stop();
}

#[test]
fn a_batch_that_failed_is_the_same_at_the_worker_that_takes_it_over() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let healed = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::start({
        let healed = Arc::clone(&healed);
        move |_| {
            Reply::status(if healed.load(Ordering::SeqCst) {
                200
            } else {
                503
            })
        }
    });
    configure(&cluster, &receiver, 10);
    let first = cluster.worker();
    wait_for_shares(&[&first]);
    let pause = first.admin.post("/api/v1/targets/audit/pause", "");
    assert!(matches!(pause.status, 200..=299));
    for number in 0..10 {
        let event = event(&format!("task-{}", number % 3), number);
        post(&first.url, &[JSON], event).expect_status(200);
    }
    first.admin.wait_for("audit", "inMemory", 10);
    first.admin.post("/api/v1/targets/audit/resume", "");
    receiver.wait_for_done(1);
    let failed = &receiver.requests()[0];
    assert_eq!(events_in("ndjson", &failed.body).len(), 10);
    // The failure is in the database once its events have an attempt.
    first.wait_until("the failure is stored", |it| {
        (0..3).all(|task| {
            let task = it.admin.get(&format!("/api/v1/tasks/task-{task}"));
            task["targets"][0]["pending"][0]["attempts"].as_u64() >= Some(1)
        })
    });
    first.process.signal(Signal::KILL);
    healed.store(true, Ordering::SeqCst);
    let before = receiver.requests().len();
    let second = cluster.worker();
    second.wait_until("all is delivered", |it| {
        it.admin.get("/api/v1/targets/audit")["stats"]["pending"] == 0
    });
    let requests = receiver.requests();
    let again: Vec<_> = requests
        .iter()
        .filter(|it| it.body == failed.body)
        .collect();
    assert!(again.len() >= 2, "{} of {before}", requests.len());
    let id = failed.header("webhook-id");
    assert!(again.iter().all(|it| it.header("webhook-id") == id));
    second.stop();
}
