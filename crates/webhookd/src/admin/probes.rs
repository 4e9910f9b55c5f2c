//! `/livez` and `/readyz`: whether to restart the program, and whether to send it events.

use super::answer::blocking;
use super::problem::Problem;
use crate::daemon::{Daemon, Reason};
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// Whether the program is alive; if not, only a restart helps.
pub(super) async fn livez(State(daemon): State<Arc<Daemon>>) -> Result<&'static str, Problem> {
    let (_, health) = daemon.glance();
    if health.is_alive() {
        Ok("ok\n")
    } else {
        Err(unavailable("webhookd is not alive", health.dead))
    }
}

/// Whether events can be accepted now.
pub(super) async fn readyz(State(daemon): State<Arc<Daemon>>) -> Result<&'static str, Problem> {
    let snapshot = blocking(move || daemon.snapshot()).await?;
    if snapshot.health.is_ready() {
        Ok("ok\n")
    } else {
        let reasons = snapshot.health.reasons();
        Err(unavailable("webhookd cannot accept events now", reasons))
    }
}

fn unavailable(what: &str, reasons: Vec<Reason>) -> Problem {
    let details: Vec<&str> = reasons.iter().map(|it| it.detail.as_str()).collect();
    let detail = format!("{what}: {}", details.join("; "));
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with("reasons", reasons)
}
