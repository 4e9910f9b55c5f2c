//! The program that an operator runs beside a scheduler.
//!
//! *Architecture invariant*: this crate has no delivery logic; it connects the other crates.

mod admin;
mod attempt_json;
mod auth;
mod cli;
mod commands;
mod console;
mod daemon;
mod database;
mod dead_letters;
mod delivery_log;
mod exit;
mod http;
mod log;
mod messages;
mod notices;
mod notify;
mod otlp;
mod periodic;
mod reload;
mod shared_queue;
mod shown;
mod signals;
mod sources;
mod summary;
mod test_event;
mod units;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
