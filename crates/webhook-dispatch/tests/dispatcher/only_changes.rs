//! Inputs that take only the events that change a state.

use crate::support::*;
use std::sync::Arc;
use std::sync::mpsc;
use webhook_config::Config;
use webhook_dispatch::{Receipt, Refusal, Submission};
use webhook_queue::{DiskQueue, MemoryQueue, Options, Queue};

fn memory() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(1 << 30))
}

/// An input that takes changes alone, and targets that get `KEY OLD NEW`.
fn changes(targets: &[(&str, &str)]) -> Config {
    let targets = targets.iter().map(|(name, settings)| {
        format!(
            r#"{{"name": "{name}", "targetURL": "http://localhost:1/", "timeoutMsec": 60000,
                "headers": {{}}, "format": "template", "template": ["{{key}} {{oldState}} {{state}}"]
                {settings}}}"#
        )
    });
    let targets: Vec<String> = targets.collect();
    let text = format!(
        r#"{{"inputs": {{"jobs": {{
            "schema": "pointers", "key": "/job", "state": "/state", "oldState": "/old", "id": "/id",
            "onlyChanges": true
        }}}}, "targets": [{}]}}"#,
        targets.join(",")
    );
    let loaded = Config::parse("webhook.json", text.as_bytes());
    loaded.unwrap_or_else(|error| panic!("{error}")).config
}

const BEST_EFFORT: &str = r#", "delivery": "best-effort""#;

fn job(key: &str, state: &str) -> Submission {
    Submission::new(format!(r#"{{"job":"{key}","state":"{state}"}}"#).into_bytes()).input("jobs")
}

/// One that may be repeated.
fn once(key: &str, state: &str, id: u32) -> Submission {
    let text = format!(r#"{{"job":"{key}","state":"{state}","id":{id}}}"#);
    Submission::new(text.into_bytes()).input("jobs")
}

/// The bodies that a target got, sorted by their keys.
fn bodies(receiver: &Receiver, target: &str) -> Vec<String> {
    receiver.look(|state| {
        let delivered = state.delivered.iter();
        let of_target = delivered.filter(|received| received.target == target);
        let mut bodies: Vec<_> = of_target
            .map(|received| received.body.trim_matches(['[', '"', ']']).to_owned())
            .collect();
        bodies.sort_by_key(|body| body.split(' ').next().map(str::to_owned));
        bodies
    })
}

/// What became of a submission.
fn outcome(receipt: &Receipt) -> (&'static str, usize) {
    let kind = match receipt {
        receipt if receipt.unchanged => "unchanged",
        receipt if receipt.duplicate => "duplicate",
        _ => "taken",
    };
    (kind, receipt.targets)
}

#[test]
fn an_event_without_a_change_is_dropped_and_the_others_get_the_state_before_them() {
    let changed = r#", "initialEvents": false"#;
    let failed = r#", "statuses": ["failed"]"#;
    let reliable = changes(&[("all", ""), ("changed", changed), ("failed", failed)]);
    let changed_best_effort = format!("{changed}{BEST_EFFORT}");
    let failed_best_effort = format!("{failed}{BEST_EFFORT}");
    // Without a queue, and with one of which these targets get nothing.
    let best_effort = [
        ("all", BEST_EFFORT),
        ("changed", &*changed_best_effort),
        ("failed", &*failed_best_effort),
    ];
    let other = [("other", r#", "inputs": ["default"]"#)];
    let mixed = [("all", ""), best_effort[1], best_effort[2]];
    for config in [
        reliable,
        changes(&mixed),
        changes(&best_effort),
        changes(&[&best_effort[..], &other].concat()),
    ] {
        let receiver = Receiver::new(|_| Reply::Status(200));
        let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
        let submit = |submission: Submission| {
            let receipt = dispatcher.submitter().submit(submission, soon()).unwrap();
            assert!(receipt.is_safe() || receipt.reliable == 0);
            outcome(&receipt)
        };
        assert_eq!(submit(job("a", "queued")), ("taken", 1));
        assert_eq!(submit(job("a", "queued")), ("unchanged", 0));
        assert_eq!(submit(once("a", "running", 1)), ("taken", 2));
        assert_eq!(submit(once("a", "running", 1)), ("duplicate", 2));
        assert_eq!(submit(once("a", "running", 2)), ("unchanged", 0));
        assert_eq!(submit(job("b", "running")), ("taken", 1));
        assert_eq!(submit(job("a", "failed")), ("taken", 3));
        // It was dropped before the state changed.
        assert_eq!(submit(once("a", "running", 2)).0, "duplicate");
        let with_old = br#"{"job":"b","state":"failed","old":"lost"}"#;
        let with_old = Submission::new(&with_old[..]).input("jobs");
        assert_eq!(submit(with_old), ("taken", 3));
        // Without a state nothing changes.
        let without = || Submission::new(&br#"{"job":"a"}"#[..]).input("jobs");
        assert_eq!(submit(without()), ("taken", 1));
        assert_eq!(submit(without()), ("taken", 1));
        assert_eq!(submit(job("a", "failed")), ("unchanged", 0));

        let stats = dispatcher.monitor().stats().unwrap();
        assert_eq!(stats.queue.last_states, 2);
        let report = dispatcher.shutdown(PATIENCE);
        let input = report
            .stats
            .inputs
            .iter()
            .find(|input| input.name == "jobs");
        assert_eq!(input.unwrap().unchanged, 3);
        let all = [
            "a  queued",
            "a queued running",
            "a running failed",
            "a  ",
            "a  ",
        ];
        assert_eq!(bodies(&receiver, "all")[..5], all);
        assert_eq!(
            bodies(&receiver, "all")[5..],
            ["b  running", "b lost failed"]
        );
        let changed = ["a queued running", "a running failed", "b lost failed"];
        assert_eq!(bodies(&receiver, "changed"), changed);
        let failed = ["a running failed", "b lost failed"];
        assert_eq!(bodies(&receiver, "failed"), failed);
        let filtered = |name: &str| {
            let mut targets = report.stats.targets.iter();
            targets.find(|target| target.name == name).unwrap().filtered
        };
        assert_eq!((filtered("all"), filtered("changed")), (0, 4));
    }
}

#[test]
fn events_that_are_not_committed_yet_count_for_those_after_them() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let dispatcher = dispatcher(changes(&[("all", "")]), &memory(), &receiver)
        .start()
        .unwrap();
    let (sender, results) = mpsc::channel();
    for number in 0..400_u32 {
        let sender = sender.clone();
        let completion = move |result: Result<Receipt, Refusal>| {
            sender.send((number, result.unwrap().unchanged)).unwrap();
        };
        // Each state comes four times in a row.
        let submission = job("a", &(number / 4).to_string());
        let submitter = dispatcher.submitter();
        submitter
            .submit_with(submission, Some(soon()), completion)
            .unwrap();
    }
    for _ in 0..400 {
        let (number, unchanged) = results.recv().unwrap();
        assert_eq!(unchanged, number % 4 > 0, "{number}");
    }
    assert!(dispatcher.shutdown(PATIENCE).drained);
    let bodies = bodies(&receiver, "all");
    let expected = (1..100).map(|state| format!("a {} {state}", state - 1));
    assert!(bodies[1..].iter().cloned().eq(expected), "{bodies:?}");
}

#[test]
fn last_states_are_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::new(|_| Reply::Status(200));
    for (state, expected) in [
        ("queued", "taken"),
        ("queued", "unchanged"),
        ("failed", "taken"),
    ] {
        let queue: Arc<dyn Queue> =
            Arc::new(DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 26)).unwrap());
        let config = changes(&[("all", ""), ("best-effort", BEST_EFFORT)]);
        let dispatcher = dispatcher(config, &queue, &receiver).start().unwrap();
        let receipt = dispatcher.submitter().submit(job("a", state), soon());
        assert_eq!(outcome(&receipt.unwrap()).0, expected);
        assert!(dispatcher.shutdown(PATIENCE).drained);
    }
    for target in ["all", "best-effort"] {
        assert_eq!(bodies(&receiver, target), ["a  queued", "a queued failed"]);
    }
}

#[test]
fn an_event_that_a_full_queue_refuses_changes_no_state() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(2_000));
    let text = r#", "where": [{"at": "/job", "exists": true}]"#;
    let dispatcher = dispatcher(changes(&[("all", text)]), &queue, &receiver)
        .start()
        .unwrap();
    let submitter = dispatcher.submitter();
    submitter.submit(job("a", "queued"), soon()).unwrap();
    receiver.wait("the first event", |state| state.delivered.len() == 1);
    dispatcher.control().pause("all").unwrap();
    let mut filler = 0;
    let now = || std::time::Instant::now() + std::time::Duration::from_millis(50);
    while submitter
        .submit(job(&format!("filler-{filler}"), "queued"), now())
        .is_ok()
    {
        filler += 1;
    }
    for _ in 0..2 {
        let refused = submitter.submit(job("a", "running"), now()).unwrap_err();
        assert!(matches!(refused.refusal, Refusal::Full), "{refused}");
    }
    // What stores nothing is taken.
    let receipt = submitter.submit(job("a", "queued"), soon()).unwrap();
    assert!(receipt.unchanged);
    dispatcher.control().resume("all").unwrap();
    receiver.wait("the fillers", |state| state.delivered.len() == filler + 1);
    let receipt = submitter.submit(job("a", "running"), soon()).unwrap();
    assert!(!receipt.unchanged);
    assert!(dispatcher.shutdown(PATIENCE).drained);
    assert_eq!(
        bodies(&receiver, "all")[..2],
        ["a  queued", "a queued running"]
    );
}

#[test]
fn a_state_that_is_too_long_to_be_kept_is_refused() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let dispatcher = dispatcher(changes(&[("all", "")]), &memory(), &receiver)
        .start()
        .unwrap();
    let submitter = dispatcher.submitter();
    let longest = "x".repeat(254);
    submitter.submit(job("a", &longest), soon()).unwrap();
    let refused = submitter.submit(job("a", &"x".repeat(255)), soon());
    let expected = "not an event of input jobs: state: it has 257 bytes in JSON, and `onlyChanges` keeps \
        at most 256";
    assert_eq!(refused.unwrap_err().to_string(), expected);
    let given = Submission::of("a", "x".repeat(255), &b"{}"[..]).input("jobs");
    assert_eq!(
        submitter.submit(given, soon()).unwrap_err().to_string(),
        expected
    );
    drop(dispatcher.shutdown(PATIENCE));
}
