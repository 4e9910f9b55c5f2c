//! `cargo xtask measure`: what is promised under load, measured on the released program.
//!
//! `webhookd` runs as a process of its own, its receivers are threads of this one, and what is
//! compared is measured in turns on the same machine: ratios, not figures of one day.

mod arrivals;
pub(crate) mod backlog;
pub(crate) mod figures;
mod isolation;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod receiver;
mod stall;
mod stuck_task;

use crate::workspace;
use anyhow::{Context, Result};
use figures::Figures;
use load::Load;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// How long anything may take that is certain to come.
const DEADLINE: Duration = Duration::from_secs(1800);

/// Measure what is promised under load
///
/// Prints the machine, a table, and each aim as PASS or SHORT. Exits 1 when an event was lost,
/// altered or out of order; a missed aim is told, and exits 1 with --strict alone, since it may
/// be the machine's doing.
#[derive(Debug, clap::Args)]
pub(crate) struct MeasureArgs {
    #[command(subcommand)]
    what: What,

    /// Small numbers: shows that it runs, and little else
    #[arg(long, global = true)]
    quick: bool,

    /// Exit 1 when an aim is missed
    #[arg(long, global = true)]
    strict: bool,

    /// Measure this binary instead of building webhookd
    #[arg(long, value_name = "PATH", global = true)]
    binary: Option<PathBuf>,

    /// Put queues into a folder here [default: the cargo target directory]
    #[arg(long, value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A target that never answers, beside nine healthy ones: their throughput with and without
    Isolation(isolation::IsolationArgs),
    /// A task stuck in retry with many events behind it: the others' throughput, and memory
    StuckTask(stuck_task::StuckTaskArgs),
    /// A long backlog: memory while it builds and drains, a restart, the drain's rate
    Backlog(backlog::BacklogArgs),
    /// A receiver that is stopped for a while: nothing lost, order kept, back-pressure seen
    Stall(stall::StallArgs),
}

/// What every measurement needs.
struct Bench {
    binary: PathBuf,
    load: Arc<Load>,
    parent: PathBuf,
    quick: bool,
}

impl Bench {
    /// An empty folder for a configuration and a queue, removed when dropped.
    fn folder(&self, config: &serde_json::Value) -> Result<TempDir> {
        let folder = tempfile::Builder::new()
            .prefix("measure-")
            .tempdir_in(&self.parent)
            .with_context(|| format!("cannot make a folder in {}", self.parent.display()))?;
        write_config(folder.path(), config)?;
        Ok(folder)
    }
}

fn write_config(folder: &Path, config: &serde_json::Value) -> Result<()> {
    let path = folder.join("webhook.json");
    std::fs::write(&path, format!("{config:#}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Measures. Exits 1 when a promise was broken.
pub(crate) fn run(args: &MeasureArgs) -> Result<ExitCode> {
    let binary = match &args.binary {
        Some(path) => std::path::absolute(path).context("the path given with --binary")?,
        None => {
            say("building webhookd ...");
            workspace::build_webhookd("release")?
        }
    };
    let parent = match &args.folder {
        Some(folder) => std::path::absolute(folder).context("the path given with --folder")?,
        None => workspace::root().join("target"),
    };
    let bench = Bench {
        binary,
        load: Arc::new(Load::new()?),
        parent,
        quick: args.quick,
    };
    say(&machine::describe());
    say(&format!("events of {} bytes", bench.load.size()));
    let figures: Figures = match &args.what {
        What::Isolation(args) => isolation::measure(&bench, args)?,
        What::StuckTask(args) => stuck_task::measure(&bench, args)?,
        What::Backlog(args) => backlog::measure(&bench, args)?,
        What::Stall(args) => stall::measure(&bench, args)?,
    };
    say(&format!("load after: {}\n", machine::load()));
    say(&figures.table());
    Ok(figures.exit_code(args.strict))
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn say(text: &str) {
    println!("{text}");
}
