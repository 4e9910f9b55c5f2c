//! `/api/v1/targets`: shows, pauses, resumes and restarts targets.

use super::super::answer::{Json, blocking};
use super::super::problem::Problem;
use super::super::states::{breaker_name, target_state};
use crate::attempt_json::moment;
use crate::daemon::{Daemon, Snapshot};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use webhook_dispatch::{Control, Latencies, TargetStats, UnknownTarget};
use webhook_queue::TargetStatistics;

#[derive(Serialize)]
pub(super) struct Targets {
    targets: Vec<TargetJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetJson {
    name: String,
    url: String,
    delivery: String,
    state: &'static str,
    paused: bool,
    breaker: &'static str,
    breaker_open_until: Option<String>,
    blocks_queue: bool,
    hold: Option<HoldJson>,
    stats: StatsJson,
    settings: Box<RawValue>,
}

#[derive(Serialize)]
struct HoldJson {
    reason: &'static str,
    until: Option<String>,
    detail: String,
}

/// The targets of a configuration as it is shown.
#[derive(Deserialize)]
struct ShownTargets {
    targets: Vec<Box<RawValue>>,
}

/// The settings of a target that are shown separately, too.
#[derive(Deserialize)]
struct Settings {
    name: String,
    #[serde(rename = "targetURL")]
    url: String,
    delivery: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatsJson {
    accepted: u64,
    filtered: u64,
    delivered: u64,
    retried: u64,
    failed: u64,
    dropped: u64,
    unfinished: u64,
    damaged: u64,
    over_quota: u64,
    dead_letters_removed: u64,
    attempts: BTreeMap<&'static str, u64>,
    requests: u64,
    dead: BTreeMap<&'static str, u64>,
    dead_held: u64,
    /// Deliveries that are kept.
    kept: u64,
    kept_bytes: u64,
    pending: u64,
    oldest_pending_age_seconds: Option<f64>,
    in_flight: u64,
    waiting_tasks: u64,
    next_retry_at: Option<String>,
    in_memory: u64,
    attempt_seconds: LatencyJson,
    delivery_seconds: LatencyJson,
}

#[derive(Serialize)]
struct LatencyJson {
    count: u64,
    sum: f64,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

pub(super) async fn list(State(daemon): State<Arc<Daemon>>) -> Result<Json<Targets>, Problem> {
    let targets = blocking(move || all(&daemon)).await??;
    Ok(Json::of(Targets { targets }))
}

pub(super) async fn show(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Result<Json<TargetJson>, Problem> {
    let targets = blocking(move || all(&daemon)).await??;
    let found = targets.into_iter().find(|target| target.name == name);
    found.map(Json::of).ok_or_else(|| unknown(&name))
}

pub(super) async fn pause(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    command(&daemon, name, Control::pause).await
}

pub(super) async fn resume(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    command(&daemon, name, Control::resume).await
}

pub(super) async fn restart(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    command(&daemon, name, Control::restart).await
}

/// Commands a target. It may wait, since the target's channel may be full.
async fn command(
    daemon: &Daemon,
    name: String,
    command: fn(&Control, &str) -> Result<(), UnknownTarget>,
) -> Result<StatusCode, Problem> {
    let control = daemon.control.clone();
    let commanded = blocking(move || command(&control, &name)).await?;
    commanded.map_err(|error| unknown_target(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

fn unknown_target(error: &UnknownTarget) -> Problem {
    Problem::not_found(error.to_string())
}

pub(super) fn unknown(name: &str) -> Problem {
    unknown_target(&UnknownTarget(name.to_owned()))
}

fn all(daemon: &Daemon) -> Result<Vec<TargetJson>, Problem> {
    let snapshot = daemon.snapshot();
    if let Some(error) = &snapshot.unreadable {
        return Err(Problem::failed(error));
    }
    let settings = settings(daemon).map_err(|error| Problem::failed(&error))?;
    let mut targets = Vec::new();
    for (settings, shown) in settings {
        // A target that a reload has just added has no figures yet.
        let mut stats = snapshot.stats.targets.iter();
        if let Some(target) = stats.find(|target| target.name == settings.name) {
            targets.push(TargetJson::new(target, settings, shown, &snapshot));
        }
    }
    Ok(targets)
}

/// The settings of all targets, as the file has them.
fn settings(daemon: &Daemon) -> serde_json::Result<Vec<(Settings, Box<RawValue>)>> {
    let shown = serde_json::to_string(&daemon.control.config().show())?;
    let shown: ShownTargets = serde_json::from_str(&shown)?;
    let targets = shown.targets.into_iter();
    targets
        .map(|target| Ok((serde_json::from_str(target.get())?, target)))
        .collect()
}

impl TargetJson {
    fn new(
        target: &TargetStats,
        settings: Settings,
        shown: Box<RawValue>,
        snapshot: &Snapshot,
    ) -> TargetJson {
        let queued = &snapshot.stats.queue.targets;
        let held = queued.iter().find(|queued| queued.target == target.name);
        TargetJson {
            name: settings.name,
            url: settings.url,
            delivery: settings.delivery,
            state: target_state(target),
            paused: target.paused,
            breaker: breaker_name(target.breaker),
            breaker_open_until: target.breaker_open_until.and_then(moment),
            blocks_queue: target.blocks_queue,
            hold: target.hold.as_ref().map(|hold| HoldJson {
                reason: hold.reason.name(),
                until: hold.until.and_then(moment),
                detail: hold.detail.clone(),
            }),
            stats: StatsJson::new(target, held),
            settings: shown,
        }
    }
}

impl StatsJson {
    fn new(target: &TargetStats, held: Option<&TargetStatistics>) -> StatsJson {
        let attempts = target.attempts.iter();
        let dead = target.dead.iter();
        StatsJson {
            accepted: target.accepted,
            filtered: target.filtered,
            delivered: target.delivered,
            retried: target.retried,
            failed: target.failed,
            dropped: target.dropped,
            unfinished: target.unfinished,
            damaged: target.damaged,
            over_quota: target.over_quota,
            dead_letters_removed: target.dead_letters_removed,
            attempts: attempts.map(|(it, count)| (it.name(), *count)).collect(),
            requests: target.requests,
            dead: dead.map(|(it, count)| (it.name(), *count)).collect(),
            dead_held: held.map_or(0, |held| held.dead),
            kept: held.map_or(0, |held| held.kept),
            kept_bytes: held.map_or(0, |held| held.kept_bytes),
            pending: target.pending,
            oldest_pending_age_seconds: target.oldest_pending_age.map(|age| age.as_secs_f64()),
            in_flight: target.in_flight,
            waiting_tasks: target.waiting_tasks,
            next_retry_at: target.next_retry_at.and_then(moment),
            in_memory: target.in_memory,
            attempt_seconds: LatencyJson::new(&target.attempt_latency),
            delivery_seconds: LatencyJson::new(&target.delivery_latency),
        }
    }
}

impl LatencyJson {
    fn new(times: &Latencies) -> LatencyJson {
        let quantile = |q| times.quantile(q).map(|time| time.as_secs_f64());
        LatencyJson {
            count: times.count(),
            sum: times.sum().as_secs_f64(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: times.max().map(|time| time.as_secs_f64()),
        }
    }
}
