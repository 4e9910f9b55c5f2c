//! The queue at the end, by webhookd's own commands.

use crate::history::{Dead, Reason, parse_id};
use crate::targets::TARGETS;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use testkit::Launch;

/// What is wrong with the queue, although webhookd ended with nothing pending.
pub(crate) fn problems(webhookd: &Path, queue: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let stats = stats(webhookd, queue)?;
    if stats["quarantinedCount"] != 0 {
        problems.push(format!(
            "{} damaged records in the queue",
            stats["quarantinedCount"]
        ));
    }
    for target in stats["targets"].as_array().context("no targets")? {
        if target["pending"] != 0 {
            problems.push(format!(
                "{} has {} pending",
                target["name"], target["pending"]
            ));
        }
    }
    if let Err(error) = ask(webhookd, queue, &["queue", "verify"]) {
        problems.push(format!("{error:#}"));
    }
    Ok(problems)
}

/// What `webhookd queue stats` says of the queue in this directory or database.
pub(crate) fn stats(webhookd: &Path, queue: &Path) -> Result<Value> {
    let stats = ask(webhookd, queue, &["queue", "stats", "--format", "json"])?;
    serde_json::from_str(&stats).context("webhookd queue stats")
}

/// The dead letters.
pub(crate) fn dead_letters(webhookd: &Path, queue: &Path) -> Result<Vec<Dead>> {
    let listed = ask(
        webhookd,
        queue,
        &["dead-letters", "list", "--format", "json"],
    )?;
    let letters = listed.lines().map(|line| {
        dead_letter(line).with_context(|| format!("not a dead letter of the torture: {line}"))
    });
    letters.collect()
}

/// Makes every dead letter pending again.
pub(crate) fn replay(webhookd: &Path, queue: &Path) -> Result<()> {
    ask(webhookd, queue, &["dead-letters", "replay", "--all"]).map(drop)
}

fn dead_letter(line: &str) -> Option<Dead> {
    let letter: Value = serde_json::from_str(line).ok()?;
    Some(Dead {
        target: TARGETS
            .iter()
            .position(|target| letter["target"] == target.name)?,
        id: parse_id(letter["id"].as_str()?)?,
        reason: match letter["reason"].as_str()? {
            "refused" => Reason::Refused,
            "attempts-exhausted" => Reason::AttemptsExhausted,
            _ => Reason::Other,
        },
    })
}

fn ask(webhookd: &Path, queue: &Path, args: &[&str]) -> Result<String> {
    let launch = Launch::of(webhookd).args(args);
    let ended = launch.arg("--queue").arg(queue).run("");
    let text = String::from_utf8(ended.stdout).context("standard output is not text")?;
    ensure!(
        ended.status.success(),
        "`webhookd {}` failed ({}): {text}{}",
        args.join(" "),
        ended.status,
        ended.stderr
    );
    Ok(text)
}
