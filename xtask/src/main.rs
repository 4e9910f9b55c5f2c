//! The project's own commands: `cargo xtask bench | ci | crates | demo | fuzz | fuzz-api | gen-fixtures | guard |
//! layers | measure | models | mutants | package | schedulers | torture`. Those that need much to compile are crates
//! of their own under `tests`, which are built when they are called.
//!
//! *Architecture invariant*: nothing that ships depends on this crate.

mod api_fuzz;
mod ci;
mod crates;
mod demo;
mod fuzz;
mod gen_fixtures;
mod guard;
mod layers;
mod models;
mod mutants;
mod package;
mod promises;
mod sources;
mod syntax;
mod tools;
mod workspace;

use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "The project's own commands"
)]
enum Command {
    /// Measure webhookd beside other senders, and write docs/benchmarks.md
    #[command(disable_help_flag = true)]
    Bench(Passed),
    Ci(ci::CiArgs),
    /// Package the crates as they are published, and compile each from its package
    Crates,
    Demo(demo::DemoArgs),
    Fuzz(fuzz::FuzzArgs),
    /// Send a running webhookd requests that schemathesis makes of docs/openapi.yaml
    FuzzApi,
    GenFixtures(gen_fixtures::GenFixturesArgs),
    Guard(guard::GuardArgs),
    /// Check each crate's dependencies and sources against the rules of its layer
    Layers,
    /// Measure what is promised under load
    #[command(disable_help_flag = true)]
    Measure(Passed),
    /// Run the models of threads that share state in every order of their steps
    Models,
    Mutants(mutants::MutantsArgs),
    Package(package::PackageArgs),
    /// Run a real scheduler with webhookd beside it, and check what arrives
    #[command(disable_help_flag = true)]
    Schedulers(Passed),
    /// Kill webhookd repeatedly under receivers that misbehave, and check every delivery
    #[command(disable_help_flag = true)]
    Torture(Passed),
}

/// Arguments of a program that is started as it is given them.
#[derive(Debug, clap::Args)]
struct Passed {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    all: Vec<OsString>,
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Bench(args) => workspace::run_package("bench", "release", Some("bench"), &args),
        Command::Ci(args) => ci::run(&args),
        Command::Crates => crates::run(),
        Command::Demo(args) => demo::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::FuzzApi => api_fuzz::run(),
        Command::GenFixtures(args) => gen_fixtures::run(&args),
        Command::Guard(args) => guard::run(&args),
        Command::Layers => layers::run(),
        Command::Measure(args) => {
            workspace::run_package("bench", "release", Some("measure"), &args)
        }
        Command::Models => models::run(),
        Command::Mutants(args) => mutants::run(&args),
        Command::Package(args) => package::run(&args),
        Command::Schedulers(args) => {
            if args.all.iter().any(|arg| arg == "slurm") && !tools::SLURM.ensure() {
                workspace::say("Slurm is not installed, and only root can install it");
                return ExitCode::FAILURE;
            }
            workspace::run_package("schedulers", "dev", None, &args)
        }
        Command::Torture(args) => workspace::run_package("torture", "dev", None, &args),
    };
    outcome.unwrap_or_else(|error| {
        workspace::say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}
