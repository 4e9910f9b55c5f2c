//! `cargo xtask ci` runs every check that a change must pass.

use crate::tools::{self, Outcome};
use crate::workspace::{self, say};
use crate::{api_fuzz, crates, fuzz, guard, layers, models, package, sources};
use anyhow::{Context, Result, bail};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Run every check that a change must pass
///
/// Needs Rust, with rustfmt and clippy, and a C compiler. Uses cargo-nextest if it is installed.
/// Installs what is missing: cargo-deb, cargo-deny and typos from crates.io (six minutes on two
/// cores); as root with apt-get, a C++ compiler, PostgreSQL, Chromium, npm, Node, Go, valgrind,
/// faketime, debootstrap, buildah, runc and Slurm; Airflow, Flask and schemathesis from PyPI into
/// `target/python`; axe-core and Express from npm into `target/npm`. A check that cannot run is left
/// out and named at the end; if the environment variable CI is set, it fails.
#[derive(Debug, clap::Args)]
pub(crate) struct CiArgs {
    /// Run the steps after a failed one as well
    #[arg(long)]
    keep_going: bool,
}

type Step = (&'static str, fn() -> Result<Outcome>);

/// In this order: the cheap steps first.
const STEPS: &[Step] = &[
    ("format", || cargo("fmt --all --check")),
    ("layers: dependencies of each crate", || {
        passed(layers::check())
    }),
    ("layers: modules within each crate", || {
        passed(layers::check_modules())
    }),
    ("layers: sources of each crate", || passed(sources::check())),
    ("licenses and sources of dependencies", deny),
    ("spelling", spelling),
    ("clippy", || {
        cargo("clippy --workspace --all-targets --locked -- -D warnings")
    }),
    ("fixtures are what gen-fixtures writes", || {
        xtask("gen-fixtures --check")
    }),
    ("PostgreSQL, for the tests", postgres),
    ("Chromium and axe-core, for the tests", chromium),
    ("Flask, Express and Go, for the tests", receivers),
    ("tests", tests),
    (
        "models of threads, in every order of their steps",
        models::check,
    ),
    ("examples in the documentation", || {
        cargo("test --doc --workspace --locked")
    }),
    ("examples compile", || {
        cargo("build --examples --workspace --locked")
    }),
    ("documentation", documentation),
    ("crates compile from their packages", crates::check),
    (
        "requests that a fuzzer makes of docs/openapi.yaml",
        api_fuzz::check,
    ),
    ("fuzz targets, half a minute each", fuzz::check),
    ("instructions of the hot paths", guard::check),
    (
        "packages: installed, upgraded, removed, run",
        package::check,
    ),
    ("demo", || xtask("demo --profile dev")),
    ("faketime, for the torture", faketime),
    // A few kills; `cargo xtask torture` alone makes fifty.
    ("torture, the short form", || {
        xtask("torture --profile dev --rounds 6 --events 6000 --seed 6")
    }),
    ("torture of workers on PostgreSQL, the short form", workers),
    ("Slurm, the real program", slurm),
    ("Airflow, the real program", airflow),
];

/// Runs the steps. Exits 1 if a step fails.
pub(crate) fn run(args: &CiArgs) -> Result<ExitCode> {
    let must_all_run = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    let start = Instant::now();
    let (mut failed, mut left_out) = (Vec::new(), Vec::new());
    for (index, (name, step)) in STEPS.iter().enumerate() {
        say(&format!("\n== {}/{} {name}", index + 1, STEPS.len()));
        let start = Instant::now();
        let outcome = match step() {
            Ok(Outcome::LeftOut(why)) if must_all_run => {
                Err(anyhow::anyhow!("{why}; with CI set, every step must run"))
            }
            outcome => outcome,
        };
        let took = seconds(start.elapsed());
        match outcome {
            Ok(Outcome::Passed) => say(&format!("== passed in {took}")),
            Ok(Outcome::LeftOut(why)) => {
                say(&format!("== LEFT OUT: {why}"));
                left_out.push(*name);
            }
            Err(error) => {
                say(&format!("{error:#}\n== FAILED after {took}: {name}"));
                failed.push(*name);
                if !args.keep_going {
                    break;
                }
            }
        }
    }
    let took = seconds(start.elapsed());
    if !left_out.is_empty() {
        say(&format!("\nleft out: {}", left_out.join("; ")));
    }
    if failed.is_empty() {
        say(&format!("\nci passed in {took}"));
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("\nci FAILED after {took}: {}", failed.join("; ")));
    if !args.keep_going {
        say("the steps after it have not run; --keep-going runs them as well");
    }
    Ok(ExitCode::FAILURE)
}

fn tests() -> Result<Outcome> {
    // Built once here, and not in each test process.
    let webhookd = workspace::build("webhookd", "dev");
    let nextest = workspace::cargo().args(["nextest", "--version"]).output();
    let all = if nextest.is_ok_and(|output| output.status.success()) {
        "nextest run --workspace --locked"
    } else {
        say("cargo-nextest is not installed: `cargo test` runs the tests");
        "test --workspace --locked --lib --bins --tests"
    };
    let mut command = workspace::cargo();
    execute(
        command
            .env("WEBHOOKD_BINARY", webhookd)
            .args(all.split(' ')),
    )
}

fn documentation() -> Result<Outcome> {
    let mut command = workspace::cargo();
    command.env("RUSTDOCFLAGS", "-D warnings");
    execute(command.args(["doc", "--workspace", "--no-deps", "--locked"]))
}

/// Does not check advisories: their database is on the network and changes on its own.
fn deny() -> Result<Outcome> {
    if tools::DENY.ensure() {
        return cargo(
            "deny --workspace --locked check --hide-inclusion-graph bans licenses sources",
        );
    }
    Ok(Outcome::LeftOut("cargo-deny is not installed"))
}

fn spelling() -> Result<Outcome> {
    if tools::TYPOS.ensure() {
        return execute(Command::new("typos").current_dir(workspace::root()));
    }
    Ok(Outcome::LeftOut("typos is not installed"))
}

/// The tests that need it are skipped without it, or fail if CI is set.
fn postgres() -> Result<Outcome> {
    if tools::POSTGRES.ensure() {
        return Ok(Outcome::Passed);
    }
    Ok(Outcome::LeftOut("PostgreSQL is not installed"))
}

/// The tests of the admin page are skipped without them, or fail if CI is set.
fn chromium() -> Result<Outcome> {
    if !tools::CHROMIUM.ensure() {
        return Ok(Outcome::LeftOut("Chromium is not installed"));
    }
    if !tools::NPM.ensure() {
        return Ok(Outcome::LeftOut("npm is not installed"));
    }
    if let Err(why) = testkit::axe() {
        say(&why);
        return Ok(Outcome::LeftOut("axe-core cannot be installed"));
    }
    Ok(Outcome::Passed)
}

/// The tests of the receivers are skipped without them, or fail if CI is set.
fn receivers() -> Result<Outcome> {
    if let Err(why) = testkit::Python::with(&[testkit::FLASK]) {
        say(&why);
        return Ok(Outcome::LeftOut("Flask cannot be installed"));
    }
    if !tools::NODE.ensure() || !tools::NPM.ensure() {
        return Ok(Outcome::LeftOut("Node and npm are not installed"));
    }
    if let Err(why) = testkit::express() {
        say(&why);
        return Ok(Outcome::LeftOut("Express cannot be installed"));
    }
    if !tools::GO.ensure() {
        return Ok(Outcome::LeftOut("Go is not installed"));
    }
    Ok(Outcome::Passed)
}

/// The torture runs without it, too, and does not change the clock then.
fn faketime() -> Result<Outcome> {
    if tools::FAKETIME.ensure() {
        return Ok(Outcome::Passed);
    }
    Ok(Outcome::LeftOut("faketime is not installed"))
}

/// A few rounds; `cargo xtask torture --queue postgres` makes fifty.
fn workers() -> Result<Outcome> {
    if !tools::POSTGRES.is_installed() {
        return Ok(Outcome::LeftOut("PostgreSQL is not installed"));
    }
    xtask("torture --profile dev --queue postgres --workers 3 --rounds 6 --events 4000 --seed 6")
}

fn slurm() -> Result<Outcome> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Outcome::LeftOut("slurmd needs root"));
    }
    if !tools::SLURM.ensure() {
        return Ok(Outcome::LeftOut("Slurm is not installed"));
    }
    xtask("schedulers slurm")
}

fn airflow() -> Result<Outcome> {
    if let Err(why) = testkit::Python::with(&[testkit::AIRFLOW]) {
        say(&why);
        return Ok(Outcome::LeftOut("Airflow cannot be installed"));
    }
    xtask("schedulers airflow")
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

fn cargo(args: &str) -> Result<Outcome> {
    execute(workspace::cargo().args(args.split(' ')))
}

fn xtask(args: &str) -> Result<Outcome> {
    let xtask = std::env::current_exe().context("cannot tell where xtask is")?;
    execute(Command::new(xtask).args(args.split(' ')))
}

fn execute(command: &mut Command) -> Result<Outcome> {
    let name = std::path::Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let args: Vec<_> = command
        .get_args()
        .map(|arg| arg.to_string_lossy())
        .collect();
    let shown = format!("{} {}", name.to_string_lossy(), args.join(" "));
    let shown = shown.trim_end();
    say(&format!("$ {shown}"));
    let status = command
        .status()
        .with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(Outcome::Passed)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
