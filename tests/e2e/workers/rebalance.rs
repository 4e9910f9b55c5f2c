//! Workers join and leave under load.

use super::{Arrivals, Cluster, JSON, Senders, wait_for_shares};
use std::time::Duration;
use testkit::{event, post};

#[test]
fn a_third_worker_joins_and_leaves_and_nothing_is_lost_repeated_or_reordered() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    // No lease ends here, however slow the machine is.
    cluster.configure(&receiver.url(), Duration::from_secs(60));
    let (first, second) = (cluster.worker(), cluster.worker());
    let senders = Senders::start(&[&first.url, &second.url], 4, 10);
    wait_for_shares(&[&first, &second]);
    for _ in 0..3 {
        let third = cluster.worker();
        wait_for_shares(&[&first, &second, &third]);
        senders.send_to(&[&first.url, &second.url, &third.url]);
        senders.wait_for(300);
        senders.send_to(&[&first.url, &second.url]);
        third.stop();
        wait_for_shares(&[&first, &second]);
    }
    senders.wait_for(300);
    let accepted = senders.stop();
    arrivals.expect(&accepted, &[&first, &second]);
    let duplicates = arrivals.seen().duplicates.clone();
    assert!(duplicates.is_empty(), "{duplicates:?}");
    for worker in [first, second] {
        assert_eq!(worker.metric("webhookd_queue_leases_lost_total"), 0.0);
        assert_eq!(
            worker.metric("webhookd_queue_fenced_settlements_total"),
            0.0
        );
        worker.stop();
    }
}

#[test]
fn events_of_one_key_that_two_workers_accept_in_turn_arrive_in_order() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    cluster.configure(&receiver.url(), Duration::from_secs(60));
    let (first, second) = (cluster.worker(), cluster.worker());
    let senders = Senders::start(&[&first.url, &second.url], 1, 1);
    senders.wait_for(500);
    let accepted = senders.stop();
    arrivals.expect(&accepted, &[&first, &second]);
    assert_eq!(arrivals.duplicates(), 0);
    first.stop();
    second.stop();
}

/// The target is new: the worker that accepts its first events creates it in the database.
#[test]
fn a_worker_that_accepts_nothing_delivers_its_share_of_a_new_target() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    cluster.configure(&receiver.url(), Duration::from_secs(60));
    let (accepts, delivers) = (cluster.worker(), cluster.worker());
    wait_for_shares(&[&accepts, &delivers]);
    for task in 0..20 {
        post(&accepts.url, &[JSON], event(&format!("task-{task}"), 0)).expect_status(200);
    }
    let accepted = (0..20).map(|task| (format!("task-{task}"), 1)).collect();
    arrivals.expect(&accepted, &[&accepts, &delivers]);
    for worker in [accepts, delivers] {
        let target = worker.admin.get("/api/v1/targets/audit");
        assert!(target["stats"]["delivered"].as_u64() > Some(0), "{target}");
        worker.stop();
    }
}
