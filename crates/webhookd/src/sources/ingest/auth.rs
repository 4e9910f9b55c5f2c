//! Who may send events: bearer tokens and signatures, from files.

use super::answer::{Answer, Complaint, unauthorized};
use anyhow::{Context, Result, bail};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use standardwebhooks::{Webhook, WebhookError};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use subtle::ConstantTimeEq;
use webhook_config::SigningSecret;

/// The largest file of tokens or secrets.
const LARGEST_FILE: u64 = 64 * 1024;

/// What peers have to show, as it is in the files.
pub(super) struct Auth {
    token_file: Option<PathBuf>,
    secret_file: Option<PathBuf>,
    keys: RwLock<Arc<Keys>>,
}

#[derive(Default)]
pub(super) struct Keys {
    tokens: Option<Vec<String>>,
    secrets: Option<Vec<Webhook>>,
}

impl Auth {
    /// # Errors
    /// A file cannot be read, or holds nothing that can be used.
    pub(super) fn load(token_file: Option<PathBuf>, secret_file: Option<PathBuf>) -> Result<Auth> {
        let auth = Auth {
            token_file,
            secret_file,
            keys: RwLock::default(),
        };
        auth.reload()?;
        Ok(auth)
    }

    /// Reads the files again; requests from now on are judged by what is in them now.
    ///
    /// # Errors
    /// A file cannot be read, or holds nothing that can be used. What was in force stays so.
    pub(super) fn reload(&self) -> Result<()> {
        let tokens = self.token_file.as_deref().map(tokens).transpose()?;
        let secrets = self.secret_file.as_deref().map(secrets).transpose()?;
        let keys = Arc::new(Keys { tokens, secrets });
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("token_file", &self.token_file)
            .field("secret_file", &self.secret_file)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Whether a body must be read whole before anything of it is believed.
    pub(super) fn needs_signature(&self) -> bool {
        self.secrets.is_some()
    }

    /// Judges what a request's head says.
    ///
    /// # Errors
    /// What to answer.
    pub(super) fn check_head(&self, headers: &HeaderMap) -> Result<(), Box<Answer>> {
        let Some(tokens) = &self.tokens else {
            return Ok(());
        };
        let shown = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        let token = shown.and_then(bearer);
        let good = token.is_some_and(|token| {
            // All of them are compared, so that the time tells nothing.
            tokens.iter().fold(false, |good, known| {
                good | bool::from(known.as_bytes().ct_eq(token))
            })
        });
        if good {
            return Ok(());
        }
        let (error, challenge) = if shown.is_some() {
            (
                "the bearer token is not one of those that are taken here",
                r#"Bearer realm="webhookd", error="invalid_token""#,
            )
        } else {
            (
                "send the header Authorization: Bearer TOKEN",
                r#"Bearer realm="webhookd""#,
            )
        };
        Err(Box::new(unauthorized(error, challenge)))
    }

    /// Judges the signature of a body.
    ///
    /// # Errors
    /// What to answer.
    pub(super) fn check_body(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Box<Answer>> {
        let Some(secrets) = &self.secrets else {
            return Ok(());
        };
        let mut why = WebhookError::InvalidSignature;
        for secret in secrets {
            match secret.verify(body, headers) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(Box::new(match why {
            WebhookError::InvalidPayload => Complaint::new(
                StatusCode::BAD_REQUEST,
                "the body is not UTF-8, so it cannot have been signed",
            )
            .answer(),
            why => unauthorized(
                &format!(
                    "{why}; sign by Standard Webhooks: webhook-id, webhook-timestamp (within 5 \
                     minutes of this clock) and webhook-signature"
                ),
                r#"StandardWebhooks realm="webhookd""#,
            ),
        }))
    }
}

/// The token of an `Authorization` header.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

fn tokens(path: &Path) -> Result<Vec<String>> {
    let lines = lines(path)?;
    for (number, token) in &lines {
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!(
                "{}:{number}: a token is of visible ASCII characters, without blanks",
                path.display()
            );
        }
    }
    Ok(lines.into_iter().map(|(_, token)| token).collect())
}

fn secrets(path: &Path) -> Result<Vec<Webhook>> {
    let mut secrets = Vec::new();
    for (number, text) in lines(path)? {
        let place = || format!("{}:{number}: not a signing secret", path.display());
        let secret = SigningSecret::parse(&text).with_context(place)?;
        secrets.push(Webhook::from_bytes(secret.key().to_vec()).with_context(place)?);
    }
    Ok(secrets)
}

/// The lines of a file that are not blank, with their numbers; one at least.
fn lines(path: &Path) -> Result<Vec<(usize, String)>> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
    if metadata.len() > LARGEST_FILE {
        bail!("{shown} is larger than {LARGEST_FILE} bytes: it is no file of secrets");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let lines: Vec<_> = (1..)
        .zip(text.lines())
        .map(|(number, line)| (number, line.trim().to_owned()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    if lines.is_empty() {
        bail!("{shown} is empty: nobody could send anything");
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn with_tokens(text: &str) -> Auth {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        std::fs::write(&file, text).unwrap();
        Auth::load(Some(file), None).unwrap()
    }

    fn status(auth: &Auth, authorization: Option<&'static str>) -> Option<StatusCode> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
        }
        let checked = auth.keys().check_head(&headers);
        checked.err().map(|answer| answer.status())
    }

    #[test]
    fn any_token_of_the_file_is_good_and_nothing_else() {
        let auth = with_tokens("old-token\n\n new-token \n");
        for good in ["Bearer old-token", "bearer new-token"] {
            assert_eq!(status(&auth, Some(good)), None, "{good}");
        }
        for bad in [
            "Bearer old-toke",
            "Bearer old-token2",
            "Bearer ",
            "Bearer",
            "Basic old-token",
            "old-token",
        ] {
            let status = status(&auth, Some(bad));
            assert_eq!(status, Some(StatusCode::UNAUTHORIZED), "{bad}");
        }
        assert_eq!(status(&auth, None), Some(StatusCode::UNAUTHORIZED));
    }

    #[test]
    fn an_empty_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        for text in ["", "\n \n", "two words\n"] {
            std::fs::write(&file, text).unwrap();
            assert!(Auth::load(Some(file.clone()), None).is_err(), "{text:?}");
            assert!(Auth::load(None, Some(file.clone())).is_err(), "{text:?}");
        }
    }
}
