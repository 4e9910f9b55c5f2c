//! A receiver that is stopped for a while, as by `kill -STOP`, and goes on.

use super::daemon::Daemon;
use super::receiver::Counter;
use super::{DEADLINE, Setup, say};
use crate::figures::{Bound, Figures};
use anyhow::{Result, ensure};
use serde_json::json;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::load::{Feeder, in_turns};
use testkit::{Launch, Signal};

const TASKS: u32 = 500;
/// Small, so that it is full long before the receiver goes on.
const QUEUE_BYTES: u64 = 16 << 20;
/// How long what the receiver has printed may take to be read.
const PIPE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, clap::Args)]
pub(super) struct StallArgs {
    /// How long the receiver is stopped [default: 60, quick 5]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u32>,

    /// Events in all [default: 40000, quick 10000]
    #[arg(long, value_name = "N")]
    events: Option<u32>,
}

/// Stops a receiver while it is being sent events, and lets it go on.
pub(super) fn measure(setup: &Setup, args: &StallArgs) -> Result<Figures> {
    let events = setup.number(args.events, 10_000, 40_000);
    let seconds = setup.number(args.seconds, 5, 60);
    let expected = u64::from(events);
    let counter = Counter::new(&setup.load, expected);
    let printed = Arc::clone(&counter);
    let receiver = Launch::of(&setup.webhookd)
        .args(["receive", "--listen", "127.0.0.1:0"])
        .input(Stdio::null())
        .lines(move |body| printed.note(body))
        .spawn();
    let folder = setup.folder(&json!({
        "targetURL": receiver.told_url("listening on "),
        "headers": {},
        "timeoutMsec": 1_000,
        "responseTimeoutMsec": 2_000,
        "retry": { "initialMsec": 100, "maxMsec": 1_000 },
        "queue": { "maxBytes": QUEUE_BYTES },
    }))?;
    let mut daemon = Daemon::start(setup, folder.path(), "10m");
    let input = daemon.process.take_input();
    let feeder = Feeder::start(input, &setup.load, in_turns(0, TASKS, events), true);
    ensure!(
        counter.wait_for(expected / 20, DEADLINE),
        "nothing is delivered"
    );

    receiver.signal(Signal::STOP);
    let stopped = Instant::now();
    say(&format!("the receiver is stopped for {seconds} s ..."));
    // The stall itself is what is measured; there is nothing to wait for but the time.
    std::thread::sleep(Duration::from_secs(seconds.into()));
    let acked_by_then = daemon.acks().count;
    let still_feeding = !feeder.is_finished();
    receiver.signal(Signal::CONT);
    let stalled = stopped.elapsed();

    let ended = daemon.process.has_ended(DEADLINE);
    let went_on = stopped.elapsed();
    ensure!(ended && feeder.join().is_ok(), "webhookd stopped reading");
    // It has ended, so that what is in the receiver's pipe now is all there is.
    let arrived = counter.wait_for(expected, PIPE);
    let mut figures = Figures::default();
    let (ended, acks) = daemon.finish();
    if !ended.status.success() || !arrived {
        let (status, said) = (ended.status, ended.stderr);
        figures.faults([format!("webhookd ended with {status}: {said}")]);
    }
    if !still_feeding {
        figures.faults(["the feeder saw no back-pressure: all was taken".to_owned()]);
    }
    if acks.count != expected {
        let count = acks.count;
        figures.faults([format!("{count} of {expected} events were acknowledged")]);
    }
    let silence = acks.longest_gap.as_secs_f64();
    let repeated = counter.arrivals(|arrivals| {
        figures.faults(arrivals.faults("the receiver", expected));
        arrivals.repeated
    });
    let seconds = |time: f64| format!("{time:.1} s");
    figures.row("events", events.to_string());
    figures.row("stopped for", seconds(stalled.as_secs_f64()));
    figures.row("acknowledged when it went on", acked_by_then.to_string());
    figures.row("longest time without an acknowledgement", seconds(silence));
    let delivered = (went_on - stalled).as_secs_f64();
    figures.row("all delivered after", seconds(delivered));
    figures.row("arrived more than once", repeated.to_string());
    let share = silence / stalled.as_secs_f64();
    let name = "the feeder waited for, of the stall,";
    figures.aim(name, share, Bound::AtLeast(0.5), "");
    Ok(figures)
}
