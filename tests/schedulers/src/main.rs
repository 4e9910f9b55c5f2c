//! `cargo xtask schedulers NAME`: a real scheduler on this machine, with webhookd beside it.
//!
//! Each test starts the scheduler in a folder of its own, on free ports of 127.0.0.1, lets it run
//! jobs, kills webhookd in between, and compares what arrived with what the scheduler says.
//! docs/schedulers.md says what these tests have shown.
//!
//! *Architecture invariant*: the product is driven from outside, by testkit.

mod airflow;
mod delivered;
mod ray;
mod slurm;
mod wait;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use testkit::Receiver;

/// Run a real scheduler with webhookd beside it, and check what arrives
///
/// A failed check ends the program with a message, and the folder with all logs is kept.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask schedulers", bin_name = "cargo xtask schedulers")]
enum Scheduler {
    /// Airflow with SQLite and the listener of the documentation (needs Python 3 and PyPI)
    Airflow,
    /// Ray, which posts batches of events (needs Python 3 and PyPI)
    Ray,
    /// One Slurm node that posts each ended job (some 90 seconds; needs root and Debian's packages)
    Slurm,
}

fn main() -> Result<ExitCode> {
    let scheduler = Scheduler::parse();
    let start = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("webhook-schedulers-")
        .tempdir()
        .context("cannot make a temporary folder")?
        .keep();
    say(&format!("the logs are in {}", folder.display()));
    match scheduler {
        Scheduler::Airflow => airflow::run(&folder),
        Scheduler::Ray => ray::run(&folder),
        Scheduler::Slurm => slurm::run(&folder),
    }
    std::fs::remove_dir_all(&folder).context("cannot remove the temporary folder")?;
    say(&format!("passed in {:.1} s", start.elapsed().as_secs_f64()));
    Ok(ExitCode::SUCCESS)
}

/// Writes `webhook.json`, and returns its path.
fn config(folder: &Path, inputs: &Value, targets: &Value) -> PathBuf {
    let config = json!({ "inputs": inputs, "targets": targets });
    let path = folder.join("webhook.json");
    std::fs::write(&path, format!("{config:#}\n")).expect("the folder takes files");
    path
}

fn target(name: &str, receiver: &Receiver) -> Value {
    json!({
        "name": name,
        "targetURL": receiver.url(),
        "headers": { "Content-Type": "application/json" },
        "timeoutMsec": 5000,
        "retry": { "initialMsec": 100, "maxMsec": 2000 },
    })
}

#[expect(clippy::print_stderr, reason = "the progress of a command")]
fn say(text: &str) {
    eprintln!("{text}");
}
