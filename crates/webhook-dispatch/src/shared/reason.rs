//! Why an event becomes a dead letter.

use serde::{Deserialize, Serialize};

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// The receiver will never accept this body: it answered 400, 413 or 422.
    Refused,
    /// `maxAttempts` attempts were made.
    AttemptsExhausted,
    /// It is older than `maxAgeMsec`.
    TooOld,
    /// No request can be made of it: the target's template makes too long a body, say.
    Unsendable,
}

impl Reason {
    /// Every reason.
    pub const ALL: &'static [Reason] = &[
        Reason::Refused,
        Reason::AttemptsExhausted,
        Reason::TooOld,
        Reason::Unsendable,
    ];

    /// Its name in listings and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::Refused => "refused",
            Reason::AttemptsExhausted => "attempts-exhausted",
            Reason::TooOld => "too-old",
            Reason::Unsendable => "unsendable",
        }
    }
}
