//! `webhookd config show`: the effective configuration, secrets masked.

use crate::commands::output_format::OutputFormat;
use crate::console::write_out;
use anyhow::Context as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use webhook_config::Config;

/// Work with a configuration file
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    Show(ShowArgs),
}

/// Print all values with their defaults, secrets masked
///
/// The output has the structure of the file. Problems of the file go to standard error.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The configuration file
    file: PathBuf,
    /// The format of the values: both are JSON, `text` is indented
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub(crate) fn run(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Show(args) = args.command;
    let mut err = std::io::stderr().lock();
    let color = super::has_color(&err);
    let loaded = match Config::load(&args.file) {
        Ok(loaded) => loaded,
        Err(error) => {
            write!(err, "{}", error.diagnostics().render(color))
                .context("cannot write to standard error")?;
            return Ok(ExitCode::FAILURE);
        }
    };
    write!(err, "{}", loaded.warnings.render(color)).context("cannot write to standard error")?;
    let shown = loaded.config.show();
    let text = match args.format {
        OutputFormat::Json => serde_json::to_string(&shown)?,
        OutputFormat::Text => serde_json::to_string_pretty(&shown)?,
    };
    write_out(text + "\n")?;
    Ok(ExitCode::SUCCESS)
}
