//! Workers are lost, or stopped for a while.

use super::{Arrivals, Cluster, JSON, Senders, wait_for_shares};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::{Receiver, Reply, Signal, event, post};

#[test]
fn what_a_killed_worker_had_is_delivered_by_the_other_in_order() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    cluster.configure(&receiver.url(), Duration::from_secs(5));
    let stays = cluster.worker();
    let mut killed = 0;
    let senders = Senders::start(&[&stays.url], 4, 5);
    for _ in 0..3 {
        let other = cluster.worker();
        wait_for_shares(&[&stays, &other]);
        senders.send_to(&[&stays.url, &other.url]);
        senders.wait_for(300);
        other.process.signal(Signal::KILL);
        other.process.wait();
        senders.send_to(&[&stays.url]);
        stays.wait_until("it has all slots", |it| it.slots() == 64);
        assert_eq!(stays.metric("webhookd_queue_unclaimed_slots"), 0.0);
        killed += 1;
    }
    let accepted = senders.stop();
    arrivals.expect(&accepted, &[&stays]);
    // A task has one event under way.
    let duplicates = arrivals.duplicates();
    assert!(duplicates <= killed * 20, "{duplicates} duplicates");
    stays.stop();
}

/// A worker is stopped while its requests are under way, for longer than its lease. The other one
/// delivers its events meanwhile.
#[test]
fn a_worker_that_was_stopped_past_its_lease_sends_nothing_and_its_settlements_are_fenced() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    // The first requests are answered when they are released.
    let holds = Arc::new(AtomicBool::new(true));
    let receiver = {
        let (arrivals, holds) = (arrivals.clone(), Arc::clone(&holds));
        Receiver::start(move |request| {
            arrivals.note(&request.body);
            match holds.load(Ordering::SeqCst) {
                true => Reply::status(200).held(),
                false => Reply::status(200),
            }
        })
    };
    cluster.configure(&receiver.url(), Duration::from_secs(5));
    let (stopped, other) = (cluster.worker(), cluster.worker());
    wait_for_shares(&[&stopped, &other]);
    // Each task's first event is under way, and two wait for it.
    let tasks: Vec<String> = (0..10).map(|task| format!("task-{task}")).collect();
    for number in 0..3 {
        for task in &tasks {
            post(&other.url, &[JSON], event(task, number)).expect_status(200);
        }
    }
    receiver.wait_for_requests(tasks.len());
    let under_way = stopped.admin.get("/api/v1/targets/audit")["stats"]["inFlight"]
        .as_u64()
        .expect("it is a count");
    assert!((1..10).contains(&under_way), "{under_way} of 10 requests");
    stopped.process.signal(Signal::STOP);
    holds.store(false, Ordering::SeqCst);
    other.wait_until("it has all slots", |it| it.slots() == 64);
    receiver.release();
    let accepted = tasks.iter().map(|task| (task.clone(), 3)).collect();
    arrivals.expect(&accepted, &[&other]);
    let before = receiver.requests().len();
    stopped.process.signal(Signal::CONT);
    stopped.wait_until("it has found its lease lost", |it| {
        it.metric("webhookd_queue_leases_lost_total") == 1.0
    });
    stopped.wait_until("its settlements are fenced", |it| {
        it.metric("webhookd_queue_fenced_settlements_total") == under_way as f64
    });
    wait_for_shares(&[&stopped, &other]);
    // It sent nothing after the pause, and what it had sent before came twice.
    assert_eq!(receiver.requests().len(), before);
    assert_eq!(arrivals.duplicates() as u64, under_way);
    // It delivers again.
    for task in &tasks {
        post(&other.url, &[JSON], event(task, 3)).expect_status(200);
    }
    let accepted = tasks.iter().map(|task| (task.clone(), 4)).collect();
    arrivals.expect(&accepted, &[&stopped, &other]);
    let log = stopped.stop();
    assert!(log.contains("the lease of this worker ended"), "{log}");
    other.stop();
}
