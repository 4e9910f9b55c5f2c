//! Authentication: bearer tokens (RFC 6750) and signatures (Standard Webhooks), kept in files.
//!
//! Tokens are compared in constant time, and so are signatures, by their library.

use anyhow::{Context, Result, bail};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use standardwebhooks::{Webhook, WebhookError};
use std::path::Path;
use subtle::ConstantTimeEq;
use webhook_config::SigningSecret;

/// Bytes of a token, at most.
const MAX_TOKEN: usize = 4096;
/// Bytes of a file of tokens or secrets, at most.
const MAX_FILE: u64 = 64 * 1024;

/// Bearer tokens, any of which authenticates a request.
#[derive(PartialEq, Eq)]
pub(crate) struct Tokens(Vec<String>);

impl Tokens {
    /// Reads a token from each line of a file that is not blank.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not a token, or there is none.
    pub(crate) fn read(file: &Path) -> Result<Tokens> {
        let mut tokens = Vec::new();
        for (number, token) in lines(file, "token")? {
            if token.len() > MAX_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                bail!(
                    "{}:{number}: a token consists of 1 to {MAX_TOKEN} visible ASCII characters, \
                     without blanks",
                    file.display()
                );
            }
            tokens.push(token);
        }
        Ok(Tokens(tokens))
    }

    /// Reads the one token that a file holds.
    ///
    /// # Errors
    /// As [`read`](Self::read), or there are several.
    pub(crate) fn read_one(file: &Path) -> Result<Tokens> {
        let tokens = Tokens::read(file)?;
        if tokens.0.len() > 1 {
            bail!("{} holds several tokens; one is allowed", file.display());
        }
        Ok(tokens)
    }

    /// Whether a request has one of the tokens.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> bool {
        let Some(shown) = headers.get(AUTHORIZATION).and_then(bearer) else {
            return false;
        };
        // All of them are compared, so that the time does not tell which one was close.
        self.0.iter().fold(false, |good, token| {
            good | bool::from(token.as_bytes().ct_eq(shown))
        })
    }

    /// The value of `Authorization` that shows the first token.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let token = self.0.first()?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The token of an `Authorization` header.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// Signing secrets, any of which may have signed a request.
pub(crate) struct Secrets(Vec<Webhook>);

impl Secrets {
    /// Reads a `whsec_…` from each line of a file that is not blank.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not a secret, or there is none.
    pub(crate) fn read(file: &Path) -> Result<Secrets> {
        let mut secrets = Vec::new();
        for (number, text) in lines(file, "signing secret")? {
            let at = || format!("{}:{number}: not a signing secret", file.display());
            let secret = SigningSecret::parse(&text).with_context(at)?;
            secrets.push(Webhook::from_bytes(secret.key().to_vec()).with_context(at)?);
        }
        Ok(Secrets(secrets))
    }

    /// Checks that one of the secrets signed a body.
    ///
    /// # Errors
    /// Why the last of them did not.
    pub(crate) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
        let mut why = WebhookError::InvalidSignature;
        for secret in &self.0 {
            match secret.verify(body, headers) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

/// The lines of a file that are not blank, with their numbers; at least one.
fn lines(file: &Path, what: &str) -> Result<Vec<(usize, String)>> {
    let shown = file.display();
    let failed = || format!("cannot read {shown}");
    let bytes = webhook_config::read_file(file, MAX_FILE).with_context(failed)?;
    let text = String::from_utf8(bytes).with_context(failed)?;
    let lines: Vec<_> = (1..)
        .zip(text.lines())
        .map(|(number, line)| (number, line.trim().to_owned()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    if lines.is_empty() {
        bail!("{shown} holds no {what}");
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn any_token_of_the_file_is_good_and_nothing_else() {
        let tokens = Tokens::read(file("old-token\n\n new-token \n").path()).unwrap();
        let authenticates = |value: &'static str| {
            let headers = [(AUTHORIZATION, HeaderValue::from_static(value))];
            tokens.authenticate(&HeaderMap::from_iter(headers))
        };
        for good in ["Bearer old-token", "bearer new-token"] {
            assert!(authenticates(good), "{good}");
        }
        for bad in [
            "Bearer old-toke",
            "Bearer old-token2",
            "Bearer Old-token",
            "Bearer ",
            "Bearer",
            "Basic old-token",
            "old-token",
        ] {
            assert!(!authenticates(bad), "{bad}");
        }
        assert!(!tokens.authenticate(&HeaderMap::new()));
    }

    #[test]
    fn a_file_without_a_token_or_secret_is_refused() {
        for text in ["", "\n \n", "two words\n"] {
            let file = file(text);
            assert!(Tokens::read(file.path()).is_err(), "{text:?}");
            assert!(Secrets::read(file.path()).is_err(), "{text:?}");
        }
        assert!(Tokens::read_one(file("one\ntwo\n").path()).is_err());
    }

    #[test]
    fn the_header_that_is_sent_authenticates_and_is_not_logged() {
        let tokens = Tokens::read_one(file("hush\n").path()).unwrap();
        let value = tokens.authorization().unwrap();
        assert!(value.is_sensitive());
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        assert!(tokens.authenticate(&headers));
    }
}
