//! Signatures by Standard Webhooks 1.0.0: a receiver with a secret can verify a request's origin
//! and content.

use crate::http::header_lines::HeaderLines;
use http::HeaderName;
use standardwebhooks::Webhook;
use webhook_config::Signing;

/// The header with the id of a request's event, or of its batch: the same over retries, restarts and
/// targets.
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// The header with the time of the attempt, in seconds since the epoch.
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The header with one signature for each secret, separated by spaces.
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// The headers with the ids of a batch's events, in the order of the body, if the body has none.
pub const WEBHOOK_EVENT_IDS: HeaderName = HeaderName::from_static("webhook-event-ids");
/// The header with the number of the attempt, from 1.
pub const WEBHOOK_ATTEMPT: HeaderName = HeaderName::from_static("webhook-attempt");

/// Signs for one target, with each configured secret, so that secrets can be rotated.
pub(crate) struct Signer {
    keys: Vec<Webhook>,
}

impl Signer {
    pub(crate) fn new(signing: &Signing) -> Result<Signer, String> {
        let keys = signing
            .secrets()
            .iter()
            .map(|secret| Webhook::from_bytes(secret.key().to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|_| "a signing secret cannot be used".to_owned())?;
        Ok(Signer { keys })
    }

    /// Adds the timestamp and the signatures over `id.timestamp.body`.
    ///
    /// # Errors
    /// The body is not UTF-8. Nothing was added.
    pub(crate) fn sign(
        &self,
        id: &str,
        epoch_seconds: i64,
        body: &[u8],
        headers: &mut HeaderLines,
    ) -> Result<(), String> {
        let cannot = |_| "the body cannot be signed, since it is not UTF-8".to_owned();
        let mut signatures = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            signatures.push(key.sign(id, epoch_seconds, body).map_err(cannot)?);
        }
        headers.push_text(&WEBHOOK_TIMESTAMP, &epoch_seconds.to_string());
        headers.push_text(&WEBHOOK_SIGNATURE, &signatures.join(" "));
        Ok(())
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} secrets)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use webhook_config::SigningSecret;

    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const AT: i64 = 1_649_367_553;
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn signed(secrets: &[&str], body: &[u8]) -> HeaderLines {
        let secrets = secrets
            .iter()
            .map(|secret| SigningSecret::parse(secret).unwrap())
            .collect();
        let signer = Signer::new(&Signing::new(secrets).unwrap()).unwrap();
        let mut headers = HeaderLines::new();
        signer.sign(ID, AT, body, &mut headers).unwrap();
        headers
    }

    fn signatures(headers: &HeaderLines) -> &str {
        std::str::from_utf8(headers.get("webhook-signature").unwrap()).unwrap()
    }

    #[test]
    fn a_signature_matches_the_example_of_the_standard() {
        let headers = signed(&[SECRET], BODY);
        assert_eq!(signatures(&headers), SIGNATURE);
        assert_eq!(headers.get("webhook-timestamp"), Some(&b"1649367553"[..]));
        assert_ne!(signatures(&signed(&[SECRET], b"{}")), SIGNATURE);
    }

    #[test]
    fn each_secret_adds_a_signature() {
        let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let headers = signed(&[other, SECRET], BODY);
        let (first, second) = signatures(&headers).split_once(' ').unwrap();
        assert_eq!(second, SIGNATURE);
        assert_eq!(signatures(&signed(&[other], BODY)), first);
    }

    /// What receivers are tested with is what they get.
    #[test]
    fn the_valid_requests_of_the_documentation_are_signed_so() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors.json");
        let vectors = std::fs::read_to_string(path).unwrap();
        let vectors: serde_json::Value = serde_json::from_str(&vectors).unwrap();
        let mut compared = 0;
        for vector in vectors["requests"].as_array().unwrap() {
            let [id, time, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"]
                .map(|name| vector["headers"][name].as_str().unwrap_or_default());
            if vector["verdict"] != "valid" {
                continue;
            }
            let mut secrets = vector["secrets"].as_array().unwrap().iter();
            let is_signed_by = |secret: &serde_json::Value| {
                let secret = SigningSecret::parse(secret.as_str().unwrap()).unwrap();
                let signer = Signer::new(&Signing::new(vec![secret]).unwrap()).unwrap();
                let mut headers = HeaderLines::new();
                let body = vector["body"].as_str().unwrap().as_bytes();
                signer
                    .sign(id, time.parse().unwrap(), body, &mut headers)
                    .unwrap();
                assert_eq!(headers.get("webhook-timestamp"), Some(time.as_bytes()));
                signature.split(' ').any(|it| it == signatures(&headers))
            };
            let name = &vector["name"];
            assert!(secrets.any(is_signed_by), "{name}");
            compared += 1;
        }
        assert!(compared > 10, "{compared} requests were compared");
    }
}
