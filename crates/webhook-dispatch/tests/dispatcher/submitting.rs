//! Receipts, refusals and completions.

use crate::support::*;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use webhook_config::{Config, Delivery, QueueSettings, StatusFilter, WhenFull};
use webhook_dispatch::{Refusal, Submission};
use webhook_model::ScheduleStatus;
use webhook_queue::{MemoryQueue, Queue};

fn memory() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(1 << 30))
}

fn with_when_full(when_full: WhenFull) -> Config {
    let config = config([target("a")]);
    let settings = config.queue().clone().with_when_full(when_full);
    config.with_queue(settings)
}

#[test]
fn a_full_queue_gives_the_event_back_and_accepts_it_once_there_is_room() {
    for when_full in [WhenFull::Block, WhenFull::Reject] {
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(2_000));
        let receiver = Receiver::new(|_| Reply::Status(200));
        let dispatcher = dispatcher(with_when_full(when_full), &queue, &receiver)
            .start()
            .unwrap();
        let submitter = dispatcher.submitter();
        dispatcher.control().pause("a").unwrap();
        let mut accepted = 0;
        let keyed =
            |number: u32| Submission::new(event("t", number)).idempotency_key(number.to_be_bytes());
        let refused = loop {
            let soon = Instant::now() + Duration::from_millis(200);
            match submitter.submit(keyed(accepted), soon) {
                Ok(_) => accepted += 1,
                Err(refused) => break refused,
            }
        };
        assert!(accepted > 0);
        assert!(
            matches!(refused.refusal, Refusal::Full),
            "{when_full:?}: {:?}",
            refused.refusal
        );
        assert_eq!(&refused.submission.event()[..], event("t", accepted));
        dispatcher.control().resume("a").unwrap();
        receiver.wait("room", |state| state.delivered.len() == accepted as usize);
        let mut back = refused.submission;
        let receipt = loop {
            // There is room once the settlements are synced.
            match submitter.submit(*back, soon()) {
                Ok(receipt) => break receipt,
                Err(error) => {
                    assert!(matches!(error.refusal, Refusal::Full));
                    back = error.submission;
                }
            }
        };
        // The key was given back, too.
        let repeated = submitter.submit(keyed(accepted), soon()).unwrap();
        assert!(repeated.duplicate && repeated.id == receipt.id);
        assert!(dispatcher.shutdown(PATIENCE).drained);
        let numbers: Vec<_> =
            receiver.look(|state| state.delivered.iter().map(Received::number).collect());
        assert_eq!(numbers, (0..=accepted).collect::<Vec<_>>());
    }
}

#[test]
fn a_best_effort_target_gets_nothing_that_a_full_queue_refuses() {
    for when_full in [WhenFull::Block, WhenFull::Reject] {
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(2_000));
        let receiver = Receiver::new(|_| Reply::Status(200));
        let config = config([target("a"), target("b").delivery(Delivery::BestEffort)]);
        let settings = config.queue().clone().with_when_full(when_full);
        let dispatcher = dispatcher(config.with_queue(settings), &queue, &receiver)
            .start()
            .unwrap();
        dispatcher.control().pause("a").unwrap();
        let accepted = (0..100).take_while(|number| {
            let soon = Instant::now() + Duration::from_millis(200);
            let submitter = dispatcher.submitter();
            submitter.submit(event("t", *number), soon).is_ok()
        });
        let accepted: Vec<_> = accepted.collect();
        dispatcher.control().resume("a").unwrap();
        assert!(dispatcher.shutdown(PATIENCE).drained);
        let mut arrived = receiver.arrivals();
        for name in ["a", "b"] {
            let numbers = arrived.remove(&(name.to_owned(), "t".to_owned()));
            assert_eq!(numbers.as_ref(), Some(&accepted), "{name}, {when_full:?}");
        }
    }
}

#[test]
fn an_event_for_best_effort_targets_alone_does_not_overtake_one_that_is_being_committed() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let running = StatusFilter::only([ScheduleStatus::Running]);
    let targets = [
        target("a").statuses(running),
        target("b").delivery(Delivery::BestEffort),
    ];
    let dispatcher = dispatcher(config(targets), &memory(), &receiver)
        .start()
        .unwrap();
    let submitter = dispatcher.submitter();
    for number in 0..200 {
        let status = ["RUNNING", "FINISHED"][number as usize % 2];
        let text = String::from_utf8(event("t", number)).unwrap();
        let event = text.replace("}},", &format!(r#"}},"status":"{status}"}},"#));
        submitter
            .submit_with(event.into_bytes(), Some(soon()), |result| {
                assert!(result.is_ok())
            })
            .unwrap();
    }
    assert!(dispatcher.shutdown(PATIENCE).drained);
    let mut arrived = receiver.arrivals();
    let numbers = arrived.remove(&("b".to_owned(), "t".to_owned()));
    assert_eq!(numbers, Some((0..200).collect()));
}

#[test]
fn an_event_that_a_full_queue_has_no_room_for_keeps_no_shorter_one_out() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(2_000));
    let receiver = Receiver::new(|_| Reply::Status(200));
    let dispatcher = dispatcher(with_when_full(WhenFull::Reject), &queue, &receiver)
        .start()
        .unwrap();
    let submitter = dispatcher.submitter();
    dispatcher.control().pause("a").unwrap();
    submitter.submit(event("t", 0), soon()).unwrap();
    let mut long = event("t", 1);
    long.resize(1_900, b' ');
    let refused = submitter.submit(long, soon()).unwrap_err();
    assert!(matches!(refused.refusal, Refusal::Full), "{refused}");
    submitter.try_submit(event("t", 2)).unwrap();
    dispatcher.control().resume("a").unwrap();
    assert!(dispatcher.shutdown(PATIENCE).drained);
    assert_eq!(receiver.look(|state| state.delivered.len()), 2);
}

#[test]
fn an_event_handed_over_waits_for_room_in_a_queue_that_blocks() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(2_000));
    let receiver = Receiver::new(|_| Reply::Status(200));
    let dispatcher = dispatcher(with_when_full(WhenFull::Block), &queue, &receiver)
        .start()
        .unwrap();
    dispatcher.control().pause("a").unwrap();
    for number in 0..100 {
        let submitter = dispatcher.submitter();
        submitter.try_submit(event("t", number)).unwrap();
    }
    dispatcher.control().resume("a").unwrap();
    assert!(dispatcher.shutdown(PATIENCE).drained);
    assert_eq!(receiver.look(|state| state.delivered.len()), 100);
}

#[test]
fn a_completion_is_called_once_and_its_panic_is_caught() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let dispatcher = dispatcher(config([target("a")]), &memory(), &receiver)
        .start()
        .unwrap();
    let submitter = dispatcher.submitter();
    submitter
        .submit_with(event("t", 0), None, |_| panic!("a completion that panics"))
        .unwrap();
    let (completed, completions) = mpsc::channel();
    for number in 1..100 {
        let completed = completed.clone();
        submitter
            .submit_with(event("t", number), Some(soon()), move |result| {
                completed.send((number, result.is_ok())).unwrap();
            })
            .unwrap();
    }
    drop(completed);
    let completions: Vec<_> = completions.iter().collect();
    let expected: Vec<_> = (1..100).map(|number| (number, true)).collect();
    assert_eq!(completions, expected, "in the order of the calls");
    assert!(dispatcher.shutdown(PATIENCE).drained);
    assert_eq!(receiver.look(|state| state.delivered.len()), 100);
}

#[test]
fn invalid_events_are_given_back_and_not_counted() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let small = Config::builder()
        .target(target("a").build().unwrap())
        .max_event_bytes(1 << 10)
        .build()
        .unwrap();
    let dispatcher = dispatcher(small, &memory(), &receiver).start().unwrap();
    let submitter = dispatcher.submitter();
    let refusal = |event: &[u8]| submitter.try_submit(event).unwrap_err().refusal;
    assert!(matches!(refusal(b""), Refusal::NotAnEvent(_)));
    assert!(matches!(refusal(b"{\"task\":"), Refusal::NotAnEvent(_)));
    assert!(matches!(refusal(b"{}"), Refusal::NoTask));
    let long = [b' '; 1025];
    assert!(matches!(
        refusal(&long),
        Refusal::TooLarge {
            length: 1025,
            max: 1024
        }
    ));
    let report = dispatcher.shutdown(PATIENCE);
    assert_eq!(report.stats.targets[0].accepted, 0);
    assert_eq!(report.stats.targets[0].filtered, 0);
}

#[test]
fn a_receipt_counts_the_targets_that_accept_the_event() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let nothing = StatusFilter::Only(Default::default());
    let config = config([
        target("all"),
        target("none").statuses(nothing),
        target("some-day").delivery(Delivery::BestEffort),
    ]);
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    let receipt = dispatcher
        .submitter()
        .submit(event("t", 0), soon())
        .unwrap();
    assert_eq!((receipt.targets, receipt.reliable), (2, 1));
    assert!(receipt.is_safe());
    let report = dispatcher.shutdown(PATIENCE);
    let filtered: Vec<_> = report.stats.targets.iter().map(|t| t.filtered).collect();
    assert_eq!(filtered, [0, 1, 0]);
}

#[test]
fn a_queue_in_use_fails_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let config = config([target("a")]).with_queue(QueueSettings::new(dir.path()));
        let receiver = Receiver::new(|_| Reply::Status(200));
        webhook_dispatch::Dispatcher::builder(config)
            .connector(Arc::new(InProcess(receiver)))
            .start()
    };
    let running = start().unwrap();
    let error = start().unwrap_err();
    assert!(matches!(error, webhook_dispatch::StartError::Queue(_)));
    assert!(running.shutdown(PATIENCE).drained);
}
