//! Classifies the result of an attempt.

use crate::http::transport::{Answer, TransportError, TransportErrorKind};
use crate::shared::Outcome;

/// What an attempt's result means for the event and the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The event is delivered.
    Delivered,
    /// The receiver will never accept this body (400, 413, 422): the event is a dead letter at
    /// once.
    Refused,
    /// The receiver is gone (410): the target stops.
    Gone,
    /// No request can be made of the event: it is a dead letter at once.
    Unsendable,
    /// The event is to be attempted again.
    Failed,
}

/// Classifies the result of an attempt.
///
/// ```
/// use webhook_dispatch::{Outcome, TransportError, TransportErrorKind, Verdict, classify};
///
/// let refused = TransportError::new(TransportErrorKind::Connect, "connection refused");
/// assert_eq!(classify(&Err(refused)).1, Verdict::Failed);
/// ```
#[must_use]
pub fn classify(result: &Result<Answer, TransportError>) -> (Outcome, Verdict) {
    match result {
        Ok(answer) => match answer.status {
            200..=299 => (Outcome::Success, Verdict::Delivered),
            400 | 413 | 422 => (Outcome::ClientError, Verdict::Refused),
            410 => (Outcome::ClientError, Verdict::Gone),
            401..=499 => (Outcome::ClientError, Verdict::Failed),
            300..=399 => (Outcome::Redirect, Verdict::Failed),
            _ => (Outcome::ServerError, Verdict::Failed),
        },
        Err(error) => match error.kind {
            TransportErrorKind::Timeout => (Outcome::Timeout, Verdict::Failed),
            TransportErrorKind::Connect => (Outcome::Connect, Verdict::Failed),
            TransportErrorKind::Token => (Outcome::Token, Verdict::Failed),
            TransportErrorKind::Unsendable => (Outcome::Unsendable, Verdict::Unsendable),
            TransportErrorKind::Io | TransportErrorKind::Stale | TransportErrorKind::Stopped => {
                (Outcome::Io, Verdict::Failed)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(status: u16) -> (Outcome, Verdict) {
        classify(&Ok(Answer {
            status,
            retry_after: None,
            body: Vec::new(),
            complete: true,
        }))
    }

    #[test]
    fn every_status_is_classified() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 => (Outcome::Success, Verdict::Delivered),
                400 | 413 | 422 => (Outcome::ClientError, Verdict::Refused),
                410 => (Outcome::ClientError, Verdict::Gone),
                300..=399 => (Outcome::Redirect, Verdict::Failed),
                401..=499 => (Outcome::ClientError, Verdict::Failed),
                _ => (Outcome::ServerError, Verdict::Failed),
            };
            assert_eq!(classified(status), expected, "{status}");
        }
    }

    #[test]
    fn an_event_that_no_request_can_be_made_of_is_not_retried() {
        let error = TransportError::new(TransportErrorKind::Unsendable, "");
        let expected = (Outcome::Unsendable, Verdict::Unsendable);
        assert_eq!(classify(&Err(error)), expected);
    }

    #[test]
    fn an_attempt_without_an_answer_is_retried() {
        use TransportErrorKind::{Connect, Io, Stale, Stopped, Timeout, Token};
        for (kind, outcome) in [
            (Timeout, Outcome::Timeout),
            (Connect, Outcome::Connect),
            (Io, Outcome::Io),
            (Stale, Outcome::Io),
            (Stopped, Outcome::Io),
            (Token, Outcome::Token),
        ] {
            let error = TransportError::new(kind, "");
            assert_eq!(classify(&Err(error)), (outcome, Verdict::Failed));
            assert!(!outcome.is_answer());
        }
    }
}
