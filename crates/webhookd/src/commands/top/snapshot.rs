//! Figures of the admin API at one moment.

use crate::admin::client::{Client, segment};
use crate::shared_queue::SharedQueue;
use anyhow::Result;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Gets snapshots from the admin API.
#[derive(Debug)]
pub(super) struct Source {
    client: Client,
}

/// All figures shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) status: Status,
    pub(super) queue: Queue,
    pub(super) targets: Vec<Target>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) uptime_seconds: f64,
    pub(super) ready: bool,
    pub(super) reasons: Vec<Reason>,
    #[serde(default)]
    pub(super) streams: Vec<Stream>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) connected: bool,
    pub(super) error: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Reason {
    pub(super) detail: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queue {
    /// `None` if the queue is shared, or there is none, since every target is best-effort.
    pub(super) directory: Option<String>,
    #[serde(default)]
    pub(super) shared: Option<SharedQueue>,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    /// 0 from an earlier version.
    #[serde(default)]
    pub(super) usable_bytes: u64,
    pub(super) quarantined: u64,
    pub(super) writer: Option<Writer>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Writer {
    pub(super) failing: Option<String>,
    pub(super) blocked: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) paused: bool,
    pub(super) state: String,
    #[serde(default)]
    pub(super) breaker_open_until: Option<String>,
    #[serde(default)]
    pub(super) hold: Option<Hold>,
    pub(super) stats: Figures,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Hold {
    pub(super) until: Option<String>,
    pub(super) detail: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figures {
    pub(super) accepted: u64,
    pub(super) delivered: u64,
    pub(super) attempts: BTreeMap<String, u64>,
    pub(super) dead_held: u64,
    pub(super) pending: u64,
    pub(super) oldest_pending_age_seconds: Option<f64>,
    pub(super) in_flight: u64,
    pub(super) waiting_tasks: u64,
    pub(super) attempt_seconds: Latency,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

#[derive(Deserialize)]
struct Targets {
    targets: Vec<Target>,
}

impl Figures {
    /// Attempts that failed.
    pub(super) fn failures(&self) -> u64 {
        let all = self.attempts.iter();
        all.filter(|(outcome, _)| *outcome != "2xx")
            .map(|(_, count)| count)
            .sum()
    }
}

impl Source {
    pub(super) fn new(client: Client) -> Source {
        Source { client }
    }

    /// # Errors
    /// The program does not respond, or responds with a problem.
    pub(super) fn look(&self) -> Result<Snapshot> {
        let Targets { targets } = self.client.get("/api/v1/targets")?;
        Ok(Snapshot {
            status: self.client.get("/api/v1/status")?,
            queue: self.client.get("/api/v1/queue")?,
            targets,
        })
    }

    /// Commands a target: `pause`, `resume` or `restart`.
    ///
    /// # Errors
    /// The command failed.
    pub(super) fn command(&self, target: &str, verb: &str) -> Result<()> {
        let path = format!("/api/v1/targets/{}/{verb}", segment(target));
        self.client.post(&path, None)?.check().map(drop)
    }
}
