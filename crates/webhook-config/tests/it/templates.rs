//! Templates of bodies and of CloudEvents' attributes.

use crate::{parse, problems};
use expect_test::{Expect, expect};
use webhook_config::{Config, Format};
use webhook_event::{Attributes, TemplateFields};

/// A file with these keys beside the required ones.
fn file(keys: &str) -> String {
    format!(
        "{{\n  \"targetURL\": \"http://x/\", \"headers\": {{}}, \"timeoutMsec\": 5000,\n{keys}\n}}"
    )
}

fn check(keys: &str, expected: Expect) {
    expected.assert_eq(&problems(&file(keys)).render(false));
}

fn body(config: &Config) -> String {
    let attributes = Attributes::default();
    let fields = TemplateFields {
        key: "17",
        id: "evt_1",
        attributes: &attributes,
    };
    let template = config.targets()[0].template().unwrap();
    let body = template.render(b"{\"n\":1.50}", &fields, 1_000).unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn a_template_is_read_with_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    let text = file(
        r#"  "format": "template", "maxBodyBytes": 2048,
  "template": { "text": "{key}: {/n}", "auth": [{ "$file": "token" }], "n": { "$at": "/n" } }"#,
    );
    let path = dir.path().join("webhook.json");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap().config;
    assert_eq!(config.targets()[0].format(), Format::Template);
    assert_eq!(config.targets()[0].max_body_bytes(), 2048);
    assert_eq!(
        body(&config),
        r#"{"auth":["s3cret"],"n":1.50,"text":"17: 1.50"}"#
    );
    assert!(!format!("{config:?}").contains("s3cret"));
    let shown = serde_json::to_value(config.show()).unwrap();
    assert_eq!(shown["targets"][0]["template"]["auth"][0]["$file"], "token");
}

#[test]
fn a_problem_of_a_template_has_its_place() {
    check(
        r#"  "format": "template",
  "template": { "text": ["{key}", "{/task/status"], "x": {"$att": "/x"} }"#,
        expect![[r#"
            error[invalid-template]: a `{` without its counterpart
             --> webhook.json:4:35
              |
            4 |   "template": { "text": ["***", "{/task/status"], "x": {"$att": "***"} }
              |                                 ^^^^^^^^^^^^^^^
              |
              = help: write `{{` for the character itself

        "#]],
    );
    check(
        r#"  "format": "template",
  "template": { "x": {"$at": "status"} }"#,
        expect![[r#"
            error[invalid-template]: there is no field `status`
             --> webhook.json:4:30
              |
            4 |   "template": { "x": {"$at": "status"} }
              |                              ^^^^^^^^
              |
              = help: a JSON Pointer such as `/status`, or one of key, state, oldState, job, id, time, input

        "#]],
    );
    check(
        r#"  "format": "template",
  "template": { "routing_key": { "$env": "WEBHOOK_CONFIG_TEST_UNSET" } }"#,
        expect![[r#"
            error[unresolved-secret]: the environment variable `WEBHOOK_CONFIG_TEST_UNSET` is not set
             --> webhook.json:4:42
              |
            4 |   "template": { "routing_key": { "$env": "WEBHOOK_CONFIG_TEST_UNSET" } }
              |                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^
              |
              = help: set it where this program is started, or read it from a file instead

        "#]],
    );
    check(
        r#"  "format": "template", "template": "{key}""#,
        expect![[r#"
            error[wrong-type]: expected an object or a list, found a string
             --> webhook.json:3:37
              |
            3 |   "format": "template", "template": "***"
              |                                     ^^^^^

        "#]],
    );
}

#[test]
fn format_and_template_need_each_other() {
    check(
        r#"  "format": "template""#,
        expect![[r#"
        error[incomplete-keys]: `format` is "template", and there is no `template`
         --> webhook.json:1:1
          |
        1 | {
          | ^
          |
          = help: add `template`: the body as JSON, such as {"text": "{key} is {state}"}

    "#]],
    );
    check(
        r#"  "template": { "text": "{key}" }"#,
        expect![[r#"
        error[conflicting-keys]: `template` is given, and `format` is "aurora"
         --> webhook.json:3:15
          |
        3 |   "template": { "text": "***" }
          |               ^
          |
          = help: set `format` to "template", or remove `template`

    "#]],
    );
    assert!(parse(&file(r#"  "format": "template", "template": []"#)).is_ok());
}

#[test]
fn a_cloud_events_attributes_are_checked() {
    let text = file(
        r#"  "format": "cloudevents-binary",
  "cloudEvents": { "source": "/slurm/{/partition}", "type": "com.example.{state}" }"#,
    );
    let config = parse(&text).unwrap().config;
    let shown = serde_json::to_value(config.show()).unwrap();
    assert_eq!(
        shown["targets"][0]["cloudEvents"]["source"],
        "/slurm/{/partition}"
    );
    check(
        r#"  "format": "cloudevents-binary",
  "cloudEvents": { "source": "a b" }"#,
        expect![[r#"
            error[invalid-template]: ' ' is not allowed in a URI reference
             --> webhook.json:4:30
              |
            4 |   "cloudEvents": { "source": "a b" }
              |                              ^^^^^
              |
              = help: a path such as `/slurm/{/partition}`, or a URI such as `https://example.com/`

        "#]],
    );
    check(
        r#"  "cloudEvents": { "source": "/a" }"#,
        expect![[r#"
        warning[ineffective]: `cloudEvents` has no effect: `format` is "aurora"
         --> webhook.json:3:18
          |
        3 |   "cloudEvents": { "source": "***" }
          |                  ^
          |
          = help: set `format` to "cloudevents-structured", or remove `cloudEvents`

    "#]],
    );
}
