//! Printing dead letters.

use serde::Serialize;
use std::borrow::Cow;
use std::io::{Result, Write};
use webhook_dispatch::{Obituary, rfc3339, webhook_id};
use webhook_model::{EventHeader, StatusName};
use webhook_queue::DeadLetter;

pub(super) fn head(out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "{:<24} {:<36} {:<12} {:<11} {:>8} {:<18} TASK",
        "GIVEN UP", "ID", "TARGET", "STATE", "ATTEMPTS", "REASON"
    )
}

pub(super) fn line(out: &mut impl Write, letter: &DeadLetter<'_>) -> Result<()> {
    let header = EventHeader::read(letter.owed.body).ok();
    let state = header
        .as_ref()
        .and_then(|header| header.new_state.as_ref())
        .map_or("-", StatusName::name);
    let note = Obituary::from_note(letter.note).ok();
    let reason = note.as_ref().map_or_else(
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
        webhook_id(letter.owed.id),
        letter.target,
        state,
        letter.owed.attempts,
        reason,
        task(letter)
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    target: &'a str,
    entry: u64,
    id: String,
    task: Cow<'a, str>,
    accepted_at: u64,
    died_at: u64,
    attempts: u32,
    bytes: usize,
    #[serde(flatten)]
    note: Option<Obituary>,
}

pub(super) fn json(out: &mut impl Write, letter: &DeadLetter<'_>) -> Result<()> {
    let json = Json {
        target: letter.target,
        entry: letter.owed.entry.0,
        id: webhook_id(letter.owed.id),
        task: String::from_utf8_lossy(letter.owed.key),
        accepted_at: letter.owed.accepted_at,
        died_at: letter.died_at,
        attempts: letter.owed.attempts,
        bytes: letter.owed.body.len(),
        note: Obituary::from_note(letter.note).ok(),
    };
    serde_json::to_writer(&mut *out, &json)?;
    writeln!(out)
}

/// All that is known of one, and the event itself as the last line.
pub(super) fn full(out: &mut impl Write, letter: &DeadLetter<'_>) -> Result<()> {
    writeln!(out, "id:       {}", webhook_id(letter.owed.id))?;
    writeln!(out, "target:   {}", letter.target)?;
    writeln!(out, "task:     {}", task(letter))?;
    writeln!(out, "accepted: {}", time(letter.owed.accepted_at))?;
    writeln!(out, "given up: {}", time(letter.died_at))?;
    writeln!(out, "attempts: {}", letter.owed.attempts)?;
    if let Ok(note) = Obituary::from_note(letter.note) {
        writeln!(out, "reason:   {}", note.reason.name())?;
        if let Some(outcome) = note.outcome {
            writeln!(out, "outcome:  {outcome}")?;
        }
        if let Some(status) = note.status {
            writeln!(out, "status:   {status}")?;
        }
        writeln!(out, "detail:   {}", note.detail.escape_debug())?;
        if let Some(at) = note.first_attempt_at {
            writeln!(out, "first:    {}", time(at))?;
        }
        if let Some(at) = note.last_attempt_at {
            writeln!(out, "last:     {}", time(at))?;
        }
        // What a receiver sent may hold what a terminal obeys.
        writeln!(out, "response: {}", note.response.escape_debug())?;
    }
    out.write_all(letter.owed.body)?;
    writeln!(out)
}

/// The task id, without what a terminal obeys.
fn task(letter: &DeadLetter<'_>) -> String {
    String::from_utf8_lossy(letter.owed.key)
        .escape_debug()
        .to_string()
}

fn time(epoch_ms: u64) -> String {
    i64::try_from(epoch_ms)
        .ok()
        .and_then(rfc3339)
        .unwrap_or_else(|| "?".to_owned())
}
