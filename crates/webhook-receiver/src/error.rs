//! Why a request is not accepted, and the status to answer with.

/// Why a request is not verified.
///
/// The status is chosen by what the sender does on it: `webhookd` retries after 401 until the event's
/// `maxAgeMsec`, so that a secret that was mistyped costs time and no event. 400 and 413 make the event a
/// dead letter.
///
/// ```
/// use webhook_receiver::VerifyError;
/// assert_eq!(VerifyError::NoMatch.status(), 401);
/// assert_eq!(VerifyError::BodyTooLarge { bytes: 9, max: 8 }.status(), 413);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A header is missing or empty. Without `webhook-signature`, the target has no `signing`.
    #[error("the header {name} is missing")]
    MissingHeader {
        /// The header.
        name: &'static str,
    },
    /// A header occurs several times.
    #[error("the header {name} occurs several times")]
    RepeatedHeader {
        /// The header.
        name: &'static str,
    },
    /// A header's value is not UTF-8.
    #[error("the header {name} is not text")]
    HeaderNotText {
        /// The header.
        name: &'static str,
    },
    /// The timestamp is not a number of seconds.
    #[error("the header webhook-timestamp is not a whole number of seconds since 1970")]
    InvalidTimestamp,
    /// The request was signed too long ago.
    #[error(
        "the request was signed {seconds} s ago, but the tolerance is {tolerance} s; compare the clocks"
    )]
    TooOld {
        /// How long ago, in seconds.
        seconds: u64,
        /// The tolerance, in seconds.
        tolerance: u64,
    },
    /// The request was signed too far in the future.
    #[error(
        "the request was signed {seconds} s in the future, but the tolerance is {tolerance} s; compare \
         the clocks"
    )]
    TooNew {
        /// How far, in seconds.
        seconds: u64,
        /// The tolerance, in seconds.
        tolerance: u64,
    },
    /// There is no signature of a version that this crate knows.
    #[error("the header webhook-signature has no `v1` signature")]
    NoKnownVersion,
    /// No signature is by a known secret over this id, timestamp and body.
    #[error(
        "no signature matches: the request was signed with another secret, or its id, timestamp or body \
         was altered; the body has to be verified as its bytes came"
    )]
    NoMatch,
    /// The body is too long to be verified.
    #[error("the body has {bytes} bytes, but at most {max} are accepted")]
    BodyTooLarge {
        /// The body's bytes.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

impl VerifyError {
    /// The HTTP status to answer with: 413 for a body that is too long, else 401.
    ///
    /// ```
    /// use webhook_receiver::VerifyError;
    /// assert_eq!(VerifyError::InvalidTimestamp.status(), 401);
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            VerifyError::BodyTooLarge { .. } => 413,
            _ => 401,
        }
    }
}

/// Why a body cannot be split into events.
///
/// ```
/// use webhook_receiver::{Format, RequestHeaders, events};
/// let headers = RequestHeaders::from_pairs([("webhook-id", &b"bat_1"[..])]);
/// let error = events(Format::JsonArray, &headers, b"[{}").unwrap_err();
/// assert!(error.to_string().starts_with("the body is not a JSON array"), "{error}");
/// assert_eq!(error.status(), 400);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is not JSON of this shape.
    #[error("the body is not {expected}: {message}")]
    Malformed {
        /// What it is by its format.
        expected: &'static str,
        /// Why it is not, with the line and column.
        message: String,
    },
    /// The body has no event.
    #[error("the body has no event")]
    Empty,
    /// The headers have the ids of another number of events.
    #[error("the body has {events} events, but the headers have the ids of {ids}")]
    IdsDiffer {
        /// The events of the body.
        events: usize,
        /// The ids in `webhook-event-ids`, or 1 for `webhook-id`.
        ids: usize,
    },
    /// The request has no id.
    #[error(transparent)]
    Header(#[from] VerifyError),
}

impl BodyError {
    /// The HTTP status to answer with: 400, on which `webhookd` halves a batch until the event that
    /// cannot be read is alone, and makes that one a dead letter.
    ///
    /// ```
    /// use webhook_receiver::BodyError;
    /// assert_eq!(BodyError::Empty.status(), 400);
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            BodyError::Header(error) => error.status(),
            _ => 400,
        }
    }
}
