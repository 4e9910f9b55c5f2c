//! The memory of many targets: idle, and while each of them gets events.

use super::ingest::{Ingest, SINGLE};
use super::results::Memory;
use super::senders;
use super::session::{Ends, Session};
use crate::mib;
use anyhow::{Result, ensure};
use std::time::Duration;

const TARGETS: u64 = 1_000;
/// Senders of each target.
const CONCURRENCY: usize = 2;
/// How long nothing comes before the memory of the idle process is read.
const IDLE: Duration = Duration::from_secs(2);

/// One round, in which each target gets so many events.
pub(super) fn measure(session: &mut Session, events: u64) -> Result<Memory> {
    let folder = session.subfolder()?;
    let config = senders::targets(session, TARGETS, CONCURRENCY);
    let mut task = session.task(events * TARGETS);
    task.ends = Ends::WhenTold;
    let running = session.begin(task)?;
    let ingest = Ingest::start(session, folder.path(), &config)?;
    ensure!(!ingest.webhookd.has_ended(IDLE), "webhookd has ended");
    let idle_mib = mib(ingest.webhookd.anonymous_memory());
    let feeder = ingest.feed(session, folder.path(), SINGLE, (events, events * TARGETS))?;
    let sample = session.finish(ingest.webhookd, feeder, &running)?;
    Ok(Memory {
        targets: TARGETS,
        idle_mib,
        loaded_mib: sample.peak_mib,
        other_load: sample.other_load,
    })
}
