//! An observer, clock or schedule that panics or answers absurdly ends no thread.

use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use webhook_config::{BreakerPolicy, RetryPolicy};
use webhook_dispatch::retry::Next;
use webhook_dispatch::{Clock, Incident, Observer, Retry};
use webhook_queue::{MemoryQueue, Queue};

/// Panics in every method.
struct Broken;

impl Observer for Broken {
    fn incident(&self, _: &Incident<'_>) {
        panic!("an observer that panics");
    }
}

impl Clock for Broken {
    fn now(&self) -> Instant {
        panic!("a clock that panics");
    }

    fn wall(&self) -> SystemTime {
        panic!("a clock that panics");
    }
}

impl Retry for Broken {
    fn next(&self, _: &RetryPolicy, _: u32, _: Duration, _: Option<Duration>) -> Next {
        panic!("a schedule that panics");
    }

    fn breaker(&self, _: &RetryPolicy, _: &BreakerPolicy, _: u32) -> Duration {
        panic!("a schedule that panics");
    }
}

/// A schedule whose waits overflow every clock.
struct Never;

impl Retry for Never {
    fn next(&self, _: &RetryPolicy, _: u32, _: Duration, _: Option<Duration>) -> Next {
        Next::After(Duration::MAX)
    }

    fn breaker(&self, _: &RetryPolicy, _: &BreakerPolicy, _: u32) -> Duration {
        Duration::MAX
    }
}

fn memory() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(1 << 30))
}

#[test]
fn a_panic_of_an_observer_a_clock_or_a_schedule_ends_no_thread() {
    let receiver = Receiver::new(|received| match received.attempt {
        1 => Reply::Status(503),
        _ => Reply::Status(200),
    });
    let millisecond = Duration::from_millis(1);
    let policy = RetryPolicy::new(millisecond, millisecond, 1.0, PATIENCE, None).unwrap();
    let running = dispatcher(config([target("a").retry(policy)]), &memory(), &receiver)
        .observer(Arc::new(Broken))
        .clock(Arc::new(Broken))
        .retry(Arc::new(Broken))
        .start()
        .unwrap();
    for number in 0..20 {
        submit(&running.submitter(), &format!("t{number}"), number);
    }
    receiver.wait("all events", |state| state.delivered.len() == 20);
    assert!(running.stats().unwrap().targets[0].worker_running);
    let report = running.shutdown(PATIENCE);
    assert!(report.drained);
    assert!(!report.stats.targets[0].worker_running);
}

#[test]
fn a_wait_that_overflows_the_clock_is_a_long_one() {
    let receiver = Receiver::new(|_| Reply::Status(503));
    let running = dispatcher(config([target("a")]), &memory(), &receiver)
        .retry(Arc::new(Never))
        .start()
        .unwrap();
    for number in 0..20 {
        submit(&running.submitter(), &format!("t{number}"), number);
    }
    receiver.wait("ten failures in a row", |state| state.requests.len() >= 10);
    while running.stats().unwrap().targets[0].waiting_tasks < 10 {
        std::thread::yield_now();
    }
    assert!(running.stats().unwrap().targets[0].worker_running);
    assert_eq!(
        running.shutdown(Duration::ZERO).stats.targets[0].pending,
        20
    );
}

#[test]
fn a_drain_does_not_wait_for_a_paused_target() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let running = dispatcher(config([target("a"), target("b")]), &memory(), &receiver)
        .start()
        .unwrap();
    running.control().pause("a").unwrap();
    for number in 0..20 {
        submit(&running.submitter(), "t", number);
    }
    let never = AtomicBool::new(false);
    assert!(!running.drain(None, &never));
    assert_eq!(
        running.pending(),
        20,
        "the other target's events were waited for"
    );
    assert!(!never.load(Ordering::SeqCst));
}
