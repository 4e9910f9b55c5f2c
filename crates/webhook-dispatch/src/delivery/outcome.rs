//! Classifies the result of an attempt.

use crate::http::transport::{Answer, TransportError, TransportErrorKind};
use crate::shared::Outcome;

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Delivered.
    Delivered,
    /// The receiver will never take this body: a dead letter at once (400, 413, 422).
    Refused,
    /// The receiver wants nothing any more: the target stops (410).
    Gone,
    /// To be tried again.
    Failed,
}

/// What an attempt came to, and what follows.
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
            TransportErrorKind::Io | TransportErrorKind::Stopped => (Outcome::Io, Verdict::Failed),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16) -> (Outcome, Verdict) {
        classify(&Ok(Answer {
            status,
            retry_after: None,
            body: Vec::new(),
            complete: true,
        }))
    }

    #[test]
    fn every_status_is_judged() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 => (Outcome::Success, Verdict::Delivered),
                400 | 413 | 422 => (Outcome::ClientError, Verdict::Refused),
                410 => (Outcome::ClientError, Verdict::Gone),
                300..=399 => (Outcome::Redirect, Verdict::Failed),
                401..=499 => (Outcome::ClientError, Verdict::Failed),
                _ => (Outcome::ServerError, Verdict::Failed),
            };
            assert_eq!(judged(status), expected, "{status}");
        }
    }

    #[test]
    fn no_answer_is_tried_again() {
        use TransportErrorKind::{Connect, Io, Stopped, Timeout};
        for (kind, outcome) in [
            (Timeout, Outcome::Timeout),
            (Connect, Outcome::Connect),
            (Io, Outcome::Io),
            (Stopped, Outcome::Io),
        ] {
            let error = TransportError {
                kind,
                message: String::new(),
            };
            assert_eq!(classify(&Err(error)), (outcome, Verdict::Failed));
            assert!(!outcome.is_answer());
        }
    }
}
