//! `/api/v1/queue`: shows and verifies the queue, and drops removed targets.

use super::super::answer::{Changed, Json, blocking, changed};
use super::super::problem::Problem;
use super::request::{Query, finish, limit};
use crate::daemon::{Daemon, epoch_ms};
use crate::database::CHECKED_BY;
use crate::shared_queue::SharedQueue;
use axum::extract::{Path, Query as Parts, State};
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;
use webhook_config::Delivery;
use webhook_dispatch::RepairError;
use webhook_queue::{EntryId, Verification, WriterStatistics};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueueJson {
    directory: Option<String>,
    shared: Option<SharedQueue>,
    events: u64,
    bytes: u64,
    max_bytes: u64,
    usable_bytes: u64,
    quarantined: u64,
    writer: Option<WriterJson>,
    targets: Vec<QueuedTarget>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WriterJson {
    events: u64,
    refused: u64,
    settlements: u64,
    failures: u64,
    failing: Option<String>,
    waiting_events: usize,
    waiting_settlements: usize,
    blocked: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueuedTarget {
    name: String,
    configured: bool,
    pending: u64,
    oldest_pending_age_seconds: Option<f64>,
    dead_letters: u64,
    owed_bytes: u64,
    dead_letter_bytes: u64,
    /// Deliveries that are kept.
    kept: u64,
    kept_bytes: u64,
}

pub(super) async fn show(State(daemon): State<Arc<Daemon>>) -> Result<Json<QueueJson>, Problem> {
    blocking(move || queue(&daemon)).await?.map(Json::of)
}

fn queue(daemon: &Daemon) -> Result<QueueJson, Problem> {
    let failed = |error| Problem::failed(&error);
    let statistics = daemon.control.queue_statistics().map_err(failed)?;
    let config = daemon.control.config();
    let writer = daemon.monitor.writer();
    let now = epoch_ms(SystemTime::now());
    let is_reliable = |name: &str| {
        let mut targets = config.targets().iter();
        targets.any(|it| it.name().as_str() == name && it.delivery() == Delivery::Reliable)
    };
    let targets = statistics.targets.into_iter();
    Ok(QueueJson {
        directory: writer
            .as_ref()
            .filter(|_| !daemon.is_shared())
            .map(|_| config.queue().dir().display().to_string()),
        shared: statistics.shared.as_ref().map(SharedQueue::of),
        events: statistics.events,
        bytes: statistics.bytes,
        max_bytes: statistics.max_bytes,
        usable_bytes: statistics.usable_bytes,
        quarantined: statistics.corrupt,
        writer: writer.map(WriterJson::new),
        targets: targets
            .map(|target| QueuedTarget {
                configured: is_reliable(&target.target),
                name: target.target,
                pending: target.pending,
                oldest_pending_age_seconds: target
                    .oldest_accepted_at
                    .filter(|_| target.pending > 0)
                    .map(|at| now.saturating_sub(at) as f64 / 1e3),
                dead_letters: target.dead,
                owed_bytes: target.owed_bytes,
                dead_letter_bytes: target.dead_bytes,
                kept: target.kept,
                kept_bytes: target.kept_bytes,
            })
            .collect(),
    })
}

impl WriterJson {
    fn new(writer: WriterStatistics) -> WriterJson {
        WriterJson {
            events: writer.events,
            refused: writer.refused,
            settlements: writer.settlements,
            failures: writer.failures,
            failing: writer.failing,
            waiting_events: writer.waiting_events,
            waiting_settlements: writer.waiting_settlements,
            blocked: writer.blocked,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VerificationJson {
    whole: bool,
    events: u64,
    owed: u64,
    dead_letters: u64,
    kept: u64,
    quarantined: u64,
    damaged: Vec<Damaged>,
    damaged_count: u64,
    contradictions: Vec<String>,
    contradiction_count: u64,
}

#[derive(Serialize)]
struct Damaged {
    entry: u64,
    reason: String,
}

/// Whether a verification runs. It reads the whole queue, so one at a time is enough.
static VERIFYING: AtomicBool = AtomicBool::new(false);

/// Resets [`VERIFYING`] when the verification ends, also by a panic.
struct Verifying;

impl Drop for Verifying {
    fn drop(&mut self) {
        VERIFYING.store(false, Ordering::SeqCst);
    }
}

pub(super) async fn verify(
    State(daemon): State<Arc<Daemon>>,
) -> Result<Json<VerificationJson>, Problem> {
    if daemon.is_shared() {
        return Err(Problem::conflict(CHECKED_BY));
    }
    if VERIFYING.swap(true, Ordering::SeqCst) {
        return Err(Problem::conflict("the queue is being verified already"));
    }
    let found = blocking(move || {
        let _verifying = Verifying;
        daemon.control.verify()
    });
    let found = found.await?.map_err(|error| Problem::failed(&error))?;
    let found = found.unwrap_or_default();
    Ok(Json::of(VerificationJson::new(found)))
}

impl VerificationJson {
    fn new(found: Verification) -> VerificationJson {
        let damaged = found.corrupt.iter();
        VerificationJson {
            whole: found.is_whole(),
            events: found.events,
            owed: found.owed,
            dead_letters: found.dead,
            kept: found.kept,
            quarantined: found.quarantined,
            damaged: damaged
                .map(|corrupt| Damaged {
                    entry: corrupt.entry.0,
                    reason: corrupt.reason.clone(),
                })
                .collect(),
            damaged_count: found.corrupt_count,
            contradictions: found.disagreements,
            contradiction_count: found.disagreement_count,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QuarantinedPage {
    quarantined: Vec<QuarantinedJson>,
    next: Option<String>,
}

#[derive(Serialize)]
struct QuarantinedJson {
    entry: u64,
    targets: Vec<String>,
    reason: String,
    bytes: usize,
}

pub(super) async fn quarantined(
    State(daemon): State<Arc<Daemon>>,
    Parts(mut query): Parts<Query>,
) -> Result<Json<QuarantinedPage>, Problem> {
    let limit = limit(&mut query)?;
    let after = match query.remove("cursor") {
        None => None,
        Some(cursor) => Some(EntryId(cursor.parse().map_err(|_| {
            Problem::bad_request(format!("{cursor:?} is not a cursor of an earlier page"))
        })?)),
    };
    finish(&query, "limit, cursor")?;
    let page = blocking(move || page(&daemon, after, limit)).await?;
    page.map(Json::of)
}

fn page(daemon: &Daemon, after: Option<EntryId>, limit: usize) -> Result<QuarantinedPage, Problem> {
    let mut quarantined: Vec<QuarantinedJson> = Vec::new();
    let mut next = None;
    let read = daemon.control.quarantined(after, &mut |found| {
        if quarantined.len() == limit {
            next = quarantined.last().map(|last| last.entry.to_string());
            return ControlFlow::Break(());
        }
        quarantined.push(QuarantinedJson {
            entry: found.entry.0,
            targets: found.targets.iter().map(|it| (*it).to_owned()).collect(),
            reason: found.reason.to_owned(),
            bytes: found.record.len(),
        });
        ControlFlow::Continue(())
    });
    read.map_err(|error| Problem::failed(&error))?;
    Ok(QuarantinedPage { quarantined, next })
}

#[derive(Serialize)]
pub(super) struct Dropped {
    pub(super) dropped: u64,
}

pub(super) async fn drop_target(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Result<Changed<Dropped>, Problem> {
    let dropped = blocking({
        let daemon = Arc::clone(&daemon);
        move || daemon.control.drop_target(&name)
    });
    match dropped.await? {
        Ok(dropped) => {
            daemon.note_dropped(dropped);
            Ok(changed(
                format!("dropped the {dropped} entries of the target"),
                Dropped { dropped },
            ))
        }
        Err(error @ (RepairError::Configured { .. } | RepairError::UnderWay { .. })) => {
            Err(Problem::conflict(error.to_string()))
        }
        Err(error @ RepairError::UnknownTarget { .. }) => {
            Err(Problem::not_found(error.to_string()))
        }
        Err(error) => Err(Problem::failed(&error)),
    }
}
