//! The consequences of an attempt's result.

use crate::support::*;
use serde_json::json;
use std::collections::HashSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use webhook_config::{Delivery, RetryPolicy};
use webhook_dispatch::{
    BreakerState, Clock, FailureRecord, FullJitter, Observer, Outcome, Reason, Submission,
};
use webhook_event::Template;
use webhook_queue::{MemoryQueue, Owed, Queue};

const HOUR: Duration = Duration::from_secs(3_600);

fn memory() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(1 << 30))
}

/// The dead letters of target `a`: each one's body, attempts and failure record.
fn dead(queue: &Arc<dyn Queue>) -> Vec<(String, u32, FailureRecord)> {
    let mut found = Vec::new();
    queue
        .dead_letters(Some("a"), None, &mut |dead| {
            found.push((
                String::from_utf8(dead.owed.body.to_vec()).unwrap(),
                dead.owed.attempts,
                FailureRecord::from_note(dead.note).unwrap(),
            ));
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

#[test]
fn a_refused_body_does_not_hold_its_task() {
    for status in [400, 413, 422] {
        let receiver = Receiver::new(move |received| match received.number() {
            0 => Reply::Status(status),
            _ => Reply::Status(200),
        });
        let queue = memory();
        let dispatcher = dispatcher(config([target("a")]), &queue, &receiver)
            .start()
            .unwrap();
        submit(&dispatcher.submitter(), "t", 0);
        submit(&dispatcher.submitter(), "t", 1);
        assert!(dispatcher.shutdown(PATIENCE).drained);
        let numbers: Vec<_> =
            receiver.look(|state| state.requests.iter().map(Received::number).collect());
        assert_eq!(numbers, [0, 1]);
        let dead = dead(&queue);
        assert_eq!(dead.len(), 1);
        let (body, attempts, record) = &dead[0];
        assert_eq!(body.as_bytes(), event("t", 0));
        assert_eq!(*attempts, 1);
        assert_eq!(record.reason, Reason::Refused);
        assert_eq!(record.outcome, Some(Outcome::ClientError));
        assert_eq!(record.status, Some(status));
        assert_eq!(record.response, "response");
        assert!(record.first_attempt_at.is_some());
        assert_eq!(record.first_attempt_at, record.last_attempt_at);
    }
}

#[test]
fn an_event_that_no_body_can_be_made_of_is_a_dead_letter_and_the_next_is_sent() {
    let template = json!({ "n": { "$at": "/n" }, "padding": { "$at": "/padding" } });
    let template = Template::from_json(&template).unwrap();
    let templated = |name| target(name).template(template.clone()).max_body_bytes(1024);
    let receiver = Receiver::new(|_| Reply::Status(200));
    let queue = memory();
    let config = config([
        templated("a"),
        templated("b").delivery(Delivery::BestEffort),
    ]);
    let dispatcher = dispatcher(config, &queue, &receiver).start().unwrap();
    let submitter = dispatcher.submitter();
    let long = format!(r#"{{"n":1,"padding":"{}"}}"#, "x".repeat(1024));
    let bodies = [long, r#"{"n":2}"#.to_owned()];
    for body in &bodies {
        let event = Submission::of("t", "FAILED", body.clone().into_bytes());
        submitter.submit(event, soon()).unwrap();
    }
    assert!(dispatcher.shutdown(PATIENCE).drained);
    receiver.look(|state| {
        for name in ["a", "b"] {
            let received = state.delivered.iter().filter(|it| it.target == name);
            let received: Vec<_> = received.map(|it| it.body.as_str()).collect();
            assert_eq!(received, [r#"{"n":2,"padding":null}"#], "{name}");
        }
        assert_eq!(state.requests.len(), 2);
    });
    let dead = dead(&queue);
    assert_eq!(dead.len(), 1);
    let (body, attempts, record) = &dead[0];
    assert_eq!((body, *attempts), (&bodies[0], 1));
    assert_eq!(record.reason, Reason::Unsendable);
    assert_eq!(record.outcome, Some(Outcome::Unsendable));
    assert_eq!(record.detail, "the body is longer than 1024 bytes");
    assert_eq!(record.status, None);
}

#[test]
fn an_event_with_exhausted_attempts_is_a_dead_letter() {
    let receiver = Receiver::new(|_| Reply::Status(302));
    let queue = memory();
    let dispatcher = dispatcher(config([target("a")]), &queue, &receiver)
        .retry(Arc::new(AtOnce {
            attempts: 3,
            ..AtOnce::default()
        }))
        .start()
        .unwrap();
    let id = submit(&dispatcher.submitter(), "t", 0);
    let report = dispatcher.shutdown(PATIENCE);
    assert!(report.drained, "a dead letter is not pending");
    let requests: Vec<_> = receiver.look(|state| {
        let attempts = state
            .requests
            .iter()
            .map(|request| (request.id.clone(), request.attempt));
        attempts.collect()
    });
    assert_eq!(requests, [(id.clone(), 1), (id.clone(), 2), (id, 3)]);
    let dead = dead(&queue);
    assert_eq!(dead[0].1, 3);
    assert_eq!(dead[0].2.reason, Reason::AttemptsExhausted);
    assert_eq!(report.stats.targets[0].retried, 2);
    assert_eq!(report.stats.targets[0].dead_letters(), 1);
}

/// Retries after an hour, so that a test ends in time only without a back-off.
fn patient(attempts: Option<u32>) -> RetryPolicy {
    let attempts = attempts.and_then(NonZeroU32::new);
    RetryPolicy::new(HOUR, HOUR, 1.0, 24 * HOUR, attempts).unwrap()
}

#[test]
fn an_attempt_over_a_stale_connection_is_made_again_at_once_and_once() {
    const EVENTS: u32 = 20;
    let receiver = Receiver::new(|received| match received.attempt {
        1 => Reply::Stale,
        _ => Reply::Status(200),
    });
    let one = NonZeroUsize::new(1).unwrap();
    let target_a = || target("a").concurrency(one).retry(patient(None));
    let builder = dispatcher(config([target_a()]), &memory(), &receiver);
    let dispatcher = builder.retry(Arc::new(FullJitter)).start().unwrap();
    for number in 0..EVENTS {
        submit(&dispatcher.submitter(), "t", number);
    }
    let report = dispatcher.shutdown(PATIENCE);
    assert!(
        report.drained,
        "without a back-off, and without the breaker"
    );
    let attempts: Vec<_> = receiver.look(|state| {
        let requests = state.requests.iter();
        requests.map(|it| (it.number(), it.attempt)).collect()
    });
    let expected = (0..EVENTS).flat_map(|number| [(number, 1), (number, 2)]);
    assert!(attempts.into_iter().eq(expected));
    let stats = &report.stats.targets[0];
    assert_eq!(stats.retried, u64::from(EVENTS));
    assert_eq!(stats.attempts_of(Outcome::Io), u64::from(EVENTS));
    assert_eq!(stats.attempts_of(Outcome::Success), u64::from(EVENTS));
}

/// A crash during the second attempt must not let its successor be numbered 1.
#[test]
fn an_attempt_over_a_stale_connection_is_noted_before_the_next_one_ends() {
    let receiver = Receiver::new(|received| match received.attempt {
        1 => Reply::Stale,
        _ => Reply::Hang,
    });
    let queue = memory();
    let dispatcher = dispatcher(config([target("a")]), &queue, &receiver);
    let dispatcher = dispatcher.start().unwrap();
    submit(&dispatcher.submitter(), "t", 0);
    receiver.wait("both attempts", |state| state.requests.len() == 2);
    let (until, mut noted) = (soon(), 0);
    while noted == 0 {
        assert!(Instant::now() < until, "not in time");
        let mut visit = |owed: Owed<'_>| {
            noted = owed.attempts;
            ControlFlow::Continue(())
        };
        queue.owed("a", None, &mut visit).unwrap();
        std::thread::yield_now();
    }
    assert_eq!(noted, 1);
    let _report = dispatcher.shutdown(Duration::ZERO);
}

#[test]
fn an_attempt_over_a_stale_connection_is_not_made_again_beyond_the_bounds() {
    let best_effort = target("a").delivery(Delivery::BestEffort);
    for (target, requests) in [
        (target("a").retry(patient(None)), 2),
        (target("a").retry(patient(Some(1))), 1),
        (best_effort, 1),
    ] {
        let receiver = Receiver::new(|_| Reply::Stale);
        let recorder = Arc::new(Recorder::default());
        let dispatcher = dispatcher(config([target]), &memory(), &receiver)
            .retry(Arc::new(FullJitter))
            .observer(Arc::clone(&recorder) as Arc<dyn Observer>)
            .start()
            .unwrap();
        submit(&dispatcher.submitter(), "t", 0);
        let until = soon();
        while recorder.incidents().len() < requests && Instant::now() < until {
            std::thread::yield_now();
        }
        let _report = dispatcher.shutdown(Duration::ZERO);
        assert_eq!(receiver.look(|state| state.requests.len()), requests);
        assert_eq!(recorder.incidents().len(), requests, "each is reported");
    }
}

#[test]
fn a_410_stops_a_target_which_keeps_its_events_until_the_restart() {
    let gone = Arc::new(Mutex::new(true));
    let answer = Arc::clone(&gone);
    let receiver =
        Receiver::new(move |_| Reply::Status(if *answer.lock().unwrap() { 410 } else { 200 }));
    let one = NonZeroUsize::new(1).unwrap();
    let dispatcher = dispatcher(config([target("a").concurrency(one)]), &memory(), &receiver)
        .start()
        .unwrap();
    let id = submit(&dispatcher.submitter(), "t", 0);
    receiver.wait("the first attempt", |state| state.requests.len() == 1);
    for number in 1..10 {
        submit(&dispatcher.submitter(), "t", number);
    }
    while dispatcher.stats().unwrap().targets[0].breaker != BreakerState::Stopped {
        std::thread::yield_now();
    }
    assert_eq!(dispatcher.pending(), 10);
    assert_eq!(receiver.look(|state| state.requests.len()), 1);
    *gone.lock().unwrap() = false;
    dispatcher.control().restart("a").unwrap();
    assert!(dispatcher.shutdown(PATIENCE).drained);
    receiver.look(|state| {
        assert_eq!(
            (&*state.delivered[0].id, state.delivered[0].attempt),
            (&*id, 2)
        );
        assert_eq!(state.delivered.len(), 10);
    });
}

#[test]
fn a_target_that_is_down_costs_one_attempt_per_back_off() {
    let receiver = Receiver::new(|_| Reply::Status(503));
    let one = NonZeroUsize::new(1).unwrap();
    let dispatcher = dispatcher(config([target("a").concurrency(one)]), &memory(), &receiver)
        .retry(Arc::new(AtOnce {
            breaker: HOUR,
            ..AtOnce::default()
        }))
        .start()
        .unwrap();
    // All tasks wait before the first attempt, so that each attempt can be another task's.
    dispatcher.control().pause("a").unwrap();
    for number in 0..100 {
        submit(&dispatcher.submitter(), &format!("t{number}"), number);
    }
    dispatcher.control().resume("a").unwrap();
    while dispatcher.stats().unwrap().targets[0].breaker != BreakerState::Open {
        std::thread::yield_now();
    }
    // More events cause no attempt.
    for number in 0..100 {
        submit(&dispatcher.submitter(), &format!("u{number}"), number);
    }
    let report = dispatcher.shutdown(Duration::ZERO);
    // The sender may have begun the next attempt before the worker knew of the tenth failure.
    // Every fourth is a retry, which says nothing of another task.
    let (requests, tasks) = receiver.look(|state| {
        let tasks: HashSet<_> = state.requests.iter().map(Received::task).collect();
        (state.requests.len(), tasks.len())
    });
    assert!((10..=11).contains(&tasks), "{tasks}");
    assert!(requests <= 15, "{requests}");
    assert_eq!(report.stats.targets[0].pending, 200);
}

#[test]
fn retry_after_holds_the_target_and_not_one_task() {
    let receiver = Receiver::new(|_| Reply::Later("3600"));
    let one = NonZeroUsize::new(1).unwrap();
    let dispatcher = dispatcher(config([target("a").concurrency(one)]), &memory(), &receiver)
        .start()
        .unwrap();
    submit(&dispatcher.submitter(), "t", 0);
    while dispatcher.stats().unwrap().targets[0].waiting_tasks != 1 {
        std::thread::yield_now();
    }
    for number in 0..50 {
        submit(&dispatcher.submitter(), &format!("u{number}"), number);
    }
    let report = dispatcher.shutdown(Duration::ZERO);
    assert_eq!(receiver.look(|state| state.requests.len()), 1);
    assert_eq!(report.stats.targets[0].pending, 51);
}

/// A clock that does not advance.
struct Stopped(Instant);

impl Clock for Stopped {
    fn now(&self) -> Instant {
        self.0
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + 500_000 * HOUR
    }
}

#[test]
fn no_more_attempts_start_than_the_rate_limit_allows() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let limited = target("a").max_per_second(NonZeroU32::new(30));
    let dispatcher = dispatcher(config([limited]), &memory(), &receiver)
        .clock(Arc::new(Stopped(Instant::now())))
        .start()
        .unwrap();
    for number in 0..20 {
        submit(&dispatcher.submitter(), &format!("t{number}"), number);
    }
    // Without time, none follows the first.
    receiver.wait("the attempt that starts at once", |state| {
        state.delivered.len() == 1
    });
    let report = dispatcher.shutdown(Duration::ZERO);
    assert_eq!(receiver.look(|state| state.requests.len()), 1);
    assert_eq!(report.stats.targets[0].pending, 19);
}

/// A clock that is an hour ahead.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Instant {
        Instant::now() + HOUR
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now() + HOUR
    }
}

#[test]
fn times_are_read_from_the_injected_clock() {
    let receiver = Receiver::new(|received| match received.attempt {
        1 => Reply::Status(503),
        _ => Reply::Status(200),
    });
    let dispatcher = dispatcher(config([target("a")]), &memory(), &receiver)
        .clock(Arc::new(Ahead))
        .start()
        .unwrap();
    submit(&dispatcher.submitter(), "t", 0);
    receiver.wait("the retry", |state| state.delivered.len() == 1);
    assert!(dispatcher.shutdown(PATIENCE).drained);
}

#[test]
fn a_best_effort_target_gets_one_attempt_and_its_task_goes_on() {
    let receiver = Receiver::new(|received| match received.number() {
        0 => Reply::Status(503),
        1 => Reply::Later("3600"),
        2 => Reply::Status(410),
        3 => Reply::Panic,
        _ => Reply::Status(200),
    });
    let config = config([target("a").delivery(Delivery::BestEffort)]);
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    for number in 0..5 {
        submit(&dispatcher.submitter(), "t", number);
    }
    let report = dispatcher.shutdown(PATIENCE);
    assert!(report.drained);
    let numbers: Vec<_> =
        receiver.look(|state| state.requests.iter().map(Received::number).collect());
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    let stats = &report.stats.targets[0];
    assert_eq!((stats.delivered, stats.failed, stats.pending), (1, 4, 0));
}
