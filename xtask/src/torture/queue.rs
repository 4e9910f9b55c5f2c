//! What lies in the queue at the end, asked of webhookd itself.

use super::history::{Dead, Reason, parse_id};
use super::targets::TARGETS;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

#[derive(Deserialize)]
struct Stats {
    corrupt: u64,
    targets: Vec<TargetStats>,
}

#[derive(Deserialize)]
struct TargetStats {
    target: String,
    pending: u64,
}

#[derive(Deserialize)]
struct Letter<'a> {
    target: &'a str,
    id: &'a str,
    reason: &'a str,
}

/// What is wrong with the queue, although webhookd says that nothing is owed.
pub(super) fn faults(webhookd: &Path, queue: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let stats = ask(webhookd, &["queue", "stats", "--format", "json"], queue)?;
    let stats: Stats = serde_json::from_slice(&stats).context("webhookd queue stats")?;
    if stats.corrupt > 0 {
        faults.push(format!("{} damaged records in the queue", stats.corrupt));
    }
    for target in stats.targets {
        if target.pending > 0 {
            faults.push(format!("{} is owed {}", target.target, target.pending));
        }
    }
    if let Err(error) = ask(webhookd, &["queue", "verify"], queue) {
        faults.push(format!("{error:#}"));
    }
    Ok(faults)
}

/// The dead letters.
pub(super) fn dead_letters(webhookd: &Path, queue: &Path) -> Result<Vec<Dead>> {
    let listed = ask(
        webhookd,
        &["dead-letters", "list", "--format", "json"],
        queue,
    )?;
    let listed = String::from_utf8(listed).context("webhookd dead-letters list")?;
    listed.lines().map(dead_letter).collect()
}

/// Makes every dead letter owed again.
pub(super) fn replay(webhookd: &Path, queue: &Path) -> Result<()> {
    ask(webhookd, &["dead-letters", "replay", "--all"], queue).map(drop)
}

fn dead_letter(line: &str) -> Result<Dead> {
    let strange = || format!("this is no dead letter of ours: {line}");
    let letter: Letter<'_> = serde_json::from_str(line).with_context(strange)?;
    let target = TARGETS
        .iter()
        .position(|target| target.name == letter.target);
    Ok(Dead {
        target: target.with_context(strange)?,
        id: parse_id(letter.id).with_context(strange)?,
        reason: match letter.reason {
            "refused" => Reason::Refused,
            "attempts-exhausted" => Reason::AttemptsExhausted,
            _ => Reason::Other,
        },
    })
}

fn ask(webhookd: &Path, args: &[&str], queue: &Path) -> Result<Vec<u8>> {
    let shown = format!("webhookd {}", args.join(" "));
    let output = Command::new(webhookd)
        .args(args)
        .arg("--queue")
        .arg(queue)
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!(
            "`{shown}` failed ({}): {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output.stdout)
}
