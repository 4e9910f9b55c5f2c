//! `webhookd config show`: the effective configuration, secrets masked.

use crate::commands::output_format::OutputFormat;
use anyhow::Context as _;
use std::io::{IsTerminal as _, Write as _};
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
/// The output has the form of the file. Problems of the file go to standard error.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The file
    file: PathBuf,
    /// How the values are printed: both are JSON, `text` is indented
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub(crate) fn run(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Show(args) = args.command;
    let mut err = std::io::stderr().lock();
    let color = err.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let loaded = match Config::load(&args.file) {
        Ok(loaded) => loaded,
        Err(error) => {
            write!(err, "{}", error.diagnostics().render(color))
                .context("cannot write to standard error")?;
            return Ok(ExitCode::FAILURE);
        }
    };
    write!(err, "{}", loaded.warnings.render(color)).context("cannot write to standard error")?;
    let mut out = std::io::stdout().lock();
    let shown = loaded.config.show();
    match args.format {
        OutputFormat::Json => serde_json::to_writer(&mut out, &shown),
        OutputFormat::Text => serde_json::to_writer_pretty(&mut out, &shown),
    }
    .map_err(std::io::Error::from)
    .and_then(|()| writeln!(out))
    .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
