//! Signatures, verified by the `standardwebhooks` package from PyPI.

use crate::deliver::by_task;
use crate::durable::reliable;
use serde_json::{Value, json};
use testkit::{Folder, Launch, Python, Receiver, Reply, Request, event, events, events_file};

/// 24 and 64 bytes: the shortest and the longest secret there may be.
pub(crate) const SECRETS: [&str; 2] = [
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==",
];
/// A secret that signs no request.
const FOREIGN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Reads `{secrets, requests: [{headers, body}]}`, bodies in hex, and prints for each request and
/// each secret whether the package takes the request.
const VERIFIER: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
given = json.load(sys.stdin)
for request in given["requests"]:
    verdicts = []
    for secret in given["secrets"]:
        try:
            Webhook(secret).verify(bytes.fromhex(request["body"]), request["headers"], json_parse=False)
            verdicts.append("verified")
        except WebhookVerificationError as error:
            verdicts.append(str(error))
    print(json.dumps(verdicts))
"#;

const REFUSED: &str = "No matching signature found";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn given(request: &Request) -> Value {
    let headers: serde_json::Map<_, _> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .map(|name| (name.to_owned(), request.header(name).into()))
        .collect();
    json!({ "headers": headers, "body": hex(&request.body) })
}

/// What the package says of each request under each secret.
pub(crate) fn verdicts(python: &Python, secrets: &[&str], requests: &[Value]) -> Vec<Vec<String>> {
    let input = json!({ "secrets": secrets, "requests": requests });
    let printed = python.run(VERIFIER, input.to_string());
    let verdicts: Vec<Vec<String>> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("the verifier prints JSON"))
        .collect();
    assert_eq!(verdicts.len(), requests.len());
    verdicts
}

fn signing(url: &str, secrets: &[&str]) -> Value {
    let mut config = reliable(url);
    config["signing"] = json!({ "secrets": secrets });
    config
}

/// What a receiver got of these lines.
fn received(config: &Value, receiver: &Receiver, lines: impl Into<Vec<u8>>) -> Vec<Request> {
    let folder = Folder::new();
    let path = folder.config(config);
    let _ended = Launch::with_config(&path).run(lines).expect_code(0);
    receiver.requests()
}

#[test]
fn each_secret_verifies_each_request_and_a_foreign_one_none() {
    let Some(python) = Python::with_verifiers() else {
        return;
    };
    let receiver = Receiver::always(Reply::status(200));
    let config = signing(&receiver.url(), &SECRETS);
    let requests = received(&config, &receiver, events_file());
    assert_eq!(by_task(&receiver.bodies()), by_task(&events()));
    let given: Vec<_> = requests.iter().map(given).collect();
    let secrets = [SECRETS[0], SECRETS[1], FOREIGN];
    for verdict in verdicts(&python, &secrets, &given) {
        assert_eq!(verdict, ["verified", "verified", REFUSED]);
    }
    for request in &requests {
        assert_eq!(request.header("webhook-signature").split(' ').count(), 2);
    }
}

#[test]
fn an_altered_request_does_not_verify() {
    let Some(python) = Python::with_verifiers() else {
        return;
    };
    let receiver = Receiver::always(Reply::status(200));
    let config = signing(&receiver.url(), &SECRETS[..1]);
    let requests = received(&config, &receiver, event("one", 1));
    let sound = given(&requests[0]);
    let mut body = sound.clone();
    let mut altered = requests[0].body.clone();
    let last = altered.last_mut().expect("it has a body");
    *last = b']';
    body["body"] = hex(&altered).into();
    let mut id = sound.clone();
    id["headers"]["webhook-id"] = "evt_00000000000000000000000000000000".into();
    let mut time = sound.clone();
    let seconds: u64 = requests[0]
        .header("webhook-timestamp")
        .parse()
        .expect("whole seconds");
    time["headers"]["webhook-timestamp"] = (seconds - 1).to_string().into();
    let verdicts = verdicts(&python, &SECRETS[..1], &[sound, body, id, time]);
    assert_eq!(verdicts, [["verified"], [REFUSED], [REFUSED], [REFUSED]]);
}

#[test]
fn each_attempt_is_signed_anew_under_one_id() {
    let Some(python) = Python::with_verifiers() else {
        return;
    };
    // A second lies between the attempts, so that their timestamps differ.
    let receiver = Receiver::start(|request| match request.number {
        0 => Reply::status(503).header("Retry-After", "1"),
        _ => Reply::status(200),
    });
    let mut config = signing(&receiver.url(), &SECRETS[..1]);
    config["retry"] = json!({ "initialMsec": 1, "maxMsec": 60_000 });
    let requests = received(&config, &receiver, event("one", 1));
    assert_eq!(requests.len(), 2);
    let given: Vec<_> = requests.iter().map(given).collect();
    assert_eq!(
        verdicts(&python, &SECRETS[..1], &given),
        [["verified"], ["verified"]]
    );
    assert_eq!(
        requests[0].header("webhook-id"),
        requests[1].header("webhook-id")
    );
    assert_ne!(
        requests[0].header("webhook-signature"),
        requests[1].header("webhook-signature")
    );
}

#[test]
fn what_is_signed_is_what_is_sent_in_every_format() {
    let Some(python) = Python::with_verifiers() else {
        return;
    };
    for format in [
        "aurora",
        "kafka-rest-v2",
        "cloudevents-binary",
        "cloudevents-structured",
        "cloudevents-batch",
        "ndjson",
        "json-array",
        "template",
    ] {
        let receiver = Receiver::always(
            Reply::status(200)
                .body(r#"{"offsets":[{"partition":0,"offset":1,"error_code":null,"error":null}]}"#),
        );
        let mut config = signing(&receiver.url(), &SECRETS);
        config["format"] = format.into();
        if format == "template" {
            config["template"] = json!({ "text": "{key}: \u{1f600}", "whole": { "$at": "" } });
        }
        config["headers"] = json!({});
        let requests = received(&config, &receiver, event("täsk \u{1f600}", 1));
        let verdicts = verdicts(&python, &SECRETS, &[given(&requests[0])]);
        assert_eq!(verdicts, [["verified", "verified"]], "{format}");
    }
}

#[test]
fn a_target_without_secrets_is_not_signed_for() {
    let receiver = Receiver::always(Reply::status(200));
    let requests = received(&reliable(&receiver.url()), &receiver, event("one", 1));
    assert!(requests[0].headers("webhook-signature").is_empty());
    assert!(requests[0].header("webhook-id").starts_with("evt_"));
}
