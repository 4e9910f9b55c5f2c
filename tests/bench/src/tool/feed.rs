//! Posts numbered events to workers over HTTP, as fast as they are accepted or at a rate.
//!
//! Each connection has keys of its own, in turns, and one request under way, so that the order of
//! each key is known. At a rate, requests are due at even intervals whatever the answers take: the
//! number of an event is the time at which it was due, and so the wait for an answer that came
//! late counts.
//!
//! What a worker has no room for is posted again, without the events that it has accepted.

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

/// The part of webhookd's response to several events that says what became of each.
#[derive(Debug, Default, Deserialize)]
struct Response {
    #[serde(default)]
    lines: Vec<Line>,
}

/// A line that was read.
#[derive(Debug, Deserialize)]
struct Line {
    /// Its number, from 1.
    line: usize,
    /// Why it was refused; `None` if it was accepted.
    status: Option<u16>,
}

impl Response {
    /// Removes the lines that were accepted; each has this many bytes.
    fn remove_accepted(&self, lines: &mut Vec<u8>, length: usize) -> Result<()> {
        let mut rest = Vec::new();
        for (index, line) in lines.chunks(length).enumerate() {
            let read = self.lines.iter().find(|it| it.line == index + 1);
            match read.map(|it| it.status) {
                Some(None) => {}
                None | Some(Some(503)) => rest.extend_from_slice(line),
                Some(Some(status)) => bail!("line {} was answered {status}", index + 1),
            }
        }
        *lines = rest;
        Ok(())
    }
}

pub(super) fn run(args: &FeedArgs) -> Result<()> {
    say(&serde_json::to_string(&feed(args)?)?);
    Ok(())
}

fn feed(args: &FeedArgs) -> Result<Report> {
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
    Ok(Report {
        events: latencies.len() as u64 * u64::from(args.batch),
        refused: all.iter().map(|seen| seen.refused).sum(),
        first_us,
        last_us: now_us(),
        accept_us: super::percentiles(&latencies),
    })
}

struct Connection<'a> {
    args: &'a FeedArgs,
    load: &'a Load,
    index: u32,
    start_us: u64,
    host: SocketAddr,
    answers: Messages<TcpStream>,
}

fn connect(host: SocketAddr) -> Result<Messages<TcpStream>> {
    let stream = TcpStream::connect(host).context("cannot connect")?;
    stream.set_nodelay(true)?;
    Ok(Messages::new(stream))
}

impl<'a> Connection<'a> {
    fn new(args: &'a FeedArgs, load: &'a Load, index: u32, start_us: u64) -> Result<Self> {
        let host = args.address[index as usize % args.address.len()];
        Ok(Connection {
            args,
            load,
            index,
            start_us,
            host,
            answers: connect(host)?,
        })
    }

    /// Posts this connection's part of the events.
    fn feed(mut self) -> Result<Seen> {
        let FeedArgs {
            connections,
            keys,
            batch,
            count,
            ..
        } = *self.args;
        let requests = count / batch;
        let mut own_keys = (self.index..keys).step_by(connections as usize).cycle();
        let mut seen = Seen::default();
        let mut lines = Vec::new();
        let mut last = None;
        for number in (self.index..requests).step_by(connections as usize) {
            let due_us = self.wait(number, last);
            let event = number_at(due_us);
            last = Some(event);
            for task in own_keys.by_ref().take(batch as usize) {
                let label = Label {
                    task,
                    number: event,
                };
                self.load.write(label, &mut lines);
            }
            while !self.post(&mut lines)? {
                seen.refused += 1;
                std::thread::sleep(PAUSE);
            }
            let taken = now_us().saturating_sub(due_us);
            seen.latencies
                .push(u32::try_from(taken).unwrap_or(u32::MAX));
        }
        Ok(seen)
    }

    /// Posts lines, and removes those that were accepted. False if there was no room for the others.
    fn post(&mut self, lines: &mut Vec<u8>) -> Result<bool> {
        let kind = match self.args.batch {
            1 => "json",
            _ => "x-ndjson",
        };
        // The last line has no line feed.
        let body = &lines[..lines.len() - 1];
        let head = format!(
            "POST /events HTTP/1.1\r\nHost: {}\r\nContent-Type: application/{kind}\r\n\
             Content-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        let stream = self.answers.stream();
        stream.write_all(&request).context("cannot send")?;
        let answer = self.answers.next()?.context("closed without an answer")?;
        let closes = answer
            .headers("connection")
            .any(|it| it.eq_ignore_ascii_case("close"));
        if answer.head.starts_with(b"HTTP/1.1 200") {
            lines.clear();
        } else {
            let head = String::from_utf8_lossy(answer.head);
            let is_partly = head.starts_with("HTTP/1.1 207");
            ensure!(
                is_partly || head.starts_with("HTTP/1.1 503"),
                "answered: {head}"
            );
            // A response to a single event has no lines.
            let response: Response = serde_json::from_slice(answer.body).unwrap_or_default();
            response.remove_accepted(lines, self.load.size() + 1)?;
        }
        if closes {
            // webhookd has not read the whole request.
            self.answers = connect(self.host)?;
        }
        Ok(lines.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::{Arc, Mutex};
    use testkit::Server;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn what_a_worker_had_no_room_for_is_posted_again_on_a_new_connection() {
        let load = crate::tool::numbered_load();
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let server = Server::start({
            let accepted = Arc::clone(&accepted);
            move |connection| {
                let is_first = connection.number == 0;
                while let Some(request) = connection.request() {
                    let lines = request.body.split(|byte| *byte == b'\n');
                    let labels = lines.map(|line| load.read(line).expect("an event"));
                    let labels = labels.map(|it| (it.task, it.number));
                    let most = if is_first { 1 } else { usize::MAX };
                    accepted.lock().unwrap().extend(labels.take(most));
                    if is_first {
                        let body = r#"{"lines":[{"line":1,"id":"a"}],"stopped":{"line":2}}"#;
                        let answer = format!(
                            "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
                             content-length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        connection.write(answer.as_bytes());
                        return;
                    }
                    connection.write(OK);
                }
            }
        });
        let report = feed(&FeedArgs {
            address: vec![server.address()],
            connections: 2,
            keys: 20,
            batch: 4,
            count: 32,
            rate: None,
        });
        let report = report.expect("all events are accepted");
        assert_eq!((report.events, report.refused), (32, 1));
        let accepted = accepted.lock().unwrap();
        let distinct: HashSet<_> = accepted.iter().collect();
        assert_eq!((accepted.len(), distinct.len()), (32, 32));
    }
}
