//! `cargo xtask torture`: webhookd under receivers that misbehave, killed again and again; then an
//! oracle checks whether anything that was acknowledged is lost, out of order, altered or renamed.
//!
//! A power loss is not simulated: a kill leaves what was written in the system's cache.
//!
//! *Architecture invariant*: the product is driven from outside, by testkit.

mod behaviour;
mod campaign;
mod clock;
mod events;
mod history;
mod oracle;
mod plan;
mod queue;
mod receiver;
mod report;
mod rotation;
mod run;
mod targets;
mod workers;

use anyhow::{Context, Result, bail};
use campaign::Campaign;
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Kill webhookd again and again, and see whether it keeps its promises
///
/// Feeds a real webhookd, whose receivers answer errors, garbage, late, or not at all, and kills
/// it by SIGKILL in each round: while it starts, works, drains, has no room on the disk, or some
/// tasks always fail. Then
/// all receivers answer 200, everything pending is delivered, and an oracle checks every
/// delivery: nothing acknowledged may be lost, out of its task's order, altered or renamed, a kill
/// may repeat no more than what is in flight, and tasks whose events always fail may not delay
/// others.
///
/// Afterwards webhookd follows log files that are rotated while it runs and while it is down (renamed,
/// copied and truncated, compressed), and is killed a third as many times; every line must arrive.
///
/// In some runs nothing reads webhookd's standard error, or, where libfaketime is installed, its
/// wall clock is up to two hours wrong and jumps.
///
/// With `--queue postgres`, it starts several workers on one PostgreSQL database instead, and a server
/// for it. In each round a worker is killed, paused or restarted, or the database is, or its
/// connections are cut, while clients post each task's next event once the one before is
/// acknowledged, to any worker.
///
/// Exits 1 when a promise was broken, and keeps the queue and the log. The seed gives the events,
/// the receivers' behaviour and the distribution of kills; the timing of threads and processes
/// is never the same twice.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask torture", bin_name = "cargo xtask torture")]
struct Args {
    /// The queue of webhookd: a directory of its own, or a database that several workers share
    #[arg(long, value_name = "KIND", value_enum, default_value_t = QueueKind::Disk)]
    queue: QueueKind,

    /// Workers on one database [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..100))]
    workers: Option<u16>,

    /// Kills; with workers, rounds
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..10_000))]
    rounds: u16,

    /// What events, behaviour and kills are drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Events that are fed, until all of them are acknowledged [default: 4200 a round;
    /// 1200 with workers]
    #[arg(long, value_name = "N")]
    events: Option<usize>,

    /// The cargo profile to build webhookd with
    #[arg(long, default_value = "release", value_name = "NAME")]
    profile: String,

    /// Torture this webhookd instead of building one
    #[arg(long, value_name = "PATH", conflicts_with = "profile")]
    webhookd: Option<PathBuf>,

    /// An empty folder for the queue and the log, which is kept [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum QueueKind {
    Disk,
    Postgres,
}

/// Events for each round, unless told otherwise.
const EVENTS_A_ROUND: usize = 4_200;
const EVENTS_A_ROUND_OF_WORKERS: usize = 1_200;
const WORKERS: u16 = 3;

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let webhookd = match &args.webhookd {
        Some(path) => std::path::absolute(path).context("the path given with --webhookd")?,
        None => {
            say("building webhookd ...");
            testkit::build("webhookd", &args.profile)
        }
    };
    let folder = folder(args.dir.as_deref())?;
    let began = Instant::now();
    let is_ok = match args.queue {
        QueueKind::Disk if args.workers.is_some() => bail!("--workers needs --queue postgres"),
        QueueKind::Disk => torture_one(&args, &webhookd, &folder)?,
        QueueKind::Postgres => torture_workers(&args, &webhookd, &folder)?,
    };
    if !is_ok {
        let (seed, folder) = (args.seed, folder.display());
        say(&format!(
            "seed {seed}: the queue and webhookd.log are kept in {folder}"
        ));
        return Ok(ExitCode::FAILURE);
    }
    if args.dir.is_none() {
        std::fs::remove_dir_all(&folder).context("cannot remove the temporary folder")?;
    }
    let seconds = began.elapsed().as_secs_f64();
    say(&format!("every promise was kept, in {seconds:.1} s"));
    Ok(ExitCode::SUCCESS)
}

/// Tortures one webhookd with a queue of its own; whether every promise was kept.
fn torture_one(args: &Args, webhookd: &Path, folder: &Path) -> Result<bool> {
    let rounds = usize::from(args.rounds);
    let events = args.events.unwrap_or(EVENTS_A_ROUND * rounds);
    say(&format!(
        "{rounds} kills, {events} events, seed {}, in {}",
        args.seed,
        folder.display()
    ));
    let mut random = fastrand::Rng::with_seed(args.seed);
    let mut campaign = Campaign::new(webhookd.to_owned(), folder, args.seed);
    for round in 1..=args.rounds {
        let plans = plan::round(&mut random);
        // Each plan has its share of the round's events.
        let before = usize::from(round - 1) * plans.len();
        for (plan, part) in plans.iter().zip(before + 1..) {
            campaign.run(plan, events * part / (rounds * plans.len()), round)?;
        }
    }
    campaign.deliver_the_rest(events)?;
    let mut report = campaign.check()?;
    // For either naming of rotated files a sixth as many kills again.
    let kills = (args.rounds / 6).max(3);
    report.add(rotation::run(webhookd, folder, args.seed, kills)?);
    say(&report.to_string());
    Ok(report.is_ok())
}

/// Tortures workers on one database; whether every promise was kept.
fn torture_workers(args: &Args, webhookd: &Path, folder: &Path) -> Result<bool> {
    let rounds = usize::from(args.rounds);
    let options = workers::Options {
        workers: usize::from(args.workers.unwrap_or(WORKERS)),
        rounds: args.rounds,
        events: args.events.unwrap_or(EVENTS_A_ROUND_OF_WORKERS * rounds),
        seed: args.seed,
    };
    say(&format!(
        "{} workers, {rounds} rounds, {} events, seed {}, in {}",
        options.workers,
        options.events,
        args.seed,
        folder.display()
    ));
    let report = workers::run(webhookd, folder, options)?;
    say(&report.to_string());
    Ok(report.is_ok())
}

/// The folder for the queue and the log; it stays unless everything succeeds.
fn folder(given: Option<&Path>) -> Result<PathBuf> {
    let Some(path) = given else {
        let temporary = tempfile::Builder::new()
            .prefix("webhook-torture-")
            .tempdir();
        return Ok(temporary.context("cannot make a temporary folder")?.keep());
    };
    let path = std::path::absolute(path).context("the path given with --dir")?;
    std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    if std::fs::read_dir(&path)?.next().is_some() {
        bail!("{} is not empty; give an empty folder", path.display());
    }
    Ok(path)
}

#[expect(clippy::print_stderr, reason = "the progress and the report")]
fn say(text: &str) {
    eprintln!("{text}");
}
