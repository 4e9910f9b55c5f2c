//! The requests of the clients: the same few megabytes of events again and again, so that the cost
//! of making them is not measured, under a head that webhookd has sent.

use crate::compare::TASKS;
use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::load::{Load, in_turns};

/// Bytes of all bodies.
const AT_MOST: usize = 8 << 20;

/// The arguments of every client.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClientArgs {
    /// Where to connect
    #[arg(long)]
    pub(super) address: SocketAddr,
    /// How many requests
    #[arg(long)]
    count: u64,
    /// Requests under way at once, each on a connection of its own
    #[arg(long)]
    pub(super) at_once: usize,
    /// A file with the head of a request, whose length is replaced
    #[arg(long)]
    head: PathBuf,
    /// Events in each body
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Tasks that the events are of, in turns, as far as all bodies have so many events
    #[arg(long, default_value_t = TASKS)]
    tasks: u32,
}

/// What a client sends.
#[derive(Debug)]
pub(super) struct Requests {
    bodies: Vec<Bytes>,
    pub(super) head: Head,
    count: u64,
    taken: AtomicU64,
}

impl Requests {
    pub(super) fn new(args: &ClientArgs) -> Result<Requests> {
        let head = std::fs::read_to_string(&args.head)
            .with_context(|| format!("cannot read {}", args.head.display()))?;
        Ok(Requests {
            bodies: bodies(args.batch, args.tasks),
            head: Head::new(&head).context("this is not the head of a request with a length")?,
            count: args.count,
            taken: AtomicU64::new(0),
        })
    }

    /// The next body to be sent, until there were enough.
    pub(super) fn take(&self) -> Option<&Bytes> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let index = number % self.bodies.len().max(1) as u64;
        (number < self.count).then(|| self.bodies.get(usize::try_from(index).ok()?))?
    }
}

fn bodies(batch: usize, tasks: u32) -> Vec<Bytes> {
    let load = Load::real();
    let events = (AT_MOST / load.size()) as u32;
    let labels: Vec<_> = in_turns(0, tasks, events).collect();
    let bodies = labels.chunks_exact(batch).map(|labels| {
        let mut body = Vec::new();
        for label in labels {
            load.write(*label, &mut body);
        }
        // One event is a body without a line's end; several are lines.
        body.truncate(body.len() - usize::from(batch == 1));
        Bytes::from(body)
    });
    bodies.collect()
}

/// A request's head, but for its length.
#[derive(Debug)]
pub(super) struct Head {
    before: String,
    after: String,
    /// All but the length.
    pub(super) headers: HeaderMap,
    pub(super) path: String,
}

impl Head {
    pub(super) fn new(text: &str) -> Option<Head> {
        const LENGTH: &str = "\r\ncontent-length: ";
        let at = text.to_ascii_lowercase().find(LENGTH)? + LENGTH.len();
        let (before, rest) = text.split_at(at);
        let after = &rest[rest.find("\r\n")?..];
        let mut headers = HeaderMap::new();
        let lines = text.lines().skip(1);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if !name.eq_ignore_ascii_case("content-length") {
                let name: HeaderName = name.parse().ok()?;
                headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
            }
        }
        Some(Head {
            before: before.to_owned(),
            after: after.to_owned(),
            headers,
            path: text.split(' ').nth(1)?.to_owned(),
        })
    }

    /// Appends the head of a request of so many bytes.
    pub(super) fn write(&self, length: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before.as_bytes());
        out.extend_from_slice(length.to_string().as_bytes());
        out.extend_from_slice(self.after.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_written_as_it_was_captured_but_for_the_length() {
        let seen = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nProducer-Type: r\r\n\r\n";
        let head = Head::new(seen).unwrap();
        let mut written = Vec::new();
        head.write(3_500, &mut written);
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, seen.replace("h: 7", "h: 3500"));
        assert_eq!(head.path, "/a");
        assert_eq!(head.headers.len(), 2);
        assert!(Head::new("POST / HTTP/1.1\r\nHost: x\r\n\r\n").is_none());
    }

    #[test]
    fn one_event_is_a_body_without_its_line_feed_and_several_are_lines() {
        let (one, two) = (&bodies(1, 3)[0], &bodies(2, 3)[0]);
        assert!(!one.contains(&b'\n'));
        assert_eq!(two.split(|byte| *byte == b'\n').next(), Some(&one[..]));
        assert_eq!(two.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
