//! `/api/v1/workers`: the processes that share a queue.

use super::super::answer::{Json, blocking};
use super::super::problem::Problem;
use crate::daemon::Daemon;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use webhook_queue::WorkerStatistics;

#[derive(Serialize)]
pub(super) struct Workers {
    workers: Vec<Worker>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Worker {
    name: String,
    slots: u16,
    lease_age_seconds: f64,
    /// The age of the oldest event owed in its slots, if that is known.
    lag_seconds: Option<f64>,
    /// Whether it is the process that responds.
    #[serde(rename = "self")]
    is_this: bool,
}

/// Lists the workers of a queue in a database; none of another queue.
pub(super) async fn list(State(daemon): State<Arc<Daemon>>) -> Result<Json<Workers>, Problem> {
    let shared = blocking(move || daemon.shared_queue()).await?;
    let workers = shared.map(|shared| shared.workers).unwrap_or_default();
    Ok(Json::of(Workers {
        workers: workers.into_iter().map(Worker::from).collect(),
    }))
}

impl From<WorkerStatistics> for Worker {
    fn from(worker: WorkerStatistics) -> Worker {
        let seconds = |milliseconds: u64| milliseconds as f64 / 1e3;
        Worker {
            name: worker.name,
            slots: worker.slots,
            lease_age_seconds: seconds(worker.lease_age_ms),
            lag_seconds: worker.lag_ms.map(seconds),
            is_this: worker.is_this,
        }
    }
}
