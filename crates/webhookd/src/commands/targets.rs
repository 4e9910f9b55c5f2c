//! `webhookd targets`: the targets of a running program, held and let go.

use crate::admin::client::segment;
use crate::commands::output_format::OutputFormat;
use crate::commands::queue_selector::QueueSelector;
use anyhow::{Context, Result};
use hyper::Method;
use serde::Deserialize;
use std::io::Write;
use std::process::ExitCode;

/// List the targets of a running webhookd, pause, resume or restart one
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TargetsArgs {
    #[command(subcommand)]
    command: TargetsCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum TargetsCommand {
    /// List them: how each is, and what it is owed
    List {
        #[command(flatten)]
        selector: QueueSelector,

        /// How to print them
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
        format: OutputFormat,
    },
    /// Send it nothing more, until it is resumed or webhookd starts anew
    ///
    /// What is under way goes on; what is accepted waits in the queue.
    Pause(Named),
    /// Let a paused one go on
    Resume(Named),
    /// Forget that it failed or answered 410, and try it at once
    Restart(Named),
}

#[derive(Clone, Debug, clap::Args)]
struct Named {
    /// The target's name
    target: String,

    #[command(flatten)]
    selector: QueueSelector,
}

#[derive(Deserialize)]
struct Targets {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    url: String,
    delivery: String,
    state: String,
    stats: Figures,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    delivered: u64,
    dead_held: u64,
    pending: u64,
    oldest_pending_age_seconds: Option<f64>,
}

pub(crate) fn run(args: TargetsArgs) -> Result<ExitCode> {
    match args.command {
        TargetsCommand::List { selector, format } => list(&selector, format)?,
        TargetsCommand::Pause(named) => tell(&named, "pause", "paused")?,
        TargetsCommand::Resume(named) => tell(&named, "resume", "resumed")?,
        TargetsCommand::Restart(named) => tell(&named, "restart", "restarted")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(named: &Named, verb: &str, done: &str) -> Result<()> {
    let target = &named.target;
    let path = format!("/api/v1/targets/{}/{verb}", segment(target));
    let _done = named.selector.client()?.post(&path, None)?.check()?;
    writeln!(std::io::stdout().lock(), "{target} is {done}")
        .context("cannot write to standard output")
}

fn list(selector: &QueueSelector, format: OutputFormat) -> Result<()> {
    let answer = selector
        .client()?
        .ask(Method::GET, "/api/v1/targets", None)?;
    let mut out = std::io::stdout().lock();
    if format == OutputFormat::Json {
        let answer = answer.check()?;
        out.write_all(&answer.body)?;
        return writeln!(out).context("cannot write to standard output");
    }
    let Targets { targets } = answer.json()?;
    writeln!(
        out,
        "{:<24} {:<12} {:>12} {:>12} {:>12} {:>12} {:<12} URL",
        "TARGET", "STATE", "DELIVERED", "PENDING", "OLDEST", "DEAD", "DELIVERY"
    )?;
    for target in targets {
        let stats = &target.stats;
        let oldest = stats
            .oldest_pending_age_seconds
            .map_or_else(|| "-".to_owned(), |age| format!("{age:.1} s"));
        writeln!(
            out,
            "{:<24} {:<12} {:>12} {:>12} {:>12} {:>12} {:<12} {}",
            target.name,
            target.state,
            stats.delivered,
            stats.pending,
            oldest,
            stats.dead_held,
            target.delivery,
            target.url
        )?;
    }
    Ok(())
}
