//! Verifies the signature and the time of a request.

use crate::{RequestHeaders, Secret, VerifyError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq as _;

/// How far the time of a request may be from the receiver's clock, as Standard Webhooks has it.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// The longest body: twice the 4 MiB that `batch.maxBytes` of a target can be, since formats add to it.
pub const DEFAULT_MAX_BODY_BYTES: usize = 8 << 20;

/// Verifies requests by any of several secrets.
///
/// With the old and the new secret, a receiver and its sender can change theirs one after the other.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use webhook_receiver::{RequestHeaders, Secret, Verifier};
///
/// let [old, new] = [[1; 32], [2; 32]].map(|key| Secret::from_bytes(key.into()).unwrap());
/// let signature = new.sign("evt_1", "1700000000", b"{}");
/// let headers = RequestHeaders::from_pairs([
///     ("webhook-id", &b"evt_1"[..]),
///     ("webhook-timestamp", b"1700000000"),
///     ("webhook-signature", signature.as_bytes()),
/// ]);
/// let now = UNIX_EPOCH + Duration::from_secs(1_700_000_002);
/// let verified = Verifier::new([old.clone(), new]).verify(&headers, b"{}", now)?;
/// assert_eq!(verified.id, "evt_1");
/// assert!(Verifier::new([old]).verify(&headers, b"{}", now).is_err());
/// # Ok::<(), webhook_receiver::VerifyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Verifier {
    secrets: Vec<Secret>,
    tolerance: Duration,
    max_body_bytes: usize,
}

/// What is known of a verified request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// When the sender signed it, in seconds since 1970: the time of the attempt, not of the event.
    pub timestamp: u64,
}

impl Verifier {
    /// Verifies by any of these secrets. Without one, no request is verified.
    ///
    /// ```
    /// use webhook_receiver::{Secret, Verifier};
    /// let verifier = Verifier::new([Secret::from_bytes(vec![7; 24])?]);
    /// # Ok::<(), webhook_receiver::SecretError>(())
    /// ```
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Verifier {
        Verifier {
            secrets: secrets.into_iter().collect(),
            tolerance: DEFAULT_TOLERANCE,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
        }
    }

    /// The same with another tolerance, in whole seconds; [`DEFAULT_TOLERANCE`] is five minutes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use webhook_receiver::Verifier;
    /// let verifier = Verifier::new([]).with_tolerance(Duration::from_secs(30));
    /// ```
    #[must_use]
    pub fn with_tolerance(self, tolerance: Duration) -> Verifier {
        Verifier { tolerance, ..self }
    }

    /// The same with another bound of a body; [`DEFAULT_MAX_BODY_BYTES`] is 8 MiB. Bound it where the
    /// body is read, too.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use webhook_receiver::{RequestHeaders, Verifier};
    /// let verifier = Verifier::new([]).with_max_body_bytes(8);
    /// let headers = RequestHeaders::from_pairs([]);
    /// let error = verifier.verify(&headers, b"123456789", SystemTime::now()).unwrap_err();
    /// assert_eq!(error.to_string(), "the body has 9 bytes, but at most 8 are accepted");
    /// ```
    #[must_use]
    pub fn with_max_body_bytes(self, max_body_bytes: usize) -> Verifier {
        Verifier {
            max_body_bytes,
            ..self
        }
    }

    /// Verifies a request at the time `now`. `body` is the body's bytes as they came: JSON that was parsed
    /// and written again does not verify.
    ///
    /// The time that this takes does not depend on the bytes of a wrong signature.
    ///
    /// # Errors
    /// The request is not to be trusted; answer with [the error's status](VerifyError::status).
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use webhook_receiver::{RequestHeaders, Secret, Verifier};
    ///
    /// let secret = Secret::from_bytes(vec![7; 32])?;
    /// let signature = secret.sign("evt_1", "1700000000", b"{}");
    /// let headers = RequestHeaders::from_pairs([
    ///     ("webhook-id", &b"evt_1"[..]),
    ///     ("webhook-timestamp", b"1700000000"),
    ///     ("webhook-signature", signature.as_bytes()),
    /// ]);
    /// let now = UNIX_EPOCH + Duration::from_secs(1_700_000_301);
    /// let error = Verifier::new([secret]).verify(&headers, b"{}", now).unwrap_err();
    /// let expected = "the request was signed 301 s ago, but the tolerance is 300 s; compare the clocks";
    /// assert_eq!(error.to_string(), expected);
    /// # Ok::<(), webhook_receiver::SecretError>(())
    /// ```
    pub fn verify<'a>(
        &self,
        headers: &RequestHeaders<'a>,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Verified<'a>, VerifyError> {
        if body.len() > self.max_body_bytes {
            return Err(VerifyError::BodyTooLarge {
                bytes: body.len(),
                max: self.max_body_bytes,
            });
        }
        let id = headers.id()?;
        let signed_at = headers.timestamp()?;
        let signatures = headers.signature()?;
        let timestamp = seconds(signed_at)?;
        self.check_time(timestamp, now)?;
        let mut entries = signatures.split_ascii_whitespace();
        if !entries.clone().any(|entry| entry.starts_with("v1,")) {
            return Err(VerifyError::NoKnownVersion);
        }
        let expected = self.secrets.iter();
        let expected: Vec<String> = expected
            .map(|secret| secret.sign(id, signed_at, body))
            .collect();
        let is_expected = |entry: &str| {
            expected.iter().fold(false, |found, expected| {
                found | bool::from(expected.as_bytes().ct_eq(entry.as_bytes()))
            })
        };
        if entries.any(is_expected) {
            Ok(Verified { id, timestamp })
        } else {
            Err(VerifyError::NoMatch)
        }
    }

    fn check_time(&self, timestamp: u64, now: SystemTime) -> Result<(), VerifyError> {
        // A clock before 1970 is at its beginning.
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let tolerance = self.tolerance.as_secs();
        if now.abs_diff(timestamp) <= tolerance {
            return Ok(());
        }
        let seconds = now.abs_diff(timestamp);
        Err(match now > timestamp {
            true => VerifyError::TooOld { seconds, tolerance },
            false => VerifyError::TooNew { seconds, tolerance },
        })
    }
}

/// Digits alone: no sign, fraction or blank.
fn seconds(text: &str) -> Result<u64, VerifyError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(VerifyError::InvalidTimestamp);
    }
    text.parse().map_err(|_| VerifyError::InvalidTimestamp)
}
