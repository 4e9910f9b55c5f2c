//! `/api/v1/dead-letters/groups`: how many dead letters there are of each target, reason and status.

use super::super::answer::{Json, blocking};
use super::super::problem::Problem;
use super::dead_letters::{Cursor, read};
use super::request::{Query, finish};
use super::selection::{KNOWN, take_filter};
use crate::daemon::Daemon;
use crate::dead_letters::Filter;
use axum::extract::{Query as Parts, State};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use webhook_dispatch::{Control, FailureRecord};

/// The dead letters of a part, in groups.
#[derive(Debug, Serialize)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// The cursor of the next part.
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct Group {
    target: String,
    /// `unknown` if the note cannot be read, `delivered` for kept deliveries.
    reason: &'static str,
    /// That of the receiver's last response, if it responded.
    status: Option<u16>,
    count: u64,
    /// When the first and the last of them were given up, epoch milliseconds.
    oldest: u64,
    newest: u64,
}

/// The target, reason and status of a group, in which order they are listed.
type Key = (String, &'static str, Option<u16>);

pub(super) async fn list(
    State(daemon): State<Arc<Daemon>>,
    Parts(mut query): Parts<Query>,
) -> Result<Json<Groups>, Problem> {
    let cursor = Cursor::take(&mut query)?;
    let filter = take_filter(&mut query)?;
    finish(&query, &format!("{KNOWN}, cursor"))?;
    let groups = blocking(move || group(&daemon.control, &filter, cursor)).await?;
    groups.map(Json::of)
}

/// Groups the dead letters after a cursor that match, as many as are read for one response.
fn group(control: &Control, filter: &Filter, cursor: Option<Cursor>) -> Result<Groups, Problem> {
    let mut found: BTreeMap<Key, Group> = BTreeMap::new();
    let next = read(control, filter, cursor, &mut |target, letter| {
        let note = FailureRecord::from_note(letter.note).ok();
        let reason = match &note {
            Some(note) => note.reason.name(),
            None if filter.is_of_delivered() => "delivered",
            None => "unknown",
        };
        let status = note.and_then(|note| note.status);
        let at = letter.died_at;
        let key = (target.to_owned(), reason, status);
        let group = found.entry(key).or_insert_with(|| Group {
            target: target.to_owned(),
            reason,
            status,
            count: 0,
            oldest: at,
            newest: at,
        });
        group.count += 1;
        group.oldest = at.min(group.oldest);
        group.newest = at.max(group.newest);
        ControlFlow::Continue(())
    })?;
    Ok(Groups {
        groups: found.into_values().collect(),
        next,
    })
}
