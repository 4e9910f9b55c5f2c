//! `webhookd check`: whether a configuration file is valid, with warnings.

use crate::commands::output_format::OutputFormat;
use crate::console::write_out;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use webhook_config::{Config, ConfigText, Diagnostics, LoadError, Severity};

/// Check a configuration file; exit 0 if it is valid, 1 if not
///
/// The file is read as at a start: the environment variables and files that it refers to must
/// exist, unless --no-secrets is given.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The configuration file
    file: PathBuf,
    /// The format of the problems
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
    /// Treat warnings as errors
    #[arg(long)]
    deny_warnings: bool,
    /// Do not read the environment variables and files that the file refers to
    ///
    /// For a check where they do not exist: in CI, or before the installation. What depends on their
    /// content is not checked.
    #[arg(long)]
    no_secrets: bool,
}

/// The output of `--format json`.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    diagnostics: &'a Diagnostics,
}

pub(crate) fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let checked = ConfigText::read(&args.file).and_then(|text| match args.no_secrets {
        true => Ok(text.check_without_secrets()),
        false => Config::from_text(&text).map(|loaded| loaded.warnings),
    });
    let diagnostics = &checked.unwrap_or_else(LoadError::into_diagnostics);
    let has_errors = diagnostics.count(Severity::Error) > 0;
    let valid = !has_errors && (!args.deny_warnings || diagnostics.is_empty());
    let text = match args.format {
        OutputFormat::Json => serde_json::to_string(&Report { valid, diagnostics })? + "\n",
        OutputFormat::Text => {
            let color = super::has_color(&std::io::stdout());
            diagnostics.render(color) + &summary(valid, diagnostics)
        }
    };
    write_out(text)?;
    Ok(if valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The last line of the text.
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
