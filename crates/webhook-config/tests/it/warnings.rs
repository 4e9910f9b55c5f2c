//! Warnings of settings that are sent, but hardly as intended.

use crate::{parse, problems};
use webhook_config::Format;

/// The codes of the warnings of a valid target with these keys, too.
fn warnings(more: &str) -> Vec<&'static str> {
    let loaded = parse(&target(more)).unwrap();
    let codes = loaded.warnings.iter().map(|it| it.code().as_str());
    codes.collect()
}

fn target(more: &str) -> String {
    format!(r#"{{"targetURL": "https://x/", "timeoutMsec": 500, {more}}}"#)
}

#[test]
fn a_content_type_that_contradicts_the_format_is_a_warning() {
    const WARNED: &[&str] = &["content-type-format"];
    for (format, content_type, expected) in [
        (
            "kafka-rest-v2",
            "application/vnd.kafka.json.v1+json",
            WARNED,
        ),
        ("kafka-rest-v2", "application/json", &[]),
        ("cloudevents-structured", "text/plain", WARNED),
        ("cloudevents-structured", "application/json", &[]),
        ("cloudevents-structured", "application/problem+json", WARNED),
        (
            "cloudevents-structured",
            "application/cloudevents-batch+json",
            WARNED,
        ),
        (
            "cloudevents-structured",
            "Application/CloudEvents+JSON ;x=y",
            &[],
        ),
        ("cloudevents-batch", "application/cloudevents+json", WARNED),
        ("cloudevents-binary", "application/cloudevents+json", WARNED),
        ("cloudevents-binary", "text/plain", &[]),
        ("ndjson", "application/json", WARNED),
        ("ndjson", "text/plain", &[]),
        ("json-array", "application/x-ndjson", WARNED),
        ("json-array", "application/cloudevents-batch+json", &[]),
        ("aurora", "text/plain", &[]),
        ("aurora", "application/vnd.kafka.json.v1+json", &[]),
        ("aurora", "application/cloudevents+json", &[]),
    ] {
        let keys =
            format!(r#""headers": {{"Content-Type": "{content_type}"}}, "format": "{format}""#);
        assert_eq!(warnings(&keys), expected, "{keys}");
    }
    let template =
        r#""headers": {"Content-Type": "text/plain"}, "format": "template", "template": {"a": 1}"#;
    assert!(warnings(template).is_empty());
    let problems = problems(&target(
        r#""headers": {"content-type": "text/plain"}, "format": "kafka-rest-v2""#,
    ));
    let warning = problems.iter().next().unwrap();
    assert_eq!(
        (warning.message(), warning.help().unwrap_or_default()),
        (
            "the header names another type than the format \"kafka-rest-v2\" has",
            "remove it: application/vnd.kafka.json.v2+json is sent without it"
        )
    );
}

#[test]
fn the_content_type_of_a_format_is_no_warning() {
    for format in Format::ALL {
        let template = match format {
            Format::Template => r#", "template": {"state": "{state}"}"#,
            _ => "",
        };
        let (name, content_type) = (format.name(), format.content_type());
        let keys = format!(
            r#""headers": {{"Content-Type": "{content_type}"}}, "format": "{name}"{template}"#
        );
        assert!(warnings(&keys).is_empty(), "{keys}");
    }
}

fn oauth2(token_url: &str) -> String {
    let secret = r#""clientId": "a", "clientSecret": "b""#;
    format!(r#""headers": {{}}, "oauth2": {{"tokenURL": "{token_url}", {secret}}}"#)
}

#[test]
fn a_client_secret_that_leaves_the_machine_without_tls_is_a_warning() {
    for (url, is_warned) in [
        ("https://login.example.com/token", false),
        ("http://login.example.com/token", true),
        ("http://10.0.0.1/token", true),
        ("http://localhost.example.com/token", true),
        ("http://localhost:5000/token", false),
        ("http://idp.localhost/token", false),
        ("http://127.0.0.2/token", false),
        ("http://[::1]:5000/token", false),
    ] {
        let expected = is_warned.then_some("unencrypted-secret");
        assert_eq!(warnings(&oauth2(url)), Vec::from_iter(expected), "{url}");
    }
}

#[test]
fn the_help_for_credentials_in_a_url_names_the_keys_to_use() {
    let help = |text: String| {
        let problems = problems(&text);
        let problem = problems
            .iter()
            .find(|it| it.code().as_str() == "url-credentials");
        problem.unwrap().help().unwrap_or_default().to_owned()
    };
    assert_eq!(
        help(target(&oauth2("https://u:p@login.example.com/token"))),
        "remove them: `clientId` and `clientSecret` are sent"
    );
    let of_target = target(r#""headers": {}"#).replace("https://", "https://u:p@");
    assert_eq!(
        help(of_target),
        "Aurora did not send them either; use the header `Authorization`"
    );
}
