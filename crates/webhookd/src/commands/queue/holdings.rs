//! The contents of a queue, counted.

use crate::admin::client::{Client, query};
use crate::shared_queue::SharedQueue;
use anyhow::{Context, Result, bail};
use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};
use webhook_queue::Queue;

/// The contents of a queue, as `--format json` prints them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Holdings {
    events: u64,
    bytes: u64,
    /// `None` if it is unknown, since only the configuration has it.
    max_bytes: Option<u64>,
    quarantined_count: u64,
    /// The first thousand of them.
    quarantined: Vec<Quarantined>,
    targets: Vec<Holding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<SharedQueue>,
}

/// The contents for one target.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Holding {
    name: String,
    pending: u64,
    oldest_pending_age_seconds: Option<f64>,
    dead_letters: u64,
    /// Deliveries that are kept.
    kept: u64,
    kept_bytes: u64,
}

/// An entry whose record is damaged.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Quarantined {
    entry: u64,
    targets: Vec<String>,
    reason: String,
    /// Bytes of the record that are kept.
    bytes: usize,
}

/// Quarantined entries that are listed, at most; all are counted.
const NAMED: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueueJson {
    directory: Option<String>,
    #[serde(default)]
    shared: Option<SharedQueue>,
    events: u64,
    bytes: u64,
    max_bytes: u64,
    quarantined: u64,
    targets: Vec<TargetJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetJson {
    name: String,
    pending: u64,
    oldest_pending_age_seconds: Option<f64>,
    dead_letters: u64,
    #[serde(default)]
    kept: u64,
    #[serde(default)]
    kept_bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuarantinedPage {
    quarantined: Vec<Quarantined>,
}

impl Holdings {
    /// The contents of a queue that this process has open.
    pub(super) fn of(queue: &dyn Queue, knows_bound: bool) -> Result<Holdings> {
        let statistics = queue.statistics().context("cannot read the queue")?;
        let targets = statistics.targets.into_iter().map(|target| Holding {
            pending: target.pending,
            oldest_pending_age_seconds: target
                .oldest_accepted_at
                .filter(|_| target.pending > 0)
                .map(age),
            dead_letters: target.dead,
            kept: target.kept,
            kept_bytes: target.kept_bytes,
            name: target.target,
        });
        Ok(Holdings {
            events: statistics.events,
            bytes: statistics.bytes,
            max_bytes: knows_bound.then_some(statistics.max_bytes),
            quarantined_count: statistics.corrupt,
            quarantined: Quarantined::of(queue)?,
            targets: targets.collect(),
            shared: statistics.shared.as_ref().map(SharedQueue::of),
        })
    }

    /// The contents, from a running program.
    pub(super) fn ask(client: &Client) -> Result<Holdings> {
        let told: QueueJson = client.get("/api/v1/queue")?;
        if told.directory.is_none() && told.shared.is_none() {
            bail!("{client} has no queue: every target is best-effort");
        }
        let targets = told.targets.into_iter().map(|target| Holding {
            name: target.name,
            pending: target.pending,
            oldest_pending_age_seconds: target.oldest_pending_age_seconds,
            dead_letters: target.dead_letters,
            kept: target.kept,
            kept_bytes: target.kept_bytes,
        });
        Ok(Holdings {
            events: told.events,
            bytes: told.bytes,
            max_bytes: Some(told.max_bytes),
            quarantined_count: told.quarantined,
            quarantined: Quarantined::ask(client, told.quarantined)?,
            targets: targets.collect(),
            shared: told.shared,
        })
    }

    /// Checks that a target may be dropped.
    ///
    /// # Errors
    /// The queue does not know it, or `--yes` is missing.
    pub(super) fn check_drop(&self, target: &str, yes: bool) -> Result<()> {
        let Some(found) = self.targets.iter().find(|known| known.name == target) else {
            let names: Vec<&str> = self.targets.iter().map(|it| it.name.as_str()).collect();
            bail!(
                "no target {target:?} in this queue; it knows: {}",
                names.join(", ")
            );
        };
        if !yes && found.kept > 0 {
            bail!(
                "{} pending events, {} dead letters and {} kept deliveries of {target:?} would be \
                 deleted for good; confirm with --yes",
                found.pending,
                found.dead_letters,
                found.kept
            );
        }
        if !yes {
            bail!(
                "{} pending events and {} dead letters of {target:?} would be deleted for good; \
                 confirm with --yes",
                found.pending,
                found.dead_letters
            );
        }
        Ok(())
    }

    pub(super) fn write_text(&self, out: &mut impl Write) -> Result<()> {
        let bound = self
            .max_bytes
            .map_or_else(String::new, |bound| format!(" of {}", HumanBytes(bound)));
        let used = HumanBytes(self.bytes);
        writeln!(out, "{} events, {used}{bound} in use", self.events)?;
        if self.quarantined_count > 0 {
            writeln!(out, "quarantined records: {}", self.quarantined_count)?;
            Quarantined::write(out, &self.quarantined)?;
        }
        writeln!(
            out,
            "{:<24} {:>12} {:>14} {:>12} {:>12}",
            "TARGET", "PENDING", "OLDEST", "DEAD", "KEPT"
        )?;
        for target in &self.targets {
            let oldest = target
                .oldest_pending_age_seconds
                .map_or_else(|| "-".to_owned(), |age| format!("{age:.1} s"));
            writeln!(
                out,
                "{:<24} {:>12} {:>14} {:>12} {:>12}",
                target.name, target.pending, oldest, target.dead_letters, target.kept
            )?;
        }
        if let Some(shared) = &self.shared {
            writeln!(out)?;
            shared.write_text(out)?;
        }
        Ok(())
    }
}

impl Quarantined {
    /// Of a queue that this process has open.
    pub(super) fn of(queue: &dyn Queue) -> Result<Vec<Quarantined>> {
        let mut found = Vec::new();
        let Some(verifier) = queue.verifier() else {
            return Ok(found);
        };
        let mut visit = |record: webhook_queue::Quarantined<'_>| {
            found.push(Quarantined {
                entry: record.entry.0,
                targets: record.targets.iter().map(ToString::to_string).collect(),
                reason: record.reason.to_owned(),
                bytes: record.record.len(),
            });
            match found.len() < NAMED {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        verifier
            .quarantined(None, &mut visit)
            .context("cannot read the quarantined records")?;
        Ok(found)
    }

    /// From a running program, if `count` says that there are any.
    pub(super) fn ask(client: &Client, count: u64) -> Result<Vec<Quarantined>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let limit = query([("limit", NAMED.to_string())]);
        let told: QuarantinedPage = client.get(&format!("/api/v1/queue/quarantined{limit}"))?;
        Ok(told.quarantined)
    }

    pub(super) fn write(out: &mut impl Write, records: &[Quarantined]) -> Result<()> {
        for record in records {
            // The names come from a damaged file.
            let targets = record.targets.join(", ").escape_debug().to_string();
            let kept = HumanBytes(record.bytes as u64);
            let (entry, reason) = (record.entry, &record.reason);
            writeln!(
                out,
                "entry {entry} is quarantined: {reason}; it was for {targets}; {kept} of it are kept"
            )?;
        }
        Ok(())
    }
}

/// Seconds since a time in epoch milliseconds.
fn age(at: u64) -> f64 {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(at);
    at.elapsed().map_or(0.0, |age| age.as_secs_f64())
}
