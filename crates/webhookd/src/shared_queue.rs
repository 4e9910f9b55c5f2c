//! What is shown of a queue that several workers share: in the admin API, and by
//! `webhookd queue stats`.

use serde::{Deserialize, Serialize};
use std::io::{Result, Write};
use webhook_queue::{SharedStatistics, WorkerStatistics};

/// The workers of a queue, and its database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SharedQueue {
    /// The database, without secrets.
    database: String,
    reachable: bool,
    slots: u16,
    /// Slots that no live worker has.
    unclaimed_slots: u16,
    workers: Vec<Worker>,
    leases_lost: u64,
    fenced_settlements: u64,
    reconnects: u64,
    segments_in_use: u16,
    segments: u16,
    dead_rows: u64,
    oldest_transaction_seconds: f64,
    standbys: u16,
    synchronous: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Worker {
    id: u64,
    name: String,
    /// Whether it is the process that was asked.
    this: bool,
    slots: u16,
    lease_age_seconds: f64,
    /// The age of the oldest event owed in its slots.
    oldest_pending_age_seconds: Option<f64>,
}

impl SharedQueue {
    pub(crate) fn of(statistics: &SharedStatistics) -> SharedQueue {
        let (segments_in_use, segments) = statistics.segments;
        SharedQueue {
            database: statistics.storage.clone(),
            reachable: statistics.reachable,
            slots: statistics.slots,
            unclaimed_slots: statistics.unclaimed,
            workers: statistics.workers.iter().map(Worker::of).collect(),
            leases_lost: statistics.leases_lost,
            fenced_settlements: statistics.fenced,
            reconnects: statistics.reconnects,
            segments_in_use,
            segments,
            dead_rows: statistics.dead_rows,
            oldest_transaction_seconds: seconds(statistics.oldest_transaction_ms),
            standbys: statistics.standbys.count,
            synchronous: statistics.standbys.synchronous,
        }
    }

    /// Its workers in a few words.
    pub(crate) fn summary(&self) -> String {
        let workers = match self.workers.len() {
            1 => "1 worker".to_owned(),
            count => format!("{count} workers"),
        };
        match self.reachable {
            true => workers,
            false => format!("{workers}, database away"),
        }
    }

    /// Prints the workers as a table.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> Result<()> {
        let (in_use, segments) = (self.segments_in_use, self.segments);
        writeln!(
            out,
            "{}: {} slots, {in_use} of {segments} segments in use",
            self.database, self.slots
        )?;
        if self.unclaimed_slots > 0 {
            let slots = self.unclaimed_slots;
            writeln!(
                out,
                "slots that no worker has: {slots}; nothing of them is delivered"
            )?;
        }
        if self.standbys > 0 && !self.synchronous {
            writeln!(
                out,
                "standbys: {}, none of them synchronous: a failover can lose events",
                self.standbys
            )?;
        }
        writeln!(
            out,
            "{:<32} {:>6} {:>10} {:>14}",
            "WORKER", "SLOTS", "LEASE", "OLDEST"
        )?;
        for worker in &self.workers {
            let oldest = worker
                .oldest_pending_age_seconds
                .map_or_else(|| "-".to_owned(), |age| format!("{age:.1} s"));
            let lease = format!("{:.1} s", worker.lease_age_seconds);
            let (name, slots) = (&worker.name, worker.slots);
            writeln!(out, "{name:<32} {slots:>6} {lease:>10} {oldest:>14}")?;
        }
        Ok(())
    }
}

impl Worker {
    fn of(worker: &WorkerStatistics) -> Worker {
        Worker {
            id: worker.id,
            name: worker.name.clone(),
            this: worker.is_this,
            slots: worker.slots,
            lease_age_seconds: seconds(worker.lease_age_ms),
            oldest_pending_age_seconds: worker.lag_ms.map(seconds),
        }
    }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1e3
}
