//! Commits whose connection is lost before they are answered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use testkit::{Postgres, Stop};
use webhook_queue::{Accepted, Event, Queue, QueueError, Settled};
use webhook_queue_postgres::{PostgresQueue, Settings};

use crate::proxy::Proxy;
use crate::support::{append, event, eventually, numbers, open, owed, settings, settlement};

/// Commits events again and again until that succeeds.
fn insist(queue: &PostgresQueue, events: &[Event]) -> Vec<Accepted> {
    eventually(|| match queue.commit(events, &[]) {
        Ok(result) => Some(result.accepted),
        Err(QueueError::Unknown { .. } | QueueError::Unavailable { .. }) => None,
        Err(error) => panic!("{error:?}"),
    })
}

/// How many events the tables have, and how many different ones.
fn stored(postgres: &Postgres) -> String {
    postgres.query("SELECT count(*), count(DISTINCT id) FROM webhook.events")
}

/// Appends groups while `disturb` runs.
fn append_while(postgres: &Postgres, disturb: impl FnOnce()) {
    let queue = open(postgres);
    append(&queue, &[event(0, "k", &["a"])]);
    let is_done = AtomicBool::new(false);
    let entries = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut entries = Vec::new();
            for group in 1.. {
                let events = [2 * group, 2 * group + 1].map(|at| event(at, "k", &["a"]));
                entries.extend(insist(&queue, &events));
                if is_done.load(Ordering::SeqCst) {
                    break;
                }
            }
            entries
        });
        disturb();
        is_done.store(true, Ordering::SeqCst);
        writer.join().expect("it does not panic")
    });
    queue.close().expect("it closes");
    let count = entries.len() + 1;
    assert_eq!(stored(postgres), format!("{count}|{count}"));
    let told = entries
        .iter()
        .map(|it| it.entry().expect("stored").0.to_string());
    let told = told.collect::<Vec<_>>().join("\n");
    // Each is where its receipt says, and in order.
    let found = postgres.query("SELECT entry FROM webhook.events WHERE id > '00000000-0000-0001-0000-000000000000' ORDER BY id");
    assert_eq!(found, told);
    let sorted = postgres.query("SELECT entry FROM webhook.events WHERE id > '00000000-0000-0001-0000-000000000000' ORDER BY entry");
    assert_eq!(sorted, told);
}

#[test]
fn an_event_is_stored_once_though_connections_are_cut_during_commits() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    append_while(&postgres, || {
        let mut cut = 0;
        eventually(|| {
            cut += postgres.terminate_connections();
            (cut > 10).then_some(())
        });
    });
}

#[test]
fn an_event_is_stored_once_though_the_server_crashes_during_commits() {
    let Some(mut postgres) = Postgres::start(&[]) else {
        return;
    };
    let queue = open(&postgres);
    let mut count = 0;
    for stop in [Stop::Immediate, Stop::Fast, Stop::Kill] {
        thread::scope(|scope| {
            let groups = count..count + 40;
            let writer = scope.spawn(|| {
                for at in groups {
                    insist(&queue, &[event(at, "k", &["a"])]);
                }
            });
            let more = count + 10;
            eventually(|| {
                let found = postgres.try_query("SELECT count(*) FROM webhook.events");
                (found.ok()?.parse::<u64>().ok()? >= more).then_some(())
            });
            postgres.stop(stop);
            postgres.start_again();
            writer.join().expect("it does not panic");
        });
        count += 40;
        assert_eq!(stored(&postgres), format!("{count}|{count}"));
    }
    queue.close().expect("it closes");
}

/// Settings whose connections go through a proxy.
fn through(proxy: &Proxy, postgres: &Postgres) -> Settings {
    let direct = format!(":{}/", postgres.port());
    let url = postgres
        .url()
        .replace(&direct, &format!(":{}/", proxy.port()));
    Settings {
        connection: url,
        ..settings(postgres)
    }
}

/// Waits until a call waits for the append lock.
fn until_one_waits(postgres: &Postgres, count: u64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
         WHERE wait_event_type = 'Lock' AND query LIKE '%flush(%' AND pid <> pg_backend_pid()";
    eventually(|| (postgres.query(waiting) == count.to_string()).then_some(()));
}

#[test]
fn a_commit_that_still_waits_for_the_lock_on_a_lost_connection_is_stored_once() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let proxy = Proxy::start(postgres.port());
    let queue = PostgresQueue::open(through(&proxy, &postgres)).expect("it opens");
    append(&queue, &[event(0, "k", &["a"])]);
    let lock = postgres.session("BEGIN; SELECT FROM webhook.head FOR UPDATE");
    thread::scope(|scope| {
        let writer = scope.spawn(|| append(&queue, &[event(1, "k", &["a"])]));
        until_one_waits(&postgres, 1);
        proxy.cut(false);
        // The first call waits on, and the second one behind it.
        until_one_waits(&postgres, 2);
        drop(lock);
        let accepted = writer.join().expect("it does not panic");
        let found = postgres.query("SELECT max(entry) FROM webhook.events");
        assert_eq!(accepted[0].entry().expect("stored").0.to_string(), found);
    });
    assert_eq!(stored(&postgres), "2|2");
    queue.close().expect("it closes");
}

#[test]
fn an_unknown_commit_is_found_when_its_events_are_committed_again() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let proxy = Proxy::start(postgres.port());
    let settings = Settings {
        max_bytes: 1 << 20,
        ..through(&proxy, &postgres)
    };
    let queue = PostgresQueue::open(settings).expect("it opens");
    append(&queue, &[event(0, "k", &["a"])]);
    for is_stored in [true, false] {
        let lock = postgres.session("BEGIN; SELECT FROM webhook.head FOR UPDATE");
        let events = [10, 11].map(|at| event(at + u64::from(is_stored) * 10, "k", &["a"]));
        thread::scope(|scope| {
            let writer = scope.spawn(|| queue.commit(&events, &[]));
            until_one_waits(&postgres, 1);
            proxy.cut(true);
            if !is_stored {
                postgres.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE \
                     wait_event_type = 'Lock' AND query LIKE '%flush(%' AND pid <> pg_backend_pid()",
                );
            }
            drop(lock);
            let unknown = writer.join().expect("it does not panic");
            assert!(
                matches!(unknown, Err(QueueError::Unknown { .. })),
                "{unknown:?}"
            );
        });
        let count = if is_stored { "3|3" } else { "4|4" };
        eventually(|| (stored(&postgres) == count).then_some(()));
        let unknown = queue.commit(&events, &[]);
        assert!(
            matches!(unknown, Err(QueueError::Unknown { .. })),
            "{unknown:?}"
        );
        proxy.open();
        // The outcome is found, and the group fails for another reason: nothing is forgotten.
        let too_large = event(40, &"k".repeat(2 << 20), &["a"]);
        let group = [&events[..], &[too_large]].concat();
        eventually(|| match queue.commit(&group, &[]) {
            Err(QueueError::TooLarge { .. }) => Some(()),
            Err(QueueError::Unknown { .. } | QueueError::Unavailable { .. }) => None,
            result => panic!("{result:?}"),
        });
        let accepted = insist(
            &queue,
            &[
                events.clone().to_vec(),
                vec![event(30 + u64::from(is_stored), "k", &["a"])],
            ]
            .concat(),
        );
        assert_eq!(accepted.len(), 3);
        let ids = if is_stored { "4|4" } else { "7|7" };
        assert_eq!(stored(&postgres), ids);
        let entries: Vec<_> = accepted
            .iter()
            .map(|it| it.entry().expect("stored").0)
            .collect();
        assert!(entries.is_sorted(), "{entries:?}");
    }
    queue.close().expect("it closes");
}

#[test]
fn a_settlement_whose_outcome_was_unknown_counts_once() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let proxy = Proxy::start(postgres.port());
    // The lease outlives the time without a connection.
    let settings = Settings {
        lease: Duration::from_secs(600),
        ..through(&proxy, &postgres)
    };
    let queue = PostgresQueue::open(settings).expect("it opens");
    append(&queue, &[event(0, "k", &["a"])]);
    assert_eq!(numbers(&queue, "a", 1), [0]);
    let read = owed(&queue, "a").remove(0);
    let settled = settlement(&queue, "a", &read, Settled::Delivered).expect("a claim");
    let lock = postgres.session("BEGIN; SELECT FROM webhook.head FOR UPDATE");
    thread::scope(|scope| {
        let writer = scope.spawn(|| queue.commit(&[], std::slice::from_ref(&settled)));
        until_one_waits(&postgres, 1);
        proxy.cut(true);
        let unknown = writer.join().expect("it does not panic");
        assert!(
            matches!(unknown, Err(QueueError::Unknown { .. })),
            "{unknown:?}"
        );
    });
    drop(lock);
    until_one_waits(&postgres, 0);
    proxy.open();
    eventually(|| queue.commit(&[], std::slice::from_ref(&settled)).ok());
    append(&queue, &[event(1, "k", &["a"])]);
    let statistics = queue.statistics().expect("statistics");
    assert_eq!(statistics.targets[0].pending, 1);
    queue.close().expect("it closes");
}

/// Commits an event, and expects that the queue refuses it and all after it.
#[track_caller]
fn assert_replaced(queue: &PostgresQueue) {
    let is_replaced =
        |error: &QueueError| matches!(error, QueueError::Replaced { .. }) && !error.is_retryable();
    eventually(|| {
        queue
            .check()
            .is_err_and(|error| is_replaced(&error))
            .then_some(())
    });
    let refused = queue.commit(&[event(9, "k", &["a"])], &[]);
    assert!(refused.is_err_and(|error| is_replaced(&error)));
}

#[test]
fn a_queue_that_went_on_from_another_state_is_opened_again_before_it_is_used() {
    let Some(mut postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let queue = open(&postgres);
    append(&queue, &[event(0, "k", &["a"])]);
    // The end of a recovery begins a timeline, as the promotion of a standby does.
    postgres.stop(Stop::Fast);
    let recovery = postgres.folder().join("data/recovery.signal");
    std::fs::write(&recovery, "").expect("the folder takes files");
    postgres.own(&recovery);
    postgres.set("restore_command = 'false'");
    postgres.start_again();
    assert_replaced(&queue);
    assert_eq!(stored(&postgres), "1|1");
    queue.close().expect("it closes");

    // The tables alone were put back.
    let queue = open(&postgres);
    append(&queue, &[event(1, "k", &["a"])]);
    assert_eq!(numbers(&queue, "a", 2), [0, 1]);
    postgres.query("SELECT setval('webhook.entry', 64)");
    assert_replaced(&queue);
    queue.close().expect("it closes");
}

#[test]
fn a_commit_that_waits_for_the_lock_has_drawn_no_number() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let [queue, other] = [open(&postgres), open(&postgres)];
    append(&queue, &[event(0, "k", &["a"])]);
    append(&other, &[event(1, "k", &["a"])]);
    let drawn = || postgres.query("SELECT last_value FROM webhook.entry");
    let before = drawn();
    let lock = postgres.session("BEGIN; SELECT FROM webhook.head FOR UPDATE");
    thread::scope(|scope| {
        let writers = [
            scope.spawn(|| append(&queue, &[event(2, "k", &["a"])])),
            scope.spawn(|| append(&other, &[event(3, "k", &["a"])])),
        ];
        until_one_waits(&postgres, 2);
        assert_eq!(drawn(), before);
        drop(lock);
        for writer in writers {
            writer.join().expect("it does not panic");
        }
    });
    assert_eq!(stored(&postgres), "4|4");
}

#[test]
fn two_processes_never_write_as_the_same_writer_also_after_a_lost_lease() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let queues = [open(&postgres), open(&postgres)];
    for group in 0..10 {
        for (at, queue) in (0..).zip(&queues) {
            append(queue, &[event(2 * group + at, "k", &["a"])]);
        }
        // Both lose their leases, and get new ones.
        postgres.query("DELETE FROM webhook.worker");
        let count = || postgres.query("SELECT count(*) FROM webhook.worker");
        eventually(|| (count() == "2").then_some(()));
    }
    assert_eq!(stored(&postgres), "20|20");
    let writers = postgres
        .query("SELECT writer, count(*) FROM webhook.log WHERE count > 0 GROUP BY 1 ORDER BY 1");
    assert_eq!(writers, "1|10\n2|10");
    for queue in queues {
        queue.close().expect("it closes");
    }
}
