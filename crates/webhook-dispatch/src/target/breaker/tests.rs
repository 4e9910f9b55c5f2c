//! The rules of the breaker, one at a time.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// An attempt of one of many tasks.
fn of(key: u64) -> Evidence {
    Evidence {
        key,
        keys: 1_000,
        failed_in: None,
    }
}

fn record(breaker: &mut Breaker, health: Health, key: u64, now: Instant) -> Option<StateChange> {
    breaker.record(health, &of(key), None, now, SECOND, |openings| {
        SECOND * openings
    })
}

fn probe(breaker: &mut Breaker, health: Health, number: u64, now: Instant) -> Option<StateChange> {
    breaker.record(health, &of(99), Some(number), now, SECOND, |openings| {
        SECOND * openings
    })
}

/// A breaker that opened at `now`, for a second.
fn open(now: Instant) -> Breaker {
    let mut breaker = Breaker::new(20);
    for key in 1..10 {
        assert_eq!(record(&mut breaker, Health::Unreachable, key, now), None);
        assert_eq!(breaker.ask(now), Admission::Granted);
    }
    assert_eq!(
        record(&mut breaker, Health::Unreachable, 10, now),
        Some(StateChange::BreakerOpened(
            BreakerCause::Unreachable,
            SECOND
        ))
    );
    breaker
}

#[test]
fn ten_attempts_in_a_row_without_an_answer_open_it_and_any_answer_ends_the_row() {
    let now = Instant::now();
    for answer in [
        Health::Delivered,
        Health::Answered,
        Health::Refused,
        Health::ServerError,
    ] {
        let mut breaker = Breaker::new(1_000);
        for round in 0..10 {
            for key in 1..10 {
                assert_eq!(record(&mut breaker, Health::Unreachable, key, now), None);
            }
            assert_eq!(record(&mut breaker, answer, round, now), None);
        }
    }
    let mut breaker = open(now);
    assert_eq!(breaker.ask(now), Admission::NotBefore(now + SECOND));
}

#[test]
fn one_task_does_not_open_it_where_several_wait_and_does_where_none_does() {
    let now = Instant::now();
    let mut breaker = Breaker::new(20);
    for _ in 0..100 {
        assert_eq!(record(&mut breaker, Health::Unreachable, 1, now), None);
    }
    let mut breaker = Breaker::new(20);
    let alone = Evidence { keys: 1, ..of(1) };
    for _ in 1..10 {
        let change = breaker.record(Health::Unreachable, &alone, None, now, SECOND, |_| SECOND);
        assert_eq!(change, None);
    }
    let change = breaker.record(Health::Unreachable, &alone, None, now, SECOND, |_| SECOND);
    assert!(matches!(change, Some(StateChange::BreakerOpened(..))));
}

#[test]
fn client_errors_do_not_open_it() {
    let now = Instant::now();
    let mut breaker = Breaker::new(20);
    for key in 0..1_000 {
        assert_eq!(record(&mut breaker, Health::Answered, key, now), None);
    }
    assert_eq!(breaker.ask(now), Admission::Granted);
}

#[test]
fn server_errors_of_fifty_tasks_throttle_it_until_a_success() {
    let now = Instant::now();
    let mut breaker = Breaker::new(20);
    for key in 1..50 {
        for _ in 0..3 {
            assert_eq!(record(&mut breaker, Health::ServerError, key, now), None);
        }
    }
    assert_eq!(
        record(&mut breaker, Health::ServerError, 50, now),
        Some(StateChange::BreakerOpened(
            BreakerCause::ServerErrors,
            SECOND
        ))
    );
    assert_eq!(breaker.ask(now), Admission::NotBefore(now + SECOND));
    for second in 1..100 {
        let later = now + SECOND * second;
        assert_eq!(breaker.ask(later), Admission::Granted, "no back-off");
        assert_eq!(breaker.ask(later), Admission::NotBefore(later + SECOND));
        assert_eq!(record(&mut breaker, Health::ServerError, 1, later), None);
    }
    assert_eq!(
        record(&mut breaker, Health::Delivered, 51, now),
        Some(StateChange::BreakerClosed)
    );
    assert_eq!(breaker.ask(now), Admission::Granted);
}

#[test]
fn tasks_that_failed_before_the_last_success_do_not_count_as_server_errors() {
    let now = Instant::now();
    let mut breaker = Breaker::new(20);
    let known = breaker.recoveries();
    assert_eq!(record(&mut breaker, Health::Delivered, 0, now), None);
    for key in 0..1_000 {
        let again = Evidence {
            failed_in: Some(known),
            ..of(key)
        };
        let change = breaker.record(Health::ServerError, &again, None, now, SECOND, |_| SECOND);
        assert_eq!(change, None);
    }
}

#[test]
fn refusals_of_many_tasks_in_a_row_are_kept_until_a_success() {
    let now = Instant::now();
    let mut breaker = Breaker::new(20);
    for _ in 0..100 {
        assert_eq!(record(&mut breaker, Health::Refused, 1, now), None);
    }
    for key in 2..20 {
        assert_eq!(record(&mut breaker, Health::Refused, key, now), None);
    }
    assert!(!breaker.keeps_refused());
    assert_eq!(
        record(&mut breaker, Health::Refused, 20, now),
        Some(StateChange::BreakerOpened(BreakerCause::Refusals, SECOND))
    );
    assert!(breaker.keeps_refused());
    assert_eq!(record(&mut breaker, Health::Answered, 21, now), None);
    assert_eq!(
        record(&mut breaker, Health::Delivered, 22, now),
        Some(StateChange::BreakerClosed)
    );
    assert!(!breaker.keeps_refused());
}

#[test]
fn half_open_it_admits_one_probe_whose_answer_closes_it() {
    let now = Instant::now();
    for answer in [Health::Delivered, Health::Answered, Health::Refused] {
        let mut breaker = open(now);
        let later = now + SECOND;
        assert_eq!(breaker.ask(later), Admission::Probe(1));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.ask(later), Admission::Probing);
        let change = probe(&mut breaker, answer, 1, later);
        assert_eq!(change, Some(StateChange::BreakerClosed), "{answer:?}");
        assert_eq!(breaker.ask(later), Admission::Granted);
    }
}

#[test]
fn a_receiver_that_comes_back_with_server_errors_is_throttled() {
    let now = Instant::now();
    let mut breaker = open(now);
    let later = now + SECOND;
    assert_eq!(breaker.ask(later), Admission::Probe(1));
    assert_eq!(probe(&mut breaker, Health::ServerError, 1, later), None);
    assert_eq!(breaker.ask(later), Admission::NotBefore(later + SECOND));
    let later = later + SECOND;
    assert_eq!(breaker.ask(later), Admission::Granted);
    let change = record(&mut breaker, Health::Delivered, 1, later);
    assert_eq!(change, Some(StateChange::BreakerClosed));
}

#[test]
fn a_failed_probe_opens_it_for_longer() {
    let now = Instant::now();
    let mut breaker = open(now);
    let later = now + SECOND;
    assert_eq!(breaker.ask(later), Admission::Probe(1));
    let change = probe(&mut breaker, Health::Unreachable, 1, later);
    assert_eq!(change, None, "it was open before");
    assert_eq!(breaker.ask(later), Admission::NotBefore(later + 2 * SECOND));
    assert_eq!(breaker.ask(later + 2 * SECOND), Admission::Probe(2));
}

#[test]
fn failures_of_attempts_under_way_at_the_opening_are_ignored() {
    let now = Instant::now();
    let mut breaker = open(now);
    assert_eq!(record(&mut breaker, Health::Unreachable, 11, now), None);
    assert_eq!(breaker.ask(now), Admission::NotBefore(now + SECOND));
    let later = now + SECOND;
    assert_eq!(breaker.ask(later), Admission::Probe(1));
    assert_eq!(record(&mut breaker, Health::Unreachable, 12, later), None);
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "the probe decides");
}

#[test]
fn a_probe_that_was_not_made_is_granted_again() {
    let now = Instant::now();
    let mut breaker = open(now);
    let later = now + SECOND;
    assert_eq!(breaker.ask(later), Admission::Probe(1));
    breaker.unused(Some(1), later);
    assert_eq!(breaker.ask(later), Admission::Probe(2));
    breaker.unused(Some(1), later);
    assert_eq!(
        breaker.ask(later),
        Admission::Probing,
        "an old probe gives no permit back"
    );
}

#[test]
fn as_many_tasks_as_matter_are_remembered_once_each() {
    let mut run = Run::default();
    for key in [7, 7, 8, 9, 10] {
        run.add(key, 3);
    }
    assert_eq!((run.attempts, &*run.keys), (5, &[7, 8, 9][..]));
}

#[test]
fn a_throttled_attempt_that_was_not_made_is_granted_again() {
    let now = Instant::now();
    let mut breaker = throttled(now);
    let later = now + SECOND;
    assert_eq!(breaker.ask(later), Admission::Granted);
    breaker.unused(None, later);
    assert_eq!(breaker.ask(later), Admission::Granted);
    assert_eq!(breaker.ask(later), Admission::NotBefore(later + SECOND));
}

/// A breaker that throttles after server errors at `now`.
fn throttled(now: Instant) -> Breaker {
    let mut breaker = Breaker::new(20);
    for key in 0..50 {
        record(&mut breaker, Health::ServerError, key, now);
    }
    assert_eq!(breaker.ask(now), Admission::NotBefore(now + SECOND));
    breaker
}

#[test]
fn an_answer_does_not_delay_the_next_throttled_attempt() {
    let now = Instant::now();
    let mut breaker = throttled(now);
    for answer in [Health::ServerError, Health::Answered, Health::Refused] {
        record(&mut breaker, answer, 1, now + SECOND / 2);
        // A refusal ends a run of server errors.
        let expected = match answer {
            Health::Refused => Admission::Granted,
            _ => Admission::NotBefore(now + SECOND),
        };
        assert_eq!(breaker.ask(now + SECOND / 2), expected, "{answer:?}");
    }
}

#[test]
fn a_probe_of_before_a_restart_does_not_decide_after_it() {
    let now = Instant::now();
    let mut breaker = open(now);
    let later = now + SECOND;
    assert_eq!(breaker.ask(later), Admission::Probe(1));
    breaker.reset(20);
    assert_eq!(breaker.state(), BreakerState::Closed);
    for key in 0..10 {
        record(&mut breaker, Health::Unreachable, key, later);
    }
    let later = later + SECOND;
    assert_eq!(breaker.ask(later), Admission::Probe(2));
    assert_eq!(probe(&mut breaker, Health::Unreachable, 1, later), None);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn ten_failures_without_a_delivery_show_that_it_is_failing() {
    let now = Instant::now();
    let mut breaker = Breaker::new(20);
    for health in [Health::Answered, Health::ServerError, Health::Unreachable] {
        for key in 0..3 {
            record(&mut breaker, health, key, now);
        }
    }
    assert!(!breaker.is_failing());
    record(&mut breaker, Health::Refused, 0, now);
    assert!(breaker.is_failing());
    record(&mut breaker, Health::Delivered, 0, now);
    assert!(!breaker.is_failing());
}

#[test]
fn each_delivery_and_each_refusal_is_a_recovery() {
    let now = Instant::now();
    let mut breaker = Breaker::new(20);
    for (health, recoveries) in [
        (Health::Answered, 0),
        (Health::Refused, 1),
        (Health::ServerError, 1),
        (Health::Delivered, 2),
        (Health::Unreachable, 2),
    ] {
        record(&mut breaker, health, 1, now);
        assert_eq!(breaker.recoveries(), recoveries, "{health:?}");
    }
}

#[test]
fn an_event_is_attempted_early_once_nothing_failed_for_the_idle_time() {
    let now = Instant::now();
    let mut breaker = Breaker::new(20);
    assert_eq!(breaker.early_at(), None);
    record(&mut breaker, Health::Answered, 1, now);
    assert_eq!(breaker.early_at(), Some(now + SECOND));
    record(&mut breaker, Health::Delivered, 1, now);
    assert_eq!(breaker.early_at(), None);
    // Not before an open breaker admits it, and not while its probe is under way.
    let mut breaker = Breaker::new(20);
    for key in 0..10 {
        let idle = SECOND / 2;
        breaker.record(Health::Unreachable, &of(key), None, now, idle, |_| SECOND);
    }
    assert_eq!(breaker.early_at(), Some(now + SECOND));
    assert_eq!(breaker.ask(now + SECOND), Admission::Probe(1));
    assert_eq!(breaker.early_at(), None);
}
