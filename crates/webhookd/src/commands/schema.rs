//! `webhookd schema`: the JSON Schema of the configuration file.

use anyhow::Context as _;
use std::io::Write as _;
use std::process::ExitCode;

/// Print the JSON Schema (draft 2020-12) of the configuration file, for an editor
#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {}

pub(crate) fn run(_: SchemaArgs) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &webhook_config::json_schema())
        .map_err(std::io::Error::from)
        .and_then(|()| writeln!(out))
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
