//! `webhookd check`, `schema` and `config show`, as an operator or a script calls them.

use serde_json::Value;
use std::process::{Command, Output};
use testkit::{Folder, webhookd};

/// A file with a secret, a sloppy time-out and nothing wrong.
const SLOPPY: &str = r#"{
  "targetURL": "http://localhost:5000/a/../b",
  "headers": { "Authorization": "Bearer hunter2", "A": 1.50 },
  "timeoutMsec": "500",
  "statuses": ["LOST"]
}
"#;

/// What `webhookd` prints for these arguments and the path of a file with this text.
fn webhookd_on(args: &[&str], text: &str) -> Output {
    let folder = Folder::new();
    let path = folder.write("webhook.json", text);
    Command::new(webhookd())
        .args(args)
        .arg(path)
        .output()
        .expect("webhookd starts")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("standard output is JSON")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the output is UTF-8")
}

#[test]
fn check_reports_a_sloppy_file_as_valid() {
    let output = webhookd_on(&["check", "--format", "json"], SLOPPY);
    assert_eq!(output.status.code(), Some(0));
    let report = json(&output);
    assert_eq!(report["valid"], true);
    let found: Vec<_> = report["diagnostics"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| {
            (
                it["code"].as_str(),
                it["severity"].as_str(),
                it["line"].as_u64(),
                it["column"].as_u64(),
            )
        })
        .filter(|(code, ..)| *code != Some("exposed-secret"))
        .collect();
    let warning = Some("warning");
    assert_eq!(
        found,
        [
            (Some("changed-url"), warning, Some(2), Some(16)),
            (Some("sloppy-type"), warning, Some(3), Some(56)),
            (Some("sloppy-type"), warning, Some(4), Some(18)),
        ]
    );
    let strict = webhookd_on(&["check", "--deny-warnings", "--format", "json"], SLOPPY);
    assert_eq!(
        (strict.status.code(), json(&strict)["valid"].as_bool()),
        (Some(1), Some(false))
    );
}

#[test]
fn check_shows_a_person_where_the_mistake_is() {
    let output = webhookd_on(&["check"], &SLOPPY.replace("timeoutMsec", "timeoutMs"));
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(shown.contains("webhook.json:4:3"), "{shown}");
    assert!(shown.contains("  \"timeoutMs\": \"***\","), "{shown}");
    assert!(shown.contains("did you mean `timeoutMsec`?"), "{shown}");
    assert!(shown.contains("is not valid: 2 errors"), "{shown}");
    assert!(
        !shown.contains('\u{1b}'),
        "no colours without a terminal: {shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn config_show_prints_what_is_in_force() {
    let output = webhookd_on(&["config", "show", "--format", "json"], SLOPPY);
    assert_eq!(output.status.code(), Some(0));
    let shown = json(&output);
    let target = &shown["targets"][0];
    assert_eq!(target["targetURL"], "http://localhost:5000/b");
    assert_eq!(
        target["headers"],
        serde_json::json!({ "Authorization": "***", "A": "1.50" })
    );
    assert_eq!(target["timeoutMsec"], 500);
    assert_eq!(target["responseTimeoutMsec"], 5000);
    assert_eq!(target["statuses"], serde_json::json!(["LOST"]));
    assert!(!text(&output.stderr).contains("hunter2"));
    let bad = webhookd_on(&["config", "show", "--format", "json"], "{}");
    assert_eq!((bad.status.code(), bad.stdout.is_empty()), (Some(1), true));
    assert!(text(&bad.stderr).contains("missing-key"));
}

#[test]
fn a_missing_file_is_a_diagnostic_too() {
    let folder = Folder::new();
    let output = Command::new(webhookd())
        .args(["check", "--format", "json"])
        .arg(folder.path().join("missing.json"))
        .output()
        .expect("webhookd starts");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["diagnostics"][0]["code"], "unreadable-file");
}

#[test]
fn schema_prints_a_json_schema() {
    let output = Command::new(webhookd())
        .arg("schema")
        .output()
        .expect("webhookd starts");
    assert_eq!(output.status.code(), Some(0));
    let schema = json(&output);
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert!(schema["properties"]["targetURL"]["description"].is_string());
}

#[test]
fn schema_prints_each_preset_as_settings_of_an_input() {
    let run = |args: &[&str]| {
        let output = Command::new(webhookd())
            .args(["schema", "events"])
            .args(args)
            .output();
        output.expect("webhookd starts")
    };
    let names = text(&run(&[]).stdout);
    assert!(
        names.lines().count() >= 9 && names.contains("slurm\n"),
        "{names}"
    );
    for name in names.lines() {
        let output = run(&[name]);
        assert_eq!(output.status.code(), Some(0));
        let mut settings = json(&output);
        assert_eq!(settings["schema"], name);
        if name == "pointers" {
            settings["key"] = "/id".into();
        }
        let file = serde_json::json!({ "events": settings, "targetURL": "http://localhost:5000/",
            "headers": {}, "timeoutMsec": 500 });
        let checked = webhookd_on(&["check", "--deny-warnings"], &file.to_string());
        assert_eq!(
            checked.status.code(),
            Some(0),
            "{name}: {}",
            text(&checked.stdout)
        );
    }
    let unknown = run(&["slrum"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("slurm"));
}

#[test]
fn a_file_is_checked_where_its_secrets_are_not() {
    let text = r#"{
        "targets": [
            { "name": "audit", "targetURL": "https://localhost:5000/", "timeoutMsec": 500,
              "headers": { "Authorization": { "env": "WEBHOOKD_TEST_UNSET" } },
              "signing": { "secrets": [{ "file": "/nowhere/secret" }] },
              "tls": { "caFile": "/nowhere/ca.pem",
                       "clientCertFile": "/nowhere/cert.pem",
                       "clientKeyFile": "/nowhere/key.pem" } },
            { "name": "pager", "targetURL": "http://localhost:5001/", "timeoutMsec": 500,
              "headers": { "X-Token": { "file": "nowhere" } } }
        ]
    }"#;
    let output = webhookd_on(&["check"], text);
    assert_eq!(output.status.code(), Some(1));
    let output = webhookd_on(&["check", "--no-secrets", "--deny-warnings"], text);
    let said = self::text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.ends_with("is valid: no errors, no warnings\n"),
        "{said}"
    );
    // All else is checked.
    let wrong = text.replace("500,", "-500,");
    let output = webhookd_on(&["check", "--no-secrets"], &wrong);
    assert_eq!(output.status.code(), Some(1));
}
