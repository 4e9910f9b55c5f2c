//! Opens a queue for a test.

use std::time::{Duration, Instant};

use testkit::{DEADLINE, Postgres};
use webhook_queue::{Claim, Queue};
use webhook_queue_postgres::{PostgresQueue, Settings};

/// The settings of a worker of this schema, with a lease that is short but not lost by a machine
/// under load.
pub(crate) fn settings(url: &str, schema: &str) -> Settings {
    Settings {
        schema: schema.to_owned(),
        lease: Duration::from_secs(2),
        ..Settings::new(url)
    }
}

/// Opens a queue, and waits until it has a claim to each slot: it is the only worker.
pub(crate) fn open(postgres: &Postgres, settings: Settings) -> PostgresQueue {
    let slots = format!("SELECT slot, epoch FROM {}.slot", settings.schema);
    let queue = PostgresQueue::open(settings).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while !has_claims(&queue, &postgres.query(&slots)) {
        assert!(Instant::now() < deadline, "it does not claim all slots");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    queue
}

fn has_claims(queue: &PostgresQueue, slots: &str) -> bool {
    let claim = |row: &str| {
        let (slot, fence) = row.split_once('|').unwrap();
        Claim {
            slot: slot.parse().unwrap(),
            fence: fence.parse().unwrap(),
        }
    };
    slots.lines().all(|row| queue.guard(claim(row)).is_some())
}
