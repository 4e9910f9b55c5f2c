//! What the tests share.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testkit::Postgres;
use webhook_queue::{
    Accepted, EntryId, Event, EventId, Owed, Queue, QueueError, Settled, Settlement,
};
use webhook_queue_postgres::{PostgresQueue, Settings};

/// How long something may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// Settings that suit a test: connections over the Unix socket, so that none of them needs a password.
pub(crate) fn settings(postgres: &Postgres) -> Settings {
    Settings::new(postgres.url())
}

pub(crate) fn open(postgres: &Postgres) -> PostgresQueue {
    PostgresQueue::open(settings(postgres)).expect("the queue opens")
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not happen in time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

pub(crate) fn event(number: u64, key: &str, targets: &[&str]) -> Event {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Event {
        id: EventId(id),
        key: key.as_bytes().into(),
        body: format!("body {number}").into_bytes().into(),
        attributes: Arc::default(),
        accepted_at: 1_000_000 + number,
        targets: targets.iter().map(|it| Arc::from(*it)).collect(),
        idempotency_key: None,
        last_state: None,
    }
}

/// The number of an event of [`event`].
pub(crate) fn number(id: EventId) -> u64 {
    u64::from_be_bytes(id.0[..8].try_into().expect("8 bytes"))
}

pub(crate) fn append(queue: &PostgresQueue, events: &[Event]) -> Vec<Accepted> {
    queue.commit(events, &[]).expect("a commit").accepted
}

/// An entry that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) number: u64,
    pub(crate) entry: EntryId,
    pub(crate) claim: webhook_queue::Claim,
    pub(crate) body: Vec<u8>,
    pub(crate) attributes: Vec<u8>,
    pub(crate) accepted_at: u64,
    pub(crate) attempts: u32,
    pub(crate) not_before: u64,
}

impl Read {
    pub(crate) fn new(owed: &Owed<'_>) -> Read {
        Read {
            number: number(owed.id),
            entry: owed.entry,
            claim: owed.claim,
            body: owed.body.to_vec(),
            attributes: owed.attributes.to_vec(),
            accepted_at: owed.accepted_at,
            attempts: owed.attempts,
            not_before: owed.not_before,
        }
    }
}

/// All that a target is owed, as far as this process has claims.
pub(crate) fn owed(queue: &PostgresQueue, target: &str) -> Vec<Read> {
    let mut found = Vec::new();
    let visit = &mut |owed: Owed<'_>| {
        found.push(Read::new(&owed));
        ControlFlow::Continue(())
    };
    queue.owed(target, None, visit).expect("a read");
    found
}

/// The numbers of all that a target is owed, once there are so many.
pub(crate) fn numbers(queue: &PostgresQueue, target: &str, count: usize) -> Vec<u64> {
    eventually(|| {
        let found = owed(queue, target);
        (found.len() == count).then(|| found.iter().map(|it| it.number).collect())
    })
}

/// A settlement of an entry that was read, under its claim, while that holds.
pub(crate) fn settlement(
    queue: &PostgresQueue,
    target: &str,
    read: &Read,
    outcome: Settled,
) -> Option<Settlement> {
    Some(Settlement {
        target: target.into(),
        entry: read.entry,
        outcome,
        guard: queue.guard(read.claim)?,
    })
}

/// The error of an opening that fails.
pub(crate) fn refused(settings: Settings) -> String {
    match PostgresQueue::open(settings) {
        Ok(_) => panic!("it was opened"),
        Err(error) => describe(&error),
    }
}

/// An error with its causes.
pub(crate) fn describe(error: &QueueError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
