//! `cargo xtask bench postgres`: webhookd's workers on one PostgreSQL, beside the embedded queue
//! and beside plain `SKIP LOCKED` workers.
//!
//! Everything runs on this machine: the workers, the server, which is a new one for each
//! measurement, the receiver and the load generator. The absolute rates are therefore those of a
//! machine that does all of it; the ratios within a run, the processor time and the server's
//! counters are what to look at.

mod failover;
mod machinery;
mod rates;
mod report;
mod results;
mod server;
mod workers;

use crate::{Subject, machine, say};
use anyhow::{Context, Result, ensure};
use clap::{Args as _, FromArgMatches as _};
use machinery::Bench;
pub(crate) use report::tables;
use results::QueueKind;
pub(crate) use results::Results;
pub(crate) use server::Server;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Measure workers on one PostgreSQL, beside the embedded queue and SKIP LOCKED workers
///
/// Needs PostgreSQL with its contrib modules. Prints tables and aims, and writes the figures as
/// JSON. Exits 1 when an event was lost, altered, repeated or out of order where none may be; a
/// missed aim is shown, and exits 1 with --check alone, since the machine may be the cause.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PostgresArgs {
    /// Measure these only
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    only: Vec<Measurement>,

    /// Small numbers and one round
    #[arg(long)]
    quick: bool,

    /// How often each rate and latency is measured, in turns [default: 3, quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// Events of a rate [default: 200000, quick 20000]
    #[arg(long, value_name = "N")]
    events: Option<u32>,

    /// Events of the backlog that is drained [default: 200000, quick 20000]
    #[arg(long, value_name = "N")]
    backlog: Option<u32>,

    /// Measure workers on these queues only
    #[arg(long, value_enum, value_delimiter = ',', value_name = "QUEUE")]
    queues: Vec<QueueKind>,

    /// Numbers of workers
    #[arg(long, value_delimiter = ',', value_name = "N", default_values_t = [1, 2, 4])]
    workers: Vec<u32>,

    /// Requests under way at once, of each worker
    #[arg(long, value_name = "N", default_value_t = 8)]
    threads: u32,

    /// Connections of the load generator
    #[arg(long, value_name = "N", default_value_t = 32)]
    connections: u32,

    /// Events in each of its requests while rates are measured
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch: u32,

    /// Events in each of its requests while latencies are measured
    #[arg(long, value_name = "N", default_value_t = 16)]
    latency_batch: u32,

    /// Where the JSON goes [default: target/bench/postgres.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Exit 1 when an aim is missed
    #[arg(long)]
    check: bool,
}

impl Default for PostgresArgs {
    /// The arguments of a command line without options.
    fn default() -> PostgresArgs {
        let name = "postgres";
        let command = PostgresArgs::augment_args(clap::Command::new(name));
        let matches = command.get_matches_from([name]);
        PostgresArgs::from_arg_matches(&matches).expect("no option is required")
    }
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Measurement {
    /// From ingest to delivery, as fast as events are accepted
    Rates,
    /// The same while a transaction elsewhere holds back the server's clean-up
    HeldXmin,
    /// Latencies at half the rate
    Latency,
    /// How long keys wait after a kill -9 of their worker
    Takeover,
    /// The delivery of a backlog
    Drain,
}

impl PostgresArgs {
    fn has(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }

    fn uses(&self, kind: QueueKind) -> bool {
        self.queues.is_empty() || self.queues.contains(&kind)
    }

    fn number(&self, given: Option<u32>, quick: u32, whole: u32) -> u32 {
        given.unwrap_or(if self.quick { quick } else { whole })
    }

    fn rounds(&self) -> u32 {
        self.number(self.rounds, 1, 3)
    }

    fn events(&self) -> u32 {
        self.number(self.events, 20_000, 200_000)
    }

    fn backlog(&self) -> u32 {
        self.number(self.backlog, 20_000, 200_000)
    }
}

/// Measures, writes the JSON, and prints the tables.
pub(crate) fn run(args: &PostgresArgs, subject: &Subject) -> Result<ExitCode> {
    testkit::raise_descriptors();
    let started = Instant::now();
    let webhookd = subject.webhookd()?;
    let mut results = empty(args, &webhookd);
    let mut bench = Bench::new(args, webhookd, &subject.parent()?)?;
    if args.has(Measurement::Rates) {
        rates::rates(&mut bench, args, &mut results)?;
    }
    if args.has(Measurement::HeldXmin) {
        rates::held_xmin(&mut bench, args, &mut results)?;
    }
    if args.has(Measurement::Latency) {
        rates::latencies(&mut bench, args, &mut results)?;
    }
    if args.has(Measurement::Takeover) {
        results.takeover_ms = Some(failover::takeover(&mut bench, args)?);
    }
    if args.has(Measurement::Drain) {
        results.drain = Some(failover::drain(&mut bench, args)?);
    }
    results.minutes = started.elapsed().as_secs_f64() / 60.0;
    results.load_after = machine::load();
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| testkit::repository("target/bench/postgres.json"));
    results.write(&out)?;
    say(&report::tables(&results));
    let figures = report::figures(&results);
    say(&figures.table());
    say(&format!("written: {}", out.display()));
    Ok(figures.exit_code(args.check))
}

/// The rates of one worker and of two, beside the embedded queue, for `cargo xtask bench`.
pub(crate) fn side_by_side(
    webhookd: &Path,
    parent: &Path,
    threads: u32,
    quick: bool,
    rounds: u32,
) -> Result<Results> {
    let args = PostgresArgs {
        quick,
        rounds: Some(rounds),
        events: (!quick).then_some(100_000),
        queues: vec![QueueKind::Embedded, QueueKind::Postgres],
        workers: vec![1, 2],
        threads,
        ..PostgresArgs::default()
    };
    let mut results = empty(&args, webhookd);
    let mut bench = Bench::new(&args, webhookd.to_owned(), parent)?;
    rates::rates(&mut bench, &args, &mut results)?;
    let faults: Vec<String> = results.samples.iter().flat_map(|it| it.faults()).collect();
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(results)
}

fn empty(args: &PostgresArgs, webhookd: &Path) -> Results {
    Results {
        machine: machine::lines(webhookd),
        settings: server::settings().map(str::to_owned).to_vec(),
        threads: args.threads,
        connections: args.connections,
        batch: args.batch,
        keys: machinery::KEYS,
        body: crate::tool::numbered_load().size(),
        ..Results::default()
    }
}

/// The workers whose rates are compared, in the order of the table.
fn contestants(args: &PostgresArgs) -> Vec<(QueueKind, u32)> {
    let on_a_server = [QueueKind::Postgres, QueueKind::SkipLocked64];
    let mut all = vec![(QueueKind::Embedded, 1)];
    for kind in on_a_server {
        all.extend(args.workers.iter().map(|workers| (kind, *workers)));
    }
    all.push((QueueKind::SkipLocked1, rates::PAIR));
    all.retain(|(kind, _)| args.uses(*kind));
    all
}

/// Shows what is being measured.
fn announce(text: &str) {
    say(&format!("{text} (load {})", machine::load()));
}

fn in_folder(parent: &Path) -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot make a folder in {}", parent.display()))
}
