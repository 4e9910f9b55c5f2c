//! Why an event was given up, as the queue keeps it with the event.

use crate::delivery::outcome::Outcome;
use serde::{Deserialize, Serialize};

/// Bytes of a response that a dead letter keeps.
pub const RESPONSE_KEPT: usize = 1024;

/// Why an event was given up. Kept as JSON, in the note of the queue's dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailureRecord {
    /// Why there is no further attempt.
    pub reason: Reason,
    /// What the last attempt came to; `None` if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The status that the receiver answered last, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What happened, for people.
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

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// The receiver will never take this body: it answered 400, 413 or 422.
    Refused,
    /// `maxAttempts` attempts were made.
    AttemptsExhausted,
    /// It is older than `maxAgeMsec`.
    TooOld,
}

impl Reason {
    /// Its name in listings and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::Refused => "refused",
            Reason::AttemptsExhausted => "attempts-exhausted",
            Reason::TooOld => "too-old",
        }
    }
}

impl FailureRecord {
    /// Writes it for the queue.
    #[must_use]
    pub fn to_note(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of strings and numbers is always JSON")
    }

    /// Reads what [`to_note`](Self::to_note) wrote.
    ///
    /// # Errors
    /// The note is from something else.
    pub fn from_note(note: &[u8]) -> Result<FailureRecord, serde_json::Error> {
        serde_json::from_slice(note)
    }
}

/// What happened, fit for a log: some of it may be the receiver's words. Control characters, which
/// a terminal would obey, are escaped, and what is longer than a KiB is cut.
pub(crate) fn legible(detail: &str) -> String {
    let mut legible = String::with_capacity(detail.len().min(RESPONSE_KEPT));
    for character in detail.chars() {
        if legible.len() >= RESPONSE_KEPT {
            legible.push('…');
            break;
        }
        if character.is_control() {
            legible.extend(character.escape_debug());
        } else {
            legible.push(character);
        }
    }
    legible
}

/// The first KiB of a response, as text.
pub(crate) fn excerpt(response: &[u8]) -> String {
    String::from_utf8_lossy(&response[..response.len().min(RESPONSE_KEPT)]).into_owned()
}

/// Epoch milliseconds as RFC 3339, in UTC; `None` beyond the year 9999.
#[must_use]
pub fn rfc3339(epoch_ms: i64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(epoch_ms).ok()?;
    Some(at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_note_reads_back() {
        let obituary = FailureRecord {
            reason: Reason::AttemptsExhausted,
            outcome: Some(Outcome::ServerError),
            status: Some(503),
            detail: "the receiver answered 503".to_owned(),
            response: "over \"capacity\"\n".to_owned(),
            first_attempt_at: Some(1),
            last_attempt_at: Some(2),
        };
        let note = obituary.to_note();
        expect![[
            r#"{"reason":"attempts-exhausted","outcome":"server-error","status":503,"detail":"the receiver answered 503","response":"over \"capacity\"\n","firstAttemptAt":1,"lastAttemptAt":2}"#
        ]]
        .assert_eq(std::str::from_utf8(&note).unwrap());
        assert_eq!(FailureRecord::from_note(&note).unwrap(), obituary);
    }

    #[test]
    fn a_note_need_hold_no_more_than_the_reason() {
        let obituary =
            FailureRecord::from_note(br#"{"reason":"too-old","later":"additions"}"#).unwrap();
        assert_eq!(obituary.reason, Reason::TooOld);
        assert_eq!(obituary.to_note(), br#"{"reason":"too-old"}"#);
        assert!(FailureRecord::from_note(b"\x00").is_err());
    }

    #[test]
    fn a_response_is_kept_to_its_first_kib_whatever_it_holds() {
        assert_eq!(excerpt(b"no"), "no");
        assert_eq!(excerpt(&[b'a'; 5000]).len(), RESPONSE_KEPT);
        // A character that the bound cuts in two, and bytes that are none.
        let cut = "ä".repeat(600);
        assert!(excerpt(&cut.as_bytes()[1..]).ends_with('\u{fffd}'));
    }

    #[test]
    fn a_receivers_words_are_cut_and_hold_nothing_that_a_terminal_obeys() {
        assert_eq!(
            legible("said: \u{1b}[2Jno\n\u{9b}1m, \"ä\""),
            "said: \\u{1b}[2Jno\\n\\u{9b}1m, \"ä\""
        );
        let long = legible(&"ä".repeat(100_000));
        assert_eq!(long.chars().count(), RESPONSE_KEPT / 2 + 1);
    }

    #[test]
    fn times_are_utc_to_the_millisecond() {
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        let at = rfc3339(1_451_606_400_007);
        assert_eq!(at.as_deref(), Some("2016-01-01T00:00:00.007Z"));
        assert_eq!(rfc3339(i64::MAX), None);
    }
}
