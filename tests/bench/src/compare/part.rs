//! What is measured side by side.

use serde::{Deserialize, Serialize};

/// A part of the benchmark.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Part {
    /// The ceiling: blocking sockets that write the same bytes
    Bare,
    /// wrk, 64 connections
    Wrk,
    /// hyper, 64 in flight
    Hyper,
    /// reqwest, 64 in flight
    Reqwest,
    /// webhookd, one attempt and no disk
    BestEffort,
    /// webhookd, every event on disk first
    Durable,
    /// webhookd, durable, up to 100 events in a request to a receiver of NDJSON
    Batches,
    /// webhookd over HTTP by 64 connections, an event in each request, durable
    Ingest,
    /// webhookd over HTTP by 64 connections, 64 events in each request, durable
    IngestBatch,
    /// syslog-ng's http() destination, from memory
    SyslogNg,
    /// The same with its reliable disk buffer
    SyslogNgDisk,
    /// webhookd: a backlog delivered from disk
    Drain,
    /// Submit to wire, at half and at a tenth of the highest rate
    Latency,
    /// Memory of 1,000 targets, idle and under load
    Memory,
    /// HTTP ingest by 1 to 512 connections, and of one task to 1,000
    Connections,
    /// Cost as targets, tasks, backlog, bodies and the receiver's latency grow
    Scale,
    /// One worker and two on a PostgreSQL server of their own
    Workers,
}

impl Part {
    /// Those whose rates are compared, in the order of the table.
    pub(super) const RATES: &[Part] = &[
        Part::Bare,
        Part::Wrk,
        Part::Hyper,
        Part::Reqwest,
        Part::BestEffort,
        Part::Durable,
        Part::Batches,
        Part::Ingest,
        Part::IngestBatch,
        Part::Drain,
        Part::SyslogNg,
        Part::SyslogNgDisk,
    ];

    /// What it is called in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Part::Bare => "bare sockets (the ceiling)",
            Part::Wrk => "wrk, 64 connections",
            Part::Hyper => "hyper, 64 in flight",
            Part::Reqwest => "reqwest, 64 in flight",
            Part::BestEffort => "webhookd, best-effort",
            Part::Durable => "webhookd, durable",
            Part::Batches => "webhookd, durable, batches of 100",
            Part::Ingest => "webhookd, HTTP ingest, durable",
            Part::IngestBatch => "webhookd, HTTP ingest by 64, durable",
            Part::SyslogNg => "syslog-ng http()",
            Part::SyslogNgDisk => "syslog-ng http(), disk buffer",
            Part::Drain => "webhookd, drain from disk",
            Part::Latency => "latency added",
            Part::Memory => "memory of 1,000 targets",
            Part::Connections => "connections of the HTTP ingest",
            Part::Scale => "scale",
            Part::Workers => "workers on PostgreSQL",
        }
    }

    /// Whether it is ours.
    pub(super) fn is_ours(self) -> bool {
        matches!(
            self,
            Part::BestEffort
                | Part::Durable
                | Part::Batches
                | Part::Ingest
                | Part::IngestBatch
                | Part::Drain
        )
    }
}
