//! Shutdowns, and the next dispatcher on the same queue.

use crate::support::*;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use webhook_queue::{DiskQueue, MemoryQueue, Options, Queue};

#[test]
fn a_restart_goes_on_where_it_stopped_with_the_same_ids_and_attempt_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Queue> {
        Arc::new(DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 26)).unwrap())
    };
    let queue = open();
    let before = Receiver::new(|received| match received.attempt {
        1 => Reply::Status(503),
        _ => Reply::Hang,
    });
    let first = dispatcher(config([target("a")]), &queue, &before)
        .start()
        .unwrap();
    let ids: Vec<_> = (0..5)
        .map(|number| submit(&first.submitter(), "t", number))
        .collect();
    before.wait("the second attempt", |state| state.requests.len() == 2);
    let report = first.shutdown(Duration::ZERO);
    assert!(!report.drained);
    assert_eq!(report.stats.targets[0].pending, 5);
    // Closes the queue, which unlocks its directory.
    drop((queue, report));

    let queue = open();
    let after = Receiver::new(|_| Reply::Status(200));
    let second = dispatcher(config([target("a")]), &queue, &after)
        .start()
        .unwrap();
    assert!(second.shutdown(PATIENCE).drained);
    after.look(|state| {
        let arrived: Vec<_> = state
            .delivered
            .iter()
            .map(|received| received.id.clone())
            .collect();
        assert_eq!(arrived, ids);
        let attempts: Vec<_> = state
            .delivered
            .iter()
            .map(|received| received.attempt)
            .collect();
        assert_eq!(
            attempts,
            [3, 1, 1, 1, 1],
            "the aborted attempt is made again, under another number"
        );
    });
}

#[test]
fn a_shutdown_waits_for_pending_events_and_refuses_new_ones() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 30));
    let dispatcher = dispatcher(config([target("a")]), &queue, &receiver)
        .start()
        .unwrap();
    let submitter = dispatcher.submitter();
    for number in 0..500 {
        submitter.try_submit(event("t", number)).unwrap();
    }
    assert!(dispatcher.shutdown(PATIENCE).drained);
    assert_eq!(receiver.look(|state| state.delivered.len()), 500);
    let refused = submitter.try_submit(event("t", 500)).unwrap_err();
    assert_eq!(&refused.submission.event()[..], event("t", 500));
    assert!(matches!(
        refused.refusal,
        webhook_dispatch::Refusal::ShuttingDown
    ));
}

#[test]
fn a_dispatcher_that_is_dropped_loses_nothing() {
    let receiver = Receiver::new(|_| Reply::Hang);
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 30));
    let first = dispatcher(config([target("a")]), &queue, &receiver)
        .start()
        .unwrap();
    submit(&first.submitter(), "t", 0);
    receiver.wait("an attempt", |state| state.requests.len() == 1);
    drop(first);
    let receiver = Receiver::new(|_| Reply::Status(200));
    let second = dispatcher(config([target("a")]), &queue, &receiver)
        .start()
        .unwrap();
    assert!(second.shutdown(PATIENCE).drained);
    assert_eq!(receiver.look(|state| state.delivered.len()), 1);
}

#[test]
fn a_replayed_dead_letter_is_delivered_under_its_old_id() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 30));
    let refuse = Arc::new(AtomicBool::new(true));
    let refuses = Arc::clone(&refuse);
    let receiver = Receiver::new(move |_| {
        let refuses = refuses.load(Ordering::SeqCst);
        Reply::Status(if refuses { 422 } else { 200 })
    });
    let start = || {
        dispatcher(config([target("a")]), &queue, &receiver)
            .start()
            .unwrap()
    };
    let running = start();
    let never = AtomicBool::new(false);
    let ids: Vec<_> = (0..4)
        .map(|number| submit(&running.submitter(), "t", number))
        .collect();
    assert!(running.drain(Some(PATIENCE), &never));
    refuse.store(false, Ordering::SeqCst);
    let dead = || {
        let mut entries = Vec::new();
        let mut visit = |dead: webhook_queue::DeadLetter<'_>| {
            entries.push(dead.owed.entry);
            ControlFlow::Continue(())
        };
        queue.dead_letters(Some("a"), None, &mut visit).unwrap();
        entries
    };
    // The settlement is synced a moment after the event is no longer pending.
    while dead().len() < 4 {
        std::thread::yield_now();
    }
    // The running dispatcher replays the first two.
    assert_eq!(running.control().replay("a", &dead()[..2]).unwrap(), 2);
    assert_eq!(running.control().replay("unknown", &dead()).unwrap(), 0);
    assert!(running.drain(Some(PATIENCE), &never));
    assert!(running.shutdown(PATIENCE).drained);
    // A dispatcher that has not read these tasks replays the others.
    let running = start();
    submit(&running.submitter(), "u", 9);
    assert!(running.drain(Some(PATIENCE), &never));
    assert_eq!(running.control().replay("a", &dead()).unwrap(), 2);
    assert!(running.shutdown(PATIENCE).drained);
    receiver.look(|state| {
        let taken = state
            .delivered
            .iter()
            .filter(|received| received.task() == "t");
        let taken: Vec<_> = taken
            .map(|received| (received.id.clone(), received.attempt))
            .collect();
        let expected: Vec<_> = ids.into_iter().map(|id| (id, 1)).collect();
        assert_eq!(taken, expected);
    });
}

#[test]
fn a_dispatcher_without_pending_events_replays_dead_letters() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 30));
    let refusing = Receiver::new(|_| Reply::Status(400));
    let first = dispatcher(config([target("a")]), &queue, &refusing)
        .start()
        .unwrap();
    submit(&first.submitter(), "t", 0);
    assert!(first.shutdown(PATIENCE).drained);
    let taking = Receiver::new(|_| Reply::Status(200));
    let second = dispatcher(config([target("a")]), &queue, &taking)
        .start()
        .unwrap();
    let mut entry = None;
    queue
        .dead_letters(None, None, &mut |dead| {
            entry = Some(dead.owed.entry);
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(second.control().replay("a", &[entry.unwrap()]).unwrap(), 1);
    assert!(second.shutdown(PATIENCE).drained);
    assert_eq!(taking.look(|state| state.delivered.len()), 1);
}

#[test]
fn an_event_with_a_damaged_record_is_counted_and_no_longer_pending() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Queue> {
        Arc::new(DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 26)).unwrap())
    };
    let queue = open();
    let receiver = Receiver::new(|_| Reply::Hang);
    let first = dispatcher(config([target("a")]), &queue, &receiver)
        .start()
        .unwrap();
    for task in ["t1", "damaged", "t2"] {
        submit(&first.submitter(), task, 0);
    }
    drop((first.shutdown(Duration::ZERO), queue));
    let path = dir.path().join("data.mdb");
    let mut data = std::fs::read(&path).unwrap();
    let body = event("damaged", 0);
    let copies: Vec<usize> = (0..data.len() - body.len())
        .filter(|&at| data[at..].starts_with(&body))
        .collect();
    assert!(!copies.is_empty());
    for at in copies {
        data[at] ^= 1;
    }
    std::fs::write(&path, data).unwrap();

    let queue = open();
    let receiver = Receiver::new(|_| Reply::Status(200));
    let recorder = Arc::new(Recorder::default());
    let second = dispatcher(config([target("a")]), &queue, &receiver)
        .observer(Arc::clone(&recorder) as Arc<dyn webhook_dispatch::Observer>)
        .start()
        .unwrap();
    receiver.wait("the undamaged events", |state| state.delivered.len() == 2);
    let never = AtomicBool::new(false);
    assert!(second.drain(None, &never), "no event is left to wait for");
    assert_eq!(second.stats().unwrap().targets[0].damaged, 1);
    let incidents = recorder.incidents();
    let text = "records of 1 of its events";
    assert!(incidents[0].contains(text), "{incidents:?}");
    let report = second.shutdown(PATIENCE);
    assert!(!report.drained);
    assert_eq!(report.damaged, 1);
    assert_eq!(report.stats.targets[0].pending, 0);
    assert_eq!(report.stats.queue.corrupt, 1);
}
