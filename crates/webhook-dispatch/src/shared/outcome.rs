//! The classes of an attempt's result, as they are counted.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The class of an attempt's result, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The receiver accepted it: any 2xx.
    Success,
    /// A redirect, which is never followed: 3xx.
    Redirect,
    /// The receiver refused it: 4xx.
    ClientError,
    /// The receiver failed: 5xx, or a status outside 200 to 599.
    ServerError,
    /// The receiver answered 2xx with a body that reports a failed record.
    RecordError,
    /// A time-out passed before the answer.
    Timeout,
    /// No connection could be made.
    Connect,
    /// The connection broke, or the answer was not HTTP.
    Io,
    /// The sender panicked: a fault of this software.
    Panic,
    /// No request could be made of the event, by the target's template say: nothing was sent.
    Unsendable,
    /// The target's token endpoint gave no access token: nothing was sent.
    Token,
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
        Outcome::Unsendable,
        Outcome::Token,
    ];

    /// Its name in summaries and metrics: `2xx`, `3xx`, `4xx`, `5xx`, `record`, `timeout`,
    /// `connect`, `io`, `panic`, `unsendable` or `token`.
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
            Outcome::Unsendable => "unsendable",
            Outcome::Token => "token",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let names: std::collections::HashSet<_> =
            Outcome::ALL.iter().map(|outcome| outcome.name()).collect();
        assert_eq!(names.len(), Outcome::ALL.len());
    }
}
