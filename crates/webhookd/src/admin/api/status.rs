//! `/api/v1/status`: version, health, configuration and input of the program.

use super::super::answer::{Json, blocking};
use super::super::problem::Problem;
use crate::daemon::{Daemon, Reason, epoch_ms};
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
    intake: IntakeJson,
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
        intake: IntakeJson {
            events: read.events,
            rejected: read.rejected + read.rejected_http,
            unauthorized: read.unauthorized,
            refused: read.refused,
            bytes: daemon.input.bytes(),
        },
    }
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
