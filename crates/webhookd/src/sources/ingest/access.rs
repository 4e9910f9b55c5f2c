//! Which requests are accepted: those with a token or signature of the files in force.

use super::answer::{Answer, Complaint, unauthorized};
use crate::auth::{Secrets, Tokens};
use anyhow::Result;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use standardwebhooks::WebhookError;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// Files of tokens and secrets, and what they hold.
pub(super) struct Access {
    token_file: Option<PathBuf>,
    secret_file: Option<PathBuf>,
    keys: RwLock<Arc<Keys>>,
}

/// Tokens and secrets in force; `None` where none are required.
#[derive(Default)]
pub(super) struct Keys {
    tokens: Option<Tokens>,
    secrets: Option<Secrets>,
}

impl Access {
    /// # Errors
    /// A file cannot be read, or is not valid.
    pub(super) fn load(
        token_file: Option<PathBuf>,
        secret_file: Option<PathBuf>,
    ) -> Result<Access> {
        let access = Access {
            token_file,
            secret_file,
            keys: RwLock::default(),
        };
        access.reload()?;
        Ok(access)
    }

    /// Reads the files again, for all later requests.
    ///
    /// # Errors
    /// A file cannot be read, or is not valid. The keys in force stay so.
    pub(super) fn reload(&self) -> Result<()> {
        let tokens = self.token_file.as_deref().map(Tokens::read).transpose()?;
        let secrets = self.secret_file.as_deref().map(Secrets::read).transpose()?;
        let keys = Arc::new(Keys { tokens, secrets });
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keys {
    /// Whether a body must be read whole before any of it is used.
    pub(super) fn needs_signature(&self) -> bool {
        self.secrets.is_some()
    }

    /// Checks the token in a request's head.
    ///
    /// # Errors
    /// The response to send.
    pub(super) fn check_head(&self, headers: &HeaderMap) -> Result<(), Box<Answer>> {
        match &self.tokens {
            Some(tokens) if !tokens.authenticate(headers) => {}
            _ => return Ok(()),
        }
        let (error, challenge) = if headers.contains_key(AUTHORIZATION) {
            (
                "the bearer token is not one of those that are accepted here",
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

    /// Checks the signature of a body.
    ///
    /// # Errors
    /// The response to send.
    pub(super) fn check_body(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Box<Answer>> {
        let Some(secrets) = &self.secrets else {
            return Ok(());
        };
        secrets.verify(headers, body).map_err(|why| {
            Box::new(match why {
                WebhookError::InvalidPayload => Complaint::new(
                    StatusCode::BAD_REQUEST,
                    "the body is not UTF-8, so it cannot have been signed",
                )
                .answer(),
                why => unauthorized(
                    &format!(
                        "{why}; sign as Standard Webhooks says: webhook-id, webhook-timestamp \
                         (within 5 minutes of this clock) and webhook-signature"
                    ),
                    r#"StandardWebhooks realm="webhookd""#,
                ),
            })
        })
    }
}
