//! `cargo xtask mutants` changes the code in small ways and looks whether a test fails each time.

use crate::tools;
use crate::workspace::{self, say};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::process::{Command, ExitCode};

/// Change the code in small ways, and list the changes that no test notices
///
/// Runs cargo-mutants, which it installs if that is missing, on the lines that differ from the branch
/// `main`; or, with arguments, as they say: `cargo xtask mutants --file crates/webhook-queue/src/quotas.rs`.
/// Each mutant is built and tested alone, which takes half a minute or more.
#[derive(Debug, clap::Args)]
pub(crate) struct MutantsArgs {
    /// Options of cargo-mutants
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    options: Vec<OsString>,
}

/// Runs the command, and exits as cargo-mutants does.
pub(crate) fn run(args: &MutantsArgs) -> Result<ExitCode> {
    ensure!(tools::MUTANTS.ensure(), "cargo-mutants is not installed");
    let mut command = workspace::cargo();
    // Only with it are the other crates than the default one looked at.
    command.args(["mutants", "--workspace", "--output", "target"]);
    if args.options.is_empty() {
        let diff = workspace::root().join("target/mutants.diff");
        std::fs::write(&diff, changes()?).context("cannot write target/mutants.diff")?;
        command.arg("--in-diff").arg(diff);
    }
    let status = command.args(&args.options).status();
    let status = status.context("cannot start cargo-mutants")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What differs from the last commit that is in `main`, too.
fn changes() -> Result<Vec<u8>> {
    let diff = Command::new("git")
        .args(["diff", "--merge-base", "main", "--", "crates"])
        .current_dir(workspace::root())
        .output()
        .context("cannot start git")?;
    if !diff.status.success() {
        bail!("git diff: {}", String::from_utf8_lossy(&diff.stderr));
    }
    if diff.stdout.is_empty() {
        say("nothing in crates differs from the branch main");
    }
    Ok(diff.stdout)
}
