//! Keys that are stuck, and many keys; a transaction elsewhere.

use super::{Arrivals, Cluster, JSON, LINES, Worker, wait_for_shares};
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::{Receiver, Reply, event, post};

const LEASE: Duration = Duration::from_secs(60);

/// Sends events as lines, a few hundred at a time, to the workers in turn.
fn send(workers: &[&Worker], events: &[(String, usize)]) {
    for (turn, batch) in events.chunks(500).enumerate() {
        let lines: Vec<String> = batch
            .iter()
            .map(|(task, number)| event(task, *number))
            .collect();
        let worker = workers[turn % workers.len()];
        post(&worker.url, &[LINES], lines.join("\n")).expect_status(200);
    }
}

#[test]
fn a_key_with_a_thousand_events_behind_one_that_fails_does_not_hold_the_others() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = {
        let arrivals = arrivals.clone();
        Receiver::start(move |request| {
            if testkit::task_of(&request.body) == "poison" {
                return Reply::status(500);
            }
            arrivals.note(&request.body);
            Reply::status(200)
        })
    };
    cluster.configure(&receiver.url(), LEASE);
    let (first, second) = (cluster.worker(), cluster.worker());
    let poison: Vec<_> = (0..1_000)
        .map(|number| ("poison".to_owned(), number))
        .collect();
    send(&[&first], &poison);
    let others = (0..2_000).map(|at| (format!("task-{}", at % 100), at / 100));
    let others: Vec<_> = others.collect();
    send(&[&first, &second], &others);
    let accepted = (0..100).map(|task| (format!("task-{task}"), 20)).collect();
    arrivals.expect(&accepted, &[&first, &second]);
    assert_eq!(arrivals.duplicates(), 0);
    for worker in [first, second] {
        worker.wait_until("it knows that the stuck key's events are owed", |it| {
            it.admin.get("/api/v1/targets/audit")["stats"]["pending"] == 1_000
        });
        // The events stay in the database.
        worker.stop();
    }
}

#[test]
fn ten_thousand_keys_of_one_event_each_arrive_once() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    cluster.configure(&receiver.url(), LEASE);
    let (first, second) = (cluster.worker(), cluster.worker());
    wait_for_shares(&[&first, &second]);
    let events = (0..10_000).map(|task| (format!("task-{task}"), 0));
    let events: Vec<_> = events.collect();
    send(&[&first, &second], &events);
    let accepted: BTreeMap<_, _> = events.into_iter().map(|(task, _)| (task, 1)).collect();
    arrivals.expect(&accepted, &[&first, &second]);
    assert_eq!(arrivals.duplicates(), 0);
    let delivered = |worker: &Worker| {
        let target = worker.admin.get("/api/v1/targets/audit");
        target["stats"]["delivered"]
            .as_u64()
            .expect("it is a count")
    };
    let (one, two) = (delivered(&first), delivered(&second));
    assert!(one > 1_000 && two > 1_000, "{one} and {two} of 10,000");
    first.stop();
    second.stop();
}

/// An open transaction keeps dead rows from being removed. The queue makes few, so that it stays as
/// it is.
#[test]
fn a_transaction_elsewhere_that_stays_open_makes_no_dead_rows_pile_up() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    cluster.configure(&receiver.url(), LEASE);
    // Without this role, a session sees only its own user's transactions.
    cluster.postgres.query("GRANT pg_read_all_stats TO webhook");
    let worker = cluster.worker();
    let open = cluster
        .postgres
        .session("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM webhook.head");
    let before = worker.metric("webhookd_queue_dead_rows");
    assert!(before >= 0.0, "{before}");
    let events = (0..10_000).map(|at| (format!("task-{}", at % 500), at / 500));
    let events: Vec<_> = events.collect();
    send(&[&worker], &events);
    let accepted = (0..500).map(|task| (format!("task-{task}"), 20)).collect();
    arrivals.expect(&accepted, &[&worker]);
    worker.wait_until("it sees the transaction", |it| {
        it.metric("webhookd_queue_oldest_transaction_age_seconds") > 0.0
    });
    let dead = cluster.number(
        "SELECT sum(n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname = 'webhook'",
    );
    // The append lock and the lease are updated; no row for an event.
    assert!(
        dead < 2_000,
        "{dead} updates and deletions for 10,000 events"
    );
    drop(open);
    post(&worker.url, &[JSON], event("task-0", 20)).expect_status(200);
    worker.stop();
}
