//! `hot-paths PATH TIMES` runs one hot path that many times. `cargo xtask guard` counts the
//! instructions of two such runs; the set-up is not in their difference.
//!
//! *Architecture invariant*: nothing that ships depends on this crate.

// The tests of the included module run in its own crate.
#![cfg(not(test))]

#[expect(
    dead_code,
    reason = "a private module of webhook-dispatch, of which a part is used here"
)]
#[path = "../../../crates/webhook-dispatch/src/target/lanes/mod.rs"]
mod lanes;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "private modules of webhook-dispatch, of which a part is used here"
)]
#[path = "../../../crates/webhook-dispatch/src/shared"]
mod shared {
    pub(crate) mod attempt_log;
    pub(crate) mod attempt_record;
    pub(crate) mod batch_id;
    pub(crate) mod event_summary;
    pub(crate) mod outcome;
}

use anyhow::{Context, Result, bail, ensure};
use lanes::{BatchRoom, Bounds, Content, Delivery, Kind, Lanes, Offered};
use shared::attempt_log::{ATTEMPTS_KEPT, AttemptLog};
use shared::attempt_record::AttemptRecord;
use shared::event_summary::EventSummary;
use shared::outcome::Outcome;
use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_event::Schema;
use webhook_model::{EventHeader, KnownConfigs, TaskStateChange};
use webhook_queue::{
    Claim, DeadLetterLimits, DiskQueue, EntryId, Event, EventId, Options, Queue, Quotas, Settled,
    Settlement, SlotGuard,
};

/// The fixtures' events, one a line.
const EVENTS: &str = include_str!("../../fixtures/events.ndjson");
/// Samples of schedulers whose presets differ in kind: pointers at the top, and selectors of elements
/// deeper down.
const SCHEDULERS: [(&str, &str); 2] = [
    (
        "slurm",
        include_str!("../../fixtures/schedulers/slurm.ndjson"),
    ),
    (
        "kubernetes",
        include_str!("../../fixtures/schedulers/kubernetes.ndjson"),
    ),
];
/// Events in one commit of the queue.
const GROUP: u64 = 64;
/// Deliveries that are kept, about.
const KEPT: u64 = 4096;
/// Distinct keys, used in turn.
const TASKS: u64 = 500;

type Path = fn(u64) -> Result<()>;

const PATHS: &[(&str, Path)] = &[
    ("attempt", attempt),
    ("batch", batch),
    ("encode", encode),
    ("fields", fields),
    ("header", header),
    ("keep", keep),
    ("known-header", known_header),
    ("lane", lane),
    ("queue", queue),
    ("small-commit", small_commit),
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, times] = &args[..] else {
        bail!("usage: hot-paths PATH TIMES");
    };
    let path = PATHS.iter().find(|(path, _)| path == name);
    let (_, path) = path.with_context(|| format!("there is no path {name}"))?;
    path(times.parse().context("TIMES is a number")?)
}

/// A fixture of the usual size.
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

/// Reads the fields of an event that dispatching needs.
fn header(times: u64) -> Result<()> {
    let event = event()?.as_bytes();
    for _ in 0..times {
        black_box(EventHeader::read(black_box(event))?);
    }
    Ok(())
}

/// Reads the same of an event whose task's configuration is known.
fn known_header(times: u64) -> Result<()> {
    let event = event()?.as_bytes();
    let mut known = KnownConfigs::default();
    for _ in 0..times {
        black_box(EventHeader::read_known(black_box(event), &mut known)?);
    }
    Ok(())
}

/// Reads the fields of an event of each of the schedulers by its preset.
fn fields(times: u64) -> Result<()> {
    let mut samples = Vec::new();
    for (name, lines) in SCHEDULERS {
        let schema = Schema::from_json(&serde_json::json!({ "schema": name }))?;
        let longest = lines.lines().max_by_key(|line| line.len());
        samples.push((schema, longest.context("there is a sample")?.as_bytes()));
    }
    for _ in 0..times {
        for (schema, event) in &samples {
            black_box(schema.read(black_box(event))?);
        }
    }
    Ok(())
}

/// Summarizes an event whose fields are read, and adds its delivery to a log that is full.
fn attempt(times: u64) -> Result<()> {
    let header = EventHeader::read(event()?.as_bytes())?;
    let key = b"www-data-devel-indexer-2-1-e1a971d4-907a-4c90-86f2-88b684d4eca8";
    let log = AttemptLog::new();
    for number in 0..ATTEMPTS_KEPT as u64 + times {
        let summary: Arc<[u8]> = EventSummary::of_header(black_box(&header))
            .as_slice()
            .into();
        let record = AttemptRecord {
            number: 0,
            started_at: number,
            id: EventId([7; 16]),
            key: key.into(),
            key_bytes: key.len(),
            summary: Cow::Borrowed(&summary),
            attempt: 1,
            batch: None,
            outcome: Outcome::Success,
            status: Some(200),
            error: Cow::Borrowed(""),
            took: Duration::from_millis(1),
            bytes: 3_500,
            response: Cow::Borrowed(""),
        };
        black_box(log.add(black_box(&record)));
    }
    Ok(())
}

/// A target's lanes, and the keys of its tasks.
fn lanes() -> (Lanes, Vec<Arc<[u8]>>) {
    let keys = (0..TASKS)
        .map(|task| Arc::from(format!("www-data-prod-hello-0-{task:032}").into_bytes()))
        .collect();
    let lanes = Lanes::new(Bounds {
        window: 1_024,
        window_bytes: 16 << 20,
        per_lane: 64,
        lanes: 32_768,
    });
    (lanes, keys)
}

/// Offers the event of this number to its lane.
fn offer(
    lanes: &mut Lanes,
    keys: &[Arc<[u8]>],
    content: &Content,
    number: u64,
    now: Instant,
) -> Result<()> {
    let key = &keys[usize::try_from(number % TASKS)?];
    let delivery = Delivery {
        submitted: Some(now),
        ..Delivery::new(EntryId(number), Claim::SOLE, EventId([7; 16]), number)
    };
    let offered = lanes.offer(key, delivery, now, || Arc::clone(key), || content.clone());
    ensure!(offered == Offered::Taken, "{offered:?}");
    Ok(())
}

/// Offers as many events as a batch has, takes them together and settles them.
fn batch(times: u64) -> Result<()> {
    const EVENTS: u64 = 100;
    let now = Instant::now();
    let content = Content::copied(event()?.as_bytes(), &[]);
    let (mut lanes, keys) = lanes();
    let room = BatchRoom {
        events: usize::try_from(EVENTS)?,
        bytes: usize::MAX,
    };
    for batch in 0..times {
        for number in 0..EVENTS {
            offer(&mut lanes, &keys, &content, batch * EVENTS + number, now)?;
        }
        let first = lanes.take(Kind::First).context("it is ready")?;
        let (rest, _) = lanes.gather(&first, false, room, |_| Some(SlotGuard::SOLE));
        let batch = lanes::Batch::new(first, rest);
        ensure!(batch.len() as u64 == EVENTS, "{} events", batch.len());
        for due in black_box(&batch).iter() {
            lanes.settled(due.lane, now);
        }
    }
    Ok(())
}

/// Offers an event to its lane, takes it and settles it, while others are in flight.
fn lane(times: u64) -> Result<()> {
    const IN_FLIGHT: u64 = 16;
    let now = Instant::now();
    let content = Content::copied(event()?.as_bytes(), &[]);
    let (mut lanes, keys) = lanes();
    let mut in_flight = std::collections::VecDeque::new();
    for number in 0..times + IN_FLIGHT {
        offer(&mut lanes, &keys, &content, number, now)?;
        in_flight.push_back(lanes.take(Kind::First).context("it is ready")?);
        if in_flight.len() as u64 > IN_FLIGHT
            && let Some(due) = in_flight.pop_front()
        {
            lanes.settled(black_box(due).lane, now);
        }
    }
    Ok(())
}

/// Commits a group of events together with the settlements of the group before it.
fn queue(times: u64) -> Result<()> {
    commits(times, GROUP, Settled::Delivered)
}

/// The same with a group of few events.
fn small_commit(times: u64) -> Result<()> {
    commits(times, 8, Settled::Delivered)
}

/// The same with deliveries that are kept, of which as many are removed.
fn keep(times: u64) -> Result<()> {
    let outcome = Settled::Kept {
        attempts: 1,
        delivered_at: 1,
    };
    // The first commits fill what may be kept.
    commits(KEPT / GROUP + times, GROUP, outcome)
}

fn commits(times: u64, group: u64, outcome: Settled) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let queue = DiskQueue::open(folder.path(), &Options::with_max_bytes(1 << 30))?;
    let target: Arc<str> = "default".into();
    let targets: Arc<[Arc<str>]> = [Arc::clone(&target)].into();
    let body: Arc<[u8]> = Arc::from(event()?.as_bytes());
    let kept = DeadLetterLimits {
        max_bytes: KEPT * body.len() as u64,
        ..DeadLetterLimits::default()
    };
    queue.set_quotas(Quotas {
        retained: [(Arc::clone(&target), kept)].into(),
        ..Quotas::default()
    });
    let mut settlements = Vec::new();
    for number in 0..times {
        let events: Vec<_> = (number * group..(number + 1) * group)
            .map(|number| Event {
                id: EventId(u128::from(number).to_le_bytes()),
                key: format!("task-{}", number % TASKS).into_bytes().into(),
                body: Arc::clone(&body),
                accepted_at: number,
                targets: Arc::clone(&targets),
                attributes: Arc::default(),
                idempotency_key: None,
                last_state: None,
            })
            .collect();
        let entries = queue.commit(&events, &settlements)?;
        settlements = entries
            .accepted
            .into_iter()
            .filter_map(|accepted| accepted.entry())
            .map(|entry| Settlement {
                target: Arc::clone(&target),
                entry,
                outcome: outcome.clone(),
                guard: SlotGuard::SOLE,
            })
            .collect();
    }
    Ok(())
}
