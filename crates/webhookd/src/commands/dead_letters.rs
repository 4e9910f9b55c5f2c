//! `webhookd dead-letters`: events that were given up, and sending them again.

mod change;
mod listing;
mod running;
mod stopped;

use crate::commands::output_format::OutputFormat;
use crate::commands::queue_selector::{Access, QueueSelector};
use crate::dead_letters::{Filter, Letter};
use anyhow::{Context, Result, bail};
use change::Change;
use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;
use webhook_dispatch::parse_webhook_id;

/// List, show, replay or drop events that were given up
///
/// A running webhookd that has the queue open is asked; the queue of a stopped one is opened.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum DeadLettersCommand {
    /// List them: when, which, and why
    List {
        #[command(flatten)]
        selector: QueueSelector,

        #[command(flatten)]
        filter: Filter,

        /// How to print them; JSON is one document a line
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
        format: OutputFormat,
    },
    /// Show one in full, the event and the receiver's last answer included
    Show {
        /// Its webhook-id, evt_…
        id: String,

        #[command(flatten)]
        selector: QueueSelector,
    },
    /// Make them owed again, under their old ids and in their old order
    ///
    /// They are delivered at once, or when webhookd runs next, as if they had never been tried.
    Replay {
        #[command(flatten)]
        selector: QueueSelector,

        #[command(flatten)]
        filter: Filter,

        /// Replay every one
        #[arg(long)]
        all: bool,
    },
    /// Forget them for good
    Drop {
        #[command(flatten)]
        selector: QueueSelector,

        #[command(flatten)]
        filter: Filter,

        /// Forget every one
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
        DeadLettersCommand::Show { id, selector } => show(&selector.open()?, &id),
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
        written = listing::head(&mut out);
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
        Access::Stopped(queue) => stopped::list(queue, filter, &mut visit)?,
        Access::Running(client) => running::list(client, filter, &mut visit)?,
    }
    // `| head` wants no more; that is no failure.
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn show(access: &Access, id: &str) -> Result<ExitCode> {
    let Some(wanted) = parse_webhook_id(id) else {
        bail!("{id:?} is no webhook-id: it is evt_ and 32 hexadecimal digits");
    };
    let letters = match access {
        Access::Stopped(queue) => stopped::find(queue, wanted)?,
        Access::Running(client) => running::find(client, wanted)?,
    };
    if letters.is_empty() {
        bail!("no dead letter has the webhook-id {id}");
    }
    let mut out = std::io::stdout().lock();
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
        (false, true) => bail!("--all and a filter contradict each other: leave one out"),
        _ => {}
    }
    let changed = match selector.open()? {
        Access::Stopped(queue) => stopped::change(&queue, filter, change)?,
        Access::Running(client) => running::change(&client, filter, change)?,
    };
    writeln!(std::io::stdout().lock(), "{changed} {}", change.done())?;
    Ok(ExitCode::SUCCESS)
}
