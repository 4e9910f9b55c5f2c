//! `webhookd queue`: looking at a queue whose program is stopped, and keeping it in order.

mod apart;

use crate::commands::form::Form;
use crate::commands::place::QueuePlace;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::SystemTime;
use webhook_queue::{DiskQueue, Queue, SetAside, Statistics, compact, verify};

/// Look at the queue of a stopped webhookd, check it, give its free space back
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
        place: QueuePlace,

        /// How to print it
        #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Give the space of what was delivered back to the file system
    ///
    /// While webhookd runs, free space is used again but the file does not shrink. Needs as much
    /// free space as is in use; may be interrupted at any time, and loses nothing.
    Compact {
        #[command(flatten)]
        place: QueuePlace,
    },
    /// Read all of it and check every record
    ///
    /// Exit status 0 if all is whole, 1 if not. Changes nothing: a damaged record is set aside when
    /// webhookd meets it, and the rest is delivered.
    Verify {
        #[command(flatten)]
        place: QueuePlace,

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
        place: QueuePlace,

        /// Really do it
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Serialize)]
struct StatsJson<'a> {
    events: u64,
    bytes: u64,
    /// `None` when the queue was named without a configuration.
    max_bytes: Option<u64>,
    corrupt: u64,
    /// The first thousand of them.
    set_aside: &'a [Aside],
    targets: Vec<TargetJson<'a>>,
}

/// An entry that was set aside, since its record is damaged.
#[derive(Serialize)]
struct Aside {
    entry: u64,
    targets: Vec<String>,
    reason: String,
    /// Bytes of the record that are kept.
    bytes: usize,
}

/// Entries set aside that are named; all are counted.
const NAMED: usize = 1_000;

#[derive(Serialize)]
struct TargetJson<'a> {
    target: &'a str,
    pending: u64,
    oldest_age_seconds: Option<f64>,
    dead: u64,
}

pub(crate) fn run(args: QueueArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match args.command {
        QueueCommand::Stats { place, format } => {
            let queue = place.open()?;
            let statistics = queue.statistics().context("cannot read the queue")?;
            let aside = set_aside(&queue)?;
            let bound = place.knows_bound().then_some(statistics.max_bytes);
            match format {
                Form::Text => print_stats(&mut out, &statistics, &aside, bound)?,
                Form::Json => {
                    let json = serde_json::to_string(&as_json(&statistics, &aside, bound))?;
                    writeln!(out, "{json}")?;
                }
            }
        }
        QueueCommand::Compact { place } => {
            let compaction = compact(place.dir()?)?;
            writeln!(
                out,
                "{} before, {} after",
                bytes(compaction.before),
                bytes(compaction.after)
            )?;
        }
        QueueCommand::Verify {
            place,
            in_process: false,
        } => return apart::verify(&place.dir()?),
        QueueCommand::Verify { place, .. } => return print_verification(&mut out, &place),
        QueueCommand::DropTarget { target, place, yes } => {
            let queue: DiskQueue = place.open()?;
            let known = queue.statistics()?.targets;
            let Some(found) = known.iter().find(|known| known.target == target) else {
                let names: Vec<&str> = known.iter().map(|known| known.target.as_str()).collect();
                bail!(
                    "no target {target:?} in this queue; it knows: {}",
                    names.join(", ")
                );
            };
            if !yes {
                bail!(
                    "{} pending events and {} dead letters of {target:?} would be gone for good; \
                     add --yes to do it",
                    found.pending,
                    found.dead
                );
            }
            let dropped = queue.drop_target(&target)?;
            writeln!(out, "{dropped} entries of {target:?} dropped")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn set_aside(queue: &DiskQueue) -> Result<Vec<Aside>> {
    let mut found = Vec::new();
    let mut visit = |aside: SetAside<'_>| {
        found.push(Aside {
            entry: aside.entry.0,
            targets: aside.targets.iter().map(ToString::to_string).collect(),
            reason: aside.reason.to_owned(),
            bytes: aside.record.len(),
        });
        match found.len() < NAMED {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    queue
        .set_aside(None, &mut visit)
        .context("cannot read what is set aside")?;
    Ok(found)
}

fn print_aside(out: &mut impl Write, aside: &[Aside]) -> Result<()> {
    for of in aside {
        // Names are as found in a file that is damaged somewhere.
        let targets = of.targets.join(", ").escape_debug().to_string();
        writeln!(
            out,
            "entry {} was set aside: {}; it was for {targets}; {} of it are kept",
            of.entry,
            of.reason,
            bytes(of.bytes as u64)
        )?;
    }
    Ok(())
}

fn print_stats(
    out: &mut impl Write,
    statistics: &Statistics,
    aside: &[Aside],
    bound: Option<u64>,
) -> Result<()> {
    let Statistics {
        events,
        bytes: used,
        corrupt,
        ..
    } = statistics;
    let bound = bound.map_or_else(String::new, |bound| format!(" of {}", bytes(bound)));
    writeln!(out, "{events} events, {}{bound} in use", bytes(*used))?;
    if *corrupt > 0 {
        writeln!(out, "damaged records set aside: {corrupt}")?;
        print_aside(out, aside)?;
    }
    writeln!(
        out,
        "{:<24} {:>12} {:>14} {:>12}",
        "TARGET", "PENDING", "OLDEST", "DEAD"
    )?;
    for target in &statistics.targets {
        let oldest = target
            .oldest_accepted_at
            .filter(|_| target.pending > 0)
            .map_or_else(|| "-".to_owned(), |at| format!("{:.1} s", age(at)));
        writeln!(
            out,
            "{:<24} {:>12} {:>14} {:>12}",
            target.target, target.pending, oldest, target.dead
        )?;
    }
    Ok(())
}

fn as_json<'a>(
    statistics: &'a Statistics,
    aside: &'a [Aside],
    bound: Option<u64>,
) -> StatsJson<'a> {
    StatsJson {
        events: statistics.events,
        bytes: statistics.bytes,
        max_bytes: bound,
        corrupt: statistics.corrupt,
        set_aside: aside,
        targets: statistics
            .targets
            .iter()
            .map(|target| TargetJson {
                target: &target.target,
                pending: target.pending,
                oldest_age_seconds: target
                    .oldest_accepted_at
                    .filter(|_| target.pending > 0)
                    .map(age),
                dead: target.dead,
            })
            .collect(),
    }
}

fn print_verification(out: &mut impl Write, place: &QueuePlace) -> Result<ExitCode> {
    let found = verify(place.dir()?)?;
    writeln!(
        out,
        "{} events read; {} entries owed, {} dead letters, {} set aside",
        found.events, found.owed, found.dead, found.set_aside
    )?;
    if found.set_aside > 0 {
        print_aside(out, &set_aside(&place.open()?)?)?;
    }
    for corrupt in &found.corrupt {
        writeln!(out, "entry {}: {}", corrupt.entry.0, corrupt.reason)?;
    }
    for disagreement in &found.disagreements {
        writeln!(out, "{disagreement}")?;
    }
    if found.is_whole() {
        writeln!(out, "all is whole")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "damaged records: {}; contradictions: {}",
        found.corrupt_count, found.disagreement_count
    )?;
    Ok(ExitCode::FAILURE)
}

/// Seconds since a time in epoch milliseconds.
fn age(at: u64) -> f64 {
    let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(at);
    at.elapsed().map_or(0.0, |age| age.as_secs_f64())
}

fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}
