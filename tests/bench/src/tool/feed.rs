//! Posts numbered events to workers over HTTP, as fast as they are accepted or at a rate.
//!
//! Each connection has keys of its own, in turns, and one request under way, so that the order of
//! each key is known. At a rate, requests are due at even intervals whatever the answers take: the
//! number of an event is the time at which it was due, and so the wait for an answer that came
//! late counts.

use super::now_us;
use super::tally::{NUMBERS, number_at};
use crate::say;
use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{ClockId, clock_nanosleep_relative};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use testkit::Messages;
use testkit::load::{Label, Load};

/// How long a connection waits after a 503.
const PAUSE: Duration = Duration::from_millis(2);

/// Prints a report at the end.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FeedArgs {
    /// Where to connect; connections take turns
    #[arg(long, required = true)]
    address: Vec<SocketAddr>,
    #[arg(long)]
    connections: u32,
    /// Keys in all
    #[arg(long)]
    keys: u32,
    /// Events in each request
    #[arg(long)]
    batch: u32,
    /// Events in all
    #[arg(long)]
    count: u32,
    /// Events in a second [default: as many as are accepted]
    #[arg(long)]
    rate: Option<f64>,
}

/// What was accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) events: u64,
    /// Requests that were answered 503 and sent again.
    pub(crate) refused: u64,
    /// When the first request was sent, and the last one answered.
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    /// From the time that a request was due until its answer: at 50, 90, 99, 99.9 and 100 per
    /// cent of the requests.
    pub(crate) accept_us: [u32; 5],
}

/// What one connection has seen.
#[derive(Debug, Default)]
struct Seen {
    refused: u64,
    latencies: Vec<u32>,
}

pub(super) fn run(args: &FeedArgs) -> Result<()> {
    ensure!(
        args.keys / args.connections >= args.batch,
        "a request would hold two events of one key: fewer connections, or more keys"
    );
    let load = super::numbered_load();
    let first_us = now_us();
    let all = std::thread::scope(|scope| -> Result<Vec<Seen>> {
        let threads: Vec<_> = (0..args.connections)
            .map(|index| {
                let thread = std::thread::Builder::new().stack_size(256 << 10);
                let started = thread.spawn_scoped(scope, {
                    let load = &load;
                    move || Connection::new(args, load, index, first_us)?.feed()
                });
                started.context("cannot start a thread")
            })
            .collect::<Result<_>>()?;
        let seen = threads.into_iter().map(|thread| match thread.join() {
            Ok(seen) => seen,
            Err(_) => bail!("a connection's thread panicked"),
        });
        seen.collect()
    })?;
    let mut latencies: Vec<u32> = all
        .iter()
        .flat_map(|seen| &seen.latencies)
        .copied()
        .collect();
    latencies.sort_unstable();
    let report = Report {
        events: latencies.len() as u64 * u64::from(args.batch),
        refused: all.iter().map(|seen| seen.refused).sum(),
        first_us,
        last_us: now_us(),
        accept_us: super::percentiles(&latencies),
    };
    say(&serde_json::to_string(&report)?);
    Ok(())
}

struct Connection<'a> {
    args: &'a FeedArgs,
    load: &'a Load,
    index: u32,
    start_us: u64,
    stream: TcpStream,
    host: SocketAddr,
}

impl<'a> Connection<'a> {
    fn new(args: &'a FeedArgs, load: &'a Load, index: u32, start_us: u64) -> Result<Self> {
        let host = args.address[index as usize % args.address.len()];
        let stream = TcpStream::connect(host).context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            args,
            load,
            index,
            start_us,
            stream,
            host,
        })
    }

    /// Posts this connection's part of the events.
    fn feed(self) -> Result<Seen> {
        let FeedArgs {
            connections,
            keys,
            batch,
            count,
            ..
        } = *self.args;
        let kind = if batch == 1 { "json" } else { "x-ndjson" };
        // All events have one length, and only the last one of a body has no line feed.
        let length = (self.load.size() + 1) * batch as usize - 1;
        let head = format!(
            "POST /events HTTP/1.1\r\nHost: {}\r\nContent-Type: application/{kind}\r\n\
             Content-Length: {length}\r\n\r\n",
            self.host
        );
        let requests = count / batch;
        let mut own_keys = (self.index..keys).step_by(connections as usize).cycle();
        let mut answers = Messages::new(&self.stream);
        let mut seen = Seen::default();
        let mut request = Vec::new();
        let mut last = None;
        for number in (self.index..requests).step_by(connections as usize) {
            let due_us = self.wait(number, last);
            let event = number_at(due_us);
            last = Some(event);
            request.clear();
            request.extend_from_slice(head.as_bytes());
            for task in own_keys.by_ref().take(batch as usize) {
                let label = Label {
                    task,
                    number: event,
                };
                self.load.write(label, &mut request);
            }
            request.pop();
            loop {
                (&self.stream).write_all(&request).context("cannot send")?;
                let answer = answers.next()?.context("closed without an answer")?;
                if answer.head.starts_with(b"HTTP/1.1 2") {
                    break;
                }
                let head = String::from_utf8_lossy(answer.head);
                ensure!(head.starts_with("HTTP/1.1 503"), "answered: {head}");
                seen.refused += 1;
                std::thread::sleep(PAUSE);
            }
            let taken = now_us().saturating_sub(due_us);
            seen.latencies
                .push(u32::try_from(taken).unwrap_or(u32::MAX));
        }
        Ok(seen)
    }

    /// Waits until a request is due; when that was. Without a rate it is due now, in the step
    /// after the last request at the earliest.
    fn wait(&self, number: u32, last: Option<u32>) -> u64 {
        let Some(rate) = self.args.rate else {
            while last == Some(number_at(now_us())) {
                std::hint::spin_loop();
            }
            return now_us();
        };
        let events = f64::from(number) * f64::from(self.args.batch);
        let due_us = self.start_us + (events * 1e6 / rate) as u64;
        let left = Duration::from_micros(due_us.saturating_sub(now_us()));
        if let Ok(left) = left.try_into() {
            // Woken early, it sends a moment early.
            drop(clock_nanosleep_relative(ClockId::Monotonic, &left));
        }
        due_us
    }
}

const _: () = assert!(NUMBERS == 10_u32.pow(testkit::load::DIGITS as u32));
