//! The program that an operator puts beside a scheduler.
//!
//! *Architecture invariant*: there is no delivery logic here; this crate wires the others.

mod commands;

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version)]
enum Cli {
    Check(commands::check::CheckArgs),
    Config(commands::config_show::ConfigArgs),
    Schema(commands::schema::SchemaArgs),
    Receive(commands::receive::ReceiveArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse() {
        Cli::Check(args) => commands::check::run(args),
        Cli::Config(args) => commands::config_show::run(args),
        Cli::Schema(args) => commands::schema::run(args),
        Cli::Receive(args) => commands::receive::run(args),
    }
}
