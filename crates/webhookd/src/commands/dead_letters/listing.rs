//! Printing dead letters.

use serde::{Deserialize, Serialize};
use std::io::{Result, Write};
use webhook_dispatch::{Obituary, rfc3339, webhook_id};
use webhook_model::{EventHeader, StatusName};
use webhook_queue::DeadLetter;

/// A dead letter, as `--format json` prints it and as the operators' interface gives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Letter {
    target: String,
    entry: u64,
    id: String,
    task: String,
    /// The task's new state, if the event tells it.
    #[serde(default)]
    state: Option<String>,
    accepted_at: u64,
    died_at: u64,
    attempts: u32,
    bytes: usize,
    #[serde(flatten)]
    note: Option<Obituary>,
    /// The event as accepted, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<String>,
}

impl Letter {
    /// Of a queue that this process has open.
    pub(super) fn of(letter: &DeadLetter<'_>) -> Letter {
        let header = EventHeader::read(letter.owed.body).ok();
        let state = header.and_then(|header| header.new_state);
        Letter {
            target: letter.target.to_owned(),
            entry: letter.owed.entry.0,
            id: webhook_id(letter.owed.id),
            task: String::from_utf8_lossy(letter.owed.key).into_owned(),
            state: state
                .as_ref()
                .map(|state| StatusName::name(state).to_owned()),
            accepted_at: letter.owed.accepted_at,
            died_at: letter.died_at,
            attempts: letter.owed.attempts,
            bytes: letter.owed.body.len(),
            note: Obituary::from_note(letter.note).ok(),
            event: None,
        }
    }

    /// The same with its event.
    pub(super) fn with_event(letter: &DeadLetter<'_>) -> Letter {
        Letter {
            event: Some(String::from_utf8_lossy(letter.owed.body).into_owned()),
            ..Letter::of(letter)
        }
    }
}

pub(super) fn head(out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "{:<24} {:<36} {:<12} {:<11} {:>8} {:<18} TASK",
        "GIVEN UP", "ID", "TARGET", "STATE", "ATTEMPTS", "REASON"
    )
}

pub(super) fn line(out: &mut impl Write, letter: &Letter) -> Result<()> {
    let reason = letter.note.as_ref().map_or_else(
        || "?".to_owned(),
        |note| match note.status {
            Some(status) => format!("{} ({status})", note.reason.name()),
            None => note.reason.name().to_owned(),
        },
    );
    writeln!(
        out,
        "{:<24} {:<36} {:<12} {:<11} {:>8} {:<18} {}",
        time(letter.died_at),
        letter.id,
        letter.target,
        legible(letter.state.as_deref().unwrap_or("-")),
        letter.attempts,
        reason,
        legible(&letter.task)
    )
}

pub(super) fn json(out: &mut impl Write, letter: &Letter) -> Result<()> {
    serde_json::to_writer(&mut *out, letter)?;
    writeln!(out)
}

/// All that is known of one, and the event itself as the last line.
pub(super) fn full(out: &mut impl Write, letter: &Letter) -> Result<()> {
    writeln!(out, "id:       {}", letter.id)?;
    writeln!(out, "target:   {}", letter.target)?;
    writeln!(out, "task:     {}", legible(&letter.task))?;
    writeln!(out, "accepted: {}", time(letter.accepted_at))?;
    writeln!(out, "given up: {}", time(letter.died_at))?;
    writeln!(out, "attempts: {}", letter.attempts)?;
    if let Some(note) = &letter.note {
        writeln!(out, "reason:   {}", note.reason.name())?;
        if let Some(outcome) = note.outcome {
            writeln!(out, "outcome:  {outcome}")?;
        }
        if let Some(status) = note.status {
            writeln!(out, "status:   {status}")?;
        }
        writeln!(out, "detail:   {}", legible(&note.detail))?;
        if let Some(at) = note.first_attempt_at {
            writeln!(out, "first:    {}", time(at))?;
        }
        if let Some(at) = note.last_attempt_at {
            writeln!(out, "last:     {}", time(at))?;
        }
        writeln!(out, "response: {}", legible(&note.response))?;
    }
    writeln!(out, "{}", letter.event.as_deref().unwrap_or_default())
}

/// Without what a terminal obeys: some of it is a receiver's or a scheduler's.
fn legible(text: &str) -> String {
    text.escape_debug().to_string()
}

fn time(epoch_ms: u64) -> String {
    i64::try_from(epoch_ms)
        .ok()
        .and_then(rfc3339)
        .unwrap_or_else(|| "?".to_owned())
}
