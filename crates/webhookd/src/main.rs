//! The program that an operator puts beside a scheduler.
//!
//! *Architecture invariant*: there is no delivery logic here; this crate wires the others.

mod commands;

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version)]
enum Cli {
    Receive(commands::receive::ReceiveArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse() {
        Cli::Receive(args) => commands::receive::run(args),
    }
}
