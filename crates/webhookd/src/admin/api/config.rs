//! `/api/v1/config` and `/api/v1/reload`: shows, checks and reloads the configuration.

use super::super::answer::{Json, blocking};
use super::super::guard::Access;
use super::super::problem::Problem;
use super::request::{Body, bytes};
use crate::daemon::Daemon;
use crate::http::Peer;
use crate::reload::{Cause, NotReloaded, Reload};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;
use webhook_config::Diagnostics;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReloadedJson {
    hash: String,
    changes: Changes,
    restart_needed: Vec<String>,
    warnings: Diagnostics,
}

#[derive(Serialize)]
struct Changes {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
    unchanged: Vec<String>,
    inputs: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Shown {
    path: String,
    hash: String,
    config: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Validation {
    valid: bool,
    /// Whether the files and variables that the text names were read.
    secrets_read: bool,
    diagnostics: Diagnostics,
}

pub(super) async fn reload(
    State(daemon): State<Arc<Daemon>>,
    Extension(peer): Extension<Peer>,
) -> Result<Json<ReloadedJson>, Problem> {
    let reloader = Arc::clone(&daemon.reloader);
    match blocking(move || reloader.reload(Cause::Operator(peer))).await? {
        Ok(reload) => Ok(Json::of(ReloadedJson::new(reload))),
        Err(NotReloaded::Invalid(diagnostics)) => {
            let detail = format!("nothing was changed: {diagnostics}");
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
            Err(problem.with("diagnostics", &diagnostics))
        }
        Err(error @ NotReloaded::Unreadable(_)) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("nothing was changed: {error}"),
        )),
        Err(error @ NotReloaded::Impossible(_)) => Err(Problem::conflict(format!(
            "the file is valid, but nothing was changed: {error}"
        ))),
    }
}

impl ReloadedJson {
    fn new(reload: Reload) -> ReloadedJson {
        let reloaded = reload.reloaded;
        ReloadedJson {
            hash: reload.hash,
            changes: Changes {
                added: reloaded.added,
                changed: reloaded.changed,
                removed: reloaded.removed,
                unchanged: reloaded.unchanged,
                inputs: reloaded.inputs,
            },
            restart_needed: reloaded.kept,
            warnings: reload.warnings,
        }
    }
}

pub(super) async fn show(State(daemon): State<Arc<Daemon>>) -> Result<Json<Shown>, Problem> {
    let shown = blocking(move || {
        let config = to_raw_value(&daemon.control.config().show());
        config.map(|config| Shown {
            path: daemon.reloader.file().path().display().to_string(),
            hash: daemon.reloader.state().hash,
            config,
        })
    });
    let shown = shown.await?.map_err(|error| Problem::failed(&error))?;
    Ok(Json::of(shown))
}

/// Checks a text. The files and variables that it names are read only for a token that may also reload, so
/// that the read-only token cannot find out whether one exists or what it holds.
pub(super) async fn validate(
    State(daemon): State<Arc<Daemon>>,
    Extension(access): Extension<Access>,
    body: Body,
) -> Result<Json<Validation>, Problem> {
    let text = bytes(body)?;
    let checked = blocking(move || {
        let file = daemon.reloader.file();
        match access {
            Access::Write => file.check(&text).map(|(_, warnings)| warnings),
            Access::Read => file.check_without_secrets(&text),
        }
    });
    let (valid, diagnostics) = match checked.await? {
        Ok(warnings) => (true, warnings),
        Err(errors) => (false, errors),
    };
    Ok(Json::of(Validation {
        valid,
        secrets_read: access == Access::Write,
        diagnostics,
    }))
}
