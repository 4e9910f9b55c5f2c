//! `webhookd queue`: shows, checks and compacts a queue.

mod apart;
mod findings;
mod holdings;

pub(crate) use apart::check_unclosed;

use crate::admin::client::segment;
use crate::commands::output_format::OutputFormat;
use crate::commands::queue_selector::{Access, QueueSelector};
use crate::console::output;
use anyhow::{Result, bail};
use findings::Findings;
use holdings::Holdings;
use indicatif::HumanBytes;
use serde::Deserialize;
use std::io::Write;
use std::process::ExitCode;
use webhook_queue::{Queue, compact};

/// Show a queue, check it, release its free space
///
/// Works while webhookd runs, by its admin API, and while it is stopped.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum QueueCommand {
    /// Show the events owed to each target, and the space in use
    Stats {
        #[command(flatten)]
        selector: QueueSelector,

        /// The output format
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
        format: OutputFormat,
    },
    /// Return the space of delivered events to the file system
    ///
    /// webhookd must be stopped. While it runs, it reuses free space, but the file does not shrink.
    /// Needs as much free disk space as the queue has in use. May be interrupted at any time without
    /// loss. Checks the tables first, and leaves a damaged queue unchanged.
    Compact {
        #[command(flatten)]
        selector: QueueSelector,
    },
    /// Read the whole queue and check every record
    ///
    /// Exit status 0 if there is no damage, 1 if there is. Changes nothing: webhookd quarantines a
    /// damaged record when it reads it, and delivers the rest.
    Verify {
        #[command(flatten)]
        selector: QueueSelector,

        /// Read in this process, which damage to the database's pages may end
        #[arg(long, hide = true)]
        in_process: bool,

        /// Leave out the content of the events
        #[arg(long, hide = true, requires = "in_process")]
        tables_only: bool,
    },
    /// Delete all events owed to one target, and its dead letters
    ///
    /// For a target that was removed from the configuration, or renamed. This cannot be undone.
    DropTarget {
        /// The target's name
        target: String,

        #[command(flatten)]
        selector: QueueSelector,

        /// Confirm the deletion
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(args: QueueArgs) -> Result<ExitCode> {
    let mut out = output();
    match args.command {
        QueueCommand::Stats { selector, format } => {
            let holdings = match selector.open()? {
                Access::Stopped(queue) => Holdings::of(&queue, selector.knows_bound())?,
                Access::Running(client) => Holdings::ask(&client)?,
            };
            match format {
                OutputFormat::Text => holdings.write_text(&mut out)?,
                OutputFormat::Json => writeln!(out, "{}", serde_json::to_string(&holdings)?)?,
            }
        }
        QueueCommand::Compact { selector } => {
            if selector.running()?.is_some() {
                bail!(
                    "webhookd runs with this queue: stop it first, since compact needs the queue \
                     to itself"
                );
            }
            let compaction = compact(selector.dir()?)?;
            let (before, after) = (HumanBytes(compaction.before), HumanBytes(compaction.after));
            writeln!(out, "{before} before, {after} after")?;
        }
        QueueCommand::Verify {
            selector,
            in_process,
            tables_only,
        } => {
            if tables_only {
                return apart::verify_tables(&selector.dir()?, &mut out);
            }
            if in_process {
                return Findings::of(&selector)?.write(&mut out);
            }
            let findings = match selector.running()? {
                Some(client) => Findings::ask(&client)?,
                None => return apart::verify(&selector.dir()?),
            };
            return findings.write(&mut out);
        }
        QueueCommand::DropTarget {
            target,
            selector,
            yes,
        } => {
            let access = selector.open()?;
            let holdings = match &access {
                Access::Stopped(queue) => Holdings::of(queue, false)?,
                Access::Running(client) => Holdings::ask(client)?,
            };
            holdings.check_drop(&target, yes)?;
            let dropped = match access {
                Access::Stopped(queue) => queue.drop_target(&target)?,
                Access::Running(client) => {
                    let path = format!("/api/v1/queue/targets/{}", segment(&target));
                    client.delete(&path)?.json::<Dropped>()?.dropped
                }
            };
            writeln!(out, "{dropped} entries of {target:?} dropped")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The admin API's response.
#[derive(Deserialize)]
struct Dropped {
    dropped: u64,
}
