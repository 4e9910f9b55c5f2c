//! `cargo xtask crates` packages the crates as they are published, and compiles them from that.

use crate::tools::Outcome;
use crate::workspace::{self, say};
use anyhow::{Result, bail};
use std::process::ExitCode;

/// What crates.io shows of a crate, and cargo packages it without.
const FIELDS: [&str; 4] = ["description", "keywords", "categories", "readme"];

/// Packages the crates that can be published, and compiles each from its package and those of the
/// others: nothing may be missing there that only the repository has.
pub(crate) fn check() -> Result<Outcome> {
    let metadata = workspace::metadata()?;
    let (mut problems, mut excluded) = (Vec::new(), Vec::new());
    for package in metadata.workspace_packages() {
        if package.publish.as_ref().is_some_and(Vec::is_empty) {
            excluded.extend(["--exclude".to_owned(), package.name.to_string()]);
            continue;
        }
        let set = [
            package.description.is_some(),
            !package.keywords.is_empty(),
            !package.categories.is_empty(),
            package.readme.is_some(),
        ];
        let missing = FIELDS.iter().zip(set).filter(|(_, set)| !set);
        problems.extend(missing.map(|(field, _)| format!("{} has no {field}", package.name)));
    }
    workspace::fail_on(&problems, "crates lack what crates.io shows of them")?;
    let mut command = workspace::cargo();
    // The dependencies that are compiled already are used again.
    command.env("CARGO_TARGET_DIR", &*metadata.target_directory);
    command.args(["package", "--workspace", "--locked", "--allow-dirty"]);
    match command.args(excluded).status()?.success() {
        true => Ok(Outcome::Passed),
        false => bail!("a crate cannot be compiled from its package"),
    }
}

/// Runs the check.
pub(crate) fn run() -> Result<ExitCode> {
    check()?;
    say("each crate compiles from its package, in target/package");
    Ok(ExitCode::SUCCESS)
}
