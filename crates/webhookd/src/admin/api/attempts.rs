//! `/api/v1/targets/{name}/attempts`: the last attempts at a target.

use super::super::answer::{Json, blocking};
use super::super::problem::Problem;
use super::request::{Query, finish, limit};
use super::targets::unknown;
use crate::attempt_json::AttemptJson;
use crate::daemon::Daemon;
use axum::extract::{Path, Query as Parts, State};
use serde::Serialize;
use std::sync::Arc;
use webhook_dispatch::{AttemptFilter, Outcome};

#[derive(Serialize)]
pub(super) struct Attempts {
    attempts: Vec<AttemptJson>,
    next: Option<u64>,
}

pub(super) async fn list(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
    Parts(mut query): Parts<Query>,
) -> Result<Json<Attempts>, Problem> {
    let limit = limit(&mut query)?;
    let mut filter = AttemptFilter::default();
    filter.key = query.remove("key").map(String::into_bytes);
    filter.before = query.remove("after").as_deref().map(number).transpose()?;
    if let Some(outcome) = query.remove("outcome") {
        filter.outcomes = outcomes(&outcome)?;
    }
    finish(&query, "key, outcome, after, limit")?;
    let found = blocking(move || {
        let page = daemon.monitor.attempts(&name, &filter, limit);
        let page = page.ok_or_else(|| unknown(&name))?;
        let last = page.attempts.last().map(|attempt| attempt.number);
        let attempts = page.attempts.iter();
        Ok(Attempts {
            attempts: attempts
                .map(|it| AttemptJson::with_answer(&name, it))
                .collect(),
            next: last.filter(|_| page.more),
        })
    });
    found.await?.map(Json::of)
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| {
        Problem::bad_request(format!(
            "after={text:?} is not the \"next\" of an earlier page"
        ))
    })
}

/// The outcomes that a name stands for.
fn outcomes(name: &str) -> Result<Vec<Outcome>, Problem> {
    let all = Outcome::ALL.iter().copied();
    let found: Vec<Outcome> = match name {
        "delivered" => vec![Outcome::Success],
        "failed" => all.filter(|it| *it != Outcome::Success).collect(),
        _ => all.filter(|it| it.name() == name).collect(),
    };
    if found.is_empty() {
        let names: Vec<&str> = Outcome::ALL.iter().map(|it| it.name()).collect();
        return Err(Problem::bad_request(format!(
            "outcome={name:?} is not an outcome: delivered, failed, {}",
            names.join(", ")
        )));
    }
    Ok(found)
}
