//! The requests of `docs/vectors.json`: this crate comes to the verdict and the reason of each, and the
//! library of the specification's authors makes the same signatures.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use webhook_receiver::{RequestHeaders, Secret, SecretError, Verifier, VerifyError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    tolerance_seconds: u64,
    secrets: Vec<SecretVector>,
    requests: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretVector {
    name: String,
    secret: String,
    key_hex: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    name: String,
    secrets: Vec<String>,
    now: u64,
    headers: BTreeMap<String, String>,
    body: String,
    signed_text: Option<String>,
    verdict: String,
    reason: Option<String>,
}

fn vectors() -> Vectors {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn reason(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::MissingHeader { .. } => "missing-header",
        VerifyError::InvalidTimestamp => "invalid-timestamp",
        VerifyError::TooOld { .. } => "too-old",
        VerifyError::TooNew { .. } => "too-new",
        VerifyError::NoKnownVersion => "no-known-version",
        VerifyError::NoMatch => "no-match",
        other => panic!("no vector is for {other:?}"),
    }
}

#[test]
fn each_request_gets_its_verdict_for_its_reason() {
    let vectors = vectors();
    for vector in &vectors.requests {
        let secrets = vector.secrets.iter().map(|it| Secret::parse(it).unwrap());
        let verifier =
            Verifier::new(secrets).with_tolerance(Duration::from_secs(vectors.tolerance_seconds));
        let pairs = vector.headers.iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers = RequestHeaders::from_pairs(pairs);
        let now = UNIX_EPOCH + Duration::from_secs(vector.now);
        let verified = verifier.verify(&headers, vector.body.as_bytes(), now);
        let found = verified.as_ref().err().map(reason);
        assert_eq!(found, vector.reason.as_deref(), "{}", vector.name);
        assert_eq!(
            verified.is_ok(),
            vector.verdict == "valid",
            "{}",
            vector.name
        );
        if let Ok(verified) = verified {
            let (id, timestamp) = (verified.id, verified.timestamp);
            let signed = format!("{id}.{timestamp}.{}", vector.body);
            assert_eq!(Some(signed), vector.signed_text, "{}", vector.name);
        }
    }
}

#[test]
fn each_secret_is_decoded_or_refused_for_its_reason() {
    for vector in vectors().secrets {
        let found = Secret::parse(&vector.secret)
            .err()
            .map(|error| match error {
                SecretError::Prefix => "prefix",
                SecretError::Base64 => "base64",
                SecretError::Length(_) => "length",
                other => panic!("no vector is for {other:?}"),
            });
        assert_eq!(found, vector.reason.as_deref(), "{}", vector.name);
        assert_eq!(found.is_none(), vector.key_hex.is_some(), "{}", vector.name);
        if let Some(hex) = vector.key_hex {
            let digits = hex.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            let key = Secret::from_bytes(digits.map(byte).collect()).unwrap();
            let parsed = Secret::parse(&vector.secret).unwrap();
            assert_eq!(parsed.sign("a", "1", b""), key.sign("a", "1", b""));
        }
    }
}

#[test]
fn the_library_of_the_specifications_authors_agrees_on_each_signature() {
    let mut compared = 0;
    for vector in vectors().requests {
        let (Some(id), Some(timestamp), Some(given)) = (
            vector.headers.get("webhook-id"),
            vector.headers.get("webhook-timestamp"),
            vector.headers.get("webhook-signature"),
        ) else {
            continue;
        };
        let Ok(timestamp) = timestamp.parse() else {
            continue;
        };
        let matches = vector.secrets.iter().any(|secret| {
            let webhook = standardwebhooks::Webhook::new(secret).unwrap();
            let signature = webhook.sign(id, timestamp, vector.body.as_bytes()).unwrap();
            given.split(' ').any(|given| given == signature)
        });
        // The time is no matter of the signature.
        let expected = matches!(vector.reason.as_deref(), None | Some("too-old" | "too-new"));
        assert_eq!(matches, expected, "{}", vector.name);
        compared += 1;
    }
    assert!(compared > 20, "{compared} requests were compared");
}
