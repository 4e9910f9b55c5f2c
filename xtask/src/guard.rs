//! `cargo xtask guard` counts the instructions of the hot paths and compares them with the
//! committed counts. Instructions, unlike times, do not depend on the machine's load.
//!
//! It runs valgrind's callgrind itself. gungraun would replace most of this file, but installing
//! its runner takes longer (three minutes of processor time) than this whole check.

use crate::tools::{self, Outcome};
use crate::workspace::{self, say};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Count the instructions of the hot paths and compare them with the committed counts
///
/// Runs each path of tests/hot-paths under valgrind's callgrind. Fails if a path takes over 10 %
/// more instructions than tests/hot-paths/instructions.json says; --bless updates that file.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GuardArgs {
    /// Write the counts to tests/hot-paths/instructions.json
    #[arg(long)]
    bless: bool,
}

/// The highest ratio of counted to committed instructions.
const ALLOWED: f64 = 1.10;

/// Each path with the repetitions of its shorter and its longer run.
const PATHS: &[(&str, u64, u64)] = &[
    ("attempt", 2_000, 22_000),
    ("batch", 50, 550),
    ("encode", 200, 1_200),
    ("fields", 200, 1_200),
    ("header", 200, 1_200),
    ("keep", 10, 60),
    ("known-header", 200, 1_200),
    // The seed of its hash map differs between runs; many repetitions average the collisions.
    ("lane", 2_000, 22_000),
    ("queue", 10, 110),
    ("small-commit", 50, 250),
];

/// The content of `tests/hot-paths/instructions.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Counts {
    compiler: String,
    /// The instruction set: libraries choose their loops by it.
    architecture: String,
    avx2: bool,
    /// Instructions of one repetition.
    paths: BTreeMap<String, u64>,
}

/// Runs the command. Exits 1 if the counts cannot be compared.
pub(crate) fn run(args: &GuardArgs) -> Result<ExitCode> {
    ensure!(tools::VALGRIND.is_installed(), "valgrind is not installed");
    if args.bless {
        let counts = count()?;
        say(&format!("{:#?}", counts.paths));
        let text = serde_json::to_string_pretty(&counts).context("counts as JSON")?;
        std::fs::write(file(), text + "\n")
            .context("cannot write tests/hot-paths/instructions.json")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(match compare()? {
        Outcome::Passed => ExitCode::SUCCESS,
        Outcome::LeftOut(why) => {
            say(why);
            ExitCode::FAILURE
        }
    })
}

/// Runs the check as a step of `cargo xtask ci`, which may install valgrind.
///
/// # Errors
/// A path takes too many instructions, or cannot be counted.
pub(crate) fn check() -> Result<Outcome> {
    if tools::VALGRIND.ensure() {
        return compare();
    }
    Ok(Outcome::LeftOut("valgrind is not installed"))
}

fn compare() -> Result<Outcome> {
    let committed = committed()?;
    if committed.architecture != std::env::consts::ARCH || committed.avx2 != has_avx2() {
        return Ok(Outcome::LeftOut(
            "the committed counts are of another kind of processor",
        ));
    }
    let counted = count()?;
    if counted.compiler != committed.compiler {
        say(&format!(
            "counted with {}, committed with {}: a difference may come from the compiler",
            counted.compiler, committed.compiler
        ));
    }
    let (table, worse) = differences(&counted.paths, &committed.paths);
    say(&table);
    if worse {
        bail!(
            "a hot path takes more instructions than tests/hot-paths/instructions.json allows. \
             Reduce them; or run `cargo xtask guard --bless`, and say why in the commit"
        );
    }
    Ok(Outcome::Passed)
}

/// Returns a line for each path, and whether a path takes too many instructions or is missing on
/// one side.
fn differences(
    counted: &BTreeMap<String, u64>,
    committed: &BTreeMap<String, u64>,
) -> (String, bool) {
    let mut names: Vec<&String> = counted.keys().chain(committed.keys()).collect();
    names.sort();
    names.dedup();
    let mut any_worse = false;
    let mut table = String::new();
    for name in names {
        let (line, worse) = match (counted.get(name), committed.get(name)) {
            (Some(counted), Some(committed)) => {
                let ratio = *counted as f64 / *committed as f64;
                let told = match ratio {
                    _ if ratio > ALLOWED => "; TOO MANY",
                    _ if ratio < 1.0 / ALLOWED => "; `cargo xtask guard --bless` keeps it so",
                    _ => "",
                };
                let more = (ratio - 1.0) * 100.0;
                let line =
                    format!("{counted} instructions, {committed} committed: {more:+.1} %{told}");
                (line, ratio > ALLOWED)
            }
            (Some(counted), None) => (format!("{counted} instructions, NONE committed"), true),
            (None, _) => ("committed, but NOT COUNTED any more".to_owned(), true),
        };
        table += &format!("  {name:8} {line}\n");
        any_worse |= worse;
    }
    (table, any_worse)
}

fn committed() -> Result<Counts> {
    let text = std::fs::read_to_string(file()).context(
        "cannot read tests/hot-paths/instructions.json: `cargo xtask guard --bless` writes it",
    )?;
    serde_json::from_str(&text).context("tests/hot-paths/instructions.json")
}

/// Counts the instructions of each path.
fn count() -> Result<Counts> {
    say("building the hot paths ...");
    let program = workspace::build("hot-paths", "release");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiler = Command::new(rustc).arg("--version").output();
    let compiler = compiler.context("cannot start rustc")?.stdout;
    let mut paths = BTreeMap::new();
    for (name, short, long) in PATHS {
        // The set-up is in both runs, so not in their difference.
        let more =
            callgrind(&program, name, *long)?.checked_sub(callgrind(&program, name, *short)?);
        let more =
            more.with_context(|| format!("{name} takes fewer instructions for more repetitions"))?;
        paths.insert((*name).to_owned(), more / (long - short));
    }
    Ok(Counts {
        compiler: String::from_utf8_lossy(&compiler).trim().to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        avx2: has_avx2(),
        paths,
    })
}

fn callgrind(program: &Path, name: &str, times: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &times.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let counted = collected(&said).filter(|_| output.status.success());
    counted.with_context(|| format!("valgrind cannot count {name} ({}):\n{said}", output.status))
}

/// Reads `==123== Collected : 9363599`.
fn collected(said: &str) -> Option<u64> {
    let mut lines = said.lines();
    let count = lines.find_map(|line| line.split_once("Collected :"))?.1;
    count.trim().parse().ok()
}

fn has_avx2() -> bool {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut flags = text.lines().filter(|line| line.starts_with("flags"));
    flags.any(|flags| flags.split(' ').any(|flag| flag == "avx2"))
}

fn file() -> PathBuf {
    workspace::root().join("tests/hot-paths/instructions.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counted: &[(&str, u64)], committed: &[(&str, u64)], told: &str, is_worse: bool) {
        let paths = |paths: &[(&str, u64)]| {
            let named = paths
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count));
            named.collect()
        };
        let (table, worse) = differences(&paths(counted), &paths(committed));
        assert!(table.contains(told) && worse == is_worse, "{table}");
    }

    #[test]
    fn a_tenth_more_is_allowed_and_no_more() {
        check(&[("lane", 1_100)], &[("lane", 1_000)], "+10.0 %\n", false);
        check(
            &[("lane", 1_101)],
            &[("lane", 1_000)],
            "+10.1 %; TOO MANY",
            true,
        );
        check(
            &[("a", 9), ("b", 2)],
            &[("a", 9), ("b", 1)],
            "+100.0 %; TOO MANY",
            true,
        );
    }

    #[test]
    fn a_path_that_is_on_one_side_only_fails() {
        check(&[("new", 1)], &[], "NONE committed", true);
        check(&[], &[("old", 1)], "NOT COUNTED", true);
    }

    #[test]
    fn a_path_that_became_cheaper_is_reported() {
        check(&[("lane", 900)], &[("lane", 1_000)], "--bless", false);
        check(&[("lane", 950)], &[("lane", 1_000)], "-5.0 %\n", false);
    }

    #[test]
    fn the_count_of_callgrind_is_read() {
        let said = "==7== Events    : Ir\n==7== Collected : 9363599\n==7== \n";
        assert_eq!(collected(said), Some(9_363_599));
        assert_eq!(collected("==7== Collected : none\n"), None);
        assert_eq!(collected("valgrind: cannot run\n"), None);
    }

    #[test]
    fn the_committed_counts_have_each_path_that_is_counted() {
        let committed = committed().unwrap();
        assert!(
            committed
                .paths
                .keys()
                .eq(PATHS.iter().map(|(name, ..)| *name))
        );
    }
}
