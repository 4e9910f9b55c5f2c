//! `cargo xtask gen-fixtures` writes `tests/fixtures`, and streams of events of realistic size.

mod cluster;
mod corpus;
mod invalid;
mod job;
mod random;
mod sample;

use crate::workspace;
use anyhow::{Context, Result, bail};
pub(crate) use cluster::Cluster;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write tests/fixtures, or a stream of events of any length
#[derive(Debug, clap::Args)]
pub(crate) struct GenFixturesArgs {
    /// Change nothing; fail if a file is missing, different or unexpected
    #[arg(long, conflicts_with = "events")]
    check: bool,

    /// Write a stream of this many events instead, of about 3.5 KB each
    #[arg(long, value_name = "N", requires = "out")]
    events: Option<u64>,

    /// The seed of the stream: the same seed makes the same stream
    #[arg(long, value_name = "S", default_value_t = 1, requires = "events")]
    seed: u64,

    /// The file to write the stream to; `-` is standard output
    #[arg(long, value_name = "FILE", requires = "events")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &GenFixturesArgs) -> Result<ExitCode> {
    match (args.events, &args.out) {
        (Some(count), Some(out)) if out == Path::new("-") => {
            stream(count, args.seed, &mut io::stdout().lock()).context("standard output")?;
        }
        (Some(count), Some(out)) => {
            let name = || out.display().to_string();
            let mut file = fs::File::create(out).with_context(name)?;
            stream(count, args.seed, &mut file).with_context(name)?;
        }
        _ => {
            let directory = workspace::root().join("tests/fixtures");
            if args.check {
                check(&directory)?
            } else {
                write(&directory)?
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes `count` events, a line each.
fn stream(count: u64, seed: u64, out: &mut dyn Write) -> Result<()> {
    const WRITE_FROM: usize = 1 << 20;
    let mut cluster = Cluster::new(seed, 100, 10);
    let mut lines = Vec::with_capacity(2 * WRITE_FROM);
    for _ in 0..count {
        cluster.next_event(&mut lines)?;
        lines.push(b'\n');
        if lines.len() >= WRITE_FROM {
            out.write_all(&lines)?;
            lines.clear();
        }
    }
    out.write_all(&lines)?;
    Ok(out.flush()?)
}

/// Every fixture: its path in `tests/fixtures` and its bytes.
fn fixtures() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    files.insert(
        PathBuf::from("webhook.json"),
        sample::WEBHOOK_JSON.as_bytes().to_vec(),
    );
    files.insert(PathBuf::from("sample.json"), sample::payload()?);
    let mut events = Vec::new();
    let mut cluster = Cluster::new(20, 4, 2);
    for _ in 0..60 {
        cluster.next_event(&mut events)?;
        events.push(b'\n');
    }
    files.insert(PathBuf::from("events.ndjson"), events);
    for (name, payloads) in corpus::payloads()? {
        files.insert(
            Path::new("payloads").join(name).with_extension("ndjson"),
            payloads,
        );
    }
    for (name, input) in invalid::inputs() {
        files.insert(
            Path::new("invalid").join(name).with_extension("json"),
            input,
        );
    }
    Ok(files)
}

fn write(directory: &Path) -> Result<()> {
    let wanted = fixtures()?;
    for (path, bytes) in &wanted {
        let path = directory.join(path);
        let parent = path.parent().context("a fixture is in a directory")?;
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    for path in present(directory)? {
        if !wanted.contains_key(&path) {
            let path = directory.join(path);
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

fn check(directory: &Path) -> Result<()> {
    let faults = faults(directory, &fixtures()?)?;
    if faults.is_empty() {
        return Ok(());
    }
    bail!(
        "{} is not what gen-fixtures writes:\n  {}\nrun `cargo xtask gen-fixtures`, and look at the difference",
        directory.display(),
        faults.join("\n  ")
    );
}

/// A line for each file of `directory` that is missing, different or unexpected.
fn faults(directory: &Path, wanted: &BTreeMap<PathBuf, Vec<u8>>) -> Result<Vec<String>> {
    let present = present(directory)?;
    let mut faults = Vec::new();
    for (path, bytes) in wanted {
        if !present.contains(path) {
            faults.push(format!("missing: {}", path.display()));
        } else if fs::read(directory.join(path)).with_context(|| path.display().to_string())?
            != *bytes
        {
            faults.push(format!("different: {}", path.display()));
        }
    }
    for path in present {
        if !wanted.contains_key(&path) {
            faults.push(format!("unexpected: {}", path.display()));
        }
    }
    Ok(faults)
}

/// The files under `directory`, by their paths in it.
fn present(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        let entries = match fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| next.display().to_string()),
        };
        for entry in entries {
            let entry = entry.with_context(|| next.display().to_string())?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else {
                files.push(entry.path().strip_prefix(directory)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}
