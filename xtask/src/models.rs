//! `cargo xtask models` runs the models of the threads that share state: loom runs each in every
//! order of the threads' steps.

use crate::tools::Outcome;
use crate::workspace::{self, say};
use anyhow::{Context, Result, bail};
use std::process::ExitCode;

/// Where the crates are built for loom, so that neither build replaces the other.
const TARGET_DIR: &str = "target/models";

/// `cargo xtask models`.
pub(crate) fn run() -> Result<ExitCode> {
    check()?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the models of each crate that has some.
///
/// # Errors
/// A model fails in one of the orders, or does not compile.
pub(crate) fn check() -> Result<Outcome> {
    let mut command = workspace::cargo();
    command
        .args(["test", "--locked", "--lib", "--target-dir", TARGET_DIR])
        .args([
            "--package",
            "webhook-dispatch",
            "--package",
            "webhook-queue",
        ])
        // The orders are many: what runs them is optimized.
        .args(["--config", "profile.dev.package.loom.opt-level=2"])
        .args(["--", "models::"])
        .env("RUSTFLAGS", "--cfg loom");
    say(
        "$ RUSTFLAGS='--cfg loom' cargo test --lib -p webhook-dispatch -p webhook-queue -- models::",
    );
    let status = command.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("a model failed ({status})");
    }
    Ok(Outcome::Passed)
}
