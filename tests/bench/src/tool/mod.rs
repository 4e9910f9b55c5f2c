//! The processes that `bench` starts beside webhookd: the receiver, the clients that webhookd is
//! compared with, and feeders that keep their pace. Each is this program again, so that its
//! processor time can be told apart.

mod async_clients;
mod bare;
pub(crate) mod feed;
mod pace;
pub(crate) mod receiver;
mod requests;
pub(crate) mod skip_locked;
mod tally;

pub(crate) use pace::Report as PaceReport;

use anyhow::Result;
use std::time::Duration;
use testkit::load::Load;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Tool {
    Receiver(receiver::ReceiverArgs),
    Feed(feed::FeedArgs),
    SkipLocked(skip_locked::SkipLockedArgs),
    Bare(requests::ClientArgs),
    Hyper(requests::ClientArgs),
    Reqwest(requests::ClientArgs),
    Pace(pace::PaceArgs),
}

pub(crate) fn run(tool: &Tool) -> Result<()> {
    match tool {
        Tool::Receiver(args) => receiver::run(args),
        Tool::Feed(args) => feed::run(args),
        Tool::SkipLocked(args) => skip_locked::run(args),
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

/// Microseconds in a step of the number of a [numbered event](numbered_load), which is the time at
/// which the event was to be sent. A number comes again after 1,000 seconds.
const STEP_US: u64 = 10;

/// The events of `cargo xtask bench postgres`.
pub(crate) fn numbered_load() -> Load {
    Load::near(3_800)
}

/// The values at 50, 90, 99, 99.9 and 100 per cent of sorted ones; 0 of none.
fn percentiles(sorted: &[u32]) -> [u32; 5] {
    [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| {
        let index = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(index.saturating_sub(1)).copied().unwrap_or(0)
    })
}
