//! `webhookd dead-letters`: lists, replays and drops events that were given up.

mod change;
mod listing;
mod opened;
mod running;

use crate::commands::output_format::OutputFormat;
use crate::commands::queue_selector::{Access, QueueSelector};
use crate::console::output;
use crate::dead_letters::{Filter, Letter};
use anyhow::{Context, Result, bail};
use change::Change;
use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;

/// List, show, replay or drop events that were given up, or that were delivered and are kept
///
/// Works while webhookd runs, by its admin API or in its database, and while it is stopped.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum DeadLettersCommand {
    /// List dead letters, with time and reason
    List {
        #[command(flatten)]
        selector: QueueSelector,

        #[command(flatten)]
        filter: Filter,

        /// The output format; JSON is one document per line
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
        format: OutputFormat,
    },
    /// Show one in full, with the event and the receiver's last response
    Show {
        /// Its webhook-id, evt_…
        id: String,

        /// A delivery that is kept by the target's `retain`, instead of a dead letter
        #[arg(long)]
        delivered: bool,

        #[command(flatten)]
        selector: QueueSelector,
    },
    /// Put dead letters back into the queue, with their ids and in their order
    ///
    /// They are delivered at once, or when webhookd runs next, as if they had not been tried yet. With
    /// --delivered, the receiver gets again what it has had, under the same webhook-id.
    Replay {
        #[command(flatten)]
        selector: QueueSelector,

        #[command(flatten)]
        filter: Filter,

        /// Replay all of them
        #[arg(long)]
        all: bool,
    },
    /// Delete dead letters for good
    Drop {
        #[command(flatten)]
        selector: QueueSelector,

        #[command(flatten)]
        filter: Filter,

        /// Delete all of them
        #[arg(long)]
        all: bool,
    },
}

pub(crate) fn run(args: DeadLettersArgs) -> Result<ExitCode> {
    match args.command {
        DeadLettersCommand::List {
            selector,
            filter,
            format,
        } => list(&selector.open()?, &filter, format),
        DeadLettersCommand::Show {
            id,
            delivered,
            selector,
        } => show(&selector.open()?, &id, &Filter::all(delivered)),
        DeadLettersCommand::Replay {
            selector,
            filter,
            all,
        } => change(&selector, &filter, all, Change::Replay),
        DeadLettersCommand::Drop {
            selector,
            filter,
            all,
        } => change(&selector, &filter, all, Change::Drop),
    }
}

fn list(access: &Access, filter: &Filter, format: OutputFormat) -> Result<ExitCode> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    if format == OutputFormat::Text {
        written = listing::head(&mut out, filter);
    }
    let mut visit = |letter: Letter| {
        written = match format {
            OutputFormat::Text => listing::line(&mut out, &letter),
            OutputFormat::Json => listing::json(&mut out, &letter),
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    match access {
        Access::Opened(queue) => opened::list(&**queue, filter, &mut visit)?,
        Access::Running(client) => running::list(client, filter, &mut visit)?,
    }
    // `| head` closes the pipe early; that is not a failure.
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn show(access: &Access, id: &str, filter: &Filter) -> Result<ExitCode> {
    let wanted = id.parse()?;
    let letters = match access {
        Access::Opened(queue) => opened::find(&**queue, wanted, filter)?,
        Access::Running(client) => running::find(client, wanted, filter)?,
    };
    if letters.is_empty() {
        match filter.is_of_delivered() {
            false => bail!("no dead letter has the webhook-id {id}"),
            true => bail!("no kept delivery has the webhook-id {id}"),
        }
    }
    let mut out = output();
    for letter in &letters {
        listing::full(&mut out, letter)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn change(
    selector: &QueueSelector,
    filter: &Filter,
    all: bool,
    change: Change,
) -> Result<ExitCode> {
    match (filter.is_empty(), all) {
        (true, false) => bail!(
            "say which to {}, by --target, --task, --job, --status, …; or --all",
            change.verb()
        ),
        (false, true) => bail!("--all and a filter exclude each other: omit one of them"),
        _ => {}
    }
    let changed = match selector.open()? {
        Access::Opened(queue) => opened::change(&*queue, filter, change)?,
        Access::Running(client) => running::change(&client, filter, change)?,
    };
    writeln!(output(), "{changed} {}", change.done())?;
    Ok(ExitCode::SUCCESS)
}
