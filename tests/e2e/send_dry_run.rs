//! `webhookd send --dry-run`: what would become of events, of any input.

use serde_json::{Value, json};
use testkit::{Ended, Folder, Launch, Receiver, Reply, event, fixture};

fn dry_run(folder: &Folder, config: &Value, args: &[&str], input: impl AsRef<[u8]>) -> Ended {
    let config = folder.config(config);
    let path = config.to_str().expect("a path is UTF-8");
    Launch::new()
        .args(["send", "-", "--dry-run", "--webhook-config", path])
        .args(args)
        .run(input.as_ref())
}

fn text(ended: &Ended) -> String {
    String::from_utf8(ended.stdout.clone()).expect("it is UTF-8")
}

fn config(url: &str) -> Value {
    json!({
        "targets": [
            { "name": "all", "targetURL": url, "headers": { "Authorization": "sesame" }, "timeoutMsec": 5 },
            { "name": "failures", "targetURL": url, "headers": {}, "timeoutMsec": 5,
              "inputs": ["slurm"], "statuses": ["FAILED"] },
        ],
        "inputs": {
            "slurm": { "schema": "slurm" },
            "nomad": { "schema": "nomad" },
            "batch": { "schema": "pointers", "key": "/id", "each": "/events" },
        },
    })
}

#[test]
fn it_shows_the_fields_and_why_a_target_would_not_get_the_event() {
    let receiver = Receiver::always(Reply::status(200));
    let (folder, config) = (Folder::new(), config(&receiver.url()));
    let slurm = std::fs::read_to_string(fixture("schedulers/slurm.ndjson")).expect("committed");
    let line = slurm
        .lines()
        .find(|it| it.contains(r#""state":"COMPLETED""#))
        .expect("one");
    let shown = text(&dry_run(&folder, &config, &["--input", "slurm"], line).expect_code(0));
    for expected in [
        "key       12\n",
        "state     COMPLETED\n",
        "old state none\n",
        "job       debug/alice/",
        "time      2026-11-29T11:51:11",
        "target all: would get it\nPOST http://",
        "> authorization: ***\n",
        "target failures: would not get it: statuses: its state is",
    ] {
        assert!(shown.contains(expected), "{expected} in\n{shown}");
    }
    let shown = text(&dry_run(&folder, &config, &[], event("a", 1)).expect_code(0));
    assert!(
        shown.contains("key       a\n") && shown.contains("job       r/e/n\n"),
        "{shown}"
    );
    assert!(
        shown.contains("failures: would not get it: inputs:"),
        "{shown}"
    );
    let only = dry_run(&folder, &config, &["--target", "failures"], event("a", 1));
    assert!(!text(&only.expect_code(0)).contains("target all"));
    assert!(receiver.requests().is_empty());
}

#[test]
fn each_event_of_a_document_is_shown() {
    let receiver = Receiver::always(Reply::status(200));
    let (folder, config) = (Folder::new(), config(&receiver.url()));
    let document = r#"{"events":[{"id":1.50},{"job":1}]}"#;
    let args = ["--input", "batch", "--format", "json"];
    let shown = dry_run(&folder, &config, &args, document).expect_code(1);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("it is JSON");
    assert_eq!(shown["input"], "batch");
    let (first, second) = (&shown["events"][0], &shown["events"][1]);
    assert_eq!(
        (&first["key"], &first["state"]),
        (&json!("1.50"), &Value::Null)
    );
    assert_eq!(first["targets"][0]["request"]["body"], r#"{"id":1.50}"#);
    assert_eq!(first["targets"][1]["matches"], json!(false));
    assert_eq!(second["understood"], json!(false));
    let error = second["error"].as_str().expect("an error");
    assert!(error.contains("/id"), "{error}");
    let nomad = r#"{"Index":1,"Events":[{"Topic":"Node","Key":"n"}]}"#;
    let shown = text(&dry_run(&folder, &config, &["--input", "nomad"], nomad).expect_code(0));
    assert!(
        shown.starts_with("event 1 of 1\nignored by its input\n"),
        "{shown}"
    );
    let none = text(&dry_run(&folder, &config, &["--input", "nomad"], "{}").expect_code(0));
    assert!(none.contains("no events"), "{none}");
}

#[test]
fn an_unknown_input_and_a_document_that_is_none_are_told() {
    let receiver = Receiver::always(Reply::status(200));
    let (folder, config) = (Folder::new(), config(&receiver.url()));
    let said = dry_run(&folder, &config, &["--input", "slrum"], "{}")
        .expect_code(2)
        .stderr;
    assert!(
        said.contains("there is no input \"slrum\"; the configuration has"),
        "{said}"
    );
    let said = dry_run(&folder, &config, &["--input", "batch"], "{")
        .expect_code(2)
        .stderr;
    assert!(said.contains("not understood"), "{said}");
    let shown = text(&dry_run(&folder, &config, &[], "{").expect_code(1));
    assert!(
        shown.contains("not understood: not a task state change"),
        "{shown}"
    );
}
