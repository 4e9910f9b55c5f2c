//! `webhookd run`: reads events and delivers them.

mod args;
mod deliveries;
mod runtime;
mod state_dir;

pub(crate) use args::RunArgs;

use crate::console::{self, complain};
use crate::exit::{self, DAMAGED, OWED, UNUSABLE};
use crate::log::{self, LogWriter, Readers};
use crate::reload::{self, ConfigFile, Look, Overrides};
use crate::summary::Summary;
use anyhow::{Context, Result, bail};
use args::SummaryFormat;
use runtime::Runtime;
use std::process::ExitCode;
use webhook_config::Config;

/// Reads, delivers, and reports.
///
/// # Errors
/// The log cannot be installed.
pub(crate) fn run(args: RunArgs) -> Result<ExitCode> {
    let (writer, readers) = log::install(&args.log)?;
    Ok(deliver(&args, &writer, readers).unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        let status = exit::status(&error);
        if status == DAMAGED {
            complain(
                "webhookd queue verify shows the damage, and webhookd queue compact repairs a queue \
                 whose tables can be read",
            );
        }
        ExitCode::from(status)
    }))
}

/// # Errors
/// The input, the queue or the system is at fault.
fn deliver(args: &RunArgs, writer: &LogWriter, readers: Readers) -> Result<ExitCode> {
    let overrides = Overrides {
        queue: args.queue.clone(),
        state_dir: args.state_dir.clone(),
    };
    let file = ConfigFile::new(args.webhook_config.clone(), overrides);
    let look = file.look();
    let Some(config) = valid_config(&look, readers) else {
        return Ok(ExitCode::from(UNUSABLE));
    };
    let is_shared = config.queue().postgres().is_some();
    if is_shared && args.queue.is_some() {
        bail!(
            "--queue names a directory, and the configuration a database (queue.postgres): remove \
             one of them; --state-dir names the directory of a worker's own files"
        );
    }
    let runtime = Runtime::start(args, file, look, config, writer)?;
    let read = runtime.wait();
    let (summary, acknowledged) = runtime.stop(args.grace, read.is_ok());
    print_summary(&summary, args.summary)?;
    read?;
    acknowledged?;
    Ok(exit_code(&summary, is_shared))
}

/// The configuration, if it is valid. Its problems are printed or logged.
fn valid_config(look: &Look, readers: Readers) -> Option<Config> {
    let (config, diagnostics) = match &look.found {
        Ok((config, warnings)) => (Some(config.clone()), warnings),
        Err(diagnostics) => (None, diagnostics),
    };
    match readers {
        Readers::People => super::print_diagnostics(diagnostics),
        Readers::Programs => reload::log_diagnostics(diagnostics),
    }
    config
}

fn print_summary(summary: &Summary, format: SummaryFormat) -> Result<()> {
    match format {
        SummaryFormat::None => {}
        SummaryFormat::Text => console::print(&summary.to_string()),
        SummaryFormat::Json => {
            let json = serde_json::to_string(summary).context("cannot write the summary")?;
            log::print(&(json + "\n"));
        }
    }
    Ok(())
}

fn exit_code(summary: &Summary, is_shared: bool) -> ExitCode {
    if summary.owed > 0 {
        let owed = match summary.owed {
            1 => "1 delivery is".to_owned(),
            owed => format!("{owed} deliveries are"),
        };
        let next = match is_shared {
            true => "the other workers, or the next run, go on",
            false => "run webhookd again to go on",
        };
        complain(&format!("{owed} still owed, and safe in the queue: {next}"));
        ExitCode::from(OWED)
    } else if summary.is_complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
