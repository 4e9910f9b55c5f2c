//! The end of a dispatcher, and the next one on the same queue.

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
    before.wait("the second attempt", |state| state.asked.len() == 2);
    let report = first.shutdown(Duration::ZERO);
    assert!(!report.drained);
    assert_eq!(report.stats.targets[0].pending, 5);
    // What still holds the queue would keep it locked.
    drop((queue, report));

    let queue = open();
    let after = Receiver::new(|_| Reply::Status(200));
    let second = dispatcher(config([target("a")]), &queue, &after)
        .start()
        .unwrap();
    assert!(second.shutdown(PATIENCE).drained);
    after.look(|state| {
        let arrived: Vec<_> = state.taken.iter().map(|taken| taken.id.clone()).collect();
        assert_eq!(arrived, ids);
        let attempts: Vec<_> = state.taken.iter().map(|taken| taken.attempt).collect();
        assert_eq!(
            attempts,
            [3, 1, 1, 1, 1],
            "the attempt that was cut short is made again, under another number"
        );
    });
}

#[test]
fn a_shutdown_waits_for_what_is_pending_and_takes_nothing_more() {
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
    assert_eq!(receiver.look(|state| state.taken.len()), 500);
    let refused = submitter.try_submit(event("t", 500)).unwrap_err();
    assert_eq!(&refused.event[..], event("t", 500));
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
    receiver.wait("an attempt", |state| state.asked.len() == 1);
    drop(first);
    let receiver = Receiver::new(|_| Reply::Status(200));
    let second = dispatcher(config([target("a")]), &queue, &receiver)
        .start()
        .unwrap();
    assert!(second.shutdown(PATIENCE).drained);
    assert_eq!(receiver.look(|state| state.taken.len()), 1);
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
    // While it runs: the first two.
    assert_eq!(running.control().replay("a", &dead()[..2]).unwrap(), 2);
    assert_eq!(running.control().replay("nobody", &dead()).unwrap(), 0);
    assert!(running.drain(Some(PATIENCE), &never));
    assert!(running.shutdown(PATIENCE).drained);
    // By a dispatcher that has seen nothing else: the others.
    let running = start();
    submit(&running.submitter(), "u", 9);
    assert!(running.drain(Some(PATIENCE), &never));
    assert_eq!(running.control().replay("a", &dead()).unwrap(), 2);
    assert!(running.shutdown(PATIENCE).drained);
    receiver.look(|state| {
        let taken = state.taken.iter().filter(|taken| taken.task() == "t");
        let taken: Vec<_> = taken
            .map(|taken| (taken.id.clone(), taken.attempt))
            .collect();
        let expected: Vec<_> = ids.into_iter().map(|id| (id, 1)).collect();
        assert_eq!(taken, expected);
    });
}

#[test]
fn dead_letters_are_replayed_by_a_dispatcher_that_was_owed_nothing() {
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
    assert_eq!(taking.look(|state| state.taken.len()), 1);
}

#[test]
fn an_event_whose_record_is_damaged_is_counted_and_owed_no_more() {
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
    let places: Vec<usize> = (0..data.len() - body.len())
        .filter(|&at| data[at..].starts_with(&body))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        data[at] ^= 1;
    }
    std::fs::write(&path, data).unwrap();

    let queue = open();
    let receiver = Receiver::new(|_| Reply::Status(200));
    let listener = Arc::new(Listener::default());
    let second = dispatcher(config([target("a")]), &queue, &receiver)
        .observer(Arc::clone(&listener) as Arc<dyn webhook_dispatch::Observer>)
        .start()
        .unwrap();
    receiver.wait("what is whole", |state| state.taken.len() == 2);
    let never = AtomicBool::new(false);
    assert!(second.drain(None, &never), "nothing is left to wait for");
    assert_eq!(second.stats().unwrap().targets[0].damaged, 1);
    let heard = listener.heard();
    assert!(heard[0].contains("records of 1 of its events"), "{heard:?}");
    let report = second.shutdown(PATIENCE);
    assert!(!report.drained);
    assert_eq!(report.damaged, 1);
    assert_eq!(report.stats.targets[0].pending, 0);
    assert_eq!(report.stats.queue.corrupt, 1);
}
