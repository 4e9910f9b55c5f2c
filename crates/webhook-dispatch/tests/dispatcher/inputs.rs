//! Events of several inputs, and events of any shape.

use crate::support::*;
use std::sync::Arc;
use webhook_config::{Delivery, Format, JobFilter, StatusFilter};
use webhook_dispatch::{Refusal, Submission};
use webhook_queue::{DiskQueue, MemoryQueue, Options, Queue};

fn memory() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(1 << 30))
}

/// The bodies that a target got, in order of arrival.
fn bodies(receiver: &Receiver, target: &str) -> Vec<String> {
    receiver.look(|state| {
        let delivered = state.delivered.iter();
        let of_target = delivered.filter(|received| received.target == target);
        of_target.map(|received| received.body.clone()).collect()
    })
}

#[test]
fn an_event_of_any_shape_is_filtered_by_the_fields_given_with_it() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let web = JobFilter::Matching(vec!["web/*".parse().unwrap()]);
    let config = config([
        target("all"),
        target("failed").statuses(StatusFilter::only(["failed"])),
        target("changes").initial_events(false),
        target("web").jobs(web).delivery(Delivery::BestEffort),
    ]);
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    let submit = |submission: Submission| dispatcher.submitter().submit(submission, soon());
    let event = |number: u32| format!(r#"{{"build":{number}}}"#).into_bytes();
    let started = Submission::of("17", "started", event(0));
    assert_eq!(submit(started).unwrap().targets, 1);
    let failed = Submission::of("17", "failed", event(1))
        .old_state("started")
        .job(["web", "deploy"]);
    assert_eq!(submit(failed).unwrap().targets, 4);
    assert!(dispatcher.shutdown(PATIENCE).drained);
    let both = [r#"{"build":0}"#, r#"{"build":1}"#];
    for (target, expected) in [
        ("all", &both[..]),
        ("failed", &both[1..]),
        ("changes", &both[1..]),
        ("web", &both[1..]),
    ] {
        assert_eq!(bodies(&receiver, target), expected, "{target}");
    }
}

#[test]
fn a_format_gets_the_fields_of_an_event_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Queue> {
        Arc::new(DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 26)).unwrap())
    };
    let kafka = |name| target(name).format(Format::KafkaRestV2);
    let targets = || config([kafka("a"), kafka("b").delivery(Delivery::BestEffort)]);
    let receiver = Receiver::new(|_| Reply::Status(204));
    let queue = open();
    let first = dispatcher(targets(), &queue, &receiver).start().unwrap();
    assert!(first.control().pause("a", true));
    let event = Submission::of("17", "failed", &br#"{"build":17}"#[..]);
    first.submitter().submit(event, soon()).unwrap();
    receiver.wait("the best-effort target", |state| state.delivered.len() == 1);
    drop(first.shutdown(PATIENCE));
    drop(queue);

    let queue = open();
    let second = dispatcher(targets(), &queue, &receiver).start().unwrap();
    assert!(second.shutdown(PATIENCE).drained);
    let expected = [r#"{"records":[{"key":"17","value":{"build":17}}]}"#];
    for name in ["a", "b"] {
        assert_eq!(bodies(&receiver, name), expected, "{name}");
    }
}

#[test]
fn an_event_that_is_not_json_or_of_an_unknown_input_is_given_back() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let dispatcher = dispatcher(config([target("a")]), &memory(), &receiver)
        .start()
        .unwrap();
    let refuse = |submission: Submission| {
        let error = dispatcher
            .submitter()
            .submit(submission, soon())
            .unwrap_err();
        assert!(!error.event.is_empty());
        error.refusal
    };
    let refusal = refuse(Submission::of("17", "failed", &b"{\"build\":"[..]));
    assert!(
        matches!(refusal, Refusal::NotUnderstood { .. }),
        "{refusal}"
    );
    let refusal = refuse(Submission::new(event("t", 0)).input("nomad"));
    assert_eq!(
        refusal.to_string(),
        "there is no input \"nomad\"; the configuration has none but the default one"
    );
    let report = dispatcher.shutdown(PATIENCE);
    assert_eq!(report.stats.targets[0].accepted, 0);
}
