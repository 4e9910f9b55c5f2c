//! `cargo xtask bench admin`: what the views of the page cost webhookd, with a long queue behind them.
//!
//! webhookd gets a backlog that its receiver refuses and dead letters, and is started again. Then the
//! requests of each view are made, many times each, and the processor time of the process is read before
//! and after. What it uses without requests is measured first and taken off.

mod queue;
mod views;

use crate::figures::{Bound, Figures, median};
use crate::{Subject, ensure_space, machine, say};
use anyhow::{Context, Result, ensure};
use queue::Filled;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use testkit::{Client, Process};
use views::{Paths, VIEWS};

/// The most milliseconds of processor time that a view may cost.
const MOST_MS: f64 = 5.0;
/// How long the process is watched without requests.
const IDLE: Duration = Duration::from_secs(5);
/// Bytes on the disk for each event: a page and what is written about it, generously.
const PER_EVENT: u64 = 6_000;

/// Measure what the views of the page cost, with a long queue behind them
///
/// Prints the processor time of each request and of each view. Exits 1 with --check when a view costs more
/// than 5 ms.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AdminArgs {
    /// Events that a target is owed [default: 1000000, quick 20000]
    #[arg(long, value_name = "N")]
    owed: Option<u32>,

    /// Dead letters of another target [default: 100000, quick 20000]
    #[arg(long, value_name = "N")]
    dead: Option<u32>,

    /// How often each request is made in a round
    #[arg(long, value_name = "N", default_value_t = 100)]
    repeats: u32,

    /// Rounds, of whose figures the median is shown
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,

    /// Put the queue into a new PostgreSQL server
    #[arg(long)]
    postgres: bool,

    /// Small numbers
    #[arg(long)]
    quick: bool,

    /// Exit 1 when a view costs more
    #[arg(long)]
    check: bool,
}

/// Fills a queue, measures, and prints.
pub(crate) fn run(args: &AdminArgs, subject: &Subject) -> Result<ExitCode> {
    let webhookd = subject.webhookd()?;
    let parent = subject.parent()?;
    let number =
        |given: Option<u32>, whole| given.unwrap_or(if args.quick { 20_000 } else { whole });
    let (owed, dead) = (number(args.owed, 1_000_000), number(args.dead, 100_000));
    ensure_space(&parent, u64::from(owed + dead) * PER_EVENT)?;
    say(&machine::describe());
    let filled = Filled::fill(&webhookd, &parent, (owed, dead), args.postgres)?;
    let daemon = filled.start(&webhookd)?;
    let paths = Paths::find(&daemon.url)?;
    let mut figures = Figures::default();
    figures.row("owed", owed.to_string());
    figures.row("dead letters", dead.to_string());
    figures.row(
        "queue",
        if args.postgres {
            "PostgreSQL"
        } else {
            "embedded"
        },
    );
    let idle = idle(&daemon.process);
    figures.row("without requests", format!("{:.1} ms a second", idle * 1e3));
    for (view, requests) in VIEWS {
        let mut whole = 0.0;
        for request in *requests {
            let path = paths.fill(request);
            let rounds = 0..args.rounds;
            let each =
                rounds.map(|_| cost(&daemon.process, &daemon.url, &path, args.repeats, idle));
            let ms = median(&each.collect::<Result<Vec<_>>>()?);
            figures.row(format!("{view}: GET {request}"), format!("{ms:.2} ms"));
            whole += ms;
        }
        figures.aim(view, whole, Bound::AtMost(MOST_MS), " ms");
    }
    say(&format!("load after: {}\n", machine::load()));
    say(&figures.table());
    Ok(figures.exit_code(args.check))
}

/// The processor time that the process uses in a second without requests, in seconds.
fn idle(process: &Process) -> f64 {
    let (before, began) = (process.processor_time(), Instant::now());
    process.has_ended(IDLE);
    let used = process.processor_time() - before;
    used.as_secs_f64() / began.elapsed().as_secs_f64()
}

/// The processor time that a request costs, in milliseconds.
fn cost(process: &Process, url: &str, path: &str, repeats: u32, idle: f64) -> Result<f64> {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut client = Client::connect(url).context("the admin API listens")?;
    let (before, began) = (process.processor_time(), Instant::now());
    for _ in 0..repeats {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))?;
        let answer = client.answer().context("a request is answered")?;
        ensure!(answer.status == 200, "{path} was answered {}", answer.head);
    }
    let used = process.processor_time() - before;
    let own = used.as_secs_f64() - idle * began.elapsed().as_secs_f64();
    Ok(own.max(0.0) * 1e3 / f64::from(repeats))
}
