//! The program that an operator puts beside a scheduler.
//!
//! *Architecture invariant*: there is no delivery logic here; this crate wires the others.

mod admin;
mod cli;
mod commands;
mod console;
mod http;
mod signals;
mod sources;
mod summary;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
