//! What an attempt came to, and what follows from it.

use crate::http::transport::{Answer, TransportError, TransportErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an attempt came to: the classes that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The receiver took it: any 2xx.
    Success,
    /// A redirect, which is never followed: 3xx.
    Redirect,
    /// The receiver refused it: 4xx.
    ClientError,
    /// The receiver failed: 5xx, or a status outside 200 to 599.
    ServerError,
    /// The receiver answered 200 and said inside that a record failed.
    RecordError,
    /// No answer in time.
    Timeout,
    /// No connection.
    Connect,
    /// The connection broke, or the answer was not HTTP.
    Io,
    /// Our own fault: the sender panicked.
    Panic,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: &'static [Outcome] = &[
        Outcome::Success,
        Outcome::Redirect,
        Outcome::ClientError,
        Outcome::ServerError,
        Outcome::RecordError,
        Outcome::Timeout,
        Outcome::Connect,
        Outcome::Io,
        Outcome::Panic,
    ];

    /// Its name in summaries and metrics: `2xx`, `3xx`, `4xx`, `5xx`, `record`, `timeout`,
    /// `connect`, `io` or `panic`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Success => "2xx",
            Outcome::Redirect => "3xx",
            Outcome::ClientError => "4xx",
            Outcome::ServerError => "5xx",
            Outcome::RecordError => "record",
            Outcome::Timeout => "timeout",
            Outcome::Connect => "connect",
            Outcome::Io => "io",
            Outcome::Panic => "panic",
        }
    }

    /// Whether the receiver answered at all.
    #[must_use]
    pub fn is_answer(self) -> bool {
        matches!(
            self,
            Outcome::Success
                | Outcome::Redirect
                | Outcome::ClientError
                | Outcome::ServerError
                | Outcome::RecordError
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

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

    #[test]
    fn names_tell_outcomes_apart() {
        let names: std::collections::HashSet<_> =
            Outcome::ALL.iter().map(|outcome| outcome.name()).collect();
        assert_eq!(names.len(), Outcome::ALL.len());
    }
}
