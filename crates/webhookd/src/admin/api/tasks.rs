//! `/api/v1/tasks/{key}` and `/api/v1/targets/{name}/waiting`: what became of a task, and which tasks
//! are stuck.

use super::super::answer::{Json, blocking};
use super::super::problem::Problem;
use super::request::{Body, Query, finish, json, limit};
use super::targets::unknown;
use crate::attempt_json::{AttemptJson, moment};
use crate::daemon::Daemon;
use crate::dead_letters::{Filter, Letter};
use axum::extract::{Path, Query as Parts, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use webhook_dispatch::{
    ATTEMPTS_KEPT, AttemptFilter, Outcome, OwedOfTask, PendingEvent, StuckTask,
};
use webhook_queue::{DeadLetter, QueueError};

/// Events of a task that are shown of each target.
const SHOWN: usize = 100;
/// Dead letters of a task that are shown.
const LETTERS_SHOWN: usize = 200;
/// Entries of the queue that are looked at for them, at most.
const ENTRIES_READ: usize = 1_000;

/// The body of a request for a task.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    key: String,
    targets: Vec<TaskOfTarget>,
    /// Whether all dead letters were read.
    dead_letters_complete: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskOfTarget {
    target: String,
    pending: Vec<PendingJson>,
    pending_more: bool,
    in_flight: bool,
    next_try_at: Option<String>,
    attempts: Vec<AttemptJson>,
    dead_letters: Vec<Letter>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PendingJson {
    id: String,
    state: Option<String>,
    accepted_at: Option<String>,
    attempts: u32,
    not_before: Option<String>,
    /// The error of its last attempt, if the log of attempts has it.
    reason: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Waiting {
    waiting: Vec<WaitingJson>,
    more: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WaitingJson {
    key: String,
    reason: Option<String>,
    attempts: u32,
    accepted_at: Option<String>,
    next_try_at: Option<String>,
    behind: usize,
    behind_more: bool,
}

pub(super) async fn show(
    State(daemon): State<Arc<Daemon>>,
    Path(key): Path<String>,
) -> Result<Json<Task>, Problem> {
    let found = blocking(move || task(&daemon, key)).await?;
    found.map(Json::of).map_err(|error| Problem::failed(&error))
}

/// As [`show`], of a key in the body: one of any length and with any characters.
pub(super) async fn find(
    State(daemon): State<Arc<Daemon>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Task>, Problem> {
    let Wanted { key } = json(&headers, body)?;
    let found = blocking(move || task(&daemon, key)).await?;
    found.map(Json::of).map_err(|error| Problem::failed(&error))
}

fn task(daemon: &Daemon, key: String) -> Result<Task, QueueError> {
    let mut letters = DeadLettersOfKey::read(daemon, &key)?;
    let mut filter = AttemptFilter::default();
    filter.key = Some(key.clone().into_bytes());
    let mut targets = Vec::new();
    for target in daemon.control.config().targets() {
        let name = target.name().as_str();
        let owed = daemon.control.owed_of_task(name, &key, SHOWN)?;
        let page = daemon.monitor.attempts(name, &filter, SHOWN);
        let attempts = page.unwrap_or_default().attempts;
        let attempts = attempts.iter().map(|it| AttemptJson::with_answer(name, it));
        let of = TaskOfTarget::new(
            name,
            owed,
            attempts.collect(),
            letters.found.remove(name).unwrap_or_default(),
        );
        targets.extend(of);
    }
    // Those of removed targets.
    let mut removed: Vec<_> = letters.found.into_iter().collect();
    removed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    for (name, letters) in removed {
        let of = TaskOfTarget::new(&name, OwedOfTask::default(), Vec::new(), letters);
        targets.extend(of);
    }
    Ok(Task {
        key,
        targets,
        dead_letters_complete: letters.complete,
    })
}

impl TaskOfTarget {
    /// `None` if nothing is known of the task.
    fn new(
        target: &str,
        owed: OwedOfTask,
        attempts: Vec<AttemptJson>,
        dead_letters: Vec<Letter>,
    ) -> Option<TaskOfTarget> {
        if owed.pending.is_empty() && attempts.is_empty() && dead_letters.is_empty() {
            return None;
        }
        let pending = owed.pending.iter();
        Some(TaskOfTarget {
            target: target.to_owned(),
            pending: pending.map(|it| PendingJson::of(it, &attempts)).collect(),
            pending_more: owed.more,
            in_flight: owed.in_flight,
            next_try_at: owed.next_try_at.and_then(moment),
            attempts,
            dead_letters,
        })
    }
}

impl PendingJson {
    fn of(pending: &PendingEvent, attempts: &[AttemptJson]) -> PendingJson {
        let id = pending.id.to_string();
        let last = attempts.iter().find(|attempt| attempt.id == id);
        PendingJson {
            reason: last.and_then(|attempt| attempt.error.clone()),
            id,
            state: pending.state.clone(),
            accepted_at: moment(pending.accepted_at),
            attempts: pending.attempts,
            not_before: pending.not_before.and_then(moment),
        }
    }
}

/// The dead letters of a key, by target.
struct DeadLettersOfKey {
    found: HashMap<String, Vec<Letter>>,
    complete: bool,
}

impl DeadLettersOfKey {
    fn read(daemon: &Daemon, key: &str) -> Result<DeadLettersOfKey, QueueError> {
        let mut found: HashMap<String, Vec<Letter>> = HashMap::new();
        let mut read = 0;
        let all = Filter::all(false);
        let mut visit = |letter: DeadLetter<'_>| {
            if read == LETTERS_SHOWN {
                return ControlFlow::Break(());
            }
            read += 1;
            let of = found.entry(letter.target.to_owned());
            of.or_default().push(Letter::of(&letter, &all));
            ControlFlow::Continue(())
        };
        let control = &daemon.control;
        let are_all = control.dead_letters_of_task(key, ENTRIES_READ, &mut visit)?;
        Ok(DeadLettersOfKey {
            complete: are_all && read < LETTERS_SHOWN,
            found,
        })
    }
}

pub(super) async fn waiting(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
    Parts(mut query): Parts<Query>,
) -> Result<Json<Waiting>, Problem> {
    let limit = limit(&mut query)?;
    finish(&query, "limit")?;
    let found = blocking(move || {
        let stuck = daemon.control.stuck_tasks(&name, limit);
        let stuck = stuck.map_err(|error| Problem::failed(&error))?;
        let stuck = stuck.ok_or_else(|| unknown(&name))?;
        let reasons = Reasons::of(&daemon, &name);
        let waiting = stuck.tasks.iter();
        Ok(Waiting {
            waiting: waiting
                .map(|task| WaitingJson::of(task, &reasons))
                .collect(),
            more: stuck.more,
        })
    });
    found.await?.map(Json::of)
}

/// The error of the last attempt at each task of a target, as far as the log has it.
struct Reasons(HashMap<(Vec<u8>, usize), String>);

impl Reasons {
    fn of(daemon: &Daemon, target: &str) -> Reasons {
        let mut filter = AttemptFilter::default();
        let all = Outcome::ALL.iter().copied();
        filter.outcomes = all.filter(|it| *it != Outcome::Success).collect();
        let failed = daemon.monitor.attempts(target, &filter, ATTEMPTS_KEPT);
        let mut reasons = HashMap::new();
        for attempt in failed.unwrap_or_default().attempts {
            let key = (attempt.key.into_owned(), attempt.key_bytes);
            let newest = reasons.entry(key);
            newest.or_insert_with(|| attempt.error.into_owned());
        }
        Reasons(reasons)
    }

    fn get(&self, key: &[u8]) -> Option<String> {
        let kept = key[..key.len().min(AttemptFilter::KEY_KEPT)].to_vec();
        self.0.get(&(kept, key.len())).cloned()
    }
}

impl WaitingJson {
    fn of(task: &StuckTask, reasons: &Reasons) -> WaitingJson {
        WaitingJson {
            key: String::from_utf8_lossy(&task.key).into_owned(),
            reason: reasons.get(&task.key),
            attempts: task.attempts,
            accepted_at: moment(task.accepted_at),
            next_try_at: task.next_try_at.and_then(moment),
            behind: task.behind,
            behind_more: task.behind_more,
        }
    }
}
