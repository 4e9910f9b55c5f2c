//! A dead letter as JSON, for the commands and the admin API.

use super::Filter;
use serde::{Deserialize, Serialize};
use webhook_dispatch::{FailureRecord, event_attributes, event_key};
use webhook_queue::DeadLetter;

/// A dead letter, as `--format json` prints it and the admin API returns it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Letter {
    pub(crate) target: String,
    pub(crate) entry: u64,
    pub(crate) id: String,
    /// The name of the event's input; empty for the default one.
    #[serde(default)]
    pub(crate) input: String,
    pub(crate) task: String,
    /// The parts of the job's path, joined by `/`, if the event has one.
    #[serde(default)]
    pub(crate) job: Option<String>,
    /// The task's new state, if the event has one.
    #[serde(default)]
    pub(crate) state: Option<String>,
    pub(crate) accepted_at: u64,
    pub(crate) died_at: u64,
    /// Whether it is a kept delivery, made at `died_at`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) delivered: bool,
    pub(crate) attempts: u32,
    pub(crate) bytes: usize,
    #[serde(flatten)]
    pub(crate) note: Option<FailureRecord>,
    /// The event as accepted, if requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<String>,
}

impl Letter {
    /// Converts a letter that a filter is of, without its event.
    pub(crate) fn of(letter: &DeadLetter<'_>, filter: &Filter) -> Letter {
        let attributes = event_attributes(&letter.owed).unwrap_or_default();
        Letter {
            target: letter.target.to_owned(),
            entry: letter.owed.entry.0,
            id: letter.owed.id.to_string(),
            input: attributes.input,
            task: String::from_utf8_lossy(event_key(letter.owed.key)).into_owned(),
            job: Some(attributes.job.join("/")).filter(|job| !job.is_empty()),
            state: attributes.state,
            accepted_at: letter.owed.accepted_at,
            died_at: letter.died_at,
            delivered: filter.is_of_delivered(),
            attempts: letter.owed.attempts,
            bytes: letter.owed.body.len(),
            note: FailureRecord::from_note(letter.note).ok(),
            event: None,
        }
    }

    /// Converts a letter with its event.
    pub(crate) fn with_event(letter: &DeadLetter<'_>, filter: &Filter) -> Letter {
        Letter {
            event: Some(String::from_utf8_lossy(letter.owed.body).into_owned()),
            ..Letter::of(letter, filter)
        }
    }
}
