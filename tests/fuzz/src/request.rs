//! The request that each format makes of any event, and what any answer to it means.

use crate::seeds::Files;
use serde_json::{Value, json};
use std::sync::LazyLock;
use webhook_config::{Config, Format};
use webhook_dispatch::{
    Answer, Connector, Outcome, Request, Stopper, Submission, Transport, TransportError, Verdict,
    attempt_once, dry_run,
};

/// Aurora's events and any JSON, to a target of each format.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let target = |format: &Format| {
        let mut target = json!({
            "name": format.name(), "targetURL": "http://localhost:1/", "timeoutMsec": 5,
            "headers": {"Authorization": SECRET}, "format": format.name(),
        });
        if *format == Format::Template {
            target["template"] = json!({
                "text": "{key} {state} {/a} {/b/0}", "all": {"$at": ""}, "at": {"$at": "time"},
                "map": {"$at": "state", "$map": {"LOST": 1}, "$default": null},
            });
        }
        target
    };
    let targets: Vec<Value> = Format::ALL.iter().map(target).collect();
    let config = json!({
        "inputs": {"json": {"schema": "json", "state": "/s", "job": ["/b", "/c"], "time": "/t"}},
        "targets": targets,
    });
    let config = Config::parse("webhook.json", config.to_string().as_bytes());
    config.expect("the configuration is valid").config
});

const SECRET: &str = "Bearer s3cr3t-of-mine";

/// The first byte chooses the input, the second the status of the answer. Then come the answer's
/// `Retry-After`, its body and the event, with a line feed after the first two.
///
/// A body is the event, or JSON that has it; an explanation is a line without the target's secrets; a
/// record of Kafka is delivered only if the receipt says so.
pub(crate) fn run(input: &[u8]) {
    let [kind, status, rest @ ..] = input else {
        return;
    };
    let mut parts = rest.splitn(3, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let answer = Answer {
        status: 200 + u16::from(*status) * 2,
        retry_after: Some(next().to_vec()),
        body: next().to_vec(),
        complete: kind & 2 == 0,
    };
    let event = next();
    let submission = Submission::new(event);
    let submission = match kind & 1 {
        0 => submission,
        _ => submission.input("json"),
    };
    let Ok(read) = dry_run(&CONFIG, &submission) else {
        return;
    };
    let Some(read) = read.event else { return };
    for target in CONFIG.targets() {
        let connector = Fixed(answer.clone());
        let made = match attempt_once(target, &read, &connector) {
            Ok(made) => made,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        check_body(target.format(), &made.body, event);
        assert!(!made.detail.contains("s3cr3t-of-mine"), "{}", made.detail);
        assert_eq!(made.detail.chars().find(|it| it.is_control()), None);
        assert_eq!(made.detail.is_empty(), made.verdict == Verdict::Delivered);
        let most = target.retry().max() * 4;
        assert!(made.retry_after.is_none_or(|wait| wait <= most));
        if target.format() == Format::KafkaRestV2 && made.verdict == Verdict::Delivered {
            // 204 has no body.
            assert!(
                answer.status == 204 || is_receipt(&answer.body),
                "a record without a receipt"
            );
        } else if made.outcome == Outcome::RecordError {
            assert_eq!(target.format(), Format::KafkaRestV2);
        }
    }
}

fn check_body(format: Format, body: &[u8], event: &[u8]) {
    let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    match format {
        Format::Aurora | Format::CloudEventsBinary => assert_eq!(body, event),
        Format::Ndjson => {
            assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert!(body.ends_with(b"\n") && is_json());
        }
        _ => assert!(is_json(), "{format:?}: {}", String::from_utf8_lossy(body)),
    }
}

/// Whether a receipt has one offset or more and no error.
fn is_receipt(body: &[u8]) -> bool {
    // Members that say nothing of the record may hold anything, also bytes that are not UTF-8.
    let Ok(receipt) = serde_json::from_str::<Value>(&String::from_utf8_lossy(body)) else {
        return false;
    };
    let offsets = receipt["offsets"].as_array();
    let is_taken = |offset: &Value| {
        ["error_code", "error", "message"]
            .iter()
            .all(|name| offset[name].is_null())
    };
    offsets.is_some_and(|offsets| offsets.len() == 1 && offsets.iter().all(is_taken))
}

/// Answers every request the same.
struct Fixed(Answer);

impl Connector for Fixed {
    fn transport(&self, _: &webhook_config::Target) -> Result<Box<dyn Transport>, TransportError> {
        Ok(Box::new(Fixed(self.0.clone())))
    }
}

impl Transport for Fixed {
    fn send(&mut self, request: Request<'_>) -> Result<Answer, TransportError> {
        for (name, value) in request.headers.iter() {
            let is_line = |byte: &u8| !matches!(byte, b'\r' | b'\n' | 0);
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
            assert!(value.iter().all(is_line), "{name}: {value:?}");
        }
        Ok(self.0.clone())
    }

    fn stopper(&self) -> Stopper {
        Box::new(|| {})
    }
}

pub(crate) fn seeds(files: &mut Files) {
    let receipts = [
        r#"{"offsets":[{"partition":1,"offset":7,"error_code":null,"error":null}]}"#,
        r#"{"offsets":[{"partition":null,"error_code":50002,"error":"no"}]}"#,
        r#"{"offsets":[{"error_code":2,"message":"no"}],"key_schema_id":null}"#,
        r#"{"offsets":[]}"#,
        "Bearer s3cr3t-of-mine \u{1b}[2J",
    ];
    for (at, receipt) in (0_u8..).zip(receipts) {
        files.each_line("payloads/escapes.ndjson", |line| {
            [
                &[0, at],
                "120\n".as_bytes(),
                receipt.as_bytes(),
                b"\n",
                line,
            ]
            .concat()
        });
        let event = r#"{"a":"x\n\"","b":["y",{}],"s":"LOST","c":1.50,"t":"2026-11-29T11:00:00Z"}"#;
        files.add([&[1, at * 20], format!("\n{receipt}\n{event}").as_bytes()].concat());
    }
}
