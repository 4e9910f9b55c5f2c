//! An event that is submitted twice under one key.

use crate::support::*;
use std::sync::Arc;
use std::time::Duration;
use webhook_config::Delivery;
use webhook_dispatch::{Receipt, Submission, Submitter, parse_webhook_id, webhook_id};
use webhook_queue::{DiskQueue, MemoryQueue, Options, Queue};

fn once(submitter: &Submitter, number: u32, key: &str) -> Receipt {
    let submission = Submission::new(event("t", number)).idempotency_key(key.as_bytes());
    submitter.submit(submission, soon()).unwrap()
}

#[test]
fn it_is_delivered_once_and_the_second_receipt_names_the_first_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Queue> {
        Arc::new(DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 26)).unwrap())
    };
    let receiver = Receiver::new(|_| Reply::Status(200));
    let targets = || config([target("a"), target("b").delivery(Delivery::BestEffort)]);
    let queue = open();
    let first = dispatcher(targets(), &queue, &receiver).start().unwrap();
    let receipt = once(&first.submitter(), 1, "key");
    assert!(!receipt.duplicate && receipt.is_safe());
    let again = once(&first.submitter(), 1, "key");
    assert!(again.duplicate && again.is_safe());
    assert_eq!(
        (again.id, again.targets, again.reliable),
        (receipt.id, 2, 1)
    );
    assert!(first.shutdown(PATIENCE).drained);
    drop(queue);

    let queue = open();
    let second = dispatcher(targets(), &queue, &receiver).start().unwrap();
    let again = once(&second.submitter(), 1, "key");
    assert_eq!((again.id, again.duplicate), (receipt.id, true));
    assert!(!once(&second.submitter(), 2, "other").duplicate);
    let report = second.shutdown(PATIENCE);
    assert!(report.drained);
    assert_eq!(report.stats.targets[0].accepted, 1, "a duplicate is none");
    let mut arrived = receiver.arrivals();
    for name in ["a", "b"] {
        let numbers = arrived.remove(&(name.to_owned(), "t".to_owned()));
        assert_eq!(numbers, Some(vec![1, 2]), "{name}");
    }
}

#[test]
fn an_event_for_best_effort_targets_alone_is_known_as_long_as_the_process_lives() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 20));
    let config = config([target("a").delivery(Delivery::BestEffort)]);
    let dispatcher = dispatcher(config, &queue, &receiver).start().unwrap();
    let receipt = once(&dispatcher.submitter(), 1, "key");
    let again = once(&dispatcher.submitter(), 2, "key");
    assert_eq!((again.id, again.duplicate), (receipt.id, true));
    assert!(!once(&dispatcher.submitter(), 3, "other").duplicate);
    assert!(dispatcher.shutdown(PATIENCE).drained);
    receiver.look(|state| assert_eq!(state.taken.len(), 2));
}

#[test]
fn an_event_that_was_refused_is_not_known() {
    for delivery in [Delivery::Reliable, Delivery::BestEffort] {
        let receiver = Receiver::new(|_| Reply::Status(200));
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(2_000));
        let targets = config([target("a").delivery(delivery)]);
        let dispatcher = dispatcher(targets, &queue, &receiver).start().unwrap();
        let submitter = dispatcher.submitter();
        assert!(dispatcher.control().pause("a", true));
        let keyed =
            |number: u32| Submission::new(event("t", number)).idempotency_key(number.to_be_bytes());
        let mut number = 0;
        let refused = loop {
            let soon = std::time::Instant::now() + Duration::from_millis(100);
            match submitter.submit(keyed(number), soon) {
                Ok(receipt) => assert!(!receipt.duplicate),
                Err(refused) => break refused,
            }
            number += 1;
        };
        assert!(matches!(refused.refusal, webhook_dispatch::Refusal::Full));
        assert!(dispatcher.control().pause("a", false));
        let receipt = loop {
            // The room is there once the settlements are synced.
            if let Ok(receipt) = submitter.submit(keyed(number), soon()) {
                break receipt;
            }
        };
        assert!(!receipt.duplicate, "{delivery:?}");
        assert!(dispatcher.shutdown(PATIENCE).drained);
        receiver.look(|state| assert_eq!(state.taken.len(), number as usize + 1));
    }
}

#[test]
fn an_event_keeps_the_name_that_a_dispatcher_before_gave_it() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 20));
    let dispatcher = dispatcher(config([target("a")]), &queue, &receiver)
        .start()
        .unwrap();
    let submitter = dispatcher.submitter();
    let name = format!("evt_{}", "5e".repeat(16));
    let relayed = |name: &str| {
        let submission = Submission::new(event("t", 1)).webhook_id(name);
        submitter.submit(submission, soon()).unwrap()
    };
    let first = relayed(&name);
    assert_eq!(Some(first.id), parse_webhook_id(&name));
    assert!(relayed(&name).duplicate);
    let other = relayed("msg_of_somebody_else");
    assert!(!other.duplicate && other.id != first.id);
    assert_eq!(relayed("msg_of_somebody_else").id, other.id);
    assert!(dispatcher.shutdown(PATIENCE).drained);
    receiver.look(|state| {
        let ids: Vec<_> = state.taken.iter().map(|taken| taken.id.clone()).collect();
        assert_eq!(ids, [name.clone(), webhook_id(other.id)]);
    });
}
