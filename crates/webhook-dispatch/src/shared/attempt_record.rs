//! An attempt as the log of attempts shows it.

use crate::shared::batch_id::BatchId;
use crate::shared::event_summary;
use crate::shared::outcome::Outcome;
use std::borrow::Cow;
use std::time::Duration;
use webhook_queue::EventId;

/// An attempt that was made, and its result. Holds no body and no secret of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptRecord<'a> {
    /// Numbers the attempts of a target, from 1 at the start of the dispatcher.
    pub number: u64,
    /// When the attempt began, epoch milliseconds.
    pub started_at: u64,
    /// The event's id.
    pub id: EventId,
    /// The event's own key, cut at 1,024 bytes.
    pub key: Cow<'a, [u8]>,
    /// The length of the whole key.
    pub key_bytes: usize,
    /// What is known of the event's state and job, encoded.
    pub(crate) summary: Cow<'a, [u8]>,
    /// The number of the attempt at the event, from 1.
    pub attempt: u32,
    /// The request's id and number of events, if there were several.
    pub batch: Option<(BatchId, u32)>,
    /// The class of its result.
    pub outcome: Outcome,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What happened, as text; empty if the event was delivered.
    pub error: Cow<'a, str>,
    /// How long it took.
    pub took: Duration,
    /// Bytes of the event.
    pub bytes: usize,
    /// The first KiB of a failure's response; bytes that are not UTF-8 are replaced.
    pub response: Cow<'a, str>,
}

impl AttemptRecord<'_> {
    /// The event's key as text; `…` stands for what was cut.
    #[must_use]
    pub fn key_text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.key).into_owned();
        if self.key.len() < self.key_bytes {
            text.push('…');
        }
        text
    }

    /// The event's new state, and its job: the parts joined by `/`. They are not known of every
    /// event: those of an event of Aurora's are in its body, which is not read for each delivery.
    #[must_use]
    pub fn state_and_job(&self) -> (Option<String>, Option<String>) {
        event_summary::decode(&self.summary)
    }

    /// The same with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> AttemptRecord<'static> {
        AttemptRecord {
            key: Cow::Owned(self.key.into_owned()),
            summary: Cow::Owned(self.summary.into_owned()),
            error: Cow::Owned(self.error.into_owned()),
            response: Cow::Owned(self.response.into_owned()),
            ..self
        }
    }
}
