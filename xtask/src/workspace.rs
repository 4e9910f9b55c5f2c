//! The repository's root, and cargo in it.

use crate::Passed;
use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

pub(crate) use testkit::{build, cargo};

/// The root of the repository, whatever the working directory is.
pub(crate) fn root() -> PathBuf {
    testkit::repository("")
}

/// The workspace's metadata, with the dependencies of every platform.
pub(crate) fn metadata() -> Result<Metadata> {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()
        .context("cargo metadata")
}

/// The files below a folder, sorted. Folders that `enter` refuses are left out.
pub(crate) fn files(folder: &Path, enter: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let name = || format!("cannot read {}", folder.display());
        for entry in std::fs::read_dir(&folder).with_context(name)? {
            let entry = entry.with_context(name)?;
            let kind = entry.file_type().with_context(name)?;
            if kind.is_file() {
                found.push(entry.path());
            } else if kind.is_dir() && enter(&entry.path()) {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Fails with a line for each problem, if there are any.
pub(crate) fn fail_on(problems: &[String], told: &str) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{told}:\n  {}", problems.join("\n  "));
}

/// Writes a line to standard error.
#[expect(clippy::print_stderr, reason = "progress of a command line program")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Builds a package of one binary, and runs it with these arguments; its exit code.
pub(crate) fn run_package(
    package: &str,
    profile: &str,
    command: Option<&str>,
    args: &Passed,
) -> Result<ExitCode> {
    let program = build(package, profile);
    let status = Command::new(program).args(command).args(&args.all).status();
    let status = status.with_context(|| format!("cannot start {package}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
