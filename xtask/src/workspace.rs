//! The repository's root, and cargo in it.

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, Metadata, MetadataCommand};
use std::ffi::OsString;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// The root of the repository, whatever the working directory is.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable when it runs xtask; a binary started by hand uses its build's.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}

/// A `cargo` command in the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // Cargo sets these for the package that it runs, xtask. A build script that depends on one
    // would run again for each build from here after one from a shell.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// The workspace's metadata, with the dependencies of every platform.
pub(crate) fn metadata() -> Result<Metadata> {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()
        .context("cargo metadata")
}

/// Builds `webhookd` with a cargo profile, and returns the path of the binary.
pub(crate) fn build_webhookd(profile: &str) -> Result<PathBuf> {
    build("webhookd", profile)
}

/// Builds a package with a binary of the same name, and returns the path of that binary.
pub(crate) fn build(package: &str, profile: &str) -> Result<PathBuf> {
    let mut child = cargo()
        .args(["build", "--locked", "--package", package])
        .args(["--profile", profile])
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let stdout = child.stdout.take().context("standard output is piped")?;
    let mut binary = None;
    for message in Message::parse_stream(BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message.context("cargo's messages")?
            && artifact.target.name == package
            && let Some(path) = artifact.executable
        {
            binary = Some(path.into_std_path_buf());
        }
    }
    if !child.wait().context("cargo build")?.success() {
        bail!("{package} does not build");
    }
    binary.with_context(|| format!("cargo built {package} but named no executable"))
}

/// Writes a line to standard error.
#[expect(clippy::print_stderr, reason = "progress of a command line program")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Builds a package of one binary with these options of cargo, and runs it; its exit code.
pub(crate) fn run_package(options: &[&str], args: &[OsString]) -> Result<ExitCode> {
    let mut cargo = cargo();
    // The program is given paths that are relative to this folder.
    cargo.current_dir(std::env::current_dir().context("the working directory")?);
    cargo.args(["run", "--quiet", "--locked"]).args(options);
    cargo.arg("--manifest-path").arg(root().join("Cargo.toml"));
    let status = cargo.arg("--").args(args).status();
    let status = status.context("cannot start cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
