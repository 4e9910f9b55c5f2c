//! `cargo xtask measure` and `cargo xtask bench`: what webhookd promises under load, and how fast
//! it is beside other senders.
//!
//! *Architecture invariant*: nothing that ships depends on this crate, and it drives webhookd from
//! outside, by testkit.

mod admin;
mod compare;
mod figures;
mod machine;
mod measure;
mod other_load;
mod postgres;
mod receiver;
mod tool;

use anyhow::{Context, Result};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    Bench(Box<compare::BenchArgs>),
    Measure(measure::MeasureArgs),
    #[command(hide = true, subcommand)]
    Tool(tool::Tool),
}

fn main() -> Result<ExitCode> {
    match Command::parse() {
        Command::Bench(args) => compare::run(&args),
        Command::Measure(args) => measure::run(&args),
        Command::Tool(tool) => tool::run(&tool).map(|()| ExitCode::SUCCESS),
    }
}

/// The program to measure, and where queues go.
#[derive(Debug, clap::Args)]
struct Subject {
    /// Measure this binary instead of building webhookd
    #[arg(long, value_name = "PATH", global = true)]
    binary: Option<PathBuf>,

    /// Put queues and events into a folder here [default: the cargo target directory]
    #[arg(long, value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
}

impl Subject {
    /// The program, which is built unless it is given.
    fn webhookd(&self) -> Result<PathBuf> {
        match &self.binary {
            Some(path) => std::path::absolute(path).context("the path given with --binary"),
            None => {
                say("building webhookd ...");
                Ok(testkit::build("webhookd", "release"))
            }
        }
    }

    fn parent(&self) -> Result<PathBuf> {
        match &self.folder {
            Some(path) => std::path::absolute(path).context("the path given with --folder"),
            None => Ok(testkit::repository("target")),
        }
    }
}

/// Fails when there is too little room for so many bytes.
fn ensure_space(folder: &Path, needed: u64) -> Result<()> {
    let found = rustix::fs::statvfs(folder)
        .with_context(|| format!("cannot look at {}", folder.display()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    anyhow::ensure!(
        free >= needed,
        "{} has {} MB free, and {} MB are needed: name another with --folder, or fewer events",
        folder.display(),
        free / 1_000_000,
        needed / 1_000_000
    );
    Ok(())
}

/// Drops a file from the system's cache, as a restart of the machine does.
fn evict(file: &Path) -> Result<()> {
    let file =
        std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    file.sync_all().context("cannot sync")?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).context("cannot evict")
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn say(text: &str) {
    println!("{text}");
}
