//! `cargo xtask measure`: what is promised under load, measured on the released program.
//!
//! `webhookd` runs as a process of its own, its receivers are threads of this one, and what is
//! compared is measured in turns on the same machine: ratios, not figures of one day.

mod arrivals;
mod backlog;
mod daemon;
mod isolation;
mod receiver;
mod stall;
mod stuck_task;

use crate::figures::Figures;
use crate::{Subject, machine, say};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use testkit::load::Load;

/// How long anything may take that is certain to come.
const DEADLINE: Duration = Duration::from_secs(1800);

/// Measure what is promised under load
///
/// Prints the machine, a table, and each aim as PASS or SHORT. Exits 1 when an event was lost,
/// altered or out of order; a missed aim is shown, and exits 1 with --strict alone, since the
/// machine may be the cause.
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

    #[command(flatten)]
    subject: Subject,
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
struct Setup {
    webhookd: PathBuf,
    load: Arc<Load>,
    parent: PathBuf,
    quick: bool,
}

impl Setup {
    /// A number from the command line, or its default.
    fn number(&self, given: Option<u32>, quick: u32, whole: u32) -> u32 {
        given.unwrap_or(if self.quick { quick } else { whole })
    }

    /// An empty folder for a configuration and a queue, removed when dropped.
    fn folder(&self, config: &Value) -> Result<TempDir> {
        let folder = tempfile::Builder::new()
            .prefix("measure-")
            .tempdir_in(&self.parent)
            .with_context(|| format!("cannot make a folder in {}", self.parent.display()))?;
        let path = folder.path().join("webhook.json");
        std::fs::write(path, format!("{config:#}\n")).context("cannot write webhook.json")?;
        Ok(folder)
    }
}

/// Measures. Exits 1 when a promise was broken.
pub(crate) fn run(args: &MeasureArgs) -> Result<ExitCode> {
    let setup = Setup {
        webhookd: args.subject.webhookd()?,
        load: Arc::new(Load::real()),
        parent: args.subject.parent()?,
        quick: args.quick,
    };
    say(&machine::describe());
    say(&format!("events of {} bytes", setup.load.size()));
    let figures: Figures = match &args.what {
        What::Isolation(args) => isolation::measure(&setup, args)?,
        What::StuckTask(args) => stuck_task::measure(&setup, args)?,
        What::Backlog(args) => backlog::measure(&setup, args)?,
        What::Stall(args) => stall::measure(&setup, args)?,
    };
    say(&format!("load after: {}\n", machine::load()));
    say(&figures.table());
    Ok(figures.exit_code(args.strict))
}
