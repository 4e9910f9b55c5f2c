//! `cargo xtask bench`: everything side by side, in one run.
//!
//! Each sender is a process of its own, and so is the receiver; they are measured in turns, round
//! by round, so that what the machine does besides falls on all alike. What is promised are ratios
//! within a run. The document is written from what was measured and from nothing else.

mod aims;
mod connections;
mod document;
mod drain;
mod ingest;
mod latency;
mod memory;
mod part;
mod plan;
mod plot;
mod results;
mod rounds;
mod scale;
mod senders;
mod session;
mod statistics;
pub(crate) mod syslog_ng;

use crate::admin::{self, AdminArgs};
use crate::postgres::{self, PostgresArgs};
use crate::receiver::Receiver;
use crate::{Subject, say};
use anyhow::{Context, Result};
use part::Part;
use plan::Plan;
use results::Results;
use session::Session;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use testkit::load::Load;

/// Tasks that the events are of, in turns.
pub(crate) const TASKS: u32 = 5_000;

/// Measure everything side by side, and write docs/benchmarks.md
///
/// Builds the released webhookd and the programs that it is compared with, and measures them in
/// turns. wrk, syslog-ng and PostgreSQL are measured if they are installed. A whole run writes the
/// document, its plots and its figures into the folder of --out; with --quick, or with only some
/// of the parts, they go into target/bench.
///
/// The aims are ratios within a round: of processor time beside that of bare sockets, and of
/// rates. An aim is met if the median of the rounds meets it, missed within the spread if only
/// some rounds meet it, and missed if even the best round misses it.
#[derive(Debug, clap::Args)]
#[command(subcommand_precedence_over_arg = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    other: Option<Other>,

    /// Measure these parts only
    #[arg(value_enum)]
    parts: Vec<Part>,

    /// The same, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    only: Vec<Part>,

    /// A first look: one round, small numbers
    #[arg(long)]
    quick: bool,

    /// How often each part is measured, in turns [default: 5, quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// How long one measurement takes, about [default: 3, quick 1]
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,

    /// Sender threads of webhookd and of the ceiling, workers of syslog-ng
    #[arg(long, value_name = "N", default_value_t = 8)]
    threads: usize,

    /// Events of the backlog that is drained [default: 1000000, quick 50000]
    #[arg(long, value_name = "N")]
    backlog: Option<u64>,

    /// Where the document goes [default: docs; target/bench for a part or a first look]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Exit 1 when even the best round misses an aim, or when a part fails
    #[arg(long)]
    check: bool,

    /// Measure nothing: write the document again from the figures that were kept
    #[arg(long)]
    render: bool,

    #[command(flatten)]
    subject: Subject,
}

/// Benchmarks of their own.
#[derive(Debug, clap::Subcommand)]
enum Other {
    Admin(AdminArgs),
    Postgres(PostgresArgs),
}

impl BenchArgs {
    fn wanted(&self) -> Vec<Part> {
        let named: Vec<Part> = self.parts.iter().chain(&self.only).copied().collect();
        if named.is_empty() {
            return <Part as clap::ValueEnum>::value_variants().to_vec();
        }
        named
    }

    fn is_whole(&self) -> bool {
        self.parts.is_empty() && self.only.is_empty() && !self.quick
    }

    fn out(&self) -> PathBuf {
        match &self.out {
            Some(out) => out.clone(),
            None if self.is_whole() || self.render => testkit::repository("docs"),
            None => testkit::repository("target/bench"),
        }
    }
}

/// Measures, writes the document, and prints the tables.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    match &args.other {
        Some(Other::Admin(admin)) => return admin::run(admin, &args.subject),
        Some(Other::Postgres(postgres)) => return postgres::run(postgres, &args.subject),
        None => {}
    }
    let out = args.out();
    let results = if args.render {
        kept(&out)?
    } else {
        let results = measure(args)?;
        keep(&out, &results)?;
        results
    };
    let written = document::write(&out, &results)?;
    say(&document::tables(&results));
    for warning in &results.warnings {
        say(&format!("warning: {warning}"));
    }
    say(&format!(
        "{:.1} minutes; written: {}",
        results.minutes,
        written.display()
    ));
    let missed = aims::missed(&results);
    for aim in &missed {
        say(&format!("MISSED {aim}"));
    }
    for (part, why) in &results.failed {
        say(&format!("FAILED {}: {why}", part.title()));
    }
    let is_good = missed.is_empty() && results.failed.is_empty();
    Ok(if args.check && !is_good {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn measure(args: &BenchArgs) -> Result<Results> {
    // A thousand connections need as many descriptors, on either side.
    testkit::raise_descriptors();
    let webhookd = args.subject.webhookd()?;
    let parent = args.subject.parent()?;
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&parent)
        .with_context(|| format!("cannot make a folder in {}", parent.display()))?;
    let session = Session {
        receiver: Receiver::start()?,
        load: Load::real(),
        threads: args.threads,
        webhookd,
        folder,
    };
    let plan = Plan {
        parts: args.wanted(),
        quick: args.quick,
        rounds: args.rounds.unwrap_or(if args.quick { 1 } else { 5 }),
        seconds: args.seconds.unwrap_or(if args.quick { 1.0 } else { 3.0 }),
        backlog: args
            .backlog
            .unwrap_or(if args.quick { 50_000 } else { 1_000_000 }),
    };
    rounds::run(session, &plan)
}

fn figures(out: &Path) -> PathBuf {
    out.join("benchmarks/figures.json")
}

fn keep(out: &Path, results: &Results) -> Result<()> {
    let path = figures(out);
    let name = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(name)?;
    }
    let text = serde_json::to_string_pretty(results).context("the figures as JSON")?;
    std::fs::write(&path, text + "\n").with_context(name)
}

fn kept(out: &Path) -> Result<Results> {
    let path = figures(out);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
}
