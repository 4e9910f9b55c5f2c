//! `docs/vectors.json`: signed requests with the verdict that a receiver has to come to. They are signed
//! by the library that signs deliveries; a test of webhook-dispatch holds its signer against them.

use anyhow::Result;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

/// Of 24, 32 and 64 bytes.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NEW_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
const LONG_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";

const ID: &str = "evt_0123456789abcdef0123456789abcdef";
const AT: i64 = 1_700_000_000;
const EVENT: &str = r#"{"task":{"assignedTask":{"taskId":"hello-0"},"status":"LOST"},"oldState":{"value":"RUNNING"}}"#;

/// A request, as it is signed. The headers are changed afterwards.
struct Request {
    name: &'static str,
    secrets: Vec<&'static str>,
    now: i64,
    id: &'static str,
    timestamp: i64,
    body: &'static str,
    headers: Vec<(&'static str, String)>,
}

impl Request {
    /// A valid request of one event, signed with these secrets.
    fn new(name: &'static str, signed_by: &[&str]) -> Result<Request> {
        Request::of(name, signed_by, ID, EVENT)
    }

    fn of(
        name: &'static str,
        by: &[&str],
        id: &'static str,
        body: &'static str,
    ) -> Result<Request> {
        let signatures = by.iter().map(|secret| sign(secret, id, AT, body));
        let signatures = signatures.collect::<Result<Vec<_>>>()?.join(" ");
        Ok(Request {
            name,
            secrets: vec![SECRET],
            now: AT + 2,
            id,
            timestamp: AT,
            body,
            headers: vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", AT.to_string()),
                ("webhook-signature", signatures),
            ],
        })
    }

    fn known(mut self, secrets: &[&'static str]) -> Request {
        self.secrets = secrets.to_vec();
        self
    }

    fn at(mut self, now: i64) -> Request {
        self.now = now;
        self
    }

    fn with(mut self, name: &str, change: impl FnOnce(&str) -> String) -> Request {
        for (header, value) in &mut self.headers {
            if *header == name {
                *value = change(value);
                break;
            }
        }
        self
    }

    fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(header, _)| *header != name);
        self
    }

    fn with_body(mut self, body: &'static str) -> Request {
        self.body = body;
        self
    }

    fn valid(self) -> Value {
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let mut vector = self.vector("valid");
        vector["signedText"] = signed.into();
        vector
    }

    fn invalid(self, reason: &str) -> Value {
        let mut vector = self.vector("invalid");
        vector["reason"] = reason.into();
        vector
    }

    fn vector(self, verdict: &str) -> Value {
        let headers = self.headers.into_iter();
        let headers: serde_json::Map<_, _> = headers
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        json!({
            "name": self.name,
            "secrets": self.secrets,
            "now": self.now,
            "headers": headers,
            "body": self.body,
            "verdict": verdict,
        })
    }
}

fn sign(secret: &str, id: &str, at: i64, body: &str) -> Result<String> {
    Ok(Webhook::new(secret)?.sign(id, at, body.as_bytes())?)
}

/// The file.
pub(super) fn vectors() -> Result<Vec<u8>> {
    let requests = [valid()?, invalid()?].concat();
    let file = json!({
        "description": "Requests and the verdict of a receiver that knows `secrets`, whose clock is at \
            `now` (seconds since 1970) and which tolerates `toleranceSeconds`. `signedText` is the text \
            that was signed. docs/receivers.md explains them.",
        "toleranceSeconds": 300,
        "secrets": secrets(),
        "requests": requests,
    });
    let mut text = serde_json::to_vec_pretty(&file)?;
    text.push(b'\n');
    Ok(text)
}

/// Texts that are secrets, and some that are not.
fn secrets() -> Vec<Value> {
    let is = |name: &str, secret: &str, key: &str| json!({ "name": name, "secret": secret, "keyHex": key });
    let is_not = |name: &str, secret: &str, why: &str| json!({ "name": name, "secret": secret, "reason": why });
    let hex = |from: u8, to: u8| {
        (from..to)
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    vec![
        is(
            "24 bytes",
            SECRET,
            "0b6155b0140886bb1c0a195020c57e6f9b1262ca686fba03",
        ),
        is("64 bytes", LONG_SECRET, &hex(0, 64)),
        is_not("without its prefix", &SECRET["whsec_".len()..], "prefix"),
        is_not("the alphabet for URLs", &SECRET.replace('+', "-"), "base64"),
        is_not(
            "without its padding",
            &NEW_SECRET[..NEW_SECRET.len() - 1],
            "base64",
        ),
        is_not(
            "too short",
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY=",
            "length",
        ),
    ]
}

fn valid() -> Result<Vec<Value>> {
    Ok(vec![
        Request::new("one event", &[SECRET])?.valid(),
        Request::new("a key of 64 bytes", &[LONG_SECRET])?
            .known(&[LONG_SECRET])
            .valid(),
        Request::of(
            "a batch, whose last line feed is signed",
            &[SECRET],
            "bat_0123456789abcdef0123456789abcdef",
            "{\"n\":1}\n{\"n\":2}\n",
        )?
        .valid(),
        Request::of(
            "text beyond ASCII, and escapes that stay as they are",
            &[SECRET],
            ID,
            "{\"name\":\"t\u{e4}sk \u{1f600} \\u003c \\/\", \"pi\": 3.140}",
        )?
        .valid(),
        Request::of("an empty body", &[SECRET], ID, "")?.valid(),
        Request::new(
            "the sender signs with the new and the old secret",
            &[NEW_SECRET, SECRET],
        )?
        .valid(),
        Request::new("the receiver knows the new and the old secret", &[SECRET])?
            .known(&[NEW_SECRET, SECRET])
            .valid(),
        Request::new(
            "a signature of an unknown version beside one of v1",
            &[SECRET],
        )?
        .with("webhook-signature", |v1| format!("v2,AAAA {v1}"))
        .valid(),
        Request::new(
            "a signature that is not base64 beside one that is",
            &[SECRET],
        )?
        .with("webhook-signature", |v1| format!("v1,%%% {v1}"))
        .valid(),
        Request::new("two blanks between signatures", &[NEW_SECRET, SECRET])?
            .with("webhook-signature", |both| both.replace(' ', "  "))
            .valid(),
        Request::new("as old as is tolerated", &[SECRET])?
            .at(AT + 300)
            .valid(),
        Request::new("as new as is tolerated", &[SECRET])?
            .at(AT - 300)
            .valid(),
    ])
}

fn invalid() -> Result<Vec<Value>> {
    const NO_MATCH: &str = "no-match";
    let in_milliseconds = sign(SECRET, ID, AT * 1000, EVENT)?;
    let change_end = |text: &str| format!("{}0", &text[..text.len() - 1]);
    Ok(vec![
        Request::new("signed with another secret", &[NEW_SECRET])?.invalid(NO_MATCH),
        Request::new("an altered body", &[SECRET])?
            .with_body("{\"task\":{}}")
            .invalid(NO_MATCH),
        Request::of(
            "JSON that was parsed and written again",
            &[SECRET],
            ID,
            "{\"a\": 1}",
        )?
        .with_body("{\"a\":1}")
        .invalid(NO_MATCH),
        Request::new("an altered id", &[SECRET])?
            .with("webhook-id", change_end)
            .invalid(NO_MATCH),
        Request::new("an altered timestamp", &[SECRET])?
            .with("webhook-timestamp", |_| (AT + 1).to_string())
            .invalid(NO_MATCH),
        Request::new("a signature without its padding", &[SECRET])?
            .with("webhook-signature", |v1| {
                v1.trim_end_matches('=').to_owned()
            })
            .invalid(NO_MATCH),
        Request::new("a signature that is cut off", &[SECRET])?
            .with("webhook-signature", |v1| v1[..8].to_owned())
            .invalid(NO_MATCH),
        Request::new("a signature of another case", &[SECRET])?
            .with("webhook-signature", |v1| {
                format!("v1,{}", v1[3..].to_lowercase())
            })
            .invalid(NO_MATCH),
        Request::new("a v1 signature under another version", &[SECRET])?
            .with("webhook-signature", |v1| v1.replace("v1,", "v1a,"))
            .invalid("no-known-version"),
        Request::new("too old by a second", &[SECRET])?
            .at(AT + 301)
            .invalid("too-old"),
        Request::new("too new by a second", &[SECRET])?
            .at(AT - 301)
            .invalid("too-new"),
        Request::new("a timestamp in milliseconds", &[SECRET])?
            .with("webhook-timestamp", |_| (AT * 1000).to_string())
            .with("webhook-signature", |_| in_milliseconds)
            .invalid("too-new"),
        Request::new("a timestamp with a fraction", &[SECRET])?
            .with("webhook-timestamp", |seconds| format!("{seconds}.0"))
            .invalid("invalid-timestamp"),
        Request::new("a timestamp that is no number", &[SECRET])?
            .with("webhook-timestamp", |_| "now".to_owned())
            .invalid("invalid-timestamp"),
        Request::new("without an id", &[SECRET])?
            .without("webhook-id")
            .invalid("missing-header"),
        Request::new("without a timestamp", &[SECRET])?
            .without("webhook-timestamp")
            .invalid("missing-header"),
        Request::new("without a signature", &[SECRET])?
            .without("webhook-signature")
            .invalid("missing-header"),
    ])
}
