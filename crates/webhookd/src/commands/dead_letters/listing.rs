//! Prints dead letters.

use crate::dead_letters::{Filter, Letter};
use std::io::{Result, Write};
use webhook_dispatch::rfc3339;

pub(super) fn head(out: &mut impl Write, filter: &Filter) -> Result<()> {
    let at = match filter.is_of_delivered() {
        false => "GIVEN UP",
        true => "DELIVERED",
    };
    writeln!(
        out,
        "{:<24} {:<36} {:<12} {:<11} {:>8} {:<18} TASK",
        at, "ID", "TARGET", "STATE", "ATTEMPTS", "REASON"
    )
}

pub(super) fn line(out: &mut impl Write, letter: &Letter) -> Result<()> {
    let reason = letter.note.as_ref().map_or_else(
        || if letter.delivered { "-" } else { "?" }.to_owned(),
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

/// Prints all fields of one, and its event as the last line.
pub(super) fn full(out: &mut impl Write, letter: &Letter) -> Result<()> {
    writeln!(out, "id:       {}", letter.id)?;
    writeln!(out, "target:   {}", letter.target)?;
    if !letter.input.is_empty() {
        writeln!(out, "input:    {}", letter.input)?;
    }
    writeln!(out, "task:     {}", legible(&letter.task))?;
    if let Some(job) = &letter.job {
        writeln!(out, "job:      {}", legible(job))?;
    }
    if let Some(state) = &letter.state {
        writeln!(out, "state:    {}", legible(state))?;
    }
    writeln!(out, "accepted: {}", time(letter.accepted_at))?;
    let what = if letter.delivered {
        "delivered"
    } else {
        "given up"
    };
    writeln!(out, "{what}: {}", time(letter.died_at))?;
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

/// Quoted with control characters escaped: the text may come from a receiver or a scheduler.
fn legible(text: &str) -> String {
    text.escape_debug().to_string()
}

fn time(epoch_ms: u64) -> String {
    i64::try_from(epoch_ms)
        .ok()
        .and_then(rfc3339)
        .unwrap_or_else(|| "?".to_owned())
}
