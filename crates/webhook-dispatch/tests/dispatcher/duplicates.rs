//! Events submitted twice under one key.

use crate::support::*;
use std::sync::Arc;
use std::time::Duration;
use webhook_config::Delivery;
use webhook_dispatch::{Receipt, Refusal, Submission, Submitter};
use webhook_queue::{DiskQueue, MemoryQueue, Options, Queue};

fn submit_keyed(submitter: &Submitter, number: u32, key: &str) -> Receipt {
    let submission = Submission::new(event("t", number)).idempotency_key(key.as_bytes());
    submitter.submit(submission, soon()).unwrap()
}

#[test]
fn a_duplicate_is_delivered_once_and_its_receipt_names_the_first_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Queue> {
        Arc::new(DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 26)).unwrap())
    };
    let receiver = Receiver::new(|_| Reply::Status(200));
    let targets = || config([target("a"), target("b").delivery(Delivery::BestEffort)]);
    let queue = open();
    let first = dispatcher(targets(), &queue, &receiver).start().unwrap();
    let receipt = submit_keyed(&first.submitter(), 1, "key");
    assert!(!receipt.duplicate && receipt.is_safe());
    let again = submit_keyed(&first.submitter(), 1, "key");
    assert!(again.duplicate && again.is_safe());
    assert_eq!(
        (again.id, again.targets, again.reliable),
        (receipt.id, 2, 1)
    );
    assert!(first.shutdown(PATIENCE).drained);
    drop(queue);

    let queue = open();
    let second = dispatcher(targets(), &queue, &receiver).start().unwrap();
    let again = submit_keyed(&second.submitter(), 1, "key");
    assert_eq!((again.id, again.duplicate), (receipt.id, true));
    assert!(!submit_keyed(&second.submitter(), 2, "other").duplicate);
    let report = second.shutdown(PATIENCE);
    assert!(report.drained);
    assert_eq!(
        report.stats.targets[0].accepted, 1,
        "a duplicate is not accepted"
    );
    let mut arrived = receiver.arrivals();
    for name in ["a", "b"] {
        let numbers = arrived.remove(&(name.to_owned(), "t".to_owned()));
        assert_eq!(numbers, Some(vec![1, 2]), "{name}");
    }
}

#[test]
fn the_key_of_a_best_effort_event_is_remembered_by_the_process() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 20));
    let config = config([target("a").delivery(Delivery::BestEffort)]);
    let dispatcher = dispatcher(config, &queue, &receiver).start().unwrap();
    let receipt = submit_keyed(&dispatcher.submitter(), 1, "key");
    let again = submit_keyed(&dispatcher.submitter(), 2, "key");
    assert_eq!((again.id, again.duplicate), (receipt.id, true));
    assert!(!submit_keyed(&dispatcher.submitter(), 3, "other").duplicate);
    assert!(dispatcher.shutdown(PATIENCE).drained);
    receiver.look(|state| assert_eq!(state.delivered.len(), 2));
}

#[test]
fn a_key_that_is_used_again_for_another_body_is_refused_if_that_is_asked_for() {
    for delivery in [Delivery::Reliable, Delivery::BestEffort] {
        let receiver = Receiver::new(|_| Reply::Status(200));
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 20));
        let targets = config([target("a").delivery(delivery)]);
        let dispatcher = dispatcher(targets, &queue, &receiver).start().unwrap();
        let submitter = dispatcher.submitter();
        let keyed = |number: u32| Submission::new(event("t", number)).idempotency_key(&b"key"[..]);
        let first = submitter.submit(keyed(1).reject_reused_key(), soon());
        let first = first.unwrap().id;
        let again = submitter.submit(keyed(1).reject_reused_key(), soon());
        assert!(again.unwrap().duplicate);
        let other = submitter.submit(keyed(2).reject_reused_key(), soon());
        let refusal = other.unwrap_err().refusal;
        assert!(
            matches!(refusal, Refusal::KeyReused { first: id } if id == first),
            "{refusal}"
        );
        assert!(refusal.to_string().contains(&first.to_string()));
        assert!(submitter.submit(keyed(2), soon()).unwrap().duplicate);
        assert!(dispatcher.shutdown(PATIENCE).drained);
        receiver.look(|state| assert_eq!(state.delivered.len(), 1));
    }
}

#[test]
fn the_key_of_a_refused_event_is_not_remembered() {
    for delivery in [Delivery::Reliable, Delivery::BestEffort] {
        let receiver = Receiver::new(|_| Reply::Status(200));
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(2_000));
        let targets = config([target("a").delivery(delivery)]);
        let dispatcher = dispatcher(targets, &queue, &receiver).start().unwrap();
        let submitter = dispatcher.submitter();
        dispatcher.control().pause("a").unwrap();
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
        dispatcher.control().resume("a").unwrap();
        let receipt = loop {
            // There is room once the settlements are synced.
            if let Ok(receipt) = submitter.submit(keyed(number), soon()) {
                break receipt;
            }
        };
        assert!(!receipt.duplicate, "{delivery:?}");
        assert!(dispatcher.shutdown(PATIENCE).drained);
        receiver.look(|state| assert_eq!(state.delivered.len(), number as usize + 1));
    }
}

#[test]
fn an_event_keeps_the_id_of_an_earlier_dispatcher() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 20));
    let dispatcher = dispatcher(config([target("a")]), &queue, &receiver)
        .start()
        .unwrap();
    let submitter = dispatcher.submitter();
    let id = format!("evt_{}", "5e".repeat(16));
    let relayed = |id: &str| {
        let submission = Submission::new(event("t", 1)).webhook_id(id);
        submitter.submit(submission, soon()).unwrap()
    };
    let first = relayed(&id);
    assert_eq!(Ok(first.id), id.parse());
    assert!(relayed(&id).duplicate);
    let other = relayed("msg_of_another_sender");
    assert!(!other.duplicate && other.id != first.id);
    assert_eq!(relayed("msg_of_another_sender").id, other.id);
    assert!(dispatcher.shutdown(PATIENCE).drained);
    receiver.look(|state| {
        let ids: Vec<_> = state
            .delivered
            .iter()
            .map(|received| received.id.clone())
            .collect();
        assert_eq!(ids, [id.clone(), other.id.to_string()]);
    });
}
