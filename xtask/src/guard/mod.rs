//! `cargo xtask guard`: how many instructions the hot paths take, against what is committed.
//!
//! Instructions, unlike times, are the same on a busy machine: callgrind counts them.

mod count;
mod figures;

use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use figures::{Change, Figures};
use std::path::PathBuf;
use std::process::ExitCode;

/// Count the instructions of the hot paths, and compare with what is committed
///
/// Runs each path of xtask/hot-paths under valgrind's callgrind, and fails when one takes a tenth
/// more than xtask/guard.json says. A change that is worth it is committed with --bless.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GuardArgs {
    /// Write what was counted into xtask/guard.json
    #[arg(long)]
    bless: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing takes more than it may.
    Passed,
    /// Nothing was compared, and why.
    Skipped(&'static str),
}

/// Counts and compares. Exits 1 when nothing could be compared.
pub(crate) fn run(args: &GuardArgs) -> Result<ExitCode> {
    ensure!(count::is_installed(), "valgrind is not installed");
    if args.bless {
        let counted = counted()?;
        say(&counted.table(None));
        counted.write(&path())?;
        say(&format!("written: {}", path().display()));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(match compare()? {
        Outcome::Passed => ExitCode::SUCCESS,
        Outcome::Skipped(why) => {
            say(&format!("SKIPPED: {why}"));
            ExitCode::FAILURE
        }
    })
}

/// A step of `cargo xtask ci`, which may install what it needs.
///
/// # Errors
/// A path takes more than it may, or could not be counted.
pub(crate) fn check() -> Result<Outcome> {
    if !count::is_installed() && !count::install() {
        return Ok(Outcome::Skipped(
            "valgrind is not installed: instructions of the hot paths were NOT compared",
        ));
    }
    compare()
}

fn compare() -> Result<Outcome> {
    let committed = Figures::read(&path())?;
    if !committed.is_of_this_machine() {
        return Ok(Outcome::Skipped(
            "xtask/guard.json was counted on another kind of processor: nothing was compared",
        ));
    }
    let counted = counted()?;
    say(&counted.table(Some(&committed)));
    if counted.compiler != committed.compiler {
        say(&format!(
            "counted with {}, committed with {}: what changed may be the compiler",
            counted.compiler, committed.compiler
        ));
    }
    let changes = counted.changes(&committed);
    let worse: Vec<_> = changes.iter().filter(|change| change.is_worse()).collect();
    if !worse.is_empty() {
        let worse: Vec<_> = worse.iter().map(|change| change.to_string()).collect();
        bail!(
            "more instructions than xtask/guard.json allows:\n  {}\nmake them fewer again; or, if \
             they are worth it, run `cargo xtask guard --bless` and say why in the commit",
            worse.join("\n  ")
        );
    }
    if changes.iter().any(Change::is_better) {
        say("a path takes a tenth less: `cargo xtask guard --bless` keeps it so");
    }
    Ok(Outcome::Passed)
}

fn counted() -> Result<Figures> {
    say("building the hot paths ...");
    let program = workspace::build("hot-paths", "release")?;
    let mut figures = Figures::of_this_machine()?;
    for path in count::PATHS {
        let each = count::instructions(&program, path)
            .with_context(|| format!("cannot count {}", path.name))?;
        figures.paths.insert(path.name.to_owned(), each);
    }
    Ok(figures)
}

fn path() -> PathBuf {
    workspace::root().join("xtask/guard.json")
}

#[expect(clippy::print_stderr, reason = "between what valgrind and cargo print")]
fn say(text: &str) {
    eprintln!("{text}");
}
