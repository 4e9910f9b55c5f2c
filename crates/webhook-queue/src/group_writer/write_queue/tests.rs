//! What waits, without a writer: the tests look at what it would do.

use super::*;
use crate::{EntryId, EventId, SlotGuard};

const LONG: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

fn event(key: &str, size: usize) -> Event {
    let body = vec![b' '; size];
    Event::new(EventId([7; 16]), key.as_bytes(), body, 0, ["t"])
}

fn waiting(event: Event) -> Waiting<()> {
    let wait = Wait::new(Some(now() + LONG), None);
    Waiting::new(event, (), wait)
}

fn queue(limits: Limits) -> WriteQueue<()> {
    WriteQueue::new(limits)
}

fn append(queue: &WriteQueue<()>, event: Event, deadline: Option<Instant>) -> bool {
    let until = Some(now() + LONG);
    queue.append(event, (), deadline, until, None).is_ok()
}

fn settle(queue: &WriteQueue<()>, entry: u64) {
    queue.settle(Settlement {
        target: "t".into(),
        entry: EntryId(entry),
        outcome: crate::Settled::Delivered,
        guard: SlotGuard::SOLE,
    });
}

/// The lengths of the bodies of the events that are written next, and the entries that are settled.
fn written(work: Work<()>) -> (Vec<usize>, Vec<u64>) {
    let Work::Write(events, settlements) = work else {
        panic!("nothing is written");
    };
    let entries = settlements.iter().map(|it| it.entry.0).collect();
    (sizes(&events), entries)
}

fn sizes<'w>(events: impl IntoIterator<Item = &'w Waiting<()>>) -> Vec<usize> {
    let sizes = events.into_iter().map(|it| it.event.body.len());
    sizes.collect()
}

fn full() -> Arc<QueueError> {
    Arc::new(QueueError::Full { used: 1, max: 1 })
}

fn no_space() -> Arc<QueueError> {
    Arc::new(QueueError::NoSpace {
        source: std::io::ErrorKind::StorageFull.into(),
    })
}

#[test]
fn an_event_holds_up_those_that_may_not_overtake_it_or_need_as_much_room() {
    let with = |event: Event, sequence: Option<&Sequence>, does_not_fit| {
        let mut waiting = waiting(event);
        waiting.wait.sequence = sequence.cloned();
        waiting.wait.does_not_fit = does_not_fit;
        waiting
    };
    let (one, another) = (Sequence::default(), Sequence::default());
    let short = |sequence| with(event("b", 10), sequence, false);
    for does_not_fit in [true, false] {
        let first = with(event("a", 100), Some(&one), does_not_fit);
        assert!(first.holds_up(&with(event("a", 10), None, false)));
        assert!(first.holds_up(&short(Some(&one))));
        assert!(!first.holds_up(&short(Some(&another))));
        assert!(!first.holds_up(&short(None)));
        for (size, targets, as_much) in [
            (100, ["t", "u"], true),
            (101, ["t", "u"], true),
            (99, ["t", "u"], false),
        ] {
            let mut other = event("b", size);
            other.targets = targets.map(Into::into).into();
            let other = waiting(other);
            assert_eq!(first.holds_up(&other), does_not_fit && as_much);
        }
        let nowhere = Event {
            targets: [].into(),
            ..event("b", 100)
        };
        assert!(!first.holds_up(&waiting(nowhere)));
    }
}

#[test]
fn keys_bodies_and_attributes_wait_up_to_their_bound_of_bytes() {
    let queue = queue(Limits {
        waiting_bytes: 100,
        ..Limits::default()
    });
    let first = Event {
        attributes: [0; 60].into(),
        ..event("a", 10)
    };
    assert!(append(&queue, first, None));
    assert!(!append(&queue, event("a", 29), None));
    assert!(append(&queue, event("a", 28), None));
    assert!(!append(&queue, event("", 1), None));
}

#[test]
fn a_writer_that_waits_for_events_is_woken_by_so_many_or_by_as_many_bytes() {
    let queue = queue(Limits {
        group_bytes: 100,
        ..Limits::default()
    });
    let sleep = |events| {
        queue.lock().sleep = Some(Sleep {
            until: None,
            events,
        })
    };
    sleep(2);
    assert!(append(&queue, event("", 10), None));
    assert!(queue.lock().sleep.is_some());
    assert!(append(&queue, event("", 10), None));
    assert!(queue.lock().sleep.is_none());
    sleep(10);
    assert!(append(&queue, event("", 79), None));
    assert!(queue.lock().sleep.is_some());
    assert!(append(&queue, event("", 1), None));
    assert!(queue.lock().sleep.is_none());
}

#[test]
fn a_caller_without_room_ends_the_wait_of_events_for_others() {
    let queue = queue(Limits {
        waiting_events: 1,
        ..Limits::default()
    });
    assert!(append(&queue, event("", 10), None));
    for gathering in [
        None,
        Some(Gathering {
            until: now() + LONG,
            events: 5,
        }),
    ] {
        let sleep = Sleep {
            until: None,
            events: 5,
        };
        let mut state = queue.lock();
        (state.sleep, state.gathering) = (Some(sleep), gathering);
        drop(state);
        assert!(!append(&queue, event("", 10), Some(now() + MS)));
        let state = queue.lock();
        assert_eq!(state.sleep.is_none(), gathering.is_some());
        assert_eq!((state.gathering, state.waiting_for_room), (None, 0));
    }
}

#[test]
fn settlements_wait_for_others_until_their_time_or_as_long_as_they_are_not_asked_for() {
    let limits = Limits {
        settle_within: LONG,
        group_settlements: 1,
        ..Limits::default()
    };
    let queue = queue(limits.clone());
    let settles = |at| queue.lock().settles(at, &limits);
    // There is nothing to ask for.
    queue.flush();
    let begun = now();
    settle(&queue, 1);
    assert!(!settles(begun) && !settles(begun + LONG - MS) && settles(now() + LONG));
    settle(&queue, 2);
    queue.flush();
    assert_eq!(written(queue.next()), (vec![], vec![1]));
    assert_eq!(written(queue.next()), (vec![], vec![2]));
    settle(&queue, 3);
    assert!(!settles(now()));
    assert_eq!(queue.statistics().waiting_settlements, 1);
    // They wait from the end of a commit on.
    queue.unblock(0, Duration::ZERO, true);
    assert!(!settles(now()) && settles(now() + LONG));
    queue.lock().passed.push_back(waiting(event("", 10)));
    assert!(settles(now()), "they make room");
}

#[test]
fn a_writer_is_woken_for_a_settlement_that_it_would_sleep_too_long_for() {
    let queue = queue(Limits {
        settle_within: LONG,
        ..Limits::default()
    });
    let is_woken = |until| {
        let sleep = Sleep { until, events: 1 };
        queue.lock().sleep = Some(sleep);
        settle(&queue, 1);
        queue.lock().sleep.is_none()
    };
    assert!(is_woken(None));
    let at = queue.lock().settle_at(&queue.limits).unwrap();
    assert!(is_woken(Some(at + MS)));
    assert!(!is_woken(Some(at)));
    assert!(!is_woken(Some(at - MS)));
}

#[test]
fn events_wait_for_others_until_their_time_a_settlement_or_the_end() {
    let queue = queue(Limits::default());
    let gather = |until| {
        let gathering = Gathering { until, events: 5 };
        queue.lock().gathering = Some(gathering);
    };
    assert!(append(&queue, event("", 10), None));
    let until = now() + 20 * MS;
    gather(until);
    assert_eq!(written(queue.next()), (vec![10], vec![]));
    assert!(now() >= until);
    assert!(append(&queue, event("", 20), None));
    settle(&queue, 1);
    gather(now() + LONG);
    assert_eq!(written(queue.next()), (vec![20], vec![1]));
    assert!(append(&queue, event("", 30), None));
    gather(now() + LONG);
    queue.close();
    assert_eq!(written(queue.next()), (vec![30], vec![]));
    assert!(matches!(queue.next(), Work::End));
}

/// Takes what waits, as a writer whose wait has ended, and reports this failure.
fn fail(queue: &WriteQueue<()>, error: Arc<QueueError>) -> Left<()> {
    queue.lock().blocked = None;
    let Work::Write(events, _) = queue.next() else {
        panic!("nothing is written");
    };
    queue.block(events, &error)
}

#[test]
fn an_event_without_room_holds_up_all_others_for_a_second_and_then_those_that_it_must() {
    let queue = queue(Limits::default());
    let events = [event("a", 100), event("a", 10), event("b", 20)];
    for event in events {
        assert!(append(&queue, event, None));
    }
    for _ in 0..2 {
        let left = fail(&queue, full());
        assert!(left.refused.is_empty() && left.passing.is_empty());
        assert_eq!(sizes(&queue.lock().events), [100, 10, 20]);
        assert!(queue.lock().blocked.is_some());
    }
    // A second later, a failure of the disk lets none of them pass.
    for waiting in &mut queue.lock().events {
        waiting.wait.since = Some(now() - RETRY);
    }
    assert!(fail(&queue, no_space()).passing.is_empty());
    assert_eq!(queue.lock().events.len(), 3);
    let left = fail(&queue, full());
    assert_eq!(sizes(&left.passing), [20]);
    assert_eq!(sizes(&queue.lock().passed), [100, 10]);
    assert!(left.refused.is_empty() && queue.lock().blocked.is_none());
    // Nor does a later one that it must hold up overtake it.
    assert!(append(&queue, event("a", 30), None));
    assert!(append(&queue, event("b", 40), None));
    assert_eq!(written(queue.next()), (vec![40], vec![]));
    // A settlement makes room; a commit without one does not.
    queue.unblock(1, Duration::ZERO, false);
    assert_eq!(sizes(&queue.lock().passed), [100, 10, 30]);
    queue.unblock(1, Duration::ZERO, true);
    assert_eq!(sizes(&queue.lock().events), [100, 10, 30]);
}

#[test]
fn events_that_let_others_pass_are_bounded_as_those_that_wait() {
    let limits = Limits {
        waiting_events: 2,
        waiting_bytes: 100,
        ..Limits::default()
    };
    let queue = queue(limits.clone());
    let has_room = |passed: &[usize]| {
        let mut state = queue.lock();
        state.passed = passed
            .iter()
            .map(|&size| waiting(event("", size)))
            .collect();
        state.has_room_for_passed(&limits)
    };
    assert!(has_room(&[]) && has_room(&[99]));
    assert!(!has_room(&[100]) && !has_room(&[10, 10]));
    // The next one has to wait where it is, and so do those behind it.
    for (key, size) in [("b", 1), ("", 2)] {
        assert!(append(&queue, event(key, size), None));
    }
    queue.lock().events.push_back(waiting(event("b", 3)));
    assert_eq!(written(queue.next()), (vec![1], vec![]));
    assert_eq!(sizes(&queue.lock().events), [2, 3]);
    // Without room for another, an event that has waited for a second holds up all others.
    let mut state = queue.lock();
    state.events.clear();
    let mut first = waiting(event("c", 50));
    first.wait.since = Some(now() - RETRY);
    drop(state);
    let left = queue.block(vec![first, waiting(event("d", 4))], &full());
    assert!(left.passing.is_empty());
    assert_eq!(sizes(&queue.lock().events), [50, 4]);
}

#[test]
fn the_pause_after_a_failure_of_the_disk_grows_up_to_a_second_until_a_commit_succeeds() {
    let queue = queue(Limits::default());
    assert!(append(&queue, event("", 10), None));
    for pause in [50, 100, 200, 400, 800, 1000, 1000] {
        assert_eq!(queue.lock().pause, pause * MS);
        fail(&queue, no_space());
    }
    queue.unblock(0, Duration::ZERO, false);
    let state = queue.lock();
    assert_eq!(state.pause, FIRST_RETRY);
    assert!(state.blocked.is_none());
}

#[test]
fn a_writer_that_has_ended_takes_nothing_and_leaves_the_settlements() {
    let queue = queue(Limits::default());
    settle(&queue, 1);
    settle(&queue, 2);
    assert!(append(&queue, event("", 10), None));
    assert!(!queue.statistics().ended);
    queue.stop();
    settle(&queue, 3);
    assert!(!append(&queue, event("", 10), None));
    let statistics = queue.statistics();
    assert!(statistics.ended);
    assert_eq!(
        (statistics.waiting_events, statistics.waiting_settlements),
        (0, 2)
    );
    let abandoned = queue.abandoned();
    assert!(abandoned.iter().map(|it| it.entry.0).eq([1, 2]));
}
