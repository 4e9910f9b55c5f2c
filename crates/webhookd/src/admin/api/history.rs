//! `/api/v1/history`: rates and latencies of the last hour.

use super::super::answer::Json;
use crate::daemon::{Daemon, HistoryShown};
use axum::extract::State;
use std::sync::Arc;

pub(super) async fn show(State(daemon): State<Arc<Daemon>>) -> Json<HistoryShown> {
    Json::of(daemon.history.shown())
}
