//! The secrets that sign deliveries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// How a target's deliveries are signed: by Standard Webhooks 1.0, with one signature for each
/// secret.
///
/// ```
/// use webhook_config::{Signing, SigningSecret};
///
/// // The new one first: each delivery has a signature by either.
/// let secrets = [b"a new secret of 24 bytes", b"the old one with as many"];
/// let secrets = secrets.map(|it| SigningSecret::from_bytes(it.to_vec()));
/// let signing = Signing::new(secrets.into_iter().collect::<Result<_, _>>()?)?;
/// assert_eq!(signing.secrets().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    secrets: Vec<SigningSecret>,
}

impl Signing {
    /// Signs with each of these secrets.
    ///
    /// # Errors
    /// When there are no secrets.
    pub fn new(secrets: Vec<SigningSecret>) -> Result<Self, NoSecrets> {
        if secrets.is_empty() {
            Err(NoSecrets)
        } else {
            Ok(Signing { secrets })
        }
    }

    /// The secrets; at least one.
    #[must_use]
    pub fn secrets(&self) -> &[SigningSecret] {
        &self.secrets
    }
}

/// Signing needs at least one secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signing needs at least one secret")]
pub struct NoSecrets;

/// A signing secret of Standard Webhooks: 24 to 64 bytes, written as `whsec_` and their base64.
///
/// `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    key: Vec<u8>,
}

/// Why a text is not a signing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSigningSecret {
    /// It does not start with `whsec_`.
    #[error("it does not start with `whsec_`")]
    Prefix,
    /// The rest is not base64.
    #[error("what follows `whsec_` is not standard base64")]
    Base64,
    /// It has too few or too many bytes.
    #[error("it has {0} bytes, but 24 to 64 are required")]
    Length(usize),
}

impl SigningSecret {
    /// Parses `whsec_` and base64.
    ///
    /// # Errors
    /// When the text is something else. The error does not contain the text.
    pub fn parse(text: &str) -> Result<Self, InvalidSigningSecret> {
        let encoded = text
            .strip_prefix("whsec_")
            .ok_or(InvalidSigningSecret::Prefix)?;
        let key = STANDARD
            .decode(encoded)
            .map_err(|_| InvalidSigningSecret::Base64)?;
        Self::from_bytes(key)
    }

    /// A secret with these bytes.
    ///
    /// # Errors
    /// When they are fewer than 24 or more than 64.
    pub fn from_bytes(key: Vec<u8>) -> Result<Self, InvalidSigningSecret> {
        if !(24..=64).contains(&key.len()) {
            return Err(InvalidSigningSecret::Length(key.len()));
        }
        Ok(SigningSecret { key })
    }

    /// The bytes that key the HMAC.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_24_to_64_bytes_in_base64() {
        let key = SigningSecret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        assert_eq!(key.key().len(), 24);
        assert_eq!(format!("{key:?}"), "SigningSecret(***)");
        let refused = |text: &str| SigningSecret::parse(text).unwrap_err();
        assert_eq!(
            refused("C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
            InvalidSigningSecret::Prefix
        );
        assert_eq!(
            refused("whsec_C2FVsBQIhrscChlQIMV-b5sSYspob7oD"),
            InvalidSigningSecret::Base64
        );
        assert_eq!(
            refused("whsec_C2FVsBQIhrscChlQIMV+"),
            InvalidSigningSecret::Length(15)
        );
        let long = format!("whsec_{}", STANDARD.encode([0; 65]));
        assert_eq!(refused(&long), InvalidSigningSecret::Length(65));
    }
}
