//! What a dispatcher does with a receiver that is unwell, and when it works again.

use crate::support::*;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime};
use webhook_config::RetryPolicy;
use webhook_dispatch::{BreakerState, Clock, Dispatcher, HoldReason, TargetStats};
use webhook_queue::{DiskQueue, MemoryQueue, Options, Queue};

const HOUR: Duration = Duration::from_secs(3_600);
const MS: Duration = Duration::from_millis(1);

fn memory() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(1 << 30))
}

fn stats(running: &Dispatcher) -> TargetStats {
    running.stats().unwrap().targets.remove(0)
}

/// Waits until the target's figures are as wanted.
fn wait_for(running: &Dispatcher, what: &str, wanted: impl Fn(&TargetStats) -> bool) {
    let until = soon();
    while !wanted(&stats(running)) {
        assert!(Instant::now() < until, "{what}: {:?}", stats(running));
        std::thread::yield_now();
    }
}

/// A receiver that answers as the returned status says.
fn scripted(status: u16) -> (Arc<Receiver>, Arc<AtomicU16>) {
    let answer = Arc::new(AtomicU16::new(status));
    let answered = Arc::clone(&answer);
    let receiver = Receiver::new(move |_| Reply::Status(answered.load(Ordering::SeqCst)));
    (receiver, answer)
}

/// Waits between two attempts that are longer than any test.
fn patient() -> RetryPolicy {
    RetryPolicy::new(HOUR, HOUR, 1.0, 100 * HOUR, None).unwrap()
}

#[test]
fn a_probe_that_is_answered_410_stops_the_target_until_a_reload() {
    let (receiver, answer) = scripted(503);
    let running = dispatcher(config([target("a")]), &memory(), &receiver)
        .retry(Arc::new(AtOnce {
            breaker: 50 * MS,
            ..AtOnce::default()
        }))
        .start()
        .unwrap();
    for number in 0..12 {
        submit(&running.submitter(), &format!("t{number}"), number);
    }
    wait_for(&running, "open", |target| {
        target.breaker == BreakerState::Open
    });
    answer.store(410, Ordering::SeqCst);
    wait_for(&running, "stopped", |target| {
        target.breaker == BreakerState::Stopped
    });
    answer.store(200, Ordering::SeqCst);
    running.control().reload(config([target("a")])).unwrap();
    wait_for(&running, "delivered", |target| target.delivered == 12);
}

#[test]
fn a_restart_and_a_resume_attempt_events_at_once_that_wait_for_their_retry() {
    let (receiver, answer) = scripted(503);
    let running = dispatcher(config([target("a").retry(patient())]), &memory(), &receiver)
        .start()
        .unwrap();
    let control = running.control();
    let acts: [&dyn Fn() -> bool; 2] = [&|| control.restart("a").is_ok(), &|| {
        control.pause("a").is_ok() && control.resume("a").is_ok()
    }];
    for (delivered, act) in (1..).zip(acts) {
        answer.store(503, Ordering::SeqCst);
        submit(&running.submitter(), "t", 0);
        wait_for(&running, "waiting", |target| target.waiting_tasks == 1);
        answer.store(200, Ordering::SeqCst);
        assert!(act());
        wait_for(&running, "delivered", |target| {
            target.delivered == delivered
        });
    }
}

#[test]
fn an_event_that_waits_for_its_retry_is_attempted_at_once_by_the_next_dispatcher() {
    let queue = memory();
    let (receiver, answer) = scripted(503);
    let start = || {
        dispatcher(config([target("a").retry(patient())]), &queue, &receiver)
            .start()
            .unwrap()
    };
    let first = start();
    submit(&first.submitter(), "t", 0);
    wait_for(&first, "waiting", |target| target.waiting_tasks == 1);
    first.shutdown(Duration::ZERO);
    answer.store(200, Ordering::SeqCst);
    let second = start();
    wait_for(&second, "delivered", |target| target.delivered == 1);
}

#[test]
fn a_receiver_that_refuses_the_events_of_all_tasks_keeps_them_and_gets_them_when_it_is_mended() {
    let (receiver, answer) = scripted(422);
    let one = NonZeroUsize::new(1).unwrap();
    let recorder = Arc::new(Recorder::default());
    let running = dispatcher(config([target("a").concurrency(one)]), &memory(), &receiver)
        .observer(Arc::clone(&recorder) as Arc<_>)
        .start()
        .unwrap();
    for number in 0..100 {
        submit(&running.submitter(), &format!("t{number}"), number);
    }
    wait_for(&running, "held", |target| {
        let hold = target.hold.as_ref();
        hold.is_some_and(|hold| hold.reason == HoldReason::Refusals)
    });
    let held = stats(&running);
    assert_eq!(
        held.dead_letters(),
        19,
        "those before the twentieth in a row"
    );
    assert_eq!(held.pending, 81);
    let incidents = recorder.incidents();
    assert!(
        incidents
            .iter()
            .any(|it| it.contains("refuses the events of all tasks"))
    );
    answer.store(200, Ordering::SeqCst);
    wait_for(&running, "delivered", |target| target.delivered == 81);
    assert_eq!(stats(&running).hold, None);
    assert_eq!(stats(&running).dead_letters(), 19);
}

#[test]
fn one_task_that_is_refused_again_and_again_does_not_hold_the_target() {
    let (receiver, _) = scripted(422);
    let running = dispatcher(config([target("a")]), &memory(), &receiver)
        .start()
        .unwrap();
    for number in 0..100 {
        submit(&running.submitter(), "t", number);
    }
    wait_for(&running, "given up", |target| target.dead_letters() == 100);
}

#[test]
fn a_hold_by_retry_after_is_shown_and_outlasts_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Queue> {
        Arc::new(DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 26)).unwrap())
    };
    let asks = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&asks);
    let receiver = Receiver::new(move |_| match asked.load(Ordering::SeqCst) {
        true => Reply::Later("3600"),
        false => Reply::Status(200),
    });
    let queue = open();
    let first = dispatcher(config([target("a")]), &queue, &receiver)
        .start()
        .unwrap();
    submit(&first.submitter(), "t", 0);
    wait_for(&first, "held", |target| target.hold.is_some());
    let before = stats(&first).hold;
    drop((first.shutdown(PATIENCE / 10), queue));
    asks.store(false, Ordering::SeqCst);

    let queue = open();
    let second = dispatcher(config([target("a")]), &queue, &receiver)
        .start()
        .unwrap();
    submit(&second.submitter(), "u", 0);
    wait_for(&second, "held", |target| target.hold.is_some());
    let after = stats(&second).hold.unwrap();
    assert_eq!(after.reason, HoldReason::RetryAfter);
    assert_eq!(after.detail, "answered 429 with Retry-After: 3600");
    assert_eq!(Some(after), before);
    assert_eq!(receiver.look(|state| state.requests.len()), 1);
    second.control().restart("a").unwrap();
    wait_for(&second, "delivered", |target| target.delivered == 2);
    assert_eq!(stats(&second).hold, None);
    drop((second.shutdown(PATIENCE), queue));
    assert_eq!(
        open().hold("a").unwrap(),
        None,
        "the restart ended it for good"
    );
}

/// A wall clock that is an hour ahead.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now() + HOUR
    }
}

#[test]
fn a_clock_that_was_set_back_holds_up_no_retry_and_no_target() {
    // The first holds the target, the second only its event.
    for reply in [Reply::Later("1"), Reply::Status(503)] {
        let queue = memory();
        let policy = RetryPolicy::new(MS, 10 * MS, 2.0, 24 * HOUR, None).unwrap();
        let config = || config([target("a").retry(policy.clone())]);
        let fails = Receiver::new(move |_| reply);
        let ahead = dispatcher(config(), &queue, &fails)
            .clock(Arc::new(Ahead))
            .start()
            .unwrap();
        submit(&ahead.submitter(), "t", 0);
        wait_for(&ahead, "waiting", |target| target.waiting_tasks == 1);
        assert!(!ahead.shutdown(Duration::ZERO).drained);

        let takes = Receiver::new(|_| Reply::Status(200));
        let now = dispatcher(config(), &queue, &takes).start().unwrap();
        takes.wait("the retry", |state| state.delivered.len() == 1);
        assert!(now.shutdown(PATIENCE).drained);
    }
}

#[test]
fn a_paused_target_that_is_removed_and_added_again_stays_paused() {
    for ended in [false, true] {
        let (receiver, _) = scripted(200);
        let running = dispatcher(config([target("a"), target("b")]), &memory(), &receiver)
            .start()
            .unwrap();
        let control = running.control();
        control.pause("a").unwrap();
        wait_for(&running, "paused", |target| target.paused);
        control.reload(config([target("b")])).unwrap();
        let has_ended = || !running.stats().unwrap().removed[0].worker_running;
        while ended && !has_ended() {
            std::thread::yield_now();
        }
        control.reload(config([target("a"), target("b")])).unwrap();
        wait_for(&running, "paused", |target| {
            target.paused && target.worker_running
        });
    }
}
