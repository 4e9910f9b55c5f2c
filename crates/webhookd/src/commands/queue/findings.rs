//! What was found when all of a queue was read.

use super::holdings::Aside;
use crate::admin::client::Client;
use crate::commands::queue_selector::QueueSelector;
use anyhow::Result;
use serde::Deserialize;
use std::io::Write;
use std::process::ExitCode;
use webhook_queue::verify;

/// What was found, in the shape of the operators' interface.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Findings {
    whole: bool,
    events: u64,
    owed: u64,
    dead_letters: u64,
    set_aside: u64,
    damaged: Vec<Damaged>,
    damaged_count: u64,
    contradictions: Vec<String>,
    contradiction_count: u64,
    /// Those of `set_aside`, named.
    #[serde(skip)]
    aside: Vec<Aside>,
}

#[derive(Debug, Deserialize)]
struct Damaged {
    entry: u64,
    reason: String,
}

impl Findings {
    /// Reads a queue whose program is stopped.
    pub(super) fn of(selector: &QueueSelector) -> Result<Findings> {
        let found = verify(selector.dir()?)?;
        let aside = match found.set_aside {
            0 => Vec::new(),
            _ => Aside::of(&selector.open_stopped()?)?,
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
            set_aside: found.quarantined,
            damaged: damaged.collect(),
            damaged_count: found.corrupt_count,
            contradiction_count: found.disagreement_count,
            contradictions: found.disagreements,
            aside,
        })
    }

    /// Has a running program read it.
    pub(super) fn ask(client: &Client) -> Result<Findings> {
        let mut found: Findings = client.post("/api/v1/queue/verify", None)?.json()?;
        found.aside = Aside::ask(client, found.set_aside)?;
        Ok(found)
    }

    pub(super) fn write(&self, out: &mut impl Write) -> Result<ExitCode> {
        writeln!(
            out,
            "{} events read; {} entries owed, {} dead letters, {} set aside",
            self.events, self.owed, self.dead_letters, self.set_aside
        )?;
        Aside::write(out, &self.aside)?;
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
