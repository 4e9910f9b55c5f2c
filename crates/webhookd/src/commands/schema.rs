//! `webhookd schema`: the JSON Schema of the configuration file.

use crate::console::write_out;
use std::process::ExitCode;

/// Print the JSON Schema (draft 2020-12) of the configuration file, for an editor
#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {}

pub(crate) fn run(_: SchemaArgs) -> anyhow::Result<ExitCode> {
    let schema = serde_json::to_string_pretty(&webhook_config::json_schema())?;
    write_out(schema + "\n")?;
    Ok(ExitCode::SUCCESS)
}
