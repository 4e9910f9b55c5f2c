//! `/api/v1/alerts`: which documented conditions hold now.

use super::super::answer::Json;
use crate::daemon::{Alert, Daemon};
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct Alerts {
    alerts: Vec<Alert>,
}

pub(super) async fn list(State(daemon): State<Arc<Daemon>>) -> Json<Alerts> {
    Json::of(Alerts {
        alerts: daemon.alerts(),
    })
}
