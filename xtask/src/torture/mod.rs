//! `cargo xtask torture`: webhookd under receivers that misbehave, killed again and again; then an
//! oracle says whether anything that was acknowledged is lost, late, altered or renamed.
//!
//! What is not simulated: a power loss. A kill leaves what was written to the system's cache.

mod campaign;
mod daemon;
mod history;
mod load;
mod mood;
mod oracle;
mod plan;
mod queue;
mod receiver;
mod report;
mod targets;

use crate::gen_fixtures::Random;
use crate::workspace;
use anyhow::{Context, Result, bail};
use campaign::Campaign;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Kill webhookd again and again, and see whether it keeps its promises
///
/// Feeds a real webhookd, whose receivers answer errors, nonsense, late, or not at all, and kills
/// it by SIGKILL in each round: while it starts, works, drains, or has no room on the disk. Then
/// its receivers turn friendly, all that is owed is delivered, and an oracle looks at every
/// delivery: nothing acknowledged may be lost, out of its task's order, altered or renamed, and a
/// kill may repeat no more than what is in flight.
///
/// Exits 1 when a promise was broken, and keeps the queue and the log. The seed gives the events,
/// the receivers' moods and the distribution of kills; the timing of threads and processes is
/// never the same twice.
#[derive(Debug, clap::Args)]
pub(crate) struct TortureArgs {
    /// Kills
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..10_000))]
    rounds: u16,

    /// What events, moods and kills are drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Events that are fed, until all of them are acknowledged [default: 4200 a round]
    #[arg(long, value_name = "N")]
    events: Option<usize>,

    /// The cargo profile to build webhookd with
    #[arg(long, default_value = "release", value_name = "NAME")]
    profile: String,

    /// Torture this webhookd instead of building one
    #[arg(long, value_name = "PATH", conflicts_with = "profile")]
    webhookd: Option<PathBuf>,

    /// Where the queue and the log lie meanwhile; they are kept there [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Events for each round, unless told otherwise.
const EVENTS_A_ROUND: usize = 4_200;

/// Runs the torture. Exits 1 when a promise was broken.
pub(crate) fn run(args: &TortureArgs) -> Result<ExitCode> {
    let webhookd = match &args.webhookd {
        Some(path) => std::path::absolute(path).context("the path given with --webhookd")?,
        None => {
            say("building webhookd ...");
            workspace::build_webhookd(&args.profile)?
        }
    };
    let folder = Folder::new(args.dir.clone())?;
    let events = args
        .events
        .unwrap_or(EVENTS_A_ROUND * usize::from(args.rounds));
    say(&format!(
        "{} kills, {events} events, seed {}, in {}",
        args.rounds,
        args.seed,
        folder.path().display()
    ));
    let began = Instant::now();
    let outcome = torture(args, webhookd, folder.path(), events);
    let well = match &outcome {
        Ok(well) => *well,
        Err(_) => false,
    };
    if !well {
        let kept = folder.keep();
        say(&format!(
            "seed {}: the queue and webhookd.log are kept in {}",
            args.seed,
            kept.display()
        ));
    }
    if !outcome? {
        return Ok(ExitCode::FAILURE);
    }
    say(&format!(
        "every promise was kept, in {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    Ok(ExitCode::SUCCESS)
}

fn torture(
    args: &TortureArgs,
    webhookd: PathBuf,
    folder: &std::path::Path,
    events: usize,
) -> Result<bool> {
    let mut random = Random::new(args.seed);
    let mut campaign = Campaign::new(webhookd, folder, args.seed)?;
    for round in 1..=args.rounds {
        let plans = plan::round(&mut random);
        // Each plan has its share of the round's events.
        let parts = usize::from(args.rounds) * plans.len();
        let before = usize::from(round - 1) * plans.len();
        for (plan, part) in plans.iter().zip(before + 1..) {
            campaign.run(plan, events * part / parts, round)?;
        }
    }
    campaign.deliver_the_rest(events)?;
    let judged = campaign.judge()?;
    say(&judged.to_string());
    Ok(judged.is_well())
}

/// Where the queue and the log lie.
#[derive(Debug)]
enum Folder {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn new(given: Option<PathBuf>) -> Result<Folder> {
        let Some(path) = given else {
            let temporary = tempfile::Builder::new()
                .prefix("webhook-torture-")
                .tempdir()
                .context("cannot make a temporary folder")?;
            return Ok(Folder::Temporary(temporary));
        };
        let path = std::path::absolute(path).context("the path given with --dir")?;
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        if std::fs::read_dir(&path)?.next().is_some() {
            bail!("{} is not empty; give an empty folder", path.display());
        }
        Ok(Folder::Given(path))
    }

    fn path(&self) -> &std::path::Path {
        match self {
            Folder::Given(path) => path,
            Folder::Temporary(folder) => folder.path(),
        }
    }

    fn keep(self) -> PathBuf {
        match self {
            Folder::Given(path) => path,
            Folder::Temporary(folder) => folder.keep(),
        }
    }
}

#[expect(clippy::print_stderr, reason = "what a torture came to")]
fn say(text: &str) {
    eprintln!("{text}");
}
