//! The findings of a verification.

use super::holdings::Quarantined;
use crate::admin::client::Client;
use crate::commands::queue_selector::QueueSelector;
use anyhow::Result;
use serde::Deserialize;
use std::io::Write;
use std::process::ExitCode;
use webhook_queue::verify;

/// The findings, as the admin API returns them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Findings {
    whole: bool,
    events: u64,
    owed: u64,
    dead_letters: u64,
    #[serde(default)]
    kept: u64,
    quarantined: u64,
    damaged: Vec<Damaged>,
    damaged_count: u64,
    contradictions: Vec<String>,
    contradiction_count: u64,
    /// The first of `quarantined`.
    #[serde(skip)]
    records: Vec<Quarantined>,
}

#[derive(Debug, Deserialize)]
struct Damaged {
    entry: u64,
    reason: String,
}

impl Findings {
    /// Verifies the queue of a stopped program.
    pub(super) fn of(selector: &QueueSelector) -> Result<Findings> {
        let found = verify(selector.dir()?)?;
        let records = match found.quarantined {
            0 => Vec::new(),
            // Opening it would read damaged pages.
            _ if !found.table_damage.is_empty() => Vec::new(),
            _ => Quarantined::of(&selector.open_stopped()?)?,
        };
        let damaged = found.corrupt.iter().map(|corrupt| Damaged {
            entry: corrupt.entry.0,
            reason: corrupt.reason.clone(),
        });
        Ok(Findings {
            whole: found.is_whole(),
            events: found.events,
            owed: found.owed,
            dead_letters: found.dead,
            kept: found.kept,
            quarantined: found.quarantined,
            damaged: damaged.collect(),
            damaged_count: found.corrupt_count,
            contradiction_count: found.disagreement_count,
            contradictions: found.disagreements,
            records,
        })
    }

    /// Has a running program verify its queue.
    pub(super) fn ask(client: &Client) -> Result<Findings> {
        let mut found: Findings = client.post("/api/v1/queue/verify", None)?.json()?;
        found.records = Quarantined::ask(client, found.quarantined)?;
        Ok(found)
    }

    pub(super) fn write(&self, out: &mut impl Write) -> Result<ExitCode> {
        writeln!(
            out,
            "{} events read; {} entries owed, {} dead letters, {} deliveries kept, {} quarantined",
            self.events, self.owed, self.dead_letters, self.kept, self.quarantined
        )?;
        Quarantined::write(out, &self.records)?;
        for damaged in &self.damaged {
            writeln!(out, "entry {}: {}", damaged.entry, damaged.reason)?;
        }
        for contradiction in &self.contradictions {
            writeln!(out, "{contradiction}")?;
        }
        if self.whole {
            writeln!(out, "all is whole")?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(
            out,
            "damaged records: {}; contradictions: {}",
            self.damaged_count, self.contradiction_count
        )?;
        Ok(ExitCode::FAILURE)
    }
}
