//! What a commit stores, settles and answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use testkit::{DEADLINE, Postgres};
use webhook_queue::{Queue, Settled, SettlementResult, TargetStatistics};
use webhook_queue_postgres::{PostgresQueue, Settings};

use crate::support::{append, event, eventually, numbers, open, owed, settings, settlement};

#[test]
fn what_is_appended_is_owed_in_order_until_it_is_settled_and_over_reopening() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let queue = open(&postgres);
    let events: Vec<_> = (0..200)
        .map(|at| event(at, &format!("k{}", at % 7), &["a", "b"]))
        .collect();
    for group in events.chunks(70) {
        append(&queue, group);
    }
    assert_eq!(numbers(&queue, "a", 200), (0..200).collect::<Vec<_>>());
    let read = owed(&queue, "a");
    let settle = |read: &[_]| {
        let all = read
            .iter()
            .map(|it| settlement(&queue, "a", it, Settled::Delivered));
        let all: Vec<_> = all.collect::<Option<_>>().expect("the claims hold");
        queue.commit(&[], &all).unwrap().settled
    };
    assert!(
        settle(&read[..150])
            .iter()
            .all(|it| *it == SettlementResult::Applied)
    );
    assert!(
        settle(&read[..150])
            .iter()
            .all(|it| *it == SettlementResult::NotOwed)
    );
    assert_eq!(numbers(&queue, "a", 50), (150..200).collect::<Vec<_>>());
    assert_eq!(numbers(&queue, "b", 200).len(), 200);
    let statistics = queue.statistics().unwrap();
    let pending = statistics
        .targets
        .iter()
        .map(|it| (&*it.target, it.pending));
    assert_eq!(pending.collect::<Vec<_>>(), [("a", 50), ("b", 200)]);
    queue.close().unwrap();
    let queue = open(&postgres);
    eventually(|| (owed(&queue, "a").len() == 50).then_some(()));
    // The age of the oldest is known as of a moment ago.
    let counts = |targets: &[TargetStatistics]| {
        let counts = targets.iter().map(|it| TargetStatistics {
            oldest_accepted_at: None,
            ..it.clone()
        });
        counts.collect::<Vec<_>>()
    };
    let again = queue.statistics().unwrap();
    assert_eq!(counts(&again.targets), counts(&statistics.targets));
    assert_eq!(again.targets[0].oldest_accepted_at, Some(1_000_150));
    assert_eq!(owed(&queue, "a")[0].body, b"body 150");
    queue.close().unwrap();
}

#[test]
fn no_row_is_updated_or_deleted_for_an_event_that_is_delivered() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let queue = open(&postgres);
    let events: Vec<_> = (0..600)
        .map(|at| event(at, &format!("k{}", at % 7), &["a"]))
        .collect();
    for group in events.chunks(100) {
        append(&queue, group);
    }
    numbers(&queue, "a", 600);
    for read in owed(&queue, "a").chunks(100) {
        let attempted = |it| {
            let outcome = Settled::Attempted {
                attempts: 1,
                not_before: 9,
            };
            settlement(&queue, "a", it, outcome)
        };
        let attempted: Vec<_> = read.iter().take(10).filter_map(attempted).collect();
        queue.commit(&[], &attempted).unwrap();
        let all = read
            .iter()
            .filter_map(|it| settlement(&queue, "a", it, Settled::Delivered));
        let all: Vec<_> = all.collect();
        queue.commit(&[], &all).unwrap();
    }
    assert!(owed(&queue, "a").is_empty());
    queue.close().unwrap();
    let count = |columns: &str| {
        postgres.query(&format!(
            "SELECT sum({columns}) FROM pg_stat_user_tables WHERE schemaname = 'webhook' \
             AND relname NOT IN ('worker', 'slot', 'segment')"
        ))
    };
    // 600 events, 18 rows of the log, 1 target, 3 rows of meta, and the head.
    let inserted = eventually(|| {
        let rows = postgres
            .query("SELECT count(*) FROM webhook.log")
            .parse::<u64>();
        let rows = rows.unwrap() + 600 + 1 + 3 + 1;
        (count("n_tup_ins") == rows.to_string()).then_some(rows)
    });
    assert_eq!(inserted, 623);
    assert_eq!(count("n_tup_upd + n_tup_del + n_dead_tup"), "0");
}

#[test]
fn segments_are_truncated_while_there_is_always_a_call_that_waits() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    drop(open(&postgres));
    let is_done = AtomicBool::new(false);
    let writer = &|at: u64| {
        let queue = PostgresQueue::open(Settings {
            segment_bytes: 64 << 10,
            ..settings(&postgres)
        });
        let queue = queue.expect("it opens");
        let begun = Instant::now();
        for group in 0.. {
            if is_done.load(Ordering::SeqCst) || begun.elapsed() > DEADLINE {
                break;
            }
            let events: Vec<_> = (0..8)
                .map(|it| event((at << 32) + 8 * group + it, &format!("k{it}"), &["a"]))
                .collect();
            append(&queue, &events);
            let settled = owed(&queue, "a").into_iter();
            let settled = settled.filter_map(|it| settlement(&queue, "a", &it, Settled::Delivered));
            let settled: Vec<_> = settled.collect();
            queue.commit(&[], &settled).expect("a commit");
        }
        queue.close().expect("it closes");
    };
    thread::scope(|scope| {
        for at in 0..6 {
            scope.spawn(move || writer(at));
        }
        let truncated = "SELECT min(ordinal) > 4 FROM webhook.segment";
        eventually(|| (postgres.query(truncated) == "t").then_some(()));
        is_done.store(true, Ordering::SeqCst);
    });
}
