//! The secrets that sign requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac_sha256::HMAC;
use std::fmt;
use std::ops::RangeInclusive;

/// How many bytes a key has, by Standard Webhooks.
const KEY_BYTES: RangeInclusive<usize> = 24..=64;

/// A signing secret of Standard Webhooks: 24 to 64 bytes, written as `whsec_` and their base64.
///
/// `Debug` does not show it.
///
/// ```
/// use webhook_receiver::Secret;
/// let secret = Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n")?;
/// assert_eq!(format!("{secret:?}"), "Secret(***)");
/// # Ok::<(), webhook_receiver::SecretError>(())
/// ```
#[derive(Clone)]
pub struct Secret {
    key: Vec<u8>,
}

/// Why a text is not a signing secret. The text is not in the error.
///
/// ```
/// use webhook_receiver::{Secret, SecretError};
/// assert_eq!(Secret::parse("hunter2").unwrap_err(), SecretError::Prefix);
/// let short = Secret::parse("whsec_c2hvcnQ=").unwrap_err();
/// assert_eq!(short.to_string(), "the secret's key has 5 bytes, but 24 to 64 are required");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It does not begin with `whsec_`.
    #[error("the secret does not begin with `whsec_`")]
    Prefix,
    /// The rest is not base64.
    #[error(
        "what follows `whsec_` in the secret is not base64 in the standard alphabet (A-Z, a-z, 0-9, \
         `+`, `/`) with its padding (`=`)"
    )]
    Base64,
    /// The key has too few or too many bytes.
    #[error("the secret's key has {0} bytes, but 24 to 64 are required")]
    Length(usize),
}

impl Secret {
    /// Parses `whsec_` and base64. White space around it is ignored, such as the line feed at the end of
    /// a file.
    ///
    /// # Errors
    /// The text is something else.
    ///
    /// ```
    /// use webhook_receiver::{Secret, SecretError};
    /// assert!(Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").is_ok());
    /// // The alphabet for URLs is another one.
    /// let error = Secret::parse("whsec_C2FVsBQIhrscChlQIMV-b5sSYspob7oD").unwrap_err();
    /// assert_eq!(error, SecretError::Base64);
    /// ```
    pub fn parse(text: &str) -> Result<Secret, SecretError> {
        let encoded = text.trim_ascii().strip_prefix("whsec_");
        let key = STANDARD.decode(encoded.ok_or(SecretError::Prefix)?);
        Secret::from_bytes(key.map_err(|_| SecretError::Base64)?)
    }

    /// The secret with this key.
    ///
    /// # Errors
    /// The key has fewer than 24 or more than 64 bytes.
    ///
    /// ```
    /// use webhook_receiver::{Secret, SecretError};
    /// assert!(Secret::from_bytes(vec![7; 32]).is_ok());
    /// assert_eq!(Secret::from_bytes(vec![7; 20]).unwrap_err(), SecretError::Length(20));
    /// ```
    pub fn from_bytes(key: Vec<u8>) -> Result<Secret, SecretError> {
        if KEY_BYTES.contains(&key.len()) {
            Ok(Secret { key })
        } else {
            Err(SecretError::Length(key.len()))
        }
    }

    /// The signature of a request, as one entry of `webhook-signature`: `v1,` and the base64 of the
    /// HMAC-SHA256 over `id.timestamp.body`. For the tests of a receiver.
    ///
    /// ```
    /// use webhook_receiver::Secret;
    /// let secret = Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?;
    /// let body = br#"{"email":"test@example.com","username":"test_user"}"#;
    /// let signature = secret.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553", body);
    /// assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    /// # Ok::<(), webhook_receiver::SecretError>(())
    /// ```
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac = HMAC::new(&self.key);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", STANDARD.encode(mac.finalize()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
