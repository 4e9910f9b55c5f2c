//! `webhookd targets`: lists, pauses, resumes and restarts the targets of a running program.

use crate::admin::client::segment;
use crate::commands::output_format::OutputFormat;
use crate::commands::queue_selector::QueueSelector;
use crate::console::{output, write_out};
use crate::shared_queue::SharedQueue;
use anyhow::Result;
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
    /// List the targets, with their state and the events owed to them
    List {
        #[command(flatten)]
        selector: QueueSelector,

        /// The output format
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
        format: OutputFormat,
    },
    /// Pause deliveries to a target, until it is resumed or webhookd restarts
    ///
    /// Attempts under way end as usual; accepted events wait in the queue. Other workers of the same
    /// database go on: each is asked by itself.
    Pause(Named),
    /// Resume a paused target
    Resume(Named),
    /// Retry a target at once, though it failed or responded 410
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
struct Queue {
    #[serde(default)]
    shared: Option<SharedQueue>,
}

#[derive(Deserialize)]
struct Targets {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    name: String,
    url: String,
    delivery: String,
    state: String,
    #[serde(default)]
    breaker_open_until: Option<String>,
    hold: Option<Hold>,
    stats: Figures,
}

#[derive(Deserialize)]
struct Hold {
    until: Option<String>,
    detail: String,
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
        TargetsCommand::Pause(named) => command(&named, "pause", "paused")?,
        TargetsCommand::Resume(named) => command(&named, "resume", "resumed")?,
        TargetsCommand::Restart(named) => command(&named, "restart", "restarted")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn command(named: &Named, verb: &str, done: &str) -> Result<()> {
    let target = &named.target;
    let path = format!("/api/v1/targets/{}/{verb}", segment(target));
    let client = named.selector.client()?;
    let _done = client.post(&path, None)?.check()?;
    let queue: Queue = client.get("/api/v1/queue")?;
    write_out(match queue.shared {
        None => format!("{target} is {done}\n"),
        Some(shared) => format!("{target} is {done} in this one of {}\n", shared.summary()),
    })
}

fn list(selector: &QueueSelector, format: OutputFormat) -> Result<()> {
    let answer = selector
        .client()?
        .send(Method::GET, "/api/v1/targets", None)?;
    if format == OutputFormat::Json {
        return write_out(&answer.check()?.body);
    }
    let Targets { targets } = answer.json()?;
    let mut out = output();
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
        if let Some(Hold { until, detail }) = target.hold {
            let until = until.map_or_else(
                || "until an event is delivered".to_owned(),
                |at| format!("until {at}"),
            );
            writeln!(out, "  held {until}: {detail}")?;
        }
        if let Some(until) = target.breaker_open_until {
            writeln!(out, "  its breaker is open until {until}")?;
        }
    }
    Ok(())
}
