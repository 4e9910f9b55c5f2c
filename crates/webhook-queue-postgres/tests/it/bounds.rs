//! Room, quotas, and what is known for a while: keys, states, dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use testkit::Postgres;
use webhook_queue::{
    Accepted, DeadLetterLimits, DuplicateWindow, Event, EventId, LastState, Queue, QueueError,
    Quotas, Settled,
};
use webhook_queue_postgres::{PostgresQueue, Settings};

use crate::support::{append, event, eventually, numbers, owed, settings, settlement};

fn once(number: u64, key: &str, at: u64) -> Event {
    Event {
        idempotency_key: Some(key.as_bytes().into()),
        accepted_at: at,
        ..event(number, "k", &["a"])
    }
}

fn with_state(number: u64, key: &str, state: &str) -> Event {
    Event {
        last_state: Some(Box::new(LastState {
            key: key.as_bytes().into(),
            state: state.as_bytes().into(),
            append_previous: true,
            changes_only: [Arc::from("b")].into(),
        })),
        attributes: (*b"+").into(),
        ..event(number, key, &["a", "b"])
    }
}

fn id(number: u64) -> EventId {
    event(number, "", &[]).id
}

fn try_open(settings: Settings) -> PostgresQueue {
    PostgresQueue::open(settings).expect("it opens")
}

#[test]
fn two_processes_know_each_others_idempotency_keys_for_their_time_and_number() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let window = DuplicateWindow {
        age_ms: 1000,
        keys: 3,
    };
    let open = || {
        try_open(Settings {
            window,
            ..settings(&postgres)
        })
    };
    let [queue, other] = [open(), open()];
    let repeated = |queue, event| append(queue, &[event])[0].duplicate_of();
    assert_eq!(repeated(&queue, once(1, "x", 5_000)), None);
    assert_eq!(repeated(&other, once(2, "x", 5_500)), Some(id(1)));
    // In one group as well; and later than its time, it is new.
    let group = [
        once(3, "x", 5_999),
        once(4, "x", 6_000),
        once(5, "x", 6_001),
    ];
    let found: Vec<_> = append(&other, &group)
        .iter()
        .map(Accepted::duplicate_of)
        .collect();
    assert_eq!(found, [Some(id(1)), None, Some(id(4))]);
    // The fourth key replaces the first.
    append(&queue, &[once(6, "y", 6_001), once(7, "z", 6_001)]);
    assert_eq!(repeated(&queue, once(8, "x", 6_002)), Some(id(4)));
    append(&queue, &[once(9, "w", 6_002)]);
    assert_eq!(repeated(&other, once(10, "x", 6_003)), None);
    assert!(queue.is_repetition(b"w", b"body 9").expect("a read"));
    assert!(!other.is_repetition(b"w", b"body 10").expect("a read"));
    assert!(other.is_repetition(b"never", b"body").expect("a read"));
    // What is past the bounds is removed after a while.
    for at in 0..80 {
        let group: Vec<_> = (0..10)
            .map(|n| once(100 + at * 10 + n, &format!("{at} {n}"), 9_000))
            .collect();
        append(&queue, &group);
    }
    let left: u64 = postgres
        .query("SELECT count(*) FROM webhook.known")
        .parse()
        .expect("a number");
    assert!(left < 300, "{left}");
    for queue in [queue, other] {
        queue.close().expect("it closes");
    }
}

#[test]
fn an_event_that_changes_no_state_is_dropped_whichever_process_saw_the_state() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let open = || {
        try_open(Settings {
            max_last_states: 2,
            ..settings(&postgres)
        })
    };
    let [queue, other] = [open(), open()];
    let first = append(&queue, &[with_state(1, "s", "on")]);
    assert!(matches!(first[..], [Accepted::Stored(_)]), "{first:?}");
    let group = [
        with_state(2, "s", "on"),
        with_state(3, "s", "off"),
        with_state(4, "s", "off"),
    ];
    let found = append(&other, &group);
    assert!(
        found[0].is_unchanged() && found[2].is_unchanged(),
        "{found:?}"
    );
    assert_eq!(found[1].previous_state().map(|it| &**it), Some(&b"on"[..]));
    assert_eq!(
        queue.last_state(b"s").expect("a read").as_deref(),
        Some(&b"off"[..])
    );
    // The first event had no state before it, and is not for the target that wants changes alone.
    let read = |target: &str, count| {
        eventually(|| {
            let found = [owed(&queue, target), owed(&other, target)].concat();
            (found.len() == count).then_some(found)
        })
    };
    let mut found = read("a", 2);
    found.sort_by_key(|it| it.entry);
    assert_eq!(
        found.iter().map(|it| &*it.attributes).collect::<Vec<_>>(),
        [&b"+"[..], b"+on"]
    );
    assert_eq!(read("b", 1)[0].number, 3);
    // Those that were not changed for longest are forgotten.
    append(&queue, &[with_state(5, "t", "on")]);
    append(&queue, &[with_state(6, "u", "on")]);
    assert_eq!(queue.last_state(b"s").expect("a read"), None);
    assert!(queue.last_state(b"t").expect("a read").is_some());
    assert_eq!(queue.statistics().expect("statistics").last_states, 2);
    for queue in [queue, other] {
        queue.close().expect("it closes");
    }
}

#[test]
fn a_full_queue_and_a_target_over_its_quota_refuse_events_until_some_are_settled() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let queue = try_open(Settings {
        max_bytes: 20_000,
        ..settings(&postgres)
    });
    let large = |number, targets: &[&str]| Event {
        body: vec![b'x'; 3_000].into(),
        ..event(number, "k", targets)
    };
    let too_large = Event {
        body: vec![b'x'; 30_000].into(),
        ..event(0, "k", &["a"])
    };
    let error = queue
        .commit(&[too_large], &[])
        .expect_err("it is too large");
    assert!(matches!(error, QueueError::TooLarge { .. }), "{error:?}");
    queue.set_quotas(Quotas {
        owed: BTreeMap::from([("a".into(), Some(7_000)), ("b".into(), Some(12_000))]),
        ..Quotas::default()
    });
    append(&queue, &[large(1, &["a"]), large(2, &["a", "b"])]);
    let found = append(&queue, &[large(3, &["a"]), large(4, &["a", "b"])]);
    let over: Vec<_> = found.iter().map(|it| it.over_quota().to_vec()).collect();
    assert_eq!(over, [vec![Arc::from("a")], vec![Arc::from("a")]]);
    assert!(
        matches!(found[..], [Accepted::OverQuota(_), Accepted::Partly { .. }]),
        "{found:?}"
    );
    let error = queue
        .commit(&[large(5, &["a", "b"]), large(6, &["a", "b"])], &[])
        .expect_err("it is full");
    assert!(matches!(error, QueueError::Full { .. }), "{error:?}");
    // A repetition needs no room.
    append(
        &queue,
        &[Event {
            body: Arc::default(),
            ..once(7, "x", 1)
        }],
    );
    queue.set_quotas(Quotas::default());
    let full = Event {
        body: vec![b'x'; 19_000].into(),
        ..once(8, "x", 1)
    };
    assert_eq!(append(&queue, &[full])[0].duplicate_of(), Some(id(7)));
    assert_eq!(numbers(&queue, "a", 3), [1, 2, 7]);
    let read = owed(&queue, "a");
    let settled: Vec<_> = read
        .iter()
        .filter_map(|it| settlement(&queue, "a", it, Settled::Dropped))
        .collect();
    queue.commit(&[], &settled).expect("a commit");
    append(&queue, &[large(9, &["a"]), large(10, &["a"])]);
    let statistics = queue.statistics().expect("statistics");
    assert_eq!(statistics.bytes, 4 * (3_000 + 96 + 1));
    queue.close().expect("it closes");
}

#[test]
fn dead_letters_are_kept_replayed_dropped_and_trimmed() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let queue = try_open(settings(&postgres));
    let events: Vec<_> = (0..40)
        .map(|at| event(at, &format!("k{at}"), &["a"]))
        .collect();
    append(&queue, &events);
    numbers(&queue, "a", 40);
    let read = owed(&queue, "a");
    let die = |queue: &PostgresQueue, read: &[crate::support::Read]| {
        let dead = |it: &crate::support::Read| Settled::Dead {
            attempts: u32::MAX,
            died_at: 5_000_000 + it.number,
            note: format!("note {}", it.number).into_bytes(),
        };
        let all = read
            .iter()
            .filter_map(|it| settlement(queue, "a", it, dead(it)));
        queue
            .commit(&[], &all.collect::<Vec<_>>())
            .expect("a commit");
    };
    die(&queue, &read[..30]);
    let letters = |queue: &PostgresQueue| {
        let mut found = Vec::new();
        let visit = &mut |letter: webhook_queue::DeadLetter<'_>| {
            assert_eq!((letter.target, letter.owed.attempts), ("a", u32::MAX));
            let number = crate::support::number(letter.owed.id);
            assert_eq!(letter.note, format!("note {number}").as_bytes());
            assert_eq!(letter.owed.body, format!("body {number}").as_bytes());
            assert_eq!(letter.died_at, 5_000_000 + number);
            found.push(number);
            std::ops::ControlFlow::Continue(())
        };
        queue.dead_letters(None, None, visit).expect("a read");
        found
    };
    assert_eq!(letters(&queue), (0..30).collect::<Vec<_>>());
    let entries: Vec<_> = read[..10].iter().map(|it| it.entry).collect();
    assert_eq!(queue.drop_dead("a", &entries[..5]).expect("a change"), 5);
    assert_eq!(queue.drop_dead("a", &entries[..5]).expect("a change"), 0);
    assert_eq!(queue.replay("a", &entries).expect("a change"), 5);
    assert_eq!(queue.replay("none", &entries).expect("a change"), 0);
    let found = eventually(|| {
        let found = owed(&queue, "a");
        (found.len() == 15).then_some(found)
    });
    let found: Vec<_> = found.iter().map(|it| (it.number, it.attempts)).collect();
    assert_eq!(
        found,
        (5..10).chain(30..40).map(|at| (at, 0)).collect::<Vec<_>>()
    );
    // Replayed ones can be settled again, and die again.
    die(&queue, &read[5..7]);
    assert_eq!(letters(&queue), (5..7).chain(10..30).collect::<Vec<_>>());
    let limits = |max_count, max_age| {
        queue.set_quotas(Quotas {
            dead_letters: DeadLetterLimits {
                max_count,
                max_age,
                ..DeadLetterLimits::default()
            },
            ..Quotas::default()
        });
    };
    let trim = || {
        let mut all = 0;
        loop {
            match &queue.trim_dead_letters(5_000_030).expect("a change")[..] {
                [] => return all,
                removed => all += removed.iter().map(|it| it.1).sum::<u64>(),
            }
        }
    };
    limits(20, Duration::MAX);
    assert_eq!(trim(), 2);
    assert_eq!(letters(&queue), (10..30).collect::<Vec<_>>());
    limits(u64::MAX, Duration::from_millis(10));
    assert_eq!(trim(), 10);
    assert_eq!(letters(&queue), (20..30).collect::<Vec<_>>());
    let statistics = &queue.statistics().expect("statistics").targets[0];
    assert_eq!((statistics.pending, statistics.dead), (13, 10));

    let [hold, none] = [7_000_000, 0].map(|until| Settled::Held {
        until,
        note: b"why".to_vec(),
    });
    let held = |outcome| {
        let read = &read[0];
        let held = settlement(&queue, "a", read, outcome).expect("the claims hold");
        queue.commit(&[], &[held]).expect("a commit");
        queue.hold("a").expect("a read")
    };
    let found = held(hold).expect("a hold");
    assert_eq!((found.until, &*found.note), (7_000_000, &b"why"[..]));
    assert_eq!(held(none), None);

    // Another process has the target's old number, and stores for the new one.
    let other = try_open(settings(&postgres));
    assert_eq!(queue.drop_target("a").expect("a change"), 23);
    assert_eq!(queue.statistics().expect("statistics").targets, []);
    append(&other, &[event(50, "k", &["a"])]);
    let pending = || Some(queue.statistics().ok()?.targets.first()?.pending);
    eventually(|| (pending() == Some(1)).then_some(()));
    assert!(letters(&queue).is_empty());
    for queue in [queue, other] {
        queue.close().expect("it closes");
    }
}
