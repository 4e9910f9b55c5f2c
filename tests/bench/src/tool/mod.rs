//! The processes that `bench` starts beside webhookd: the receiver, the clients that webhookd is
//! compared with, and a feeder that keeps its pace. Each is this program again, so that its
//! processor time can be told apart.

mod async_clients;
mod bare;
mod pace;
pub(crate) mod receiver;
mod requests;

pub(crate) use pace::Report as PaceReport;

use anyhow::Result;
use std::time::Duration;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Tool {
    Receiver,
    Bare(requests::ClientArgs),
    Hyper(requests::ClientArgs),
    Reqwest(requests::ClientArgs),
    Pace(pace::PaceArgs),
}

pub(crate) fn run(tool: &Tool) -> Result<()> {
    match tool {
        Tool::Receiver => receiver::run(),
        Tool::Bare(args) => bare::run(args),
        Tool::Hyper(args) => async_clients::run(args, async_clients::hyper),
        Tool::Reqwest(args) => async_clients::run(args, async_clients::reqwest),
        Tool::Pace(args) => pace::run(args),
    }
}

/// Microseconds of the clock that all processes of a machine share.
fn now_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::try_from(now).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
