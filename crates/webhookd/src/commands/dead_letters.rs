//! `webhookd dead-letters`: events that were given up, and sending them again.

mod listing;

use crate::commands::form::Form;
use crate::commands::place::QueuePlace;
use crate::dead_letters::filter::Filter;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;
use webhook_dispatch::parse_webhook_id;
use webhook_queue::{DeadLetter, DiskQueue, EntryId, Queue};

/// List, show, replay or drop events that were given up
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
        place: QueuePlace,

        #[command(flatten)]
        filter: Filter,

        /// How to print them; JSON is one document a line
        #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Show one in full, the event and the receiver's last answer included
    Show {
        /// Its webhook-id, evt_…
        id: String,

        #[command(flatten)]
        place: QueuePlace,
    },
    /// Make them owed again, under their old ids and in their old order
    ///
    /// They are delivered when webhookd runs next, as if they had never been tried.
    Replay {
        #[command(flatten)]
        place: QueuePlace,

        #[command(flatten)]
        filter: Filter,

        /// Replay every one
        #[arg(long)]
        all: bool,
    },
    /// Forget them for good
    Drop {
        #[command(flatten)]
        place: QueuePlace,

        #[command(flatten)]
        filter: Filter,

        /// Forget every one
        #[arg(long)]
        all: bool,
    },
}

/// Dead letters that are changed in one transaction.
const AT_ONCE: usize = 1_000;

pub(crate) fn run(args: DeadLettersArgs) -> Result<ExitCode> {
    match args.command {
        DeadLettersCommand::List {
            place,
            filter,
            format,
        } => list(&place.open()?, &filter, format),
        DeadLettersCommand::Show { id, place } => show(&place.open()?, &id),
        DeadLettersCommand::Replay { place, filter, all } => change(
            &place.open()?,
            &filter,
            all,
            "replay",
            "owed again",
            |queue, target, entries| queue.replay(target, entries),
        ),
        DeadLettersCommand::Drop { place, filter, all } => change(
            &place.open()?,
            &filter,
            all,
            "drop",
            "dropped",
            |queue, target, entries| queue.drop_dead(target, entries),
        ),
    }
}

/// Refuses a target that the queue does not know: misspelt, it would just match nothing.
fn check_target(queue: &DiskQueue, filter: &Filter) -> Result<()> {
    let known = queue.statistics().context("cannot read the queue")?.targets;
    let known: Vec<&str> = known.iter().map(|known| known.target.as_str()).collect();
    if let Some(wanted) = filter.target()
        && !known.contains(&wanted)
    {
        bail!(
            "no target {wanted:?} in this queue; it knows: {}",
            known.join(", ")
        );
    }
    Ok(())
}

fn list(queue: &DiskQueue, filter: &Filter, format: Form) -> Result<ExitCode> {
    check_target(queue, filter)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if format == Form::Text {
        listing::head(&mut out)?;
    }
    let mut written = Ok(());
    queue
        .dead_letters(filter.target(), None, &mut |letter| {
            if !filter.matches(&letter) {
                return ControlFlow::Continue(());
            }
            written = match format {
                Form::Text => listing::line(&mut out, &letter),
                Form::Json => listing::json(&mut out, &letter),
            };
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })
        .context("cannot read the dead letters")?;
    // `| head` wants no more; that is no failure.
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn show(queue: &DiskQueue, id: &str) -> Result<ExitCode> {
    let Some(wanted) = parse_webhook_id(id) else {
        bail!("{id:?} is no webhook-id: it is evt_ and 32 hexadecimal digits");
    };
    let mut out = std::io::stdout().lock();
    let mut shown = 0_usize;
    let mut written = Ok(());
    queue.dead_letters(None, None, &mut |letter| {
        if letter.owed.id == wanted {
            shown += 1;
            written = listing::full(&mut out, &letter);
        }
        ControlFlow::Continue(())
    })?;
    written?;
    if shown == 0 {
        bail!("no dead letter has the webhook-id {id}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Does something with all that match, a thousand at a time.
fn change(
    queue: &DiskQueue,
    filter: &Filter,
    all: bool,
    verb: &str,
    done: &str,
    apply: impl Fn(&DiskQueue, &str, &[EntryId]) -> Result<u64, webhook_queue::QueueError>,
) -> Result<ExitCode> {
    match (filter.is_empty(), all) {
        (true, false) => {
            bail!("say which to {verb}, by --target, --task, --job, --status, …; or --all")
        }
        (false, true) => bail!("--all and a filter contradict each other: leave one out"),
        _ => {}
    }
    check_target(queue, filter)?;
    let targets = queue.statistics()?.targets;
    let bar = ProgressBar::new(targets.iter().map(|target| target.dead).sum()).with_style(
        ProgressStyle::with_template("{bar:30} {pos} of {len} looked at, {msg}")
            .expect("the template is valid"),
    );
    let mut changed = 0;
    for target in targets {
        if filter
            .target()
            .is_some_and(|wanted| wanted != target.target)
        {
            continue;
        }
        let mut after = None;
        loop {
            let (entries, last) = matching(queue, filter, &target.target, after, &bar)?;
            changed += apply(queue, &target.target, &entries)
                .with_context(|| format!("{changed} were {done} before it failed"))?;
            bar.set_message(format!("{changed} {done}"));
            if last.is_none() {
                break;
            }
            after = last;
        }
    }
    bar.finish_and_clear();
    writeln!(std::io::stdout().lock(), "{changed} {done}")?;
    Ok(ExitCode::SUCCESS)
}

/// Up to a thousand that match, and where to go on.
fn matching(
    queue: &DiskQueue,
    filter: &Filter,
    target: &str,
    after: Option<EntryId>,
    bar: &ProgressBar,
) -> Result<(Vec<EntryId>, Option<EntryId>)> {
    let mut entries = Vec::new();
    let mut last = None;
    queue.dead_letters(Some(target), after, &mut |letter: DeadLetter<'_>| {
        bar.inc(1);
        if filter.matches(&letter) {
            entries.push(letter.owed.entry);
        }
        if entries.len() >= AT_ONCE {
            last = Some(letter.owed.entry);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok((entries, last))
}
