//! What `cargo xtask bench` measures with: a receiver, the clients that webhookd is compared
//! with, and a feeder that keeps its pace. It is a package of its own so that `cargo xtask` need
//! not compile them, and so that they are compiled as the released program is.
//!
//! *Architecture invariant*: nothing that ships depends on this crate, and it knows nothing of
//! webhookd but the bytes that it is given.

mod bare;
mod events;
mod hyper_client;
mod message;
mod pace;
mod receiver;
mod reqwest_client;

use anyhow::Result;
use clap::Parser;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(about = "What `cargo xtask bench` measures with")]
enum Command {
    Receiver,
    Bare(bare::BareArgs),
    Hyper(events::ClientArgs),
    Reqwest(events::ClientArgs),
    Pace(pace::PaceArgs),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Receiver => receiver::run(),
        Command::Bare(args) => bare::run(&args),
        Command::Hyper(args) => hyper_client::run(&args),
        Command::Reqwest(args) => reqwest_client::run(&args),
        Command::Pace(args) => pace::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Microseconds of the clock that all processes of a machine share.
fn now_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::try_from(now).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::print_stdout, reason = "how its starter hears of it")]
fn say(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "the last word of a command line program"
)]
fn say_error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
