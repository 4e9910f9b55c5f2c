//! The record of why an event was given up, kept with its dead letter.

use crate::shared::{Outcome, Reason};
use serde::{Deserialize, Serialize};

/// Why an event was given up. Stored as JSON in the note of the queue's dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailureRecord {
    /// Why there is no further attempt.
    pub reason: Reason,
    /// The outcome of the last attempt; `None` if the event expired without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The status of the last answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What happened, as text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The first KiB of the last response; bytes that are not UTF-8 are replaced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub response: String,
    /// When the first attempt was made, epoch milliseconds; not known after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_attempt_at: Option<u64>,
    /// When the last attempt was made, epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<u64>,
}

impl FailureRecord {
    /// Serializes the record for the queue.
    #[must_use]
    pub fn to_note(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of strings and numbers is always JSON")
    }

    /// Parses the note that [`to_note`](Self::to_note) wrote.
    ///
    /// # Errors
    /// The note is no such record.
    pub fn from_note(note: &[u8]) -> Result<FailureRecord, serde_json::Error> {
        serde_json::from_slice(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_note_parses_back() {
        let record = FailureRecord {
            reason: Reason::AttemptsExhausted,
            outcome: Some(Outcome::ServerError),
            status: Some(503),
            detail: "the receiver answered 503".to_owned(),
            response: "over \"capacity\"\n".to_owned(),
            first_attempt_at: Some(1),
            last_attempt_at: Some(2),
        };
        let note = record.to_note();
        expect![[
            r#"{"reason":"attempts-exhausted","outcome":"server-error","status":503,"detail":"the receiver answered 503","response":"over \"capacity\"\n","firstAttemptAt":1,"lastAttemptAt":2}"#
        ]]
        .assert_eq(std::str::from_utf8(&note).unwrap());
        assert_eq!(FailureRecord::from_note(&note).unwrap(), record);
    }

    #[test]
    fn a_note_needs_only_the_reason() {
        let record =
            FailureRecord::from_note(br#"{"reason":"too-old","later":"additions"}"#).unwrap();
        assert_eq!(record.reason, Reason::TooOld);
        assert_eq!(record.to_note(), br#"{"reason":"too-old"}"#);
        assert!(FailureRecord::from_note(b"\x00").is_err());
    }
}
