//! `cargo xtask gen-fixtures` writes `tests/fixtures`, what `docs` has of the same kind, and streams of
//! events of realistic size.

mod cluster;
mod corpus;
mod invalid;
mod job;
mod random;
mod sample;
mod vectors;

use crate::workspace;
use anyhow::{Context, Result};
pub(crate) use cluster::Cluster;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use webhook_model::TaskStateChange;

/// Write tests/fixtures, docs/vectors.json and docs/payload.schema.json, or a stream of events of any length
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

/// The folder of fixtures.
const FIXTURES: &str = "tests/fixtures";

/// Runs the command.
pub(crate) fn run(args: &GenFixturesArgs) -> Result<ExitCode> {
    if let (Some(count), Some(out)) = (args.events, &args.out) {
        let name = || out.display().to_string();
        let file: &mut dyn Write = match out.to_str() {
            Some("-") => &mut io::stdout().lock(),
            _ => &mut fs::File::create(out).with_context(name)?,
        };
        stream(Cluster::new(args.seed, 100, 10), count, file).with_context(name)?;
    } else {
        let root = workspace::root();
        let run = if args.check { check } else { write };
        run(&root)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the next `count` events of a cluster, a line each.
fn stream(mut cluster: Cluster, count: u64, out: &mut dyn Write) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let mut line = Vec::new();
    for _ in 0..count {
        cluster.next_event(&mut line)?;
        line.push(b'\n');
        out.write_all(&line)?;
        line.clear();
    }
    Ok(out.flush()?)
}

/// Every fixture: its path in `tests/fixtures` and its bytes.
fn fixtures() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut events = Vec::new();
    stream(Cluster::new(20, 4, 2), 60, &mut events)?;
    let mut files = BTreeMap::from([
        ("webhook.json".into(), sample::WEBHOOK_JSON.into()),
        ("sample.json".into(), sample::payload()?),
        ("events.ndjson".into(), events),
    ]);
    for (name, payloads) in corpus::payloads()? {
        files.insert(format!("payloads/{name}.ndjson").into(), payloads);
    }
    for (name, input) in invalid::inputs() {
        files.insert(format!("invalid/{name}.json").into(), input);
    }
    Ok(files)
}

/// Files among others that are not generated: their paths in the repository and their bytes.
fn documents() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let schema = serde_json::to_string_pretty(&TaskStateChange::json_schema())? + "\n";
    Ok(BTreeMap::from([
        ("docs/vectors.json".into(), vectors::vectors()?),
        ("docs/payload.schema.json".into(), schema.into_bytes()),
    ]))
}

fn write(root: &Path) -> Result<()> {
    for (path, bytes) in documents()? {
        let path = root.join(path);
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    let directory = &root.join(FIXTURES);
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

fn check(root: &Path) -> Result<()> {
    let told = "the files are not what gen-fixtures writes; run `cargo xtask gen-fixtures`, and look at the \
                difference";
    let mut faults = faults(&root.join(FIXTURES), &fixtures()?)?;
    for (path, bytes) in documents()? {
        // A file that cannot be read differs, too.
        if fs::read(root.join(&path)).ok() != Some(bytes) {
            faults.push(format!("different: {}", path.display()));
        }
    }
    workspace::fail_on(&faults, told)
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

/// Folders of what is not generated: what a fuzzer found, samples of schedulers, and schemas of the
/// services that templates are for.
const RECORDED: [&str; 3] = ["fuzz", "schedulers", "templates"];

/// The generated files under `directory`, by their paths in it. None if it does not exist.
fn present(directory: &Path) -> Result<Vec<PathBuf>> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for path in workspace::files(directory, |_| true)? {
        let path = path.strip_prefix(directory)?;
        if !RECORDED.iter().any(|folder| path.starts_with(folder)) {
            paths.push(path.to_owned());
        }
    }
    Ok(paths)
}
