//! `webhookd check`: is this file valid, and what in it is sloppy?

use crate::commands::output_format::OutputFormat;
use anyhow::Context as _;
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use webhook_config::{Config, Diagnostics, Severity};

/// Check a configuration file; exit 0 if it is valid, 1 if not
///
/// The file is read exactly as a start would: the environment variables and files that it names
/// must be there.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The file
    file: PathBuf,
    /// How problems are printed
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
    /// Take warnings for errors
    #[arg(long)]
    deny_warnings: bool,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    diagnostics: &'a Diagnostics,
}

pub(crate) fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let outcome = Config::load(&args.file);
    let (is_loaded, diagnostics) = match &outcome {
        Ok(loaded) => (true, &loaded.warnings),
        Err(error) => (false, error.diagnostics()),
    };
    let valid = is_loaded && (!args.deny_warnings || diagnostics.is_empty());
    let mut out = std::io::stdout().lock();
    match args.format {
        OutputFormat::Json => {
            serde_json::to_writer(&mut out, &Report { valid, diagnostics })
                .context("cannot write to standard output")?;
            writeln!(out)
        }
        OutputFormat::Text => {
            let color =
                out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
            write!(
                out,
                "{}{}",
                diagnostics.render(color),
                summary(valid, diagnostics)
            )
        }
    }
    .context("cannot write to standard output")?;
    Ok(if valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One line on the whole.
fn summary(valid: bool, diagnostics: &Diagnostics) -> String {
    let errors = counted(diagnostics.count(Severity::Error), "error");
    let warnings = counted(diagnostics.count(Severity::Warning), "warning");
    let verdict = if valid { "valid" } else { "not valid" };
    format!(
        "{} is {verdict}: {errors}, {warnings}\n",
        diagnostics.file()
    )
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
