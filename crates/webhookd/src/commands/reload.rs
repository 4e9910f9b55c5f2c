//! `webhookd reload`: reloads the configuration of a running program.

use crate::commands::queue_selector::QueueSelector;
use crate::console::output;
use anyhow::{Context, Result};
use hyper::StatusCode;
use serde::Deserialize;
use std::io::Write;
use std::process::ExitCode;

/// Reload the configuration of a running webhookd; exit 0 if it is in force, 1 if not
///
/// No event is dropped or reordered. A file that is not valid changes nothing.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    selector: QueueSelector,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reloaded {
    changes: Changes,
    restart_needed: Vec<String>,
    warnings: Vec<Diagnostic>,
}

#[derive(Deserialize)]
struct Changes {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
    unchanged: Vec<String>,
    inputs: Vec<String>,
}

/// Why nothing was changed.
#[derive(Deserialize)]
struct Refused {
    detail: String,
    /// The problems of the file; empty if it is valid.
    #[serde(default)]
    diagnostics: Vec<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    severity: String,
    line: u64,
    column: u64,
    message: String,
    help: Option<String>,
}

pub(crate) fn run(args: ReloadArgs) -> Result<ExitCode> {
    let answer = args.selector.client()?.post("/api/v1/reload", None)?;
    let mut out = output();
    if let StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT = answer.status {
        let refused: Refused = serde_json::from_slice(&answer.body)
            .context("the response is not what this version of webhookd expects")?;
        if refused.diagnostics.is_empty() {
            writeln!(out, "{}", refused.detail)?;
        } else {
            writeln!(out, "nothing was changed: the file is not valid")?;
            write_diagnostics(&mut out, &refused.diagnostics)?;
        }
        return Ok(ExitCode::FAILURE);
    }
    let reloaded: Reloaded = answer.json()?;
    let Changes {
        added,
        changed,
        removed,
        unchanged,
        inputs,
    } = reloaded.changes;
    writeln!(out, "the configuration is in force")?;
    for (what, names) in [
        ("added", added),
        ("changed", changed),
        ("removed", removed),
        ("unchanged", unchanged),
        ("inputs changed", inputs),
    ] {
        if !names.is_empty() {
            writeln!(out, "  {what}: {}", names.join(", "))?;
        }
    }
    if !reloaded.restart_needed.is_empty() {
        let keys = reloaded.restart_needed.join(", ");
        writeln!(out, "  takes effect at the next start: {keys}")?;
    }
    write_diagnostics(&mut out, &reloaded.warnings)?;
    Ok(ExitCode::SUCCESS)
}

fn write_diagnostics(out: &mut impl Write, diagnostics: &[Diagnostic]) -> Result<()> {
    for it in diagnostics {
        writeln!(
            out,
            "  {}:{}: {}: {}",
            it.line, it.column, it.severity, it.message
        )?;
        if let Some(help) = &it.help {
            writeln!(out, "    {help}")?;
        }
    }
    Ok(())
}
