//! Bodies that a target's template makes.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use testkit::{Folder, Launch, Receiver, Reply};

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

/// The variables that the files of the documentation name.
const VARIABLES: [(&str, &str); 7] = [
    (
        "SLACK_WEBHOOK_URL",
        "https://hooks.slack.com/services/T0/B0/x",
    ),
    ("TEAMS_WEBHOOK_URL", "https://example.com/workflows/x"),
    (
        "DISCORD_WEBHOOK_URL",
        "https://discord.com/api/webhooks/0/x",
    ),
    ("PAGERDUTY_ROUTING_KEY", ROUTING_KEY),
    ("OPSGENIE_AUTHORIZATION", "GenieKey x"),
    ("NTFY_TOPIC", "jobs"),
    ("NTFY_AUTHORIZATION", "Bearer x"),
];

fn templates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/templates")
}

fn with_variables(mut launch: Launch) -> Launch {
    for (name, value) in VARIABLES {
        launch = launch.env(name, value);
    }
    launch
}

/// A file of the documentation, with its target at this URL.
fn file(name: &str, url: &str) -> Value {
    let bytes = std::fs::read(templates().join(name)).expect("it is a file");
    let mut config: Value = serde_json::from_slice(&bytes).expect("it is JSON");
    config["targets"][0]["targetURL"] = url.into();
    config
}

fn slurm(job: u32, state: &str) -> String {
    json!({ "jobid": job, "state": state, "job_name": "train", "partition": "gpu" }).to_string()
}

#[test]
fn the_ready_files_pass_the_check_and_need_their_variables() {
    for entry in std::fs::read_dir(templates()).expect("it is a folder") {
        let path = entry.expect("it is an entry").path();
        let check = || Launch::new().arg("check").arg(&path);
        let ended = with_variables(check()).run("").expect_code(0);
        assert_eq!(ended.stderr, "", "{}", path.display());
        let ended = check().run("").expect_code(1);
        let told = String::from_utf8_lossy(&ended.stdout).into_owned() + &ended.stderr;
        assert!(told.contains("is not set"), "{}: {told}", path.display());
    }
}

#[test]
fn a_service_gets_bodies_of_the_template_and_no_output_has_the_secret() {
    let receiver = Receiver::always(Reply::status(202));
    let folder = Folder::new();
    let config = folder.config(&file("pagerduty.json", &receiver.url()));
    let lines = [slurm(17, "FAILED"), slurm(17, "COMPLETED")].join("\n");
    let ended = with_variables(Launch::with_config(&config))
        .run(lines)
        .expect_code(0);
    assert!(!ended.stderr.contains(ROUTING_KEY), "{}", ended.stderr);
    let bodies: Vec<Value> = receiver
        .requests()
        .iter()
        .map(|request| serde_json::from_slice(&request.body).expect("it is JSON"))
        .collect();
    assert_eq!(bodies.len(), 2);
    for (body, action) in bodies.iter().zip(["trigger", "resolve"]) {
        assert_eq!(body["routing_key"], ROUTING_KEY);
        assert_eq!(body["event_action"], action);
        assert_eq!(body["dedup_key"], "/17");
    }
    assert_eq!(
        receiver.requests()[0].header("content-type"),
        "application/json"
    );

    let event = folder.write("event.json", slurm(18, "FAILED"));
    let send = Launch::new()
        .arg("send")
        .arg(event)
        .arg("--webhook-config")
        .arg(config);
    let ended = with_variables(send).run("").expect_code(0);
    let shown = String::from_utf8(ended.stdout).expect("it prints text");
    assert!(shown.contains(r#""routing_key":"***""#), "{shown}");
    assert!(!shown.contains(ROUTING_KEY), "{shown}");
}

#[test]
fn an_event_with_too_long_a_body_is_a_dead_letter_and_its_tasks_next_event_arrives() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["events"] = json!({ "schema": "slurm" });
    config["format"] = "template".into();
    config["maxBodyBytes"] = 1024.into();
    config["template"] = json!({ "state": "{state}", "script": { "$at": "/script" } });
    let mut long: Value = serde_json::from_str(&slurm(17, "FAILED")).expect("it is JSON");
    long["script"] = "x".repeat(2_000).into();
    let path = folder.config(&config);
    Launch::with_config(&path)
        .run(format!("{long}\n{}", slurm(17, "COMPLETED")))
        .expect_code(1);
    let requests = receiver.requests();
    let [request] = requests.as_slice() else {
        panic!("{} requests came", requests.len());
    };
    assert_eq!(request.body, br#"{"script":null,"state":"COMPLETED"}"#);
    let listed = Launch::new()
        .args([
            "dead-letters",
            "list",
            "--format",
            "json",
            "--webhook-config",
        ])
        .arg(&path)
        .run("")
        .expect_code(0);
    let letter: Value = serde_json::from_slice(&listed.stdout).expect("it is one dead letter");
    assert_eq!(letter["reason"], "unsendable");
    assert_eq!(letter["detail"], "the body is longer than 1024 bytes");
}
