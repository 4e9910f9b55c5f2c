//! Operating workers: what any of them can do, and what they know of each other.

use super::{Arrivals, Cluster, JSON, Worker, wait_for_shares};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::{Receiver, Reply, event, post, post_to};

const LEASE: Duration = Duration::from_secs(60);

fn two(cluster: &mut Cluster) -> (Worker, Worker) {
    let (first, second) = (cluster.worker(), cluster.worker());
    wait_for_shares(&[&first, &second]);
    (first, second)
}

#[test]
fn an_idempotency_key_is_known_to_every_worker() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    cluster.configure(&receiver.url(), LEASE);
    let (first, second) = two(&mut cluster);
    for number in 0..10 {
        let key = format!("Idempotency-Key: key-{number}");
        let body = event(&format!("task-{number}"), 0);
        let accepted = post(&first.url, &[JSON, &key], &body).expect_status(200);
        let repeated = post(&second.url, &[JSON, &key], &body).expect_status(200);
        let (accepted, repeated) = (accepted.json(), repeated.json());
        assert_eq!(accepted["id"], repeated["id"]);
        assert_eq!(repeated["duplicate"], true, "{repeated}");
        let other = event(&format!("task-{number}"), 1);
        post(&second.url, &[JSON, &key], other).expect_status(422);
    }
    let accepted = (0..10).map(|task| (format!("task-{task}"), 1)).collect();
    arrivals.expect(&accepted, &[&first, &second]);
    assert_eq!(arrivals.duplicates(), 0);
    first.stop();
    second.stop();
}

#[test]
fn an_event_without_a_change_is_dropped_by_whichever_worker_gets_it() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let receiver = Receiver::always(Reply::status(200));
    let mut target = crate::durable::reliable(&receiver.url());
    target["format"] = json!("template");
    target["template"] = json!(["{key}", "{oldState}", "{state}"]);
    cluster.folder.config(&json!({
        "targets": [target],
        "queue": { "postgres": { "url": cluster.postgres.url() } },
        "inputs": { "jobs": {
            "schema": "pointers", "key": "/job", "state": "/state", "onlyChanges": true
        } },
    }));
    let (first, second) = two(&mut cluster);
    for job in 0..5 {
        for (worker, state) in [
            (&first, "pending"),
            (&second, "pending"),
            (&second, "running"),
            (&first, "running"),
            (&first, "failed"),
        ] {
            let body = json!({ "job": format!("job-{job}"), "state": state }).to_string();
            post_to(&worker.url, "/events/jobs", &[JSON], body).expect_status(200);
        }
    }
    let arrived = receiver.wait_for_requests(15);
    for job in 0..5 {
        let bodies = arrived.iter().map(|it| serde_json::from_slice(&it.body));
        let bodies = bodies.map(|it| it.expect("the template's list"));
        let of_job: Vec<Value> = bodies
            .filter(|it: &Value| it[0] == format!("job-{job}"))
            .map(|it| json!([it[1], it[2]]))
            .collect();
        let expected = json!([
            ["", "pending"],
            ["pending", "running"],
            ["running", "failed"]
        ]);
        assert_eq!(json!(of_job), expected);
    }
    let metric = r#"webhookd_events_unchanged_total{input="jobs"}"#;
    assert_eq!((first.metric(metric), second.metric(metric)), (5.0, 5.0));
    assert_eq!(receiver.requests().len(), 15);
    first.stop();
    second.stop();
}

/// A dead letter's key may be of a slot that another worker has.
#[test]
fn dead_letters_are_listed_and_replayed_by_any_worker_and_delivered_by_the_owner() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let refuses = Arc::new(AtomicBool::new(true));
    let receiver = {
        let (arrivals, refuses) = (arrivals.clone(), Arc::clone(&refuses));
        Receiver::start(move |request| {
            if refuses.load(Ordering::SeqCst) {
                return Reply::status(400);
            }
            arrivals.note(&request.body);
            Reply::status(200)
        })
    };
    cluster.configure(&receiver.url(), LEASE);
    let (first, second) = two(&mut cluster);
    // Fewer than those that hold the target.
    for task in 0..12 {
        post(&first.url, &[JSON], event(&format!("task-{task}"), 0)).expect_status(200);
    }
    for worker in [&first, &second] {
        worker.wait_until("it knows of all dead letters", |it| {
            let letters = it.admin.get("/api/v1/dead-letters");
            letters["deadLetters"]
                .as_array()
                .is_some_and(|it| it.len() == 12)
        });
        worker.wait_until("it counts them", |it| {
            it.metric(r#"webhookd_queue_dead_letters{target="audit"}"#) == 12.0
        });
    }
    let by = |worker: &Worker| {
        worker.metric(r#"webhookd_dead_letters_total{target="audit",reason="refused"}"#)
    };
    let counts = [by(&first), by(&second)];
    assert!(
        counts.iter().all(|count| *count > 0.0) && counts.iter().sum::<f64>() == 12.0,
        "{counts:?}"
    );
    refuses.store(false, Ordering::SeqCst);
    let replayed = first
        .admin
        .post("/api/v1/dead-letters/replay", r#"{"all":true}"#);
    assert_eq!(replayed.expect_status(200).json()["replayed"], 12);
    let accepted = (0..12).map(|task| (format!("task-{task}"), 1)).collect();
    arrivals.expect(&accepted, &[&first, &second]);
    for worker in [first, second] {
        worker.wait_until("nothing is owed", |it| {
            it.admin.get("/api/v1/targets/audit")["stats"]["pending"] == 0
        });
        worker.stop();
    }
}

#[test]
fn a_target_that_both_workers_reload_gets_the_events_of_both() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let (one, other) = (Arrivals::default(), Arrivals::default());
    let (one_receiver, other_receiver) = (one.receiver(), other.receiver());
    cluster.configure(&one_receiver.url(), LEASE);
    let (first, second) = two(&mut cluster);
    let send = |number: usize| {
        for task in 0..10 {
            let worker = if task % 2 == 0 { &first } else { &second };
            post(&worker.url, &[JSON], event(&format!("task-{task}"), number)).expect_status(200);
        }
    };
    send(0);
    let path = cluster.folder.path().join("webhook.json");
    let text = std::fs::read_to_string(&path).expect("it was written");
    let mut config: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut target = crate::durable::reliable(&other_receiver.url());
    target["name"] = json!("other");
    config["targets"]
        .as_array_mut()
        .expect("it has targets")
        .push(target);
    cluster.folder.config(&config);
    for worker in [&first, &second] {
        let reloaded = worker
            .admin
            .post("/api/v1/reload", "")
            .expect_status(200)
            .json();
        assert_eq!(reloaded["changes"]["added"], json!(["other"]), "{reloaded}");
        assert_eq!(reloaded["restartNeeded"], json!([]), "{reloaded}");
    }
    send(1);
    let workers = [&first, &second];
    one.expect(
        &(0..10).map(|it| (format!("task-{it}"), 2)).collect(),
        &workers,
    );
    let deadline = std::time::Instant::now() + testkit::DEADLINE;
    while other.count() < 10 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    // Those from before the reload are not for it.
    let came = other.seen().firsts.clone();
    let expected = (0..10).map(|it| (format!("task-{it}"), vec![1])).collect();
    assert_eq!(came, expected);
    first.stop();
    second.stop();
}

#[test]
fn every_worker_shows_all_workers_and_its_own_figures() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    cluster.configure(&receiver.url(), LEASE);
    let (first, second) = two(&mut cluster);
    for worker in [&first, &second] {
        worker.wait_until("it knows both workers", |it| {
            let shared = it.admin.get("/api/v1/queue")["shared"].clone();
            let workers = shared["workers"].as_array().cloned().unwrap_or_default();
            let slots: u64 = workers.iter().filter_map(|it| it["slots"].as_u64()).sum();
            workers.len() == 2 && slots == 64
        });
        let queue = worker.admin.get("/api/v1/queue");
        assert_eq!(queue["directory"], Value::Null);
        let shared = &queue["shared"];
        assert_eq!(shared["slots"], 64);
        assert_eq!(shared["unclaimedSlots"], 0);
        assert_eq!(shared["reachable"], true);
        assert_eq!(shared["standbys"], 0);
        assert!(!queue.to_string().contains("pg-secret"), "{queue}");
        let workers = shared["workers"].as_array().expect("it is a list");
        let names: BTreeSet<&str> = workers
            .iter()
            .filter_map(|it| it["name"].as_str())
            .collect();
        assert_eq!(names.len(), 2, "{shared}");
        let this: Vec<&Value> = workers.iter().filter(|it| it["this"] == true).collect();
        let pid = format!(":{}", worker.process.id());
        assert_eq!(this.len(), 1, "{shared}");
        assert!(
            this[0]["name"]
                .as_str()
                .is_some_and(|it| it.ends_with(&pid)),
            "{shared}"
        );
        for (name, expected) in [
            ("webhookd_queue_database_reachable", 1.0),
            ("webhookd_queue_workers", 2.0),
            ("webhookd_queue_slots", 64.0),
            ("webhookd_queue_unclaimed_slots", 0.0),
            ("webhookd_queue_worker_slots", 32.0),
            ("webhookd_queue_leases_lost_total", 0.0),
            ("webhookd_queue_fenced_settlements_total", 0.0),
            ("webhookd_queue_segments", 8.0),
            ("webhookd_queue_segments_in_use", 1.0),
            ("webhookd_queue_standbys", 0.0),
        ] {
            assert_eq!(worker.metric(name), expected, "{name}");
        }
        let age = worker.metric("webhookd_queue_worker_lease_age_seconds");
        assert!((0.0..60.0).contains(&age), "{age}");
    }
    first.stop();
    second.stop();
}
