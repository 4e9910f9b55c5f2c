//! `cargo xtask ci`: everything that a change must pass, in order.

use crate::{guard, layers, sources, workspace};
use anyhow::{Context, Result, bail};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Run every check that a change must pass
///
/// Needs Rust (with rustfmt and clippy) and a C compiler. Uses cargo-nextest and cargo-deny
/// where they are installed, and valgrind, which it installs where it runs as root and there is
/// apt-get.
#[derive(Debug, clap::Args)]
pub(crate) struct CiArgs {
    /// Run the steps after a failed one as well
    #[arg(long)]
    keep_going: bool,
}

enum Outcome {
    Passed,
    Skipped(&'static str),
}

struct Step {
    name: &'static str,
    run: fn() -> Result<Outcome>,
}

/// The cheap ones first, so that a slip is told early.
const STEPS: &[Step] = &[
    Step {
        name: "format",
        run: format,
    },
    Step {
        name: "layers: dependencies of each crate",
        run: || passed(layers::check()),
    },
    Step {
        name: "layers: modules within each crate",
        run: || passed(layers::check_modules()),
    },
    Step {
        name: "layers: sources of each crate",
        run: || passed(sources::check()),
    },
    Step {
        name: "licenses and sources of dependencies",
        run: deny,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "fixtures are what gen-fixtures writes",
        run: fixtures,
    },
    Step {
        name: "tests",
        run: tests,
    },
    Step {
        name: "examples in the documentation",
        run: doc_tests,
    },
    Step {
        name: "examples compile",
        run: examples,
    },
    Step {
        name: "documentation",
        run: documentation,
    },
    Step {
        name: "instructions of the hot paths",
        run: instructions,
    },
    Step {
        name: "demo",
        run: demo,
    },
    Step {
        name: "torture, the short form",
        run: torture,
    },
];

/// Runs the steps. Exits 1 when one fails, naming it.
pub(crate) fn run(args: &CiArgs) -> Result<ExitCode> {
    let start = Instant::now();
    let mut failed = Vec::new();
    for (index, step) in STEPS.iter().enumerate() {
        say(&format!("\n== {}/{} {}", index + 1, STEPS.len(), step.name));
        let start = Instant::now();
        let outcome = (step.run)();
        let took = seconds(start.elapsed());
        match outcome {
            Ok(Outcome::Passed) => say(&format!("== passed in {took}")),
            Ok(Outcome::Skipped(why)) => say(&format!("== SKIPPED: {why}")),
            Err(error) => {
                say(&format!("{error:#}\n== FAILED after {took}: {}", step.name));
                failed.push(step.name);
                if !args.keep_going {
                    break;
                }
            }
        }
    }
    let took = seconds(start.elapsed());
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

fn format() -> Result<Outcome> {
    cargo(&["fmt", "--all", "--check"])
}

fn clippy() -> Result<Outcome> {
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])
}

fn fixtures() -> Result<Outcome> {
    let xtask = std::env::current_exe().context("cannot tell where xtask is")?;
    execute(Command::new(xtask).args(["gen-fixtures", "--check"]))
}

fn tests() -> Result<Outcome> {
    // Once here, not once in each test process.
    let webhookd = workspace::build_webhookd("dev")?;
    let mut command = workspace::cargo();
    command.env("WEBHOOKD_BINARY", webhookd);
    if installed("nextest") {
        command.args(["nextest", "run", "--workspace", "--locked"]);
    } else {
        command.args([
            "test",
            "--workspace",
            "--locked",
            "--lib",
            "--bins",
            "--tests",
        ]);
    }
    execute(&mut command)
}

fn doc_tests() -> Result<Outcome> {
    cargo(&["test", "--doc", "--workspace", "--locked"])
}

fn examples() -> Result<Outcome> {
    cargo(&["build", "--examples", "--workspace", "--locked"])
}

fn documentation() -> Result<Outcome> {
    let mut command = workspace::cargo();
    command.env("RUSTDOCFLAGS", "-D warnings");
    execute(command.args(["doc", "--workspace", "--no-deps", "--locked"]))
}

fn deny() -> Result<Outcome> {
    if !installed("deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed"));
    }
    // Advisories need a network, and change without a change of ours: they are asked for by hand.
    cargo(&[
        "deny",
        "--workspace",
        "--locked",
        "check",
        "bans",
        "licenses",
        "sources",
    ])
}

fn demo() -> Result<Outcome> {
    let xtask = std::env::current_exe().context("cannot tell where xtask is")?;
    execute(Command::new(xtask).args(["demo", "--profile", "dev"]))
}

fn instructions() -> Result<Outcome> {
    Ok(match guard::check()? {
        guard::Outcome::Passed => Outcome::Passed,
        guard::Outcome::Skipped(why) => Outcome::Skipped(why),
    })
}

/// A few kills; `cargo xtask torture` alone makes fifty.
fn torture() -> Result<Outcome> {
    let xtask = std::env::current_exe().context("cannot tell where xtask is")?;
    execute(Command::new(xtask).args([
        "torture",
        "--profile",
        "dev",
        "--rounds",
        "6",
        "--events",
        "6000",
        "--seed",
        "5",
    ]))
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

fn cargo(args: &[&str]) -> Result<Outcome> {
    execute(workspace::cargo().args(args))
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
    say(&format!("$ {shown}"));
    let status = command
        .status()
        .with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(Outcome::Passed)
}

/// Whether cargo has this subcommand.
fn installed(subcommand: &str) -> bool {
    let mut command = workspace::cargo();
    command
        .args([subcommand, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[expect(
    clippy::print_stderr,
    reason = "headings, between what the steps print themselves"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
