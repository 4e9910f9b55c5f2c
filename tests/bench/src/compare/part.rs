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
    /// webhookd over HTTP, an event in each request, durable
    Ingest,
    /// webhookd over HTTP, 64 events in each request, durable
    IngestBatch,
    /// syslog-ng's http() destination, from memory
    SyslogNg,
    /// The same with its reliable disk buffer
    SyslogNgDisk,
    /// webhookd: a backlog delivered from disk
    Drain,
    /// Submit to wire, at half the highest rate
    Latency,
    /// Cost as targets, tasks, backlog, bodies and the receiver's latency grow
    Scale,
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
            Part::Ingest => "webhookd, HTTP ingest, durable",
            Part::IngestBatch => "webhookd, HTTP ingest by 64, durable",
            Part::SyslogNg => "syslog-ng http()",
            Part::SyslogNgDisk => "syslog-ng http(), disk buffer",
            Part::Drain => "webhookd, drain from disk",
            Part::Latency => "latency added",
            Part::Scale => "scale",
        }
    }

    /// Whether it is ours.
    pub(super) fn is_ours(self) -> bool {
        matches!(
            self,
            Part::BestEffort | Part::Durable | Part::Ingest | Part::IngestBatch | Part::Drain
        )
    }
}
