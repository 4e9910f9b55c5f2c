//! `/api/v1/dead-letters/groups`: how many dead letters there are of each target, reason and status.

use super::super::answer::{Json, blocking};
use super::super::problem::Problem;
use super::dead_letters::{MAX_READ, targets};
use super::request::{Query, finish};
use super::selection::{KNOWN, take_filter};
use crate::daemon::Daemon;
use crate::dead_letters::Filter;
use axum::extract::{Query as Parts, State};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use webhook_dispatch::{Control, FailureRecord};

/// How long a result is kept: as long as a page waits before it asks again.
const KEPT_FOR: Duration = Duration::from_secs(2);
/// Results that are kept, at most: one for each filter that pages show at a time.
const KEPT: usize = 16;

/// The dead letters that were read, in groups.
#[derive(Clone, Debug, Serialize)]
struct Groups {
    groups: Vec<Group>,
    /// Dead letters that were read, those that do not match included.
    read: usize,
    /// Whether all were read.
    complete: bool,
}

#[derive(Clone, Debug, Serialize)]
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

/// The last results, by query.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(Arc<Mutex<Vec<(Query, Instant, Groups)>>>);

impl Recent {
    fn find(&self, query: &Query) -> Option<Groups> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, at, _)| at.elapsed() < KEPT_FOR);
        let found = kept.iter().find(|(known, ..)| known == query);
        found.map(|(_, _, groups)| groups.clone())
    }

    fn keep(&self, query: Query, groups: Groups) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((query, Instant::now(), groups.clone()));
    }

    pub(super) async fn list(
        self,
        State(daemon): State<Arc<Daemon>>,
        Parts(mut query): Parts<Query>,
    ) -> Result<Json<impl Serialize>, Problem> {
        let asked = query.clone();
        let filter = take_filter(&mut query)?;
        finish(&query, KNOWN)?;
        if let Some(groups) = self.find(&asked) {
            return Ok(Json::of(groups));
        }
        let groups = blocking(move || group(&daemon.control, &filter)).await??;
        self.keep(asked, groups.clone());
        Ok(Json::of(groups))
    }
}

/// Groups the dead letters that match, of the first ones of the queue.
fn group(control: &Control, filter: &Filter) -> Result<Groups, Problem> {
    let mut found: BTreeMap<Key, Group> = BTreeMap::new();
    let (mut read, mut complete) = (0, true);
    for target in targets(control, filter)? {
        let name = filter.name_of(&target);
        let visited = control.dead_letters(Some(&name), None, &mut |letter| {
            if read == MAX_READ {
                complete = false;
                return ControlFlow::Break(());
            }
            read += 1;
            if filter.matches(&letter) {
                let note = FailureRecord::from_note(letter.note).ok();
                let reason = match &note {
                    Some(note) => note.reason.name(),
                    None if filter.is_of_delivered() => "delivered",
                    None => "unknown",
                };
                let status = note.and_then(|note| note.status);
                let at = letter.died_at;
                let key = (target.clone(), reason, status);
                let group = found.entry(key).or_insert_with(|| Group {
                    target: target.clone(),
                    reason,
                    status,
                    count: 0,
                    oldest: at,
                    newest: at,
                });
                group.count += 1;
                group.oldest = at.min(group.oldest);
                group.newest = at.max(group.newest);
            }
            ControlFlow::Continue(())
        });
        visited.map_err(|error| Problem::failed(&error))?;
        if !complete {
            break;
        }
    }
    Ok(Groups {
        groups: found.into_values().collect(),
        read,
        complete,
    })
}
