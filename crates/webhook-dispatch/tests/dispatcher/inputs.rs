//! Events of several inputs, and events of any shape.

use crate::support::*;
use std::sync::Arc;
use webhook_config::{Config, Delivery, Format, JobFilter, StatusFilter};
use webhook_dispatch::{Refusal, Submission, dry_run};
use webhook_queue::{DiskQueue, MemoryQueue, Options, Queue};

fn memory() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(1 << 30))
}

/// A configuration of two inputs, `nomad` and `builds`, with these targets.
fn two_inputs(targets: &str) -> Config {
    let text = format!(
        r#"{{"inputs": {{
            "nomad": {{"schema": "nomad"}},
            "builds": {{
                "schema": "pointers", "key": "/build", "state": "/state", "oldState": "/before",
                "job": ["/repo", "/branch"], "id": "/id", "omit": ["/secret"],
                "ignore": [{{"at": "/state", "equals": "waiting"}}]
            }}
        }}, "targets": [{targets}]}}"#
    );
    let loaded = Config::parse("webhook.json", text.as_bytes());
    loaded.unwrap_or_else(|error| panic!("{error}")).config
}

fn a_target(name: &str, settings: &str) -> String {
    format!(
        r#"{{"name": "{name}", "targetURL": "http://localhost:1/", "timeoutMsec": 60000, "headers": {{}}{settings}}}"#
    )
}

fn build(text: &str) -> Submission {
    Submission::new(text.as_bytes()).input("builds")
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
    first.control().pause("a").unwrap();
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
        assert!(!error.submission.event().is_empty());
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

#[test]
fn an_event_is_read_by_the_schema_of_its_input() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let targets = [
        a_target("all", ""),
        a_target("nomad", r#", "inputs": ["nomad"]"#),
        a_target(
            "failed",
            r#", "inputs": ["builds"], "statuses": ["failed"]"#,
        ),
        a_target("main", r#", "jobs": ["web/main"], "initialEvents": false"#),
        a_target("slow", r#", "where": [{"at": "/seconds", "atLeast": 60}]"#),
        a_target("aurora", r#", "inputs": ["default"]"#),
    ];
    let config = two_inputs(&targets.join(","));
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    let submit = |submission: Submission| dispatcher.submitter().submit(submission, soon());
    let first = r#"{"build":1,"state":"running"}"#;
    let second = r#"{"build":1,"state":"failed","before":"running","repo":"web","branch":"main","seconds":61}"#;
    let third = r#"{"Topic":"Allocation","Key":"a","Namespace":"default","Index":7,"Payload":
        {"Allocation":{"ClientStatus":"failed","JobID":"web","TaskGroup":"main"}}}"#;
    for (submission, targets) in [
        (build(first), 1),
        (build(second), 4),
        (Submission::new(third.as_bytes()).input("nomad"), 2),
        (Submission::new(event("t", 0)), 2),
    ] {
        assert_eq!(submit(submission).unwrap().targets, targets);
    }
    assert!(dispatcher.shutdown(PATIENCE).drained);
    for (target, expected) in [
        ("nomad", third),
        ("failed", second),
        ("main", second),
        ("slow", second),
        ("aurora", std::str::from_utf8(&event("t", 0)).unwrap()),
    ] {
        assert_eq!(bodies(&receiver, target), [expected], "{target}");
    }
}

#[test]
fn an_event_that_its_input_ignores_is_accepted_and_delivered_to_no_target() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let config = two_inputs(&a_target("all", ""));
    let dispatcher = dispatcher(config.clone(), &memory(), &receiver)
        .start()
        .unwrap();
    let submitter = dispatcher.submitter();
    let waiting = r#"{"build":1,"state":"waiting"}"#;
    let receipt = submitter.submit(build(waiting), soon()).unwrap();
    assert!(receipt.ignored && receipt.is_safe());
    assert_eq!((receipt.targets, receipt.reliable), (0, 0));
    dispatcher.control().reload(config).unwrap();
    assert!(submitter.submit(build(waiting), soon()).unwrap().ignored);
    let report = dispatcher.shutdown(PATIENCE);
    let ignored: Vec<_> = report
        .stats
        .inputs
        .iter()
        .map(|input| (&*input.name, input.ignored))
        .collect();
    assert_eq!(ignored, [("", 0), ("nomad", 0), ("builds", 2)]);
    assert_eq!(report.stats.targets[0].filtered, 0);
    assert!(bodies(&receiver, "all").is_empty());
}

#[test]
fn what_an_input_omits_is_not_delivered_and_comes_back_with_a_refused_event() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let all = a_target("all", "");
    let logs = a_target(
        "logs",
        r#", "delivery": "best-effort", "where": [{"at": "/secret", "exists": true}]"#,
    );
    let config = two_inputs(&[all, logs].join(","));
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    let submitter = dispatcher.submitter();
    let text = r#"{"build":1, "secret":"s3", "n": 1.50}"#;
    submitter.submit(build(text), soon()).unwrap();
    assert!(dispatcher.shutdown(PATIENCE).drained);
    for target in ["all", "logs"] {
        assert_eq!(bodies(&receiver, target), [r#"{"build":1, "n": 1.50}"#]);
    }
    let error = submitter.submit(build(text), soon()).unwrap_err();
    assert_eq!(&error.submission.event()[..], text.as_bytes());
}

#[test]
fn an_event_is_as_long_as_what_is_delivered_of_it() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let config = two_inputs(&a_target("all", ""));
    let max = config.max_event_bytes();
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    let submit = |submission| dispatcher.submitter().submit(submission, soon());
    let long = "x".repeat(max);
    let secret = format!(r#"{{"build":1,"secret":"{long}"}}"#);
    submit(build(&secret)).unwrap();
    let log = format!(r#"{{"build":1,"log":"{long}"}}"#);
    for submission in [
        build(&log),
        Submission::of("1", "failed", log.as_bytes()).input("builds"),
        Submission::of("1", "failed", secret.as_bytes()).input("builds"),
    ] {
        let refusal = submit(submission).unwrap_err().refusal;
        assert!(matches!(refusal, Refusal::TooLarge { .. }), "{refusal}");
    }
    assert!(dispatcher.shutdown(PATIENCE).drained);
    assert_eq!(bodies(&receiver, "all"), [r#"{"build":1}"#]);
}

#[test]
fn the_id_in_an_event_makes_a_repetition_harmless() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let config = two_inputs(&a_target("all", ""));
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    let submitter = dispatcher.submitter();
    let submit = |submission: Submission| submitter.submit(submission, soon()).unwrap();
    let text = r#"{"build":1,"id":"7"}"#;
    let first = submit(build(text).reject_reused_key());
    let again = submit(build(text).reject_reused_key());
    assert_eq!((again.id, again.duplicate), (first.id, true));
    // A scheduler may repeat an event with other words in it.
    let changed = r#"{"build":1,"id":"7","try":2}"#;
    assert!(submit(build(changed).reject_reused_key()).duplicate);
    // A client's own key goes first.
    assert!(!submit(build(text).idempotency_key(&b"mine"[..])).duplicate);
    assert!(!submit(build(r#"{"build":1}"#)).duplicate);
    // Another input's event has nothing to do with it.
    let nomad = r#"{"Topic":"Allocation","Key":"1","Index":7,"Payload":{"Allocation":{}}}"#;
    let nomad = || Submission::new(nomad.as_bytes()).input("nomad");
    assert!(!submit(nomad()).duplicate);
    assert!(submit(nomad()).duplicate);
    assert!(dispatcher.shutdown(PATIENCE).drained);
    assert_eq!(bodies(&receiver, "all").len(), 4);
}

#[test]
fn events_of_two_inputs_with_one_key_do_not_wait_for_each_other() {
    let receiver = Receiver::new(|received| match received.body.contains("Payload") {
        true => Reply::Hang,
        false => Reply::Status(200),
    });
    let config = two_inputs(&a_target("all", ""));
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    let submitter = dispatcher.submitter();
    let nomad = r#"{"Topic":"Allocation","Key":"1","Index":7,"Payload":{"Allocation":{"ClientStatus":"failed"}}}"#;
    let nomad = Submission::new(nomad.as_bytes()).input("nomad");
    submitter.submit(nomad, soon()).unwrap();
    receiver.wait("the first request", |state| state.requests.len() == 1);
    submitter.submit(build(r#"{"build":"1"}"#), soon()).unwrap();
    submitter.submit(event("1", 0), soon()).unwrap();
    receiver.wait("the others", |state| state.delivered.len() == 2);
    let report = dispatcher.shutdown(std::time::Duration::ZERO);
    assert_eq!(report.stats.targets[0].pending, 1);
}

#[test]
fn what_is_not_understood_is_refused_with_what_was_found_and_where() {
    let receiver = Receiver::new(|_| Reply::Status(200));
    let config = two_inputs(&a_target("all", ""));
    let dispatcher = dispatcher(config, &memory(), &receiver).start().unwrap();
    let refusal = |submission: Submission| {
        let error = dispatcher.submitter().submit(submission, soon());
        error.unwrap_err().to_string()
    };
    // The words are the schema's own.
    for (text, parts) in [
        (r#"{"state":"failed"}"#, ["key: no value", "/build", ""]),
        (
            r#"{"build":{"n":1}}"#,
            ["/build", "found an object", "byte 9"],
        ),
    ] {
        let why = refusal(build(text));
        assert!(why.starts_with("not an event of input builds: "), "{why}");
        assert!(parts.iter().all(|part| why.contains(part)), "{why}");
    }
    assert_eq!(
        refusal(Submission::new(&b"{}"[..]).input("slurm")),
        "there is no input \"slurm\"; the configuration has nomad, builds"
    );
    assert!(dispatcher.shutdown(PATIENCE).drained);
}

#[test]
fn a_dry_run_says_why_a_target_would_not_get_an_event() {
    let targets = [
        a_target("all", ""),
        a_target("nomad", r#", "inputs": ["nomad"]"#),
        a_target("failed", r#", "statuses": ["failed"]"#),
        a_target("main", r#", "jobs": ["web/main"]"#),
        a_target("changes", r#", "initialEvents": false"#),
        a_target(
            "slow",
            r#", "where": [{"at": "/repo", "prefix": "w"}, {"at": "/seconds", "atLeast": 60}]"#,
        ),
        a_target("tagged", r#", "where": [{"at": "/tag", "exists": true}]"#),
    ];
    let config = two_inputs(&targets.join(","));
    let text = r#"{"build":1,"state":"lost","repo":"web","branch":"fix","seconds":59,"id":"7","secret":"s3"}"#;
    let dry_run = dry_run(&config, &build(text)).unwrap();
    let event = dry_run.event.unwrap();
    assert_eq!((&*event.key, event.id.as_deref()), ("1", Some("7")));
    assert_eq!(event.attributes.input, "builds");
    assert_eq!(event.attributes.state.as_deref(), Some("lost"));
    assert_eq!(event.attributes.job, ["web", "fix"]);
    assert!(!String::from_utf8_lossy(&event.body).contains("secret"));
    let routes: Vec<_> = dry_run
        .routes
        .iter()
        .map(|route| (&*route.target, route.excluded.as_deref()))
        .collect();
    let expected = [
        ("all", None),
        ("nomad", Some("inputs: it is an event of builds")),
        ("failed", Some("statuses: its state is lost")),
        ("main", Some("jobs: its job is web/fix")),
        ("changes", Some("initialEvents: it has no old state")),
        ("slow", Some("where[1] at /seconds: found 59")),
        ("tagged", Some("where[0] at /tag: found nothing")),
    ];
    assert_eq!(routes, expected);
}

#[test]
fn a_dry_run_says_why_a_target_would_not_get_an_event_of_auroras() {
    let targets = [
        a_target("web", r#", "jobs": ["www/prod/web"]"#),
        a_target("api", r#", "jobs": ["www/prod/api"]"#),
        a_target("builds", r#", "inputs": ["builds"]"#),
        a_target("empty", r#", "where": [{"at": "", "equals": {}}]"#),
    ];
    let job = r#"{"role":"www","environment":"prod","name":"web"}"#;
    let event = format!(
        r#"{{"task":{{"assignedTask":{{"taskId":"t","task":{{"job":{job}}}}},"status":"LOST"}}}}"#
    );
    let config = two_inputs(&targets.join(","));
    let submission = Submission::new(event.clone().into_bytes());
    let routes: Vec<_> = dry_run(&config, &submission)
        .unwrap()
        .routes
        .into_iter()
        .map(|route| route.excluded)
        .collect();
    let expected = [
        None,
        Some("jobs: its job is www/prod/web".to_owned()),
        Some("inputs: it is an event of the default input".to_owned()),
        Some(format!("where[0] at the root: found {event}")),
    ];
    assert_eq!(routes, expected);
}

#[test]
fn an_event_in_the_queue_keeps_its_fields_when_a_reload_removes_its_input() {
    let receiver = Receiver::new(|_| Reply::Status(204));
    let target = a_target("all", r#", "format": "kafka-rest-v2""#);
    let dispatcher = dispatcher(two_inputs(&target), &memory(), &receiver)
        .start()
        .unwrap();
    let control = dispatcher.control();
    control.pause("all").unwrap();
    let submit = |submission: Submission| dispatcher.submitter().submit(submission, soon());
    submit(build(r#"{"build":1}"#)).unwrap();
    let text =
        format!(r#"{{"inputs": {{"nomad": {{"schema": "slurm"}}}}, "targets": [{target}]}}"#);
    let without = Config::parse("webhook.json", text.as_bytes())
        .unwrap()
        .config;
    let reloaded = control.reload(without).unwrap();
    assert_eq!(reloaded.inputs, ["nomad", "builds"]);
    let error = submit(build(r#"{"build":2}"#)).unwrap_err();
    assert!(matches!(error.refusal, Refusal::UnknownInput { .. }));
    control.resume("all").unwrap();
    assert!(dispatcher.shutdown(PATIENCE).drained);
    let record = r#"{"records":[{"key":"1","value":{"build":1}}]}"#;
    assert_eq!(bodies(&receiver, "all"), [record]);
}
