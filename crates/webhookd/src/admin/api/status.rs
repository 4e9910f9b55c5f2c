//! `/api/v1/status`: version, health, configuration and input of the program.

use super::super::answer::{Json, blocking};
use super::super::problem::Problem;
use crate::daemon::{Daemon, Reason, epoch_ms};
use crate::sources::{StreamFigures, shown_input};
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    version: &'static str,
    pid: u32,
    started_at: u64,
    uptime_seconds: f64,
    alive: bool,
    ready: bool,
    reasons: Vec<Reason>,
    config: ConfigJson,
    sources: Vec<Source>,
    streams: Vec<StreamJson>,
    intake: IntakeJson,
    inputs: Vec<InputJson>,
}

/// What came in by one input since the start.
#[derive(Serialize)]
struct InputJson {
    name: String,
    events: u64,
    rejected: u64,
    unknown: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigJson {
    path: String,
    hash: String,
    loaded_at: u64,
    reloads: u64,
    failed_reloads: u64,
    last_reload: Option<&'static str>,
}

#[derive(Serialize)]
struct Source {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamJson {
    name: String,
    connected: bool,
    connections: u64,
    errors: u64,
    documents: u64,
    gaps: u64,
    /// Epoch milliseconds.
    last_document_at: Option<u64>,
    last_gap_at: Option<u64>,
    error: Option<String>,
    cursor: Option<String>,
}

impl From<StreamFigures> for StreamJson {
    fn from(it: StreamFigures) -> StreamJson {
        let time = |seconds| (seconds > 0).then_some(seconds * 1000);
        StreamJson {
            name: it.name,
            connected: it.connected,
            connections: it.connections,
            errors: it.errors,
            documents: it.documents,
            gaps: it.gaps,
            last_document_at: time(it.last_document),
            last_gap_at: time(it.last_gap),
            error: it.error,
            cursor: it.cursor,
        }
    }
}

#[derive(Serialize)]
struct IntakeJson {
    events: u64,
    rejected: u64,
    unauthorized: u64,
    refused: u64,
    bytes: u64,
}

pub(super) async fn show(State(daemon): State<Arc<Daemon>>) -> Result<Json<Status>, Problem> {
    Ok(Json::of(blocking(move || status(&daemon)).await?))
}

fn status(daemon: &Daemon) -> Status {
    let health = daemon.snapshot().health;
    let read = daemon.input.counts();
    let sources = daemon.sources.iter();
    Status {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        started_at: epoch_ms(daemon.started_at()),
        uptime_seconds: daemon.uptime().as_secs_f64(),
        alive: health.is_alive(),
        ready: health.is_ready(),
        reasons: health.reasons(),
        config: config(daemon),
        sources: sources.map(|name| Source { name: name.clone() }).collect(),
        streams: daemon
            .streams
            .iter()
            .map(|it| it.figures().into())
            .collect(),
        intake: IntakeJson {
            events: read.events,
            rejected: read.rejected + read.rejected_http,
            unauthorized: read.unauthorized,
            refused: read.refused,
            bytes: daemon.input.bytes(),
        },
        inputs: inputs(daemon),
    }
}

fn inputs(daemon: &Daemon) -> Vec<InputJson> {
    let inputs = daemon.input.by_input().into_iter();
    let inputs = inputs.map(|(name, counts)| InputJson {
        name: shown_input(&name).to_owned(),
        events: counts.events,
        rejected: counts.rejected,
        unknown: counts.unknown,
    });
    inputs.collect()
}

fn config(daemon: &Daemon) -> ConfigJson {
    let state = daemon.reloader.state();
    ConfigJson {
        path: daemon.reloader.file().path().display().to_string(),
        hash: state.hash,
        loaded_at: epoch_ms(state.loaded_at),
        reloads: state.reloads,
        failed_reloads: state.failures,
        last_reload: state.last.map(|ok| if ok { "success" } else { "failure" }),
    }
}
