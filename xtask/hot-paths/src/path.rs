//! What is done so many times.

use crate::lanes::{Bounds, Delivery, Lanes, Offered};
use anyhow::{Context, Result, bail, ensure};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use webhook_model::{EventHeader, TaskStateChange};
use webhook_queue::{DiskQueue, EntryId, Event, EventId, Options, Queue, Settled, Settlement};

/// An event of the fixtures, of the usual size.
const EVENTS: &str = include_str!("../../../tests/fixtures/events.ndjson");
/// Events of one group that the queue takes.
const GROUP: u64 = 64;
/// Tasks, in turns.
const TASKS: u64 = 500;

type Path = fn(u64) -> Result<()>;

const PATHS: &[(&str, Path)] = &[
    ("encode", encode),
    ("header", header),
    ("lane", lane),
    ("queue", queue),
];

pub(crate) fn names() -> Vec<&'static str> {
    PATHS.iter().map(|(name, _)| *name).collect()
}

pub(crate) fn run(name: &str, times: u64) -> Result<()> {
    match PATHS.iter().find(|(path, _)| *path == name) {
        Some((_, path)) => path(times),
        None => bail!("there is no path {name}, but {:?}", names()),
    }
}

fn event() -> Result<&'static str> {
    let mut lines = EVENTS.lines();
    lines
        .find(|line| (3_000..4_000).contains(&line.len()))
        .context("no fixture has the usual size")
}

/// Writes an event as JSON, into a buffer that has room for it.
fn encode(times: u64) -> Result<()> {
    let event = event()?;
    let change = TaskStateChange::read(event.as_bytes())?;
    let mut buffer = Vec::with_capacity(2 * event.len());
    for _ in 0..times {
        buffer.clear();
        black_box(&change).write_json(&mut buffer)?;
        black_box(&buffer);
    }
    Ok(())
}

/// Reads what a dispatcher has to know of an event.
fn header(times: u64) -> Result<()> {
    let event = event()?.as_bytes();
    for _ in 0..times {
        black_box(EventHeader::read(black_box(event))?);
    }
    Ok(())
}

/// An event through its lane: offered, taken, settled, beside others that are under way.
fn lane(times: u64) -> Result<()> {
    const UNDER_WAY: u64 = 16;
    let now = Instant::now();
    let body: Arc<[u8]> = Arc::from(event()?.as_bytes());
    let keys: Vec<Arc<[u8]>> = (0..TASKS)
        .map(|task| Arc::from(format!("www-data-prod-hello-0-{task:032}").into_bytes()))
        .collect();
    let mut lanes = Lanes::new(Bounds {
        window: 1_024,
        window_bytes: 16 << 20,
        per_lane: 64,
        lanes: 32_768,
    });
    let mut under_way = std::collections::VecDeque::new();
    for number in 0..times + UNDER_WAY {
        let key = &keys[usize::try_from(number % TASKS)?];
        let delivery = Delivery {
            entry: EntryId(number),
            id: EventId([7; 16]),
            accepted_at: number,
            attempts: 0,
            submitted: Some(now),
            first_attempt_at: None,
            not_before: None,
        };
        let offered = lanes.offer(key, delivery, now, || Arc::clone(key), || Arc::clone(&body));
        ensure!(offered == Offered::Taken, "{offered:?}");
        under_way.push_back(lanes.take().context("it is ready")?);
        if under_way.len() as u64 > UNDER_WAY
            && let Some(due) = under_way.pop_front()
        {
            lanes.settled(black_box(due).lane, now);
        }
    }
    Ok(())
}

/// A group into the queue, with the settlements of the one before.
fn queue(times: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let queue = DiskQueue::open(folder.path(), &Options::with_max_bytes(1 << 30))?;
    let target: Arc<str> = "default".into();
    let targets: Arc<[Arc<str>]> = [Arc::clone(&target)].into();
    let body: Arc<[u8]> = Arc::from(event()?.as_bytes());
    let mut settlements = Vec::new();
    for group in 0..times {
        let events: Vec<_> = (group * GROUP..(group + 1) * GROUP)
            .map(|number| Event {
                id: EventId(u128::from(number).to_le_bytes()),
                key: format!("task-{}", number % TASKS).into_bytes().into(),
                body: Arc::clone(&body),
                accepted_at: number,
                targets: Arc::clone(&targets),
                idempotency_key: None,
            })
            .collect();
        let entries = queue.commit(&events, &settlements)?;
        settlements = entries
            .into_iter()
            .filter_map(|accepted| accepted.entry())
            .map(|entry| Settlement {
                target: Arc::clone(&target),
                entry,
                outcome: Settled::Delivered,
            })
            .collect();
    }
    Ok(())
}
