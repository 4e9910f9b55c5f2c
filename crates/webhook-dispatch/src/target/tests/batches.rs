//! The rules of batches.

use super::*;
use crate::target::breaker::Health;

fn sorted(handed: &[Handed]) -> Vec<Vec<u64>> {
    let mut numbers = numbers(handed);
    numbers.sort();
    numbers
}

/// A target with batches of up to so many events, and an attempt at one of as many tasks.
fn with_batch(most: usize) -> (Setup, Handed) {
    let mut setup = Setup::new(batches(most));
    setup.accept_tasks(most as u64);
    let handed = setup.attempt();
    assert_eq!(handed.0.count(), u32::try_from(most).unwrap());
    (setup, handed)
}

#[test]
fn each_result_says_something_about_the_receiver() {
    let health = |events, result| {
        let (_, (batch, permit)) = with_batch(events);
        let attempt = Attempt {
            batch,
            batch_id: None,
            permit,
            result,
            started_at: 0,
            took: Duration::ZERO,
        };
        attempt.health()
    };
    assert_eq!(health(1, status(200)), Health::Delivered);
    assert_eq!(health(1, status(422)), Health::Refused);
    assert_eq!(
        health(2, status(422)),
        Health::Answered,
        "one of them, likely"
    );
    assert_eq!(health(2, taken(&[true, false])), Health::Delivered);
    assert_eq!(health(2, taken(&[false, false])), Health::ServerError);
    for asks_for_a_pause in [408, 429, 503] {
        assert_eq!(health(1, status(asks_for_a_pause)), Health::Unreachable);
    }
    for answered in [301, 404, 407, 410, 428, 431] {
        assert_eq!(health(1, status(answered)), Health::Answered);
    }
    for failed in [500, 502, 504] {
        assert_eq!(health(1, status(failed)), Health::ServerError);
    }
    assert_eq!(health(1, AttemptResult::panicked("")), Health::ServerError);
    for kind in [
        TransportErrorKind::Connect,
        TransportErrorKind::Timeout,
        TransportErrorKind::Io,
        TransportErrorKind::Token,
    ] {
        assert_eq!(health(1, error(kind)), Health::Unreachable, "{kind:?}");
    }
}

#[test]
fn a_refused_batch_is_halved_after_the_time_that_the_receiver_asks_for() {
    let (mut setup, handed) = with_batch(4);
    let decision = setup.end(handed, answer(422, Some("30")));
    assert_eq!(follows(&decision), Some(NextStep::Retry(30 * SECOND)));
    let at = setup.at.epoch_ms() + 30_000;
    assert_eq!(
        stored(&decision),
        [at, at, at + 1, at + 1],
        "each half is a batch"
    );
    setup.pass(30 * SECOND - MS);
    assert!(setup.attempts().is_empty());
    setup.pass(MS);
    assert_eq!(sorted(&setup.attempts()), [[1, 2], [3, 4]]);
}

#[test]
fn halving_uses_up_no_attempt_of_an_event() {
    let mut setup = Setup::new(|target| batches(2)(target.retry(policy(Some(2)))));
    setup.accept_tasks(2);
    let handed = setup.attempt();
    setup.end(handed, status(422));
    for handed in setup.attempts() {
        assert_eq!(follows(&setup.end(handed, status(500))), RETRY);
    }
}

#[test]
fn a_batch_that_no_request_can_be_made_of_is_halved_and_others_keep_their_size() {
    let unsendable = || error(TransportErrorKind::Unsendable);
    let (mut setup, handed) = with_batch(4);
    setup.end(handed, unsendable());
    setup.accept_tasks(4);
    let mut handed = setup.attempts();
    assert_eq!(sorted(&handed), [vec![1, 2], vec![3, 4], vec![5, 6, 7, 8]]);
    let half = handed
        .iter()
        .position(|(batch, _)| batch.len() == 2)
        .unwrap();
    setup.end(handed.remove(half), unsendable());
    let alone = setup.attempts();
    assert_eq!(sorted(&alone), [[1], [2]]);
    for handed in alone {
        let decision = setup.end(handed, unsendable());
        let dead = NextStep::DeadLetter(Reason::Unsendable);
        assert_eq!(follows(&decision), Some(dead));
    }
}

#[test]
fn a_batch_is_halved_at_its_third_failure_unless_the_receiver_cannot_be_reached() {
    let halves = |result: &dyn Fn() -> AttemptResult| {
        let (mut setup, mut handed) = with_batch(4);
        for failures in 1..=4 {
            setup.end(handed, result());
            setup.pass(BACK_OFF);
            let mut next = setup.attempts();
            if next.len() > 1 {
                assert_eq!(sorted(&next), [[1, 2], [3, 4]]);
                return Some(failures);
            }
            handed = next.remove(0);
        }
        None
    };
    assert_eq!(halves(&|| status(500)), Some(3));
    assert_eq!(halves(&|| status(404)), Some(3));
    assert_eq!(halves(&timeout), Some(3));
    assert_eq!(halves(&|| status(431)), Some(1));
    assert_eq!(halves(&|| taken(&[])), Some(3));
    assert_eq!(halves(&|| taken(&[false; 4])), None, "it names the events");
    for asks_for_a_pause in [408, 429, 503] {
        assert_eq!(halves(&|| status(asks_for_a_pause)), None);
    }
    for kind in [TransportErrorKind::Connect, TransportErrorKind::Token] {
        assert_eq!(halves(&|| error(kind)), None, "{kind:?}");
    }
}

#[test]
fn batches_are_half_as_large_after_a_failure_and_grow_with_each_delivery() {
    let (mut setup, handed) = with_batch(8);
    setup.end(handed, timeout());
    setup.accept_tasks(8);
    let handed = setup.attempt();
    assert_eq!(handed.0.len(), 8, "it says nothing about their number");
    setup.end(handed, status(500));
    setup.accept_tasks(8);
    let handed = setup.attempts();
    assert_eq!(numbers(&handed), [[17, 18, 19, 20], [21, 22, 23, 24]]);
    for handed in handed {
        setup.end(handed, status(200));
    }
    // That of a single event does not count.
    setup.accept_tasks(1);
    let handed = setup.attempt();
    setup.end(handed, status(500));
    setup.accept_tasks(7);
    let handed = setup.attempts();
    assert_eq!(numbers(&handed), [[26, 27, 28, 29, 30, 31]]);
    setup.end_all(handed, &|| status(500));
    setup.accept_tasks(2);
    assert_eq!(setup.attempt().0.len(), 3);
}

#[test]
fn after_a_413_batches_have_half_of_its_bytes_until_others_are_delivered() {
    let largest = |deliveries: u64, bytes: usize| {
        let mut setup = Setup::new(batches(8));
        for _ in 0..8 {
            setup.accept_bytes(setup.accepted, 100_000);
        }
        let handed = setup.attempt();
        assert_eq!(handed.0.len(), 8);
        setup.end(handed, status(413));
        for _ in 0..deliveries {
            setup.accept_tasks(1);
            let first = setup.attempts().remove(0);
            setup.end(first, status(200));
        }
        let last = setup.accepted;
        for _ in 0..2 {
            setup.accept_bytes(setup.accepted, bytes);
        }
        let mut handed = setup.attempts();
        handed.retain(|(batch, _)| number(batch.first.delivery.id) > last);
        handed[0].0.len()
    };
    assert_eq!(largest(0, 200_000), 2);
    assert_eq!(largest(0, 200_001), 1);
    // A delivery adds a 64th of the most bytes, which is 1 MiB.
    assert_eq!(largest(1, 200_000 + 8 * 1024), 2);
    assert_eq!(largest(1, 200_001 + 8 * 1024), 1);
}

#[test]
fn events_wait_for_others_only_while_requests_are_under_way() {
    let mut setup = Setup::new(batches(4));
    setup.accept_tasks(1);
    assert_eq!(numbers(&setup.attempts()), [[1]], "nothing is under way");
    setup.accept_tasks(3);
    assert!(setup.attempts().is_empty());
    setup.pass(5 * MS - Duration::from_micros(1));
    assert!(setup.attempts().is_empty());
    setup.accept_tasks(1);
    assert_eq!(numbers(&setup.attempts()), [[2, 3, 4, 5]], "it is full");
    setup.accept_bytes(6, 1 << 20);
    assert_eq!(numbers(&setup.attempts()), [[6]], "it is full of bytes");
    setup.accept_tasks(2);
    assert!(setup.attempts().is_empty());
    setup.pass(5 * MS);
    assert_eq!(
        numbers(&setup.attempts()),
        [[7, 8]],
        "it has waited long enough"
    );
}

#[test]
fn while_all_senders_are_busy_a_batch_grows_however_long_it_takes() {
    let mut setup = Setup::new(|target| batches(4)(target.concurrency(count(1))));
    setup.accept_tasks(1);
    let handed = setup.attempt();
    setup.accept_tasks(3);
    setup.pass(SECOND);
    assert!(setup.attempts().is_empty());
    setup.end(handed, status(200));
    assert_eq!(numbers(&setup.attempts()), [[2, 3, 4]]);
}

#[test]
fn a_batch_that_failed_waits_until_all_its_events_have_room_and_none_goes_without_them() {
    let mut setup = Setup::new(|target| batches(4)(target).window(count(16)));
    setup.accept_tasks(4);
    let handed = setup.attempt();
    setup.end(handed, timeout());
    let mut settlements = Vec::new();
    for _ in 0..13 {
        setup.accept_tasks(1);
        let handed = setup.attempt();
        settlements.extend(setup.end_unsynced(handed, status(200)).first.settlement);
    }
    setup.pass(BACK_OFF);
    assert!(setup.attempts().is_empty(), "there is room for three");
    assert!(setup.state.backlog.wants_sync());
    assert!(setup.state.backlog.wants_flush());
    setup.sync(&settlements[..1]);
    assert_eq!(numbers(&setup.attempts()), [[1, 2, 3, 4]]);
    assert!(!setup.state.backlog.wants_sync());
}

#[test]
fn a_rate_limit_bounds_a_new_batch_and_not_one_that_failed() {
    let (mut setup, handed) = with_batch(8);
    setup.end(handed, timeout());
    let rate = NonZeroU32::new(20);
    let limited = target(|target| batches(8)(target).max_per_second(rate));
    setup.state.reconfigure(&limited, setup.at.now);
    let handed = setup.attempt();
    assert_eq!(handed.0.len(), 8);
    setup.end(handed, status(200));
    setup.pass(SECOND);
    setup.accept_tasks(3);
    assert_eq!(
        numbers(&setup.attempts()),
        [[9, 10]],
        "a tenth of a second's events"
    );
}

#[test]
fn an_event_of_a_batch_whose_claim_has_ended_is_left_out() {
    let mut setup = Setup::new(batches(4));
    setup.accept_tasks(3);
    let asked = std::cell::Cell::new(0);
    let handed = setup.attempts_with(|_| {
        asked.set(asked.get() + 1);
        (asked.get() != 2).then_some(SlotGuard::SOLE)
    });
    assert_eq!(numbers(&handed), [[1, 3]]);
    assert!(setup.state.take_claim_ended());
}

#[test]
fn batches_that_are_aborted_together_are_two_batches_after_a_restart() {
    let stopped = || error(TransportErrorKind::Stopped);
    let (mut setup, first) = with_batch(2);
    setup.accept_tasks(2);
    let second = setup.attempt();
    let (first, second) = (setup.end(first, stopped()), setup.end(second, stopped()));
    let (first, second) = (stored(&first), stored(&second));
    assert_eq!(first[0], first[1]);
    assert_eq!(second[0], second[1]);
    assert_ne!(first[0], second[0]);
    // They are due, and none has the time of one that was due before.
    let now = setup.at.epoch_ms();
    assert_eq!(
        (first[0].min(second[0]), first[0].max(second[0])),
        (now, now + 1)
    );
    let mut setup = Setup::new(|target| target);
    setup.accept(1);
    let handed = setup.attempt();
    assert_eq!(stored(&setup.end(handed, stopped())), [0]);
}

#[test]
fn an_event_is_not_given_up_before_one_of_its_task_that_is_retried() {
    let mut setup = Setup::new(batches(2));
    setup.accept(1);
    // The wall clock is set forward afterwards, so the second one seems older.
    let wall = setup.at.wall;
    setup.at.wall -= 2 * MAX_AGE;
    setup.accept(1);
    setup.at.wall = wall;
    let handed = setup.attempt();
    assert_eq!(numbers(std::slice::from_ref(&handed)), [[1, 2]]);
    let decision = setup.end(handed, status(500));
    assert_eq!(follows(&decision), RETRY);
    assert!(!decision.rest[0].settled);
    setup.pass(BACK_OFF);
    assert_eq!(numbers(&setup.attempts()), [[1, 2]]);
}

#[test]
fn an_event_that_was_taken_behind_a_failed_one_of_its_task_is_sent_again() {
    let mut setup = Setup::new(batches(4));
    for task in [1, 2, 1] {
        setup.accept(task);
    }
    let handed = setup.attempt();
    let decision = setup.end(handed, taken(&[false, true, true]));
    let settled: Vec<_> = decision.events().map(|event| event.settled).collect();
    assert_eq!(settled, [false, true, false]);
    setup.pass(BACK_OFF);
    assert_eq!(numbers(&setup.attempts()), [[1, 3]]);
}
