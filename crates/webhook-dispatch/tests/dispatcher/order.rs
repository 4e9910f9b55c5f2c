//! A task's events arrive in order; tasks and targets do not wait for each other.

use crate::support::*;
use std::num::NonZeroUsize;
use std::sync::Arc;
use webhook_config::Delivery;
use webhook_queue::{DiskQueue, MemoryQueue, Options, Queue};

fn memory() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(1 << 30))
}

/// A pseudo-random number from 0 to 15 that depends on the event and the attempt.
fn hash(received: &Received) -> u32 {
    let seed = u32::from(received.body.as_bytes()[39]) + received.number() * 31;
    (seed + received.attempt * 17).wrapping_mul(2_654_435_761) >> 28
}

fn unreliable(received: &Received) -> Reply {
    match hash(received) {
        0..4 => Reply::Status(503),
        4 => Reply::Panic,
        _ => Reply::Status(200),
    }
}

#[test]
fn a_tasks_events_arrive_in_order_whatever_fails() {
    let receiver = Receiver::new(unreliable);
    let config = config([target("a"), target("b")]);
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    let submitter = dispatcher.submitter();
    for number in 0..40 {
        for task in ["t1", "t2", "t3", "t4", "t5"] {
            submitter.try_submit(event(task, number)).unwrap();
        }
    }
    let report = dispatcher.shutdown(PATIENCE);
    assert!(report.drained);
    let arrivals = receiver.arrivals();
    assert_eq!(arrivals.len(), 10);
    for (of, numbers) in arrivals {
        assert_eq!(numbers, (0..40).collect::<Vec<_>>(), "{of:?}");
    }
    let panics: u64 = report
        .stats
        .targets
        .iter()
        .map(|target| target.attempts_of(webhook_dispatch::Outcome::Panic))
        .sum();
    assert!(
        panics > 0,
        "panics are counted, and their events tried again"
    );
}

#[test]
fn a_backlog_larger_than_the_window_and_live_events_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let queue: Arc<dyn Queue> =
        Arc::new(DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 26)).unwrap());
    let receiver = Receiver::new(unreliable);
    let config = config([target("a").window(NonZeroUsize::new(4).unwrap())]);
    let dispatcher = dispatcher(config, &queue, &receiver).start().unwrap();
    let submitter = dispatcher.submitter();
    dispatcher.control().pause("a").unwrap();
    let tasks = ["t1", "t2", "t3"];
    let mut pending = Vec::new();
    for number in 0..300 {
        if number == 100 {
            dispatcher.control().resume("a").unwrap();
        }
        for task in tasks {
            let (confirm, confirmed) = std::sync::mpsc::channel();
            submitter
                .submit_with(event(task, number), Some(soon()), move |result| {
                    confirm.send(result).unwrap();
                })
                .unwrap();
            pending.push(confirmed);
        }
    }
    for confirmed in pending {
        confirmed.recv().unwrap().unwrap();
    }
    let report = dispatcher.shutdown(PATIENCE);
    assert!(report.drained);
    assert_eq!(report.stats.queue.events, 0, "delivered events are deleted");
    for numbers in receiver.arrivals().values() {
        assert_eq!(*numbers, (0..300).collect::<Vec<_>>());
    }
}

#[test]
fn a_target_that_hangs_does_not_hold_another() {
    let receiver = Receiver::new(|received| {
        if received.target == "stuck" {
            Reply::Hang
        } else {
            Reply::Status(204)
        }
    });
    let window = NonZeroUsize::new(8).unwrap();
    let config = config([target("stuck").window(window), target("ok").window(window)]);
    let queue = memory();
    let dispatcher = dispatcher(config, &queue, &receiver).start().unwrap();
    for number in 0..200 {
        submit(&dispatcher.submitter(), "t", number);
    }
    receiver.wait("delivery to the other target", |state| {
        state.delivered.len() == 200
    });
    let report = dispatcher.shutdown(std::time::Duration::ZERO);
    assert!(!report.drained);
    assert_eq!(
        report.stats.targets[0].pending, 200,
        "they stay in the queue"
    );
    assert_eq!(report.stats.targets[1].pending, 0);
}

#[test]
fn a_task_that_hangs_does_not_hold_another_task() {
    let receiver = Receiver::new(|received| match received.task() {
        "stuck" => Reply::Hang,
        _ => Reply::Status(200),
    });
    let config = config([target("a").window(NonZeroUsize::new(64).unwrap())]);
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    for number in 0..300 {
        let submitter = dispatcher.submitter();
        submitter.try_submit(event("stuck", number)).unwrap();
        submit(&submitter, "ok", number);
    }
    receiver.wait("the other task's events", |state| {
        state.delivered.len() == 300
    });
    let _report = dispatcher.shutdown(std::time::Duration::ZERO);
    let stuck = receiver.look(|state| {
        state
            .requests
            .iter()
            .filter(|r| r.task() == "stuck")
            .count()
    });
    assert_eq!(stuck, 1);
}

#[test]
fn every_event_from_many_threads_to_a_best_effort_target_gets_an_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let queue_dir = dir.path().join("queue");
    let receiver = Receiver::new(|_| Reply::Status(200));
    let config = config([target("a").delivery(Delivery::BestEffort)])
        .with_queue(webhook_config::QueueSettings::new(&queue_dir));
    let dispatcher = webhook_dispatch::Dispatcher::builder(config)
        .connector(Arc::new(InProcess(Arc::clone(&receiver))))
        .start()
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let submitter = dispatcher.submitter();
            scope.spawn(move || {
                for number in 0..200 {
                    submit(&submitter, &format!("t{thread}"), number);
                }
            });
        }
    });
    let report = dispatcher.shutdown(PATIENCE);
    assert!(report.drained);
    assert_eq!(report.stats.targets[0].delivered, 1_600);
    for numbers in receiver.arrivals().values() {
        assert_eq!(*numbers, (0..200).collect::<Vec<_>>());
    }
    assert!(!queue_dir.exists(), "best effort touches no disk");
}
