//! `webhookd schema`: the JSON Schemas of the configuration file and of Aurora's payload, and the presets of
//! inputs.

use crate::console::write_out;
use anyhow::Context;
use clap::builder::PossibleValuesParser;
use std::process::ExitCode;
use webhook_event::Schema;
use webhook_model::TaskStateChange;

/// Print the JSON Schema (draft 2020-12) of the configuration file, for an editor
#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {
    #[command(subcommand)]
    of: Option<Of>,
}

#[derive(Debug, clap::Subcommand)]
enum Of {
    /// Print a preset of the file's `events` or `inputs` as JSON, to start from; without NAME, the
    /// names of the presets
    Events {
        /// The name of the preset
        #[arg(value_parser = PossibleValuesParser::new(Schema::PRESETS))]
        name: Option<String>,
    },
    /// Print the JSON Schema (draft 2020-12) of Aurora's payload, for the author of a receiver
    Payload,
}

pub(crate) fn run(args: SchemaArgs) -> anyhow::Result<ExitCode> {
    let text = match args.of {
        None => serde_json::to_string_pretty(&webhook_config::json_schema())? + "\n",
        Some(Of::Events { name: None }) => Schema::PRESETS.join("\n") + "\n",
        Some(Of::Events { name: Some(name) }) => {
            let preset = Schema::preset(&name).context("there is no such preset")?;
            preset.to_owned()
        }
        Some(Of::Payload) => serde_json::to_string_pretty(&TaskStateChange::json_schema())? + "\n",
    };
    write_out(text)?;
    Ok(ExitCode::SUCCESS)
}
