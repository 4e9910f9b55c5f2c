//! Events that come in over HTTP and go out over HTTP.
//!
//! The feeder is the client of [`Part::Bare`](super::part::Part), in a process of its own: its
//! processor time is told apart, and alone it posts several times as fast as webhookd accepts.

use super::TASKS;
use super::part::Part;
use super::results::Sample;
use super::senders::{client, config};
use super::session::{Ends, Session};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use testkit::Process;

/// How long the feeder may take to end once its events have arrived.
const END: Duration = Duration::from_secs(30);

/// How events are posted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feed {
    pub(super) connections: usize,
    /// Events in each request.
    pub(super) batch: u64,
    pub(super) tasks: u32,
}

pub(super) const SINGLE: Feed = Feed {
    connections: 64,
    batch: 1,
    tasks: TASKS,
};
pub(super) const BY_64: Feed = Feed {
    batch: 64,
    ..SINGLE
};

/// A running webhookd that takes events over HTTP.
pub(super) struct Ingest {
    pub(super) webhookd: Process,
    address: String,
}

impl Ingest {
    /// Starts it, with its queue in `folder`.
    pub(super) fn start(session: &Session, folder: &Path, config: &Value) -> Result<Ingest> {
        let webhookd = session
            .webhookd(folder, config, None)?
            .args(["--listen", "127.0.0.1:0"])
            .watching_memory()
            .spawn();
        let url = webhookd.listens();
        let address = url.trim_start_matches("http://").split('/').next();
        Ok(Ingest {
            address: address.unwrap_or_default().to_owned(),
            webhookd,
        })
    }

    /// Posts so many events until `arriving` have arrived; the feeder's processor time.
    pub(super) fn feed(
        &self,
        session: &mut Session,
        folder: &Path,
        feed: Feed,
        (events, arriving): (u64, u64),
    ) -> Result<Duration> {
        let Feed {
            connections,
            batch,
            tasks,
        } = feed;
        let kind = if batch == 1 { "json" } else { "x-ndjson" };
        let address = &self.address;
        let head = folder.join("head");
        let text = format!(
            "POST /events HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/{kind}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        std::fs::write(&head, text).context("cannot write a head")?;
        let feeder = client("bare", address, &head, events / batch, connections)?
            .args(["--batch", &batch.to_string(), "--tasks", &tasks.to_string()])
            .spawn();
        session.wait(&feeder, arriving)?;
        let fed = feeder.wait_at_most(END);
        ensure!(
            fed.status.success(),
            "the feeder failed; it said:\n{}",
            fed.stderr
        );
        Ok(fed.processor)
    }
}

/// Measures the delivery of about so many events to one durable target.
pub(super) fn measure(session: &mut Session, feed: Feed, events: u64) -> Result<Sample> {
    // A request holds a whole batch.
    let events = events.div_ceil(feed.batch) * feed.batch;
    let folder = session.subfolder()?;
    let config = config(session, Part::Durable);
    let mut task = session.task(events);
    task.ends = Ends::WhenTold;
    let running = session.begin(task)?;
    let ingest = Ingest::start(session, folder.path(), &config)?;
    let feeder = ingest.feed(session, folder.path(), feed, (events, events))?;
    session.finish(ingest.webhookd, feeder, &running)
}
