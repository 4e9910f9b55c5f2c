//! Deliveries that are kept.

use crate::support::{append, event, eventually, number, open, owed, settings, settlement};
use std::time::Duration;
use testkit::Postgres;
use webhook_queue::{DeadLetterLimits, Queue, Quotas, Settled, TargetStatistics, kept_name};
use webhook_queue_postgres::PostgresQueue;

/// Delivers all that `a` is owed, and keeps it; the time of each is its number.
fn deliver(queue: &PostgresQueue, numbers: std::ops::Range<u64>) {
    let count = numbers.clone().count();
    let events: Vec<_> = numbers
        .map(|at| event(at, &format!("k{at}"), &["a"]))
        .collect();
    append(queue, &events);
    let read = eventually(|| Some(owed(queue, "a")).filter(|it| it.len() == count));
    let kept = read.iter().map(|it| {
        let outcome = Settled::Kept {
            attempts: 3,
            delivered_at: 5_000_000 + it.number,
        };
        settlement(queue, "a", it, outcome).expect("the claims hold")
    });
    queue
        .commit(&[], &kept.collect::<Vec<_>>())
        .expect("a commit");
}

/// The numbers of the kept deliveries.
fn kept(queue: &PostgresQueue) -> Vec<u64> {
    let mut found = Vec::new();
    let visit = &mut |letter: webhook_queue::DeadLetter<'_>| {
        let at = number(letter.owed.id);
        assert_eq!((letter.target, letter.owed.attempts), ("a", 3));
        assert_eq!((letter.died_at, letter.note), (5_000_000 + at, &b""[..]));
        assert_eq!(letter.owed.body, format!("body {at}").as_bytes());
        found.push(at);
        std::ops::ControlFlow::Continue(())
    };
    let name = kept_name("a");
    queue
        .dead_letters(Some(&name), None, visit)
        .expect("a read");
    found
}

fn statistics(queue: &PostgresQueue) -> TargetStatistics {
    let targets = queue.statistics().expect("statistics").targets;
    assert_eq!(targets.len(), 1, "{targets:?}");
    targets.into_iter().next().expect("it is one")
}

fn limit(queue: &PostgresQueue, max_bytes: u64, age_ms: u64) {
    let limits = DeadLetterLimits {
        max_bytes,
        max_age: Duration::from_millis(age_ms),
        ..DeadLetterLimits::default()
    };
    queue.set_quotas(Quotas {
        retained: [("a".into(), limits)].into(),
        ..Quotas::default()
    });
}

#[test]
fn kept_deliveries_are_bounded_and_owed_again_to_the_worker_that_has_their_slots() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let queue = open(&postgres);
    limit(&queue, u64::MAX, 1_000_000);
    deliver(&queue, 0..40);
    assert_eq!(kept(&queue), (0..40).collect::<Vec<_>>());
    let of = statistics(&queue);
    assert_eq!((of.pending, of.dead, of.dead_bytes, of.kept), (0, 0, 0, 40));
    let each = of.kept_bytes / 40;
    let none = &mut |_: webhook_queue::DeadLetter<'_>| panic!("it is no dead letter");
    queue.dead_letters(None, None, none).expect("a read");

    // The bound of bytes holds after the next delivery, that of the age too.
    limit(&queue, 20 * each + each / 2, 1_000_000);
    deliver(&queue, 40..45);
    assert_eq!(kept(&queue), (25..45).collect::<Vec<_>>());
    assert_eq!(statistics(&queue).kept, 20);
    limit(&queue, u64::MAX, 10);
    deliver(&queue, 45..50);
    assert_eq!(kept(&queue), (39..50).collect::<Vec<_>>());

    // A process that has no slots replays them, and the one that has them gets them.
    let operator = PostgresQueue::open(webhook_queue_postgres::Settings {
        role: webhook_queue_postgres::Role::Operator,
        ..settings(&postgres)
    });
    let operator = operator.expect("the queue opens");
    let mut entries = Vec::new();
    let visit = &mut |letter: webhook_queue::DeadLetter<'_>| {
        entries.push(letter.owed.entry);
        std::ops::ControlFlow::Continue(())
    };
    let name = kept_name("a");
    operator
        .dead_letters(Some(&name), None, visit)
        .expect("a read");
    let replayed = operator.replay(&name, &entries[2..5]);
    assert_eq!(replayed.expect("a change"), 3);
    let again = eventually(|| Some(owed(&queue, "a")).filter(|it| it.len() == 3));
    assert!(again.iter().map(|it| it.number).eq(41..44));
    assert!(again.iter().all(|it| it.attempts == 0));
    eventually(|| (statistics(&queue).kept == 8).then_some(()));
    assert_eq!(statistics(&queue).dead, 0);
    let outcome = Settled::Kept {
        attempts: 3,
        delivered_at: 5_000_041,
    };
    let first = settlement(&queue, "a", &again[0], outcome).expect("the claims hold");
    // Twice in a commit, and again later: it is kept once.
    let twice = [first.clone(), first.clone()];
    queue.commit(&[], &twice).expect("a commit");
    queue.commit(&[], &[first]).expect("a commit");
    assert_eq!(statistics(&queue).kept, 9);

    // One that keeps none removes what was kept, and a dropped target takes it along.
    assert_eq!(
        operator.drop_dead(&name, &entries[..1]).expect("a change"),
        1
    );
    let trim = || queue.trim_dead_letters(5_000_055).expect("a change");
    eventually(|| (statistics(&queue).kept == 8).then_some(()));
    assert_eq!(trim(), [(name.as_str().into(), 3)]);
    assert!(trim().is_empty());
    assert_eq!(kept(&queue), (45..50).collect::<Vec<_>>());
    queue.set_quotas(Quotas::default());
    assert_eq!(trim(), [(name.as_str().into(), 5)]);
    limit(&queue, u64::MAX, 1_000_000);
    let rest = again[1..].iter();
    let rest = rest.map(|it| settlement(&queue, "a", it, Settled::Delivered));
    let rest: Vec<_> = rest.map(|it| it.expect("the claims hold")).collect();
    queue.commit(&[], &rest).expect("a commit");
    deliver(&queue, 60..63);
    assert_eq!(operator.drop_target("a").expect("a change"), 3);
    for queue in [queue, operator] {
        queue.close().expect("it closes");
    }
}
