//! The receiver: a blocking thread for each connection, a read and a write for a request.
//!
//! It says `{"address":…}` on standard output, and then answers each line of standard input:
//! `begin GOAL DELAY_MS SKIP STAMP_AT` starts a count (`-` for no stamp) once the connections of
//! the one before are gone, `await MS` waits for the goal and tells how many came, `report` tells
//! all, and `head` gives the head of the count's first request.

use crate::message::{Message, Messages};
use crate::pace::{DIGITS, STAMPS};
use crate::{now_us, say};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
/// Enough for a thread that calls nothing deep.
const STACK: usize = 128 << 10;
/// How long the connections of the count before may take to close.
const LAST: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Count {
    goal: AtomicU64,
    delay_ms: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
    odd: AtomicU64,
    first_us: AtomicU64,
    last_us: AtomicU64,
    connections: AtomicI64,
    /// Where bodies have their stamp; negative: nowhere.
    stamp_at: AtomicI64,
    skip: AtomicU64,
    rest: Mutex<Rest>,
    reached: Condvar,
}

#[derive(Debug, Default)]
struct Rest {
    head: Vec<u8>,
    /// Microseconds from the stamp.
    latencies: Vec<u32>,
}

/// What came since the last `begin`.
#[derive(Debug, Serialize)]
struct Report {
    requests: u64,
    /// Of bodies.
    bytes: u64,
    /// Bodies that are no JSON object.
    odd: u64,
    /// When the first request was read, and when the last was answered.
    first_us: u64,
    last_us: u64,
    connections: i64,
    /// At 50, 90, 99, 99.9 and 100 per cent, if there were stamps.
    latencies_us: Option<[u32; 5]>,
}

/// Receives until standard input ends.
pub(crate) fn run() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    // The standard library's backlog is too short for a thousand connections at once.
    rustix::net::listen(&listener, 4_096).context("cannot listen")?;
    let count = Arc::new(Count::default());
    count.stamp_at.store(-1, Ordering::SeqCst);
    say(&serde_json::json!({ "address": listener.local_addr()?.to_string() }))?;
    let accepting = Arc::clone(&count);
    // It ends with the process.
    std::thread::spawn(move || accept(&listener, &accepting));
    for line in io::stdin().lock().lines() {
        let line = line.context("standard input")?;
        let words: Vec<_> = line.split(' ').collect();
        match *words {
            ["begin", goal, delay, skip, stamp] => {
                count.begin(goal.parse()?, delay.parse()?, skip.parse()?, stamp)?;
                say(&"begun")?;
            }
            ["await", milliseconds] => {
                count.wait(Duration::from_millis(milliseconds.parse()?));
                say(&count.requests.load(Ordering::SeqCst))?;
            }
            ["report"] => say(&count.report())?,
            ["head"] => say(&String::from_utf8_lossy(&count.rest().head))?,
            _ => bail!("not understood: {line}"),
        }
    }
    Ok(())
}

fn accept(listener: &TcpListener, count: &Arc<Count>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let serving = Arc::clone(count);
        let thread = std::thread::Builder::new().stack_size(STACK);
        let started = thread.spawn(move || {
            serving.connections.fetch_add(1, Ordering::SeqCst);
            // The peer may end the connection as it likes.
            drop(serving.serve(&stream));
            serving.connections.fetch_sub(1, Ordering::SeqCst);
        });
        if started.is_err() {
            count.odd.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Count {
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, goal: u64, delay_ms: u64, skip: u64, stamp: &str) -> Result<()> {
        let asked = Instant::now();
        while self.connections.load(Ordering::SeqCst) > 0 && asked.elapsed() < LAST {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut rest = self.rest();
        *rest = Rest::default();
        let stamp = if stamp == "-" { -1 } else { stamp.parse()? };
        if stamp >= 0 {
            rest.latencies.reserve(usize::try_from(goal)?);
        }
        self.stamp_at.store(stamp, Ordering::SeqCst);
        self.goal.store(goal, Ordering::SeqCst);
        self.delay_ms.store(delay_ms, Ordering::SeqCst);
        self.skip.store(skip, Ordering::SeqCst);
        for counter in [&self.bytes, &self.odd, &self.first_us, &self.last_us] {
            counter.store(0, Ordering::SeqCst);
        }
        self.requests.store(0, Ordering::SeqCst);
        Ok(())
    }

    fn wait(&self, longest: Duration) {
        let reached = self
            .reached
            .wait_timeout_while(self.rest(), longest, |_| !self.is_reached());
        drop(reached.unwrap_or_else(PoisonError::into_inner));
    }

    fn is_reached(&self) -> bool {
        self.requests.load(Ordering::SeqCst) >= self.goal.load(Ordering::SeqCst)
            && self.last_us.load(Ordering::SeqCst) > 0
    }

    fn report(&self) -> Report {
        let mut latencies = std::mem::take(&mut self.rest().latencies);
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = (latencies.len() as f64 * share).ceil() as usize;
            latencies.get(index.saturating_sub(1)).copied()
        };
        let latencies_us = (|| Some([at(0.5)?, at(0.9)?, at(0.99)?, at(0.999)?, at(1.0)?]))();
        Report {
            requests: self.requests.load(Ordering::SeqCst),
            bytes: self.bytes.load(Ordering::SeqCst),
            odd: self.odd.load(Ordering::SeqCst),
            first_us: self.first_us.load(Ordering::SeqCst),
            last_us: self.last_us.load(Ordering::SeqCst),
            connections: self.connections.load(Ordering::SeqCst),
            latencies_us,
        }
    }

    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut messages = Messages::new(stream);
        while let Some(message) = messages.next()? {
            let number = self.note(message);
            let delay = self.delay_ms.load(Ordering::Relaxed);
            if delay > 0 {
                std::thread::sleep(Duration::from_millis(delay));
            }
            stream.write_all(ANSWER)?;
            self.last_us.fetch_max(now_us(), Ordering::SeqCst);
            if number + 1 == self.goal.load(Ordering::Relaxed) {
                // Under the lock, so that who is about to wait does not miss it.
                let _waiting = self.rest();
                self.reached.notify_all();
            }
        }
        Ok(())
    }

    /// Counts a request; how many came before.
    fn note(&self, message: Message<'_>) -> u64 {
        let body = message.body;
        if !(body.starts_with(b"{") && body.ends_with(b"}")) {
            self.odd.fetch_add(1, Ordering::Relaxed);
        }
        self.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let stamp_at = self.stamp_at.load(Ordering::Relaxed);
        if number == 0 {
            self.first_us.store(now_us(), Ordering::SeqCst);
            self.rest().head = message.head.to_vec();
        }
        if let Ok(at) = usize::try_from(stamp_at)
            && number >= self.skip.load(Ordering::Relaxed)
        {
            let now = now_us() % STAMPS;
            let stamp = body.get(at..at + DIGITS).and_then(|digits| {
                let digits = std::str::from_utf8(digits).ok()?;
                digits.parse::<u64>().ok()
            });
            match stamp.map(|stamp| u32::try_from((now + STAMPS - stamp) % STAMPS)) {
                Some(Ok(latency)) => self.rest().latencies.push(latency),
                _ => drop(self.odd.fetch_add(1, Ordering::Relaxed)),
            }
        }
        number
    }
}
