//! `--verify-secret`: takes only what is signed as Standard Webhooks 1.0.0 says.

use anyhow::{Context, Result, bail};
use hyper::header::HeaderMap;
use standardwebhooks::Webhook;
use std::io::Read;
use std::path::Path;
use webhook_config::SigningSecret;

/// The largest file of secrets that is read, in bytes.
const LARGEST: u64 = 64 * 1024;

/// The secrets, any of which may have signed.
pub(super) struct Secrets(Vec<Webhook>);

impl Secrets {
    /// One `whsec_…` a line.
    ///
    /// # Errors
    /// The file cannot be read, or a line is no secret.
    pub(super) fn read(path: &Path) -> Result<Secrets> {
        let shown = path.display();
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
            .with_context(|| format!("cannot read --verify-secret {shown}"))?;
        let mut secrets = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            let secret = SigningSecret::parse(line.trim())
                .with_context(|| format!("line {number} of {shown} is no signing secret"))?;
            let verifier = Webhook::from_bytes(secret.key().to_vec())
                .with_context(|| format!("line {number} of {shown} cannot be used"))?;
            secrets.push(verifier);
        }
        if secrets.is_empty() {
            bail!("{shown} holds no signing secret");
        }
        Ok(Secrets(secrets))
    }

    /// What to say of a request, and whether it is signed.
    pub(super) fn judge(&self, headers: &HeaderMap, body: &[u8]) -> (String, bool) {
        let id = headers.get("webhook-id");
        let id = id
            .and_then(|id| id.to_str().ok())
            .unwrap_or("without an id");
        let mut reason = String::new();
        for secret in &self.0 {
            match secret.verify(body, headers) {
                Ok(()) => return (format!("verified: {id}"), true),
                Err(error) => reason = error.to_string(),
            }
        }
        (format!("not verified: {id}: {reason}"), false)
    }
}
