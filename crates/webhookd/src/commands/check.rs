//! `webhookd check`: whether a configuration file is valid, with warnings.

use crate::commands::output_format::OutputFormat;
use crate::console::{chain, write_out};
use crate::database;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use webhook_config::{Config, ConfigText, Diagnostics, LoadError, QueueSettings, Severity};
use webhook_queue_postgres::Role;

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
    /// Connect to the database of queue.postgres, too, and find the queue in it
    #[arg(long, conflicts_with = "no_secrets")]
    connect: bool,
}

/// The output of `--format json`.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    diagnostics: &'a Diagnostics,
    /// Where the queue is, without secrets, if the file is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    /// Why the database cannot be used, if it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    database_error: Option<String>,
}

pub(crate) fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let checked = ConfigText::read(&args.file).and_then(|text| match args.no_secrets {
        true => Ok((text.check_without_secrets(), None)),
        false => Config::from_text(&text).map(|it| (it.warnings, Some(it.config))),
    });
    let checked = checked.map_err(LoadError::into_diagnostics);
    let (diagnostics, config) = checked.unwrap_or_else(|errors| (errors, None));
    let queue = config.as_ref().map(Config::queue);
    let has_errors = diagnostics.count(Severity::Error) > 0;
    let valid = !has_errors && (!args.deny_warnings || diagnostics.is_empty());
    let report = Report {
        valid,
        diagnostics: &diagnostics,
        queue: queue.map(QueueSettings::location),
        database_error: queue.filter(|_| args.connect).and_then(database_error),
    };
    let text = match args.format {
        OutputFormat::Json => serde_json::to_string(&report)? + "\n",
        OutputFormat::Text => {
            let color = super::has_color(&std::io::stdout());
            let is_database = queue.is_some_and(|queue| queue.postgres().is_some());
            let queue = report.queue.as_ref().filter(|_| is_database);
            let found = match &report.database_error {
                Some(error) => format!(": {error}"),
                None if args.connect => " can be used".to_owned(),
                None => String::new(),
            };
            let queue = queue.map(|queue| format!("the queue {queue}{found}\n"));
            diagnostics.render(color) + &summary(valid, &diagnostics) + &queue.unwrap_or_default()
        }
    };
    write_out(text)?;
    Ok(if valid && report.database_error.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Why the database of a queue cannot be used; `None` if it can, or the queue is in none.
fn database_error(queue: &QueueSettings) -> Option<String> {
    let opened = database::open(queue, queue.postgres()?, Role::Operator);
    let closed = opened.and_then(|queue| queue.close());
    closed.err().map(|error| chain(&error))
}

/// The result in a line.
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
