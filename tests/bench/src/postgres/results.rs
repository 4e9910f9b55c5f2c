//! What was measured, as it is kept in JSON.

use crate::figures::median;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Where events wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum QueueKind {
    /// webhookd with the queue in its directory
    Embedded,
    /// webhookd with the queue in PostgreSQL
    Postgres,
    /// A table, from which 64 rows are claimed at a time
    SkipLocked64,
    /// A table, from which single rows are claimed
    SkipLocked1,
}

impl QueueKind {
    pub(super) fn title(self) -> &'static str {
        match self {
            QueueKind::Embedded => "webhookd, embedded queue",
            QueueKind::Postgres => "webhookd on PostgreSQL",
            QueueKind::SkipLocked64 => "SKIP LOCKED, 64 rows a claim",
            QueueKind::SkipLocked1 => "SKIP LOCKED, single rows",
        }
    }

    /// Whether it keeps the order of each key.
    pub(super) fn keeps_order(self) -> bool {
        matches!(self, QueueKind::Embedded | QueueKind::Postgres)
    }
}

/// Everything of one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Results {
    /// The machine and the versions, line by line.
    pub(super) machine: Vec<(String, String)>,
    /// Lines of postgresql.conf.
    pub(super) settings: Vec<String>,
    /// Requests under way at once, of each worker.
    pub(super) threads: u32,
    pub(super) connections: u32,
    /// Events in each request of the load generator while rates are measured.
    pub(super) batch: u32,
    pub(super) keys: u32,
    /// Bytes of an event.
    pub(super) body: usize,
    pub(super) samples: Vec<Sample>,
    /// The longest wait of an event after a kill -9 of a worker.
    pub(super) takeover_ms: Option<f64>,
    pub(super) drain: Option<Sample>,
    pub(super) load_after: String,
    pub(super) minutes: f64,
}

/// The result of one measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sample {
    pub(super) queue: QueueKind,
    pub(super) workers: u32,
    /// Whether a transaction elsewhere held xmin.
    pub(super) held_xmin: bool,
    /// Events a second that were offered, if not as many as were accepted.
    pub(super) offered: Option<f64>,
    pub(super) events: u64,
    /// Events a second from the first request sent until the last delivery was answered.
    pub(super) rate: f64,
    /// Processor time for each event, microseconds.
    pub(super) workers_us: f64,
    pub(super) server_us: f64,
    pub(super) receiver_us: f64,
    pub(super) feeder_us: f64,
    /// What the server has counted; `None` without one.
    pub(super) server: Option<ServerCounts>,
    /// From a request due to its answer, and from a request due to the delivery, at 50, 90, 99,
    /// 99.9 and 100 per cent.
    pub(super) accept_us: [u32; 5],
    pub(super) deliver_us: [u32; 5],
    pub(super) repeated: u64,
    pub(super) out_of_order: u64,
    /// What other processes took of the cores meanwhile, per cent.
    pub(super) other_load: f64,
}

/// Counters of the server, for each event.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerCounts {
    pub(super) wal_bytes: f64,
    /// Rows updated and deleted: each leaves a dead tuple.
    pub(super) dead_tuples: f64,
    /// Dead tuples at the end that no vacuum has removed.
    pub(super) dead_at_end: f64,
    /// Statements of clients for 1,000 events, and commits.
    pub(super) statements: f64,
    pub(super) commits: f64,
}

/// Which samples belong together.
pub(super) type Group = (QueueKind, u32, bool, bool);

impl Sample {
    pub(super) fn group(&self) -> Group {
        (
            self.queue,
            self.workers,
            self.held_xmin,
            self.offered.is_some(),
        )
    }

    /// What was broken.
    pub(super) fn faults(&self) -> Vec<String> {
        let title = self.queue.title();
        let mut faults = Vec::new();
        if self.repeated > 0 {
            faults.push(format!("{title}: {} events repeated", self.repeated));
        }
        if self.queue.keeps_order() && self.out_of_order > 0 {
            faults.push(format!("{title}: {} out of order", self.out_of_order));
        }
        faults
    }
}

impl Results {
    /// Writes the JSON.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let name = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(name)?;
        }
        let text = serde_json::to_string_pretty(self).context("the figures as JSON")?;
        std::fs::write(path, text + "\n").with_context(name)
    }

    /// The groups, in the order in which they were measured first.
    pub(super) fn groups(&self) -> Vec<Group> {
        let mut groups = Vec::new();
        for sample in &self.samples {
            if !groups.contains(&sample.group()) {
                groups.push(sample.group());
            }
        }
        groups
    }

    /// The median of a figure of a group; `None` if it was not measured.
    pub(super) fn median(&self, group: Group, pick: impl Fn(&Sample) -> f64) -> Option<f64> {
        let values: Vec<f64> = self
            .samples
            .iter()
            .filter(|sample| sample.group() == group)
            .map(pick)
            .collect();
        (!values.is_empty()).then(|| median(&values))
    }

    /// The median of a server's counter, NaN where there is no server.
    pub(super) fn counted(&self, group: Group, pick: fn(&ServerCounts) -> f64) -> Option<f64> {
        self.median(group, |sample| {
            sample.server.as_ref().map_or(f64::NAN, pick)
        })
    }

    /// The other load during each measurement.
    pub(crate) fn other_loads(&self) -> impl Iterator<Item = f64> {
        let samples = self.samples.iter().chain(&self.drain);
        samples.map(|sample| sample.other_load)
    }

    pub(super) fn rate(&self, group: Group) -> Option<f64> {
        self.median(group, |sample| sample.rate)
    }
}
