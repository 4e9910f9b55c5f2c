//! `webhookd queue`: looking at a queue, and keeping it in order, whether its program runs or not.

mod apart;
mod findings;
mod holdings;

use crate::admin::client::segment;
use crate::commands::output_format::OutputFormat;
use crate::commands::queue_selector::{Access, QueueSelector};
use anyhow::{Result, bail};
use findings::Findings;
use holdings::Holdings;
use indicatif::HumanBytes;
use serde::Deserialize;
use std::io::Write;
use std::process::ExitCode;
use webhook_queue::{Queue, compact};

/// Look at a queue, check it, give its free space back
///
/// A running webhookd that has the queue open is asked; the queue of a stopped one is opened.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum QueueCommand {
    /// Show what each target is owed, and the space in use
    Stats {
        #[command(flatten)]
        selector: QueueSelector,

        /// How to print it
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
        format: OutputFormat,
    },
    /// Give the space of what was delivered back to the file system
    ///
    /// webhookd must be stopped. While it runs, free space is used again but the file does not shrink. Needs as much
    /// free space as is in use; may be interrupted at any time, and loses nothing.
    Compact {
        #[command(flatten)]
        selector: QueueSelector,
    },
    /// Read all of it and check every record
    ///
    /// Exit status 0 if all is whole, 1 if not. Changes nothing: a damaged record is set aside when
    /// webhookd meets it, and the rest is delivered.
    Verify {
        #[command(flatten)]
        selector: QueueSelector,

        /// Read it in this process: damage to the database's own pages may end it
        #[arg(long, hide = true)]
        in_process: bool,
    },
    /// Forget all that one target is owed, its dead letters included
    ///
    /// For a target that is gone from the configuration, or renamed. There is no way back.
    DropTarget {
        /// The target's name
        target: String,

        #[command(flatten)]
        selector: QueueSelector,

        /// Really do it
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(args: QueueArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
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
        } => {
            let findings = match (in_process, selector.running()?) {
                (false, Some(client)) => Findings::ask(&client)?,
                (false, None) => return apart::verify(&selector.dir()?),
                (true, _) => Findings::of(&selector)?,
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
            holdings.agree_to_drop(&target, yes)?;
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

/// What the operators' interface says of dropping.
#[derive(Deserialize)]
struct Dropped {
    dropped: u64,
}
