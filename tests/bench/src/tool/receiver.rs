//! The receiver: testkit's server, a read and a write for a request.
//!
//! It prints its URL, and then answers each line of standard input with a line of JSON: `begin
//! GOAL DELAY_MS SKIP BODIES` starts a count of events (with `-` for SKIP, stamps are not read;
//! BODIES is `event` for an event a body, `lines` for an event a line) once the connections of
//! the one before are gone, `await MS` waits for the goal and returns how many events came,
//! `report` returns all, and `head` returns the head of the count's first request.
//!
//! With `--numbered` the bodies are [numbered events](super::numbered_load): their latency is
//! always read, a repetition does not count as having come, and the order of each key is checked.

use super::now_us;
use super::pace::STAMPS;
use super::tally::{Arrival, Tally};
use crate::say;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::io::BufRead;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use testkit::load::{Load, read_digits};
use testkit::{Message, Server};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
/// How long the connections of the count before may take to close.
const CLOSING: Duration = Duration::from_secs(5);

/// Answers every request with 200, and counts.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReceiverArgs {
    /// The bodies are numbered events
    #[arg(long)]
    numbered: bool,
}

#[derive(Debug, Default)]
struct Count {
    /// Events that are to come.
    goal: AtomicU64,
    delay_ms: AtomicU64,
    /// Whether a body holds an event in each line, and not one event.
    lines: AtomicBool,
    events: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
    odd: AtomicU64,
    first_us: AtomicU64,
    last_us: AtomicU64,
    /// Whether bodies have stamps, of which the first ones are skipped.
    stamps: AtomicBool,
    skip: AtomicU64,
    stamp_at: usize,
    /// What has come of numbered events.
    tally: Option<Mutex<Tally>>,
    details: Mutex<Details>,
    reached: Condvar,
}

#[derive(Debug, Default)]
struct Details {
    head: Vec<u8>,
    /// Microseconds from the stamp.
    latencies: Vec<u32>,
}

/// What came since the last `begin`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) events: u64,
    pub(crate) requests: u64,
    /// Of the events.
    pub(crate) bytes: u64,
    /// Bodies that are no JSON object, or not those of the load.
    pub(crate) odd: u64,
    /// Arrivals of numbered events that had arrived before.
    pub(crate) repeated: u64,
    /// First arrivals of numbered events after a later event of their key.
    pub(crate) out_of_order: u64,
    /// When the first request was read, and when the last was answered.
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    /// At 50, 90, 99, 99.9 and 100 per cent, if there were stamps.
    pub(crate) latencies_us: Option<[u32; 5]>,
}

/// Receives until standard input ends.
pub(super) fn run(args: &ReceiverArgs) -> Result<()> {
    let (_, stamp_at) = Load::real().places();
    let count = Arc::new(Count {
        stamp_at,
        tally: args.numbered.then(|| Mutex::new(Tally::default())),
        ..Count::default()
    });
    let serving = Arc::clone(&count);
    let server = Server::start(move |connection| {
        while let Some(request) = connection.request() {
            let number = serving.note(request);
            let delay = serving.delay_ms.load(Relaxed);
            if delay > 0 {
                std::thread::sleep(Duration::from_millis(delay));
            }
            if !connection.write(OK) {
                return;
            }
            serving.answered(number);
        }
    });
    print(&server.url())?;
    for line in std::io::stdin().lock().lines() {
        let line = line.context("standard input")?;
        let words: Vec<_> = line.split(' ').collect();
        match *words {
            ["begin", goal, delay, skip, bodies] => {
                let asked = Instant::now();
                while server.open_connections() > 0 && asked.elapsed() < CLOSING {
                    std::thread::sleep(Duration::from_millis(1));
                }
                count.lines.store(bodies == "lines", SeqCst);
                count.begin(goal.parse()?, delay.parse()?, skip.parse().ok());
                print(&"begun")?;
            }
            ["await", milliseconds] => {
                count.wait(Duration::from_millis(milliseconds.parse()?));
                print(&count.events.load(SeqCst))?;
            }
            ["report"] => print(&count.report())?,
            ["head"] => print(&String::from_utf8_lossy(&count.details().head))?,
            _ => bail!("not understood: {line}"),
        }
    }
    Ok(())
}

fn print(value: &impl Serialize) -> Result<()> {
    say(&serde_json::to_string(value)?);
    Ok(())
}

impl Count {
    fn details(&self) -> MutexGuard<'_, Details> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tally(&self) -> Option<MutexGuard<'_, Tally>> {
        let tally = self.tally.as_ref()?;
        Some(tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self, goal: u64, delay_ms: u64, skip: Option<u64>) {
        *self.details() = Details::default();
        if let Some(mut tally) = self.tally() {
            *tally = Tally::default();
        }
        self.stamps.store(skip.is_some(), SeqCst);
        for (counter, value) in [
            (&self.goal, goal),
            (&self.delay_ms, delay_ms),
            (&self.skip, skip.unwrap_or(0)),
            (&self.bytes, 0),
            (&self.odd, 0),
            (&self.first_us, 0),
            (&self.last_us, 0),
            (&self.requests, 0),
            (&self.events, 0),
        ] {
            counter.store(value, SeqCst);
        }
    }

    fn wait(&self, longest: Duration) {
        let is_reached =
            || self.events.load(SeqCst) >= self.goal.load(SeqCst) && self.last_us.load(SeqCst) > 0;
        let waited = self
            .reached
            .wait_timeout_while(self.details(), longest, |_| !is_reached());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn report(&self) -> Report {
        let mut latencies = std::mem::take(&mut self.details().latencies);
        latencies.sort_unstable();
        let latencies_us = super::percentiles(&latencies);
        let (repeated, out_of_order) = self
            .tally()
            .map_or((0, 0), |tally| (tally.repeated, tally.out_of_order));
        Report {
            repeated,
            out_of_order,
            events: self.events.load(SeqCst),
            requests: self.requests.load(SeqCst),
            bytes: self.bytes.load(SeqCst),
            odd: self.odd.load(SeqCst),
            first_us: self.first_us.load(SeqCst),
            last_us: self.last_us.load(SeqCst),
            latencies_us: (!latencies.is_empty()).then_some(latencies_us),
        }
    }

    /// Counts a request; the number of its last event, from 0.
    fn note(&self, request: Message<'_>) -> u64 {
        let (mut body, mut line_feeds) = (request.body, 0);
        let mut events = 1;
        if self.lines.load(Relaxed) {
            // The line feed at the end may be left out.
            body = body.strip_suffix(b"\n").unwrap_or(body);
            line_feeds = memchr::memchr_iter(b'\n', body).count();
            events += line_feeds as u64;
        }
        if !(body.starts_with(b"{") && body.ends_with(b"}")) {
            self.odd.fetch_add(1, Relaxed);
        }
        self.requests.fetch_add(1, Relaxed);
        self.bytes
            .fetch_add((body.len() - line_feeds) as u64, Relaxed);
        if self.tally.is_some() {
            return self.note_numbered(request);
        }
        let first = self.events.fetch_add(events, SeqCst);
        let number = first + events - 1;
        if first == 0 {
            self.first_us.store(now_us(), SeqCst);
            self.details().head = request.head.to_vec();
        }
        if self.stamps.load(Relaxed) && number >= self.skip.load(Relaxed) {
            let now = now_us() % STAMPS;
            let stamp = read_digits(body, self.stamp_at);
            match stamp.map(|stamp| u32::try_from((now + STAMPS - stamp) % STAMPS)) {
                Some(Ok(latency)) => self.details().latencies.push(latency),
                _ => drop(self.odd.fetch_add(1, Relaxed)),
            }
        }
        number
    }

    /// The same of a numbered event; a number that no count reaches if it had come before.
    fn note_numbered(&self, request: Message<'_>) -> u64 {
        let arrival = self.tally().map_or(Arrival::Altered, |mut tally| {
            tally.note(request.body, now_us())
        });
        let latency = match arrival {
            Arrival::First { latency_us } => latency_us,
            Arrival::Repeated => return u64::MAX,
            Arrival::Altered => {
                self.odd.fetch_add(1, Relaxed);
                return u64::MAX;
            }
        };
        let number = self.events.fetch_add(1, SeqCst);
        let mut details = self.details();
        if number == 0 {
            self.first_us.store(now_us(), SeqCst);
            details.head = request.head.to_vec();
        }
        if number >= self.skip.load(Relaxed) {
            details.latencies.push(latency);
        }
        number
    }

    fn answered(&self, number: u64) {
        self.last_us.fetch_max(now_us(), SeqCst);
        if number.wrapping_add(1) == self.goal.load(Relaxed) {
            // Under the lock, so that a thread that is about to wait does not miss it.
            let _waiting = self.details();
            self.reached.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::Messages;

    fn noted(lines: bool, bodies: &[&str]) -> Report {
        let count = Count::default();
        count.lines.store(lines, SeqCst);
        count.begin(u64::MAX, 0, None);
        for body in bodies {
            let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
            let request = request + body;
            let mut messages = Messages::new(request.as_bytes());
            let request = messages.next().expect("it is whole");
            let number = count.note(request.expect("there is one"));
            assert_eq!(number + 1, count.events.load(SeqCst));
        }
        count.report()
    }

    #[test]
    fn each_line_of_a_body_counts_as_an_event_with_a_line_feed_at_the_end_or_without() {
        let report = noted(true, &["{1}\n{2}\n{3}\n", "{4}\n{5}", "{6}"]);
        assert_eq!((report.events, report.requests), (6, 3));
        assert_eq!((report.bytes, report.odd), (18, 0));
    }

    #[test]
    fn a_body_that_is_to_be_one_event_counts_as_one_and_a_line_feed_at_its_end_is_odd() {
        let report = noted(false, &["{1}", "{2}\n"]);
        assert_eq!((report.events, report.requests, report.odd), (2, 2, 1));
        assert_eq!(report.bytes, 7);
    }
}
