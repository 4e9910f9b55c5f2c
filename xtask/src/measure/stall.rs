//! A receiver that is stopped for a while, as by `kill -STOP`, and goes on.

use super::arrivals::Arrivals;
use super::figures::{Bound, Figures};
use super::load::Load;
use super::process::{self, Webhookd, feed, signal};
use super::{Bench, DEADLINE, say};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const TASKS: u32 = 500;
/// Small, so that it is full long before the receiver goes on.
const QUEUE_BYTES: u64 = 16 << 20;
/// How long what the receiver has printed may take to be read.
const PIPE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, clap::Args)]
pub(super) struct StallArgs {
    /// How long the receiver is stopped [default: 60, quick 5]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,

    /// Events in all [default: 40000, quick 10000]
    #[arg(long, value_name = "N")]
    events: Option<u32>,
}

/// Stops a receiver while it is being sent events, and lets it go on.
pub(super) fn measure(bench: &Bench, args: &StallArgs) -> Result<Figures> {
    let events = args
        .events
        .unwrap_or(if bench.quick { 10_000 } else { 40_000 });
    let seconds = args.seconds.unwrap_or(if bench.quick { 5 } else { 60 });
    let stall = Duration::from_secs(seconds);
    let expected = u64::from(events);
    let receiver = ReceiverProcess::start(&bench.binary, &bench.load, expected)?;
    let config = json!({
        "targetURL": receiver.url,
        "headers": {},
        "timeoutMsec": 1_000,
        "responseTimeoutMsec": 2_000,
        "retry": { "initialMsec": 100, "maxMsec": 1_000 },
        "queue": { "maxBytes": QUEUE_BYTES },
    });
    let folder = bench.folder(&config)?;
    let (mut webhookd, stdin) = Webhookd::start(&bench.binary, folder.path(), "10m")?;
    let feeder = feed(
        stdin,
        &bench.load,
        process::in_turns(0, TASKS, events),
        true,
    );
    ensure!(
        receiver.wait_for(expected / 20, DEADLINE),
        "nothing is delivered"
    );

    signal(&receiver.child, Signal::STOP)?;
    let stopped = Instant::now();
    say(&format!("the receiver is stopped for {seconds} s ..."));
    // The stall itself is what is measured; there is nothing to wait for but the time.
    std::thread::sleep(stall);
    let fed_by_then = webhookd.acknowledged();
    let still_feeding = !feeder.is_finished();
    signal(&receiver.child, Signal::CONT)?;
    let stalled = stopped.elapsed();

    let (status, said) = webhookd.finish()?;
    let went_on = stopped.elapsed();
    let fed = feeder.join();
    ensure!(
        matches!(fed, Ok(Ok(_))),
        "webhookd stopped reading: {fed:?}; it said:\n{said}"
    );
    // It has ended, so that what is in the receiver's pipe now is all there is.
    let arrived = receiver.wait_for(expected, PIPE);
    let silence = webhookd.longest_silence();
    let mut figures = Figures::default();
    if !status.success() || !arrived {
        figures.faults([format!("webhookd ended with {status}: {said}")]);
    }
    if !still_feeding {
        figures.faults(["the feeder saw no back-pressure: all was taken".to_owned()]);
    }
    if webhookd.acknowledged() != expected {
        figures.faults([format!(
            "{} of {expected} events were acknowledged",
            webhookd.acknowledged()
        )]);
    }
    let (faults, repeated) = receiver
        .arrivals(|arrivals| (arrivals.faults("the receiver", expected), arrivals.repeated));
    figures.faults(faults);
    figures.row("events", events.to_string());
    figures.row("stopped for", format!("{:.1} s", stalled.as_secs_f64()));
    figures.row("acknowledged when it went on", fed_by_then.to_string());
    figures.row(
        "longest time without an acknowledgement",
        format!("{:.1} s", silence.as_secs_f64()),
    );
    figures.row(
        "all delivered after",
        format!("{:.1} s", (went_on - stalled).as_secs_f64()),
    );
    figures.row("arrived more than once", repeated.to_string());
    let share = silence.as_secs_f64() / stalled.as_secs_f64();
    figures.aim(
        "the feeder waited for, of the stall,",
        share,
        Bound::AtLeast(0.5),
        "",
    );
    Ok(figures)
}

/// `webhookd receive` as a process, whose output is followed.
struct ReceiverProcess {
    child: Child,
    url: String,
    seen: Arc<(Mutex<Arrivals>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl ReceiverProcess {
    fn start(binary: &Path, load: &Arc<Load>, expected: u64) -> Result<ReceiverProcess> {
        let mut child = Command::new(binary)
            .args(["receive", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        let seen = Arc::new((Mutex::new(Arrivals::expecting(expected)), Condvar::new()));
        let mut receiver = ReceiverProcess {
            child,
            url: String::new(),
            seen: Arc::clone(&seen),
            threads: Vec::new(),
        };
        let mut stderr = BufReader::new(stderr);
        let mut line = String::new();
        stderr
            .read_line(&mut line)
            .context("the receiver says nothing")?;
        receiver.url = line
            .trim()
            .strip_prefix("listening on ")
            .with_context(|| format!("the receiver does not say where it listens, but: {line}"))?
            .to_owned();
        let load = Arc::clone(load);
        receiver.threads = vec![
            std::thread::spawn(move || follow(stdout, &load, &seen)),
            // A full pipe would stop the receiver.
            std::thread::spawn(move || drop(std::io::copy(&mut stderr, &mut std::io::sink()))),
        ];
        Ok(receiver)
    }

    /// Waits until so many events have arrived; false if they have not by then.
    fn wait_for(&self, first: u64, longest: Duration) -> bool {
        let (arrivals, changed) = &*self.seen;
        let arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let (arrivals, _) = changed
            .wait_timeout_while(arrivals, longest, |arrivals| arrivals.first < first)
            .unwrap_or_else(PoisonError::into_inner);
        arrivals.first >= first
    }

    fn arrivals<T>(&self, look: impl FnOnce(&Arrivals) -> T) -> T {
        look(&self.seen.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for ReceiverProcess {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn follow(stdout: impl Read, load: &Load, seen: &(Mutex<Arrivals>, Condvar)) {
    let mut stdout = BufReader::with_capacity(64 << 10, stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        if !matches!(stdout.read_until(b'\n', &mut line), Ok(1..)) {
            return;
        }
        let label = load.read(line.strip_suffix(b"\n").unwrap_or(&line));
        let mut arrivals = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.note(label, Instant::now());
        seen.1.notify_all();
    }
}
