//! The program that an operator puts beside a scheduler.
//!
//! *Architecture invariant*: there is no delivery logic here; this crate wires the others.

mod acks;
mod cli;
mod commands;
mod console;
mod dead_letters;
mod input;
mod signals;
mod summary;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
