//! The database goes away and comes back.

use super::{Arrivals, Cluster, JSON, Senders, UNCONFIRMED, Worker, wait_for_shares};
use std::time::Duration;
use testkit::{Stop, event, post};

const LEASE: Duration = Duration::from_secs(5);

/// Checks what a worker says while its database is away.
fn expect_away(worker: &Worker) {
    worker.wait_until("it is not ready", |it| it.readyz().0 == 503);
    worker.wait_until("it says why", |it| {
        it.readyz().1.iter().any(|code| code == "queue-unavailable")
    });
    assert_eq!(worker.admin.text("/livez"), "ok\n");
    assert_eq!(worker.metric("webhookd_queue_database_reachable"), 0.0);
    assert_eq!(worker.metric("webhookd_ready"), 0.0);
    // A group that was being committed when the database went away comes first.
    worker.wait_until("new events are refused", |it| {
        let answer = post(&it.url, &[JSON], event(UNCONFIRMED, 0));
        assert!(matches!(answer.status, 503 | 504), "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        answer.status == 503
    });
}

/// Stops the database under load, each time in another way.
#[test]
fn a_database_that_is_stopped_or_killed_costs_no_event_and_all_goes_on_when_it_is_back() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    cluster.configure(&receiver.url(), LEASE);
    let workers = [cluster.worker(), cluster.worker()];
    let urls = [&*workers[0].url, &*workers[1].url];
    let senders = Senders::start(&urls, 4, 5);
    for how in [Stop::Fast, Stop::Immediate, Stop::Kill] {
        senders.wait_for(200);
        cluster.postgres.stop(how);
        for worker in &workers {
            expect_away(worker);
        }
        cluster.postgres.start_again();
        for worker in &workers {
            worker.wait_until("it is ready again", Worker::is_ready);
            worker.wait_until("it says that it reaches the database", |it| {
                it.metric("webhookd_queue_database_reachable") == 1.0
            });
        }
    }
    senders.wait_for(200);
    let refused = senders.refused();
    let accepted = senders.stop();
    assert!(refused > 0, "the database was never missed");
    arrivals.expect(&accepted, &[&workers[0], &workers[1]]);
    for worker in workers {
        let log = worker.stop();
        for line in [
            "the queue takes no events",
            "cannot be reached",
            "the queue takes events again",
            "connected again to ",
        ] {
            assert!(log.contains(line), "no {line:?} in\n{log}");
        }
        assert!(!log.contains("pg-secret"), "{log}");
    }
}

/// The server ends a session while its commit waits, so that the answer is lost.
#[test]
fn connections_that_are_cut_lose_and_repeat_nothing() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    // No lease ends here, so nothing is sent twice.
    cluster.configure(&receiver.url(), Duration::from_secs(60));
    let workers = [cluster.worker(), cluster.worker()];
    let urls = [&*workers[0].url, &*workers[1].url];
    let senders = Senders::start(&urls, 4, 5);
    for _ in 0..10 {
        senders.wait_for(50);
        cluster.postgres.terminate_connections();
    }
    for at in 0..5 {
        senders.wait_for(50);
        // Flushes wait for the lock, and are cut then.
        let locked = cluster
            .postgres
            .session("BEGIN; SELECT FROM webhook.head FOR UPDATE");
        workers[at % 2].wait_until("a flush waits for the lock", |_| {
            cluster.number(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                 AND query LIKE '%flush%'",
            ) > 0
        });
        cluster.postgres.terminate_connections();
        drop(locked);
    }
    senders.wait_for(200);
    let accepted = senders.stop();
    arrivals.expect(&accepted, &[&workers[0], &workers[1]]);
    let duplicates = arrivals.seen().duplicates.clone();
    assert!(duplicates.is_empty(), "{duplicates:?}");
    for worker in workers {
        assert!(worker.metric("webhookd_queue_reconnects_total") > 0.0);
        assert_eq!(worker.metric("webhookd_queue_leases_lost_total"), 0.0);
        worker.stop();
    }
}

/// A commit that waits for a standby is committed already when its session is ended.
#[test]
fn an_event_whose_commit_was_cut_is_stored_once_and_accepted() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    cluster.configure(&receiver.url(), Duration::from_secs(60));
    let worker = cluster.worker();
    // A claim would wait for the standby, too, and hold the append lock.
    wait_for_shares(&[&worker]);
    let standby = |name: &str| {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
        cluster.postgres.query(&format!(
            "SET synchronous_commit = off; {set}; SELECT pg_reload_conf()"
        ));
    };
    for number in 0..5 {
        standby("nobody");
        std::thread::scope(|scope| {
            let url = worker.url.clone();
            let sent = scope.spawn(move || {
                let key = format!("Idempotency-Key: {number}");
                let mut statuses = Vec::new();
                while statuses.last() != Some(&200) {
                    statuses.push(post(&url, &[JSON, &key], event("one", number)).status);
                }
                statuses
            });
            worker.wait_until("a commit waits for the standby", |_| {
                cluster.number(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' \
                     AND query NOT LIKE '%renew_lease%'",
                ) > 0
            });
            cluster.postgres.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
            );
            standby("");
            // The sessions that wait take the new setting.
            let statuses = sent.join().expect("it is accepted");
            assert_eq!(statuses.last(), Some(&200), "{statuses:?}");
        });
    }
    arrivals.expect(&[("one".to_owned(), 5)].into(), &[&worker]);
    assert_eq!(arrivals.duplicates(), 0);
    worker.stop();
}
