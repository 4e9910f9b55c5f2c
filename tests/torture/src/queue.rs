//! The queue at the end, by webhookd's own commands.

use crate::history::{Dead, Reason, parse_id};
use crate::run::Paths;
use crate::targets::TARGETS;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::Launch;

/// What is wrong with the queue, although webhookd ended with nothing pending.
pub(crate) fn problems(paths: &Paths) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let stats = ask(paths, &["queue", "stats", "--format", "json"])?;
    let stats: Value = serde_json::from_str(&stats).context("webhookd queue stats")?;
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
    if let Err(error) = ask(paths, &["queue", "verify"]) {
        problems.push(format!("{error:#}"));
    }
    Ok(problems)
}

/// The dead letters.
pub(crate) fn dead_letters(paths: &Paths) -> Result<Vec<Dead>> {
    let listed = ask(paths, &["dead-letters", "list", "--format", "json"])?;
    let letters = listed.lines().map(|line| {
        dead_letter(line).with_context(|| format!("not a dead letter of the torture: {line}"))
    });
    letters.collect()
}

/// Makes every dead letter pending again.
pub(crate) fn replay(paths: &Paths) -> Result<()> {
    ask(paths, &["dead-letters", "replay", "--all"]).map(drop)
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

fn ask(paths: &Paths, args: &[&str]) -> Result<String> {
    let launch = Launch::of(&paths.webhookd).args(args);
    let ended = launch.arg("--queue").arg(&paths.queue).run("");
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
